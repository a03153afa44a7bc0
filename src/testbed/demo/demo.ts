import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { Application, GitRepository } from '#api';
import { agentNodeEnvironment, agentNodeFlags, agentProfile, buildAgent } from '#agent';
import { FairleadError, planeNodeFlags, waitFor } from '#base';
import { buildConsole } from '#console';
import { buildRenderer } from '#render';
import { startGitServer, startTestbed, type Cluster, type GitContent, type GitServer } from '#testbed';
import { startChild, tailOf, type Child } from './child.ts';
import { freePort } from './free-port.ts';
import { PlaneApi } from './plane-api.ts';
import type { Progress } from './progress.ts';

const root = resolve(import.meta.dirname, '..', '..', '..');
const clusterNames = ['dev', 'prod-eu', 'prod-us'] as const;

/** What `--out` describes: where everything is, and nothing secret but the paths to it. */
export interface DemoDescription {
  readonly plane: { readonly url: string; readonly kubeconfig: string; readonly tokenFile: string; readonly pid: number };
  readonly console: { readonly url: string };
  readonly git: { readonly url: string; readonly path: string };
  readonly clusters: readonly { readonly name: string; readonly kubeconfig: string; readonly agentPid: number }[];
}

/** A whole fleet on one machine: real control planes, the plane, an agent for each cluster, a Git server. */
export class Demo implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly #planeArgs: readonly string[];
  readonly #planeLog: string;
  readonly #agents: readonly { readonly cluster: Cluster; readonly child: Child }[];
  readonly #git: GitServer;
  readonly #urls: { readonly plane: string; readonly console: string };
  readonly #dataDir: string;
  #plane: Child;

  private constructor(parts: {
    stack: AsyncDisposableStack;
    planeArgs: readonly string[];
    planeLog: string;
    plane: Child;
    agents: readonly { cluster: Cluster; child: Child }[];
    git: GitServer;
    urls: { plane: string; console: string };
    dataDir: string;
  }) {
    this.#stack = parts.stack;
    this.#planeArgs = parts.planeArgs;
    this.#planeLog = parts.planeLog;
    this.#plane = parts.plane;
    this.#agents = parts.agents;
    this.#git = parts.git;
    this.#urls = parts.urls;
    this.#dataDir = parts.dataDir;
  }

  /** Builds what is missing, starts everything and waits until every delivery is what Git says. */
  static async start(dataDir: string, progress: Progress, signal: AbortSignal): Promise<Demo> {
    const stack = new AsyncDisposableStack();
    try {
      const say = (line: string): void => progress.say(line);
      // One heavy build after the other: two would only be in each other's way.
      const agentBundle = await buildAgent();
      await buildRenderer({ onProgress: say });
      await buildConsole(say);
      await rm(dataDir, { recursive: true, force: true });
      await mkdir(dataDir, { recursive: true, mode: 0o700 });

      const testbed = await progress.step('starting an etcd', () =>
        startTestbed({ dir: join(dataDir, 'clusters'), signal, onProgress: say }),
      );
      stack.use(testbed);
      const clusters = progress.step('starting three control planes: dev, prod-eu, prod-us', () =>
        Promise.all(clusterNames.map((name) => testbed.createCluster({ name, nodes: 'simulated' }))),
      );

      let hint: () => void = () => undefined;
      const git = await startGitServer({ dir: join(dataDir, 'git'), onPush: () => hint() });
      stack.defer(() => git.stop());
      await git.createRepo('fleet');
      await git.commit('fleet', await readTree(join(root, 'examples', 'fleet')), 'The example fleet');

      const [apiPort, consolePort] = [await freePort(8443), await freePort(8080)];
      const urls = { plane: `https://127.0.0.1:${apiPort}`, console: `http://127.0.0.1:${consolePort}` };
      const planeDir = join(dataDir, 'plane');
      const planeLog = join(dataDir, 'plane.log');
      const planeArgs = [
        ...planeNodeFlags,
        join(root, 'src/cli/main.ts'),
        'plane',
        '--data',
        planeDir,
        '--listen',
        `127.0.0.1:${apiPort}`,
        '--console',
        `127.0.0.1:${consolePort}`,
        '--allow-http-urls',
        '--allow-egress',
        '127.0.0.0/8',
      ];
      const plane = startChild(planeArgs, planeLog);
      const parts: { plane: Child } = { plane };
      stack.defer(() => parts.plane.stop());
      const kubeconfig = join(planeDir, 'admin.kubeconfig');
      const api = await progress.step('starting the plane', () => connectWhenReady(kubeconfig, plane, signal));
      stack.defer(() => api.close());
      hint = () =>
        void api
          .annotate(GitRepository, 'default', 'fleet', { 'fairlead.dev/reconcile': new Date().toISOString() })
          .catch(() => undefined);

      await api.apply(GitRepository, 'default', 'fleet', { url: git.repoUrl('fleet'), ref: { branch: 'main' }, interval: '10s' });
      await api.apply(Application, 'default', 'fleet', {
        source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'plane' },
        targets: [{ plane: {} }],
      });

      const agents: { cluster: Cluster; child: Child }[] = [];
      for (const cluster of await clusters) {
        await waitFor(`the plane to read Cluster ${cluster.name} from Git`, () => api.hasCluster(cluster.name), {
          timeoutMs: 60_000,
          intervalMs: 100,
          signal,
        });
        const agentKubeconfig = await giveRights(cluster, join(dataDir, `agent-${cluster.name}.kubeconfig`));
        const child = startChild(
          [
            ...agentNodeFlags,
            agentBundle,
            '--plane',
            urls.plane,
            '--join',
            await api.joinToken(cluster.name),
            '--kubeconfig',
            agentKubeconfig,
            '--state-dir',
            join(dataDir, `agent-${cluster.name}`),
          ],
          join(dataDir, `agent-${cluster.name}.log`),
          agentNodeEnvironment,
        );
        stack.defer(() => child.stop());
        agents.push({ cluster, child });
      }
      await progress.step('waiting until every delivery is what Git says', () => allReady(api, agents, progress, signal));
      const demo = new Demo({ stack, planeArgs, planeLog, plane, agents, git, urls, dataDir });
      // From here on the plane may be another process than the one that was started first.
      Object.defineProperty(parts, 'plane', { get: () => demo.#plane });
      return demo;
    } catch (error) {
      await stack.disposeAsync();
      throw error;
    }
  }

  describe(): DemoDescription {
    return {
      plane: {
        url: this.#urls.plane,
        kubeconfig: join(this.#dataDir, 'plane', 'admin.kubeconfig'),
        tokenFile: join(this.#dataDir, 'plane', 'keys', 'admin-token'),
        pid: this.#plane.pid,
      },
      console: { url: this.#urls.console },
      git: { url: this.#git.repoUrl('fleet'), path: this.#git.path('fleet') },
      clusters: this.#agents.map(({ cluster, child }) => ({
        name: cluster.name,
        kubeconfig: cluster.kubeconfig,
        agentPid: child.pid,
      })),
    };
  }

  /** The console's address with a login that works once. */
  async loginUrl(): Promise<string> {
    const token = (await readFile(this.describe().plane.tokenFile, 'utf8')).trim();
    return `${this.#urls.console}/login#${token}`;
  }

  get isPlaneRunning(): boolean {
    return this.#plane.isRunning();
  }

  async stopPlane(): Promise<void> {
    await this.#plane.stop();
  }

  async startPlane(signal: AbortSignal): Promise<void> {
    if (this.isPlaneRunning) return;
    this.#plane = startChild(this.#planeArgs, this.#planeLog);
    const api = await connectWhenReady(this.describe().plane.kubeconfig, this.#plane, signal);
    api.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function connectWhenReady(kubeconfig: string, plane: Child, signal: AbortSignal): Promise<PlaneApi> {
  return waitFor(
    'the plane to be ready',
    async () => {
      if (!plane.isRunning())
        throw new FairleadError('FL_DEMO_PLANE', `the plane ended; its last words:\n${tailOf(plane.log)}`, { kind: 'internal' });
      const api = await PlaneApi.connect(kubeconfig);
      try {
        await api.isReady();
        return api;
      } catch (error) {
        api.close();
        throw error;
      }
    },
    { timeoutMs: 120_000, intervalMs: 100, signal },
  );
}

/** A service account for the agent with the profile `admin`, because this is a demo, and a kubeconfig that speaks for it. */
async function giveRights(cluster: Cluster, path: string): Promise<string> {
  await cluster.apply(
    agentProfile({ namespace: 'fairlead-system', grant: { kind: 'admin' } })
      .map((manifest) => JSON.stringify(manifest))
      .join('\n---\n'),
  );
  const token = await cluster.request('POST', '/api/v1/namespaces/fairlead-system/serviceaccounts/fairlead-agent/token', {
    body: JSON.stringify({
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 86_400 * 7 },
    }),
  });
  const { status } = token.json() as { status: { token: string } };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: cluster.name,
        cluster: { server: cluster.server, 'certificate-authority-data': Buffer.from(cluster.caPem).toString('base64') },
      },
    ],
    users: [{ name: 'fairlead-agent', user: { token: status.token } }],
    contexts: [{ name: cluster.name, context: { cluster: cluster.name, user: 'fairlead-agent' } }],
    'current-context': cluster.name,
  };
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  await chmod(path, 0o600);
  return path;
}

async function allReady(
  api: PlaneApi,
  agents: readonly { readonly child: Child }[],
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  let said = '';
  await waitFor(
    'every delivery to be what Git says',
    async () => {
      const dead = agents.find(({ child }) => !child.isRunning());
      if (dead !== undefined)
        throw new FairleadError('FL_DEMO_AGENT', `an agent ended; its last words:\n${tailOf(dead.child.log)}`, {
          kind: 'internal',
        });
      const view = await api.fleet();
      if (view.sentence !== said) progress.say(view.sentence);
      said = view.sentence;
      // Seven deliveries: platform and web on three clusters, reports on one.
      return (
        view.counts.clusters === clusterNames.length &&
        view.counts.deliveries >= 7 &&
        view.counts.ready === view.counts.deliveries
      );
    },
    { timeoutMs: 300_000, intervalMs: 200, signal },
  );
}

/** Path → text of every file below a directory. */
async function readTree(dir: string): Promise<Record<string, GitContent>> {
  const files: Record<string, GitContent> = {};
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files[relative(dir, path)] = await readFile(path, 'utf8');
  }
  return files;
}
