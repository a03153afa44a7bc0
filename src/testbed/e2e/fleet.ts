import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { agentNodeEnvironment, agentNodeFlags, agentProfile, buildAgent } from '#agent';
import {
  Application,
  areaOf,
  Cluster,
  conditionOf,
  Delivery,
  deliveryName,
  GitRepository,
  isReasonCode,
  Project,
  Release,
  type Kind,
  type PlaneObject,
} from '#api';
import { exec, must, newUid, planeNodeFlags, silentLog, waitFor, type ExecResult } from '#base';
import { createKubeClient, loadKubeconfig, type KubeClient } from '#kube';
import { buildRenderer } from '#render';
import { sharedCluster, startGitServer, type ClusterHandle, type GitContent, type GitServer } from '#testbed';
import { startChild, tailOf, type Child } from '../demo/child.ts';
import { freePort } from '../demo/free-port.ts';

const root = resolve(import.meta.dirname, '..', '..', '..');

/** A cluster of the fleet: one of the shared control planes, under a name of this fleet's own. */
export interface Member {
  /** Name of the Cluster on the plane. */
  readonly name: string;
  readonly handle: ClusterHandle;
  agent: Child;
  /** SIGKILL, as a crash. */
  killAgent(): Promise<void>;
  /** Starts the agent again from its state. */
  startAgent(): void;
}

/** What tests read of an object in a cluster. */
export interface LiveObject {
  readonly metadata: {
    readonly resourceVersion: string;
    readonly uid: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** What tests read of a core/v1 Event. */
export interface FleetEvent {
  readonly reason: string;
  readonly message: string;
  readonly count?: number;
  readonly involvedObject: { readonly kind: string; readonly name: string };
}

export interface FleetOptions {
  /** Name on the plane → which shared control plane, and labels. */
  readonly clusters: Readonly<
    Record<
      string,
      {
        readonly on: 'a' | 'b' | 'c';
        readonly labels?: Readonly<Record<string, string>>;
        /** Where its agent keeps its state. Default: a directory. */
        readonly state?: 'directory' | 'secrets';
        /** Not enrolled by `start`: the test calls `enroll`. */
        readonly isLate?: boolean;
      }
    >
  >;
  readonly agentArgs?: readonly string[];
  readonly planeArgs?: readonly string[];
  /** For Node itself, in the plane's process. */
  readonly planeNodeArgs?: readonly string[];
  /** Asked from everybody who fetches. */
  readonly gitAuth?: { readonly username: string; readonly password: string };
}

/**
 * A real fleet for tests: a plane process, agent processes (the shipped bundle) beside shared control planes, and a Git
 * server. Everything is named apart from other fleets, so that test files can share the control planes.
 */
export class Fleet implements AsyncDisposable {
  readonly dir: string;
  /** Unique; prefix of every namespace and cluster-scoped object of this fleet. */
  readonly id: string;
  readonly git: GitServer;
  readonly members = new Map<string, Member>();
  readonly kubeconfig: string;
  readonly planeDir: string;
  readonly planeUrl: string;
  readonly consoleUrl: string;
  plane: Child;
  /** Where agents that join from now on look for the plane. Default: the plane itself. */
  agentPlaneUrl: string;
  readonly #planeArgs: readonly string[];
  readonly #agentBundle: string;
  readonly #options: FleetOptions;
  #client: KubeClient | undefined;

  private constructor(parts: {
    dir: string;
    id: string;
    git: GitServer;
    plane: Child;
    planeArgs: readonly string[];
    planeDir: string;
    ports: readonly [number, number];
    agentBundle: string;
    options: FleetOptions;
  }) {
    this.dir = parts.dir;
    this.id = parts.id;
    this.git = parts.git;
    this.plane = parts.plane;
    this.planeDir = parts.planeDir;
    this.#planeArgs = parts.planeArgs;
    this.#agentBundle = parts.agentBundle;
    this.#options = parts.options;
    this.kubeconfig = join(parts.planeDir, 'admin.kubeconfig');
    this.planeUrl = `https://127.0.0.1:${parts.ports[0]}`;
    this.agentPlaneUrl = this.planeUrl;
    this.consoleUrl = `http://127.0.0.1:${parts.ports[1]}`;
  }

  static async start(options: FleetOptions): Promise<Fleet> {
    await buildRenderer();
    const agentBundle = await buildAgent();
    const dir = await mkdtemp(join(tmpdir(), 'fairlead-fleet-'));
    const id = `t${newUid().slice(0, 6)}`;
    let hint = (): void => undefined;
    const git = await startGitServer({
      dir: join(dir, 'git'),
      onPush: () => hint(),
      ...(options.gitAuth === undefined ? {} : { auth: options.gitAuth }),
    });
    await git.createRepo('fleet');
    const planeDir = join(dir, 'plane');
    const ports = [await freePort(0), await freePort(0)] as const;
    const planeArgs = [
      ...planeNodeFlags,
      ...(options.planeNodeArgs ?? []),
      join(root, 'src/cli/main.ts'),
      'plane',
      '--data',
      planeDir,
      '--listen',
      `127.0.0.1:${ports[0]}`,
      '--console',
      `127.0.0.1:${ports[1]}`,
      '--allow-http-urls',
      '--allow-egress',
      '127.0.0.0/8',
      ...(options.planeArgs ?? []),
    ];
    const plane = startChild(planeArgs, join(dir, 'plane.log'));
    const fleet = new Fleet({ dir, id, git, plane, planeArgs, planeDir, ports, agentBundle, options });
    try {
      await fleet.#connect();
      await fleet.apply(
        GitRepository,
        { name: 'fleet', namespace: 'default' },
        { url: git.repoUrl('fleet'), ref: { branch: 'main' }, interval: '5s' },
      );
      hint = () => void fleet.look();
      for (const [name, { isLate }] of Object.entries(options.clusters)) if (isLate !== true) await fleet.enroll(name);
      return fleet;
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
  }

  get client(): KubeClient {
    return must(this.#client, 'the fleet is connected to its plane');
  }

  async #connect(): Promise<void> {
    this.#client?.close();
    this.#client = await waitFor(
      'the plane to be ready',
      async () => {
        if (!this.plane.isRunning()) throw new Error(`the plane ended: ${tailOf(this.plane.log)}`);
        const client = createKubeClient({
          access: await loadKubeconfig(this.kubeconfig),
          userAgent: 'fairlead-test/0',
          log: silentLog,
          maxSockets: 8,
        });
        try {
          await client.request({ method: 'GET', path: '/readyz', timeoutMs: 2000 });
          return client;
        } catch (error) {
          client.close();
          throw error;
        }
      },
      { timeoutMs: 60_000, intervalMs: 50 },
    );
  }

  /** A namespace of this fleet's own in the shared clusters. */
  ns(name: string): string {
    return `${this.id}-${name}`;
  }

  /** Namespace of this fleet's agents. */
  get agentNamespace(): string {
    return this.ns('agent');
  }

  /** Creates the Cluster (unless Git did), joins an agent and waits until it is in contact. */
  async enroll(name: string): Promise<Member> {
    const { on, labels } = must(this.#options.clusters[name], `cluster ${name} is one of the fleet's`);
    const handle = await sharedCluster(on);
    const member = this.#member(name, handle, await this.#join(name, handle, labels ?? {}));
    this.members.set(name, member);
    await waitFor(
      `the agent of ${name} to be in contact`,
      async () => (await this.get(Cluster, { name }))?.status?.agent !== undefined,
      { timeoutMs: 60_000 },
    );
    return member;
  }

  async #join(name: string, handle: ClusterHandle, labels: Readonly<Record<string, string>>): Promise<Child> {
    await this.apply(Cluster, { name, labels }, {});
    const profile = agentProfile({ namespace: this.agentNamespace, grant: { kind: 'admin' } });
    await handle.apply(profile.map((manifest) => JSON.stringify(manifest)).join('\n---\n'));
    const kubeconfig = join(this.dir, `agent-${name}.kubeconfig`);
    await writeFile(kubeconfig, await this.#agentKubeconfig(handle), { mode: 0o600 });
    return this.startAgent(name, ['--plane', this.agentPlaneUrl, '--join', await this.joinToken(name)]);
  }

  /** A new join token of a Cluster that exists. */
  async joinToken(name: string): Promise<string> {
    const response = await this.client.request({ method: 'POST', path: `${pathOf(Cluster, { name })}/enroll`, body: '{}' });
    return (JSON.parse(response.body.toString('utf8')) as { token: string }).token;
  }

  async #agentKubeconfig(handle: ClusterHandle): Promise<string> {
    const response = await handle.request(
      'POST',
      `/api/v1/namespaces/${this.agentNamespace}/serviceaccounts/fairlead-agent/token`,
      {
        body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 86_400 } },
      },
    );
    const { status } = response.json() as { status: { token: string } };
    return JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'c',
          cluster: { server: handle.server, 'certificate-authority-data': Buffer.from(handle.caPem).toString('base64') },
        },
      ],
      users: [{ name: 'u', user: { token: status.token } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'c',
    });
  }

  /** Where the agent of that name keeps its state, if it is in a directory. */
  stateDir(name: string): string {
    return join(this.dir, `agent-${name}`);
  }

  /** An agent process on the state of `name`; further arguments as `fairlead agent` takes them. */
  startAgent(name: string, args: readonly string[] = [], stateOf: string = name): Child {
    return startChild(
      [
        ...agentNodeFlags,
        this.#agentBundle,
        '--kubeconfig',
        join(this.dir, `agent-${name}.kubeconfig`),
        '--namespace',
        this.agentNamespace,
        ...(this.#options.clusters[stateOf]?.state === 'secrets' ? [] : ['--state-dir', this.stateDir(stateOf)]),
        ...(this.#options.agentArgs ?? []),
        ...args,
      ],
      join(this.dir, `agent-${name}.log`),
      agentNodeEnvironment,
    );
  }

  #member(name: string, handle: ClusterHandle, agent: Child): Member {
    const member: Member = {
      name,
      handle,
      agent,
      killAgent: async () => {
        process.kill(member.agent.pid, 'SIGKILL');
        await member.agent.exited;
      },
      startAgent: () => {
        member.agent = this.startAgent(name);
      },
    };
    return member;
  }

  member(name: string): Member {
    return must(this.members.get(name), `cluster ${name} is a member`);
  }

  async killPlane(): Promise<void> {
    process.kill(this.plane.pid, 'SIGKILL');
    await this.plane.exited;
  }

  async startPlane(): Promise<void> {
    this.plane = startChild(this.#planeArgs, join(this.dir, 'plane.log'));
    await this.#connect();
  }

  /** `fairlead …` as a person runs it. */
  cli(args: readonly string[]): Promise<ExecResult> {
    return exec(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'src/cli/main.ts'), ...args], {
      env: { PATH: process.env['PATH'] ?? '', HOME: this.dir, FAIRLEAD_KUBECONFIG: this.kubeconfig },
      timeoutMs: 60_000,
      maxOutputBytes: 16 * 1024 * 1024,
    });
  }

  /** Stock kubectl against the plane. */
  async kubectl(
    args: readonly string[],
    input?: string,
  ): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }> {
    const handle = await sharedCluster('a');
    return handle.kubectl(['--kubeconfig', this.kubeconfig, ...args], input === undefined ? {} : { input });
  }

  /**
   * A command as a person pastes it into a terminal: `fairlead` and `kubectl` are found, the plane is the current context,
   * and every cluster is a context of its own name. An editor that it starts changes nothing.
   */
  async shell(command: string, timeoutMs = 60_000): Promise<ExecResult> {
    const bin = join(this.dir, 'bin');
    const { kubectlProgram } = await sharedCluster('a');
    await mkdir(bin, { recursive: true });
    const programs = {
      fairlead: `exec '${process.execPath}' --disable-warning=ExperimentalWarning '${join(root, 'src/cli/main.ts')}' "$@"`,
      kubectl: `exec '${kubectlProgram}' "$@"`,
    };
    for (const [name, line] of Object.entries(programs))
      await writeFile(join(bin, name), `#!/bin/sh\n${line}\n`, { mode: 0o755 });
    const contexts: string[] = [];
    for (const { name, handle } of this.members.values()) {
      contexts.push(join(bin, `${name}.kubeconfig`));
      await writeFile(join(bin, `${name}.kubeconfig`), kubeconfigOf(name, handle), { mode: 0o600 });
    }
    return exec('sh', ['-c', command], {
      env: {
        PATH: `${bin}:${process.env['PATH'] ?? ''}`,
        HOME: this.dir,
        KUBECONFIG: [this.kubeconfig, ...contexts].join(':'),
        FAIRLEAD_KUBECONFIG: this.kubeconfig,
        KUBE_EDITOR: 'true',
      },
      timeoutMs,
      maxOutputBytes: 16 * 1024 * 1024,
    });
  }

  /** Server-side apply of one object of the plane. */
  async apply(
    kind: Kind,
    metadata: {
      readonly name: string;
      readonly namespace?: string;
      readonly labels?: Readonly<Record<string, string>>;
      readonly annotations?: Readonly<Record<string, string>>;
    },
    spec: unknown,
  ): Promise<void> {
    await this.client.request({
      method: 'PATCH',
      path: pathOf(kind, metadata),
      query: { fieldManager: 'test', force: true },
      contentType: 'application/apply-patch+yaml',
      body: JSON.stringify({ apiVersion: kind.apiVersion, kind: kind.kind, metadata, spec }),
    });
  }

  /** JSON merge patch of one object of the plane. */
  async patch(kind: Kind, key: { readonly name: string; readonly namespace?: string }, patch: unknown): Promise<void> {
    await this.client.request({
      method: 'PATCH',
      path: pathOf(kind, key),
      contentType: 'application/merge-patch+json',
      body: JSON.stringify(patch),
    });
  }

  async delete(kind: Kind, key: { readonly name: string; readonly namespace?: string }): Promise<void> {
    await this.client.request({ method: 'DELETE', path: pathOf(kind, key) });
  }

  async get<S, T>(
    kind: Kind<S, T>,
    key: { readonly name: string; readonly namespace?: string },
  ): Promise<PlaneObject<S, T> | undefined> {
    try {
      const response = await this.client.request({ method: 'GET', path: pathOf(kind, key) });
      return JSON.parse(response.body.toString('utf8')) as PlaneObject<S, T>;
    } catch (error) {
      if (error instanceof Error && 'kind' in error && error.kind === 'not-found') return undefined;
      throw error;
    }
  }

  async list<S, T>(kind: Kind<S, T>, namespace?: string): Promise<readonly PlaneObject<S, T>[]> {
    const scope = namespace === undefined ? '' : `/namespaces/${namespace}`;
    const response = await this.client.request({ method: 'GET', path: `/apis/${kind.apiVersion}${scope}/${kind.plural}` });
    return (JSON.parse(response.body.toString('utf8')) as { items: PlaneObject<S, T>[] }).items;
  }

  /** What `kubectl events` shows of one Project. */
  async events(namespace = 'default'): Promise<readonly FleetEvent[]> {
    const response = await this.client.request({ method: 'GET', path: `/api/v1/namespaces/${namespace}/events` });
    return (JSON.parse(response.body.toString('utf8')) as { items: FleetEvent[] }).items;
  }

  async view<T>(path: string): Promise<T> {
    const [pathname = '', search = ''] = path.split('?');
    const response = await this.client.request({
      method: 'GET',
      path: `/views/v1/${pathname}`,
      query: Object.fromEntries(new URLSearchParams(search)),
    });
    return JSON.parse(response.body.toString('utf8')) as T;
  }

  /** Commits and pushes; the plane is told to look, as a webhook would. Returns the commit. */
  async commit(files: Readonly<Record<string, GitContent>>, message = 'A change'): Promise<string> {
    const commit = await this.git.commit('fleet', files, message);
    await this.look();
    return commit;
  }

  async look(): Promise<void> {
    await this.patch(
      GitRepository,
      { name: 'fleet', namespace: 'default' },
      { metadata: { annotations: { 'fairlead.dev/reconcile': newUid() } } },
    ).catch(() => undefined);
  }

  /** An Application of the repository's directory `path`, for clusters by selector, into a namespace of this fleet's. */
  async application(name: string, spec: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.apply(
      Application,
      { name, namespace: 'default' },
      {
        source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: name },
        targets: [{ clusterSelector: {} }],
        defaultNamespace: this.ns(name),
        ...spec,
      },
    );
  }

  async project(name: string, spec: Readonly<Record<string, unknown>>): Promise<void> {
    await this.apply(Project, { name }, spec);
  }

  delivery(application: string, cluster: string): Promise<Delivery | undefined> {
    return this.get(Delivery, { namespace: 'default', name: deliveryName(application, cluster) });
  }

  /** Waits until the delivery is ready for a release of that commit (or any). */
  async ready(application: string, cluster: string, commit?: string, timeoutMs = 60_000): Promise<Delivery> {
    return waitFor(
      `${application} on ${cluster} to be ready${commit === undefined ? '' : ` at ${commit.slice(0, 8)}`}`,
      async () => {
        const app = await this.get(Application, { namespace: 'default', name: application });
        const delivery = await this.delivery(application, cluster);
        const why = delivery === undefined ? 'there is no delivery' : conditionOf(delivery, 'Ready');
        // A condition that speaks of an older generation is no answer, as with `kubectl wait`.
        // The commit that was looked at last is said before there is a Release of it, where it cannot be rendered yet.
        const reason = app?.status?.reason?.code;
        const isUnrendered = reason !== undefined && isReasonCode(reason) && ['source', 'render'].includes(areaOf(reason));
        const isCurrent =
          (commit === undefined || (app?.status?.commit === commit && !isUnrendered)) &&
          app?.status?.observedGeneration === app?.metadata.generation &&
          delivery?.status?.observedGeneration === delivery?.metadata.generation;
        const newest =
          app?.status?.release === undefined
            ? undefined
            : await this.get(Release, { namespace: 'default', name: app.status.release.name });
        const bundle = newest?.spec.bundles.find((one) => one.clusters.includes(cluster))?.digest;
        const isWanted =
          newest !== undefined &&
          delivery?.spec.wanted?.bundle === bundle &&
          delivery?.spec.wanted?.settings === newest.spec.settingsDigest;
        if (!isCurrent || !isWanted || delivery === undefined || typeof why !== 'object' || why.status !== 'True') {
          throw new Error(
            `${JSON.stringify(why)}; application ${JSON.stringify(app === undefined ? undefined : conditionOf(app, 'Ready'))} at ${String(app?.status?.commit)}`,
          );
        }
        return delivery;
      },
      { timeoutMs, intervalMs: 100 },
    );
  }

  /** Waits until the delivery's reason has this code; answers the sentence. */
  async reason(application: string, cluster: string, code: string, timeoutMs = 60_000): Promise<string> {
    return waitFor(
      `${application} on ${cluster} to say ${code}`,
      async () => {
        const delivery = await this.delivery(application, cluster);
        if (delivery?.status?.reason?.code !== code)
          throw new Error(
            `it says ${JSON.stringify(delivery?.status?.reason)} ${JSON.stringify(delivery?.status?.conditions?.[0]?.message)}`,
          );
        return conditionOf(delivery, 'Ready')?.message;
      },
      { timeoutMs, intervalMs: 100 },
    );
  }

  /** The live object, or undefined. `path` such as `/api/v1/namespaces/x/configmaps/y`. */
  async live(cluster: string, path: string): Promise<LiveObject | undefined> {
    const response = await this.member(cluster).handle.request('GET', path);
    return response.status === 200 ? (response.json() as LiveObject) : undefined;
  }

  configMap(cluster: string, namespace: string, name: string): Promise<LiveObject | undefined> {
    return this.live(cluster, `/api/v1/namespaces/${namespace}/configmaps/${name}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.members.values()].map((member) => member.agent.stop(2000)));
    await this.plane.stop(2000);
    this.#client?.close();
    await this.git.stop();
    // What was delivered goes with its namespaces; the control planes are shared and live on.
    const handles = new Set([...this.members.values()].map((member) => member.handle));
    const profile = agentProfile({
      namespace: this.agentNamespace,
      grant: { kind: 'admin' },
    }) as unknown as readonly RbacManifest[]; // manifests
    for (const handle of handles) {
      for (const { kind, metadata } of profile) {
        if (!kind.startsWith('ClusterRole')) continue;
        await handle.request('DELETE', `/apis/rbac.authorization.k8s.io/v1/${kind.toLowerCase()}s/${metadata.name}`);
      }
      const namespaces = (await handle.request('GET', '/api/v1/namespaces')).json() as {
        items: { metadata: { name: string } }[];
      };
      for (const { metadata } of namespaces.items) {
        if (metadata.name.startsWith(`${this.id}-`)) await handle.request('DELETE', `/api/v1/namespaces/${metadata.name}`);
      }
    }
    // To look at logs and state afterwards.
    if (process.env['FAIRLEAD_TEST_KEEP'] === undefined) await rm(this.dir, { recursive: true, force: true });
  }
}

/** What is read of a manifest of the agent's profile. */
interface RbacManifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

function pathOf(kind: Kind, key: { readonly name: string; readonly namespace?: string }): string {
  const scope = kind.scope === 'Cluster' ? '' : `/namespaces/${key.namespace ?? 'default'}`;
  return `/apis/${kind.apiVersion}${scope}/${kind.plural}/${key.name}`;
}

/** A ConfigMap as YAML. */
export function configMapYaml(name: string, data: Readonly<Record<string, string>>, more = ''): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n${more}data: ${JSON.stringify(data)}\n`;
}

function kubeconfigOf(name: string, { server, caPem, adminToken }: ClusterHandle): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') } }],
    users: [{ name, user: { token: adminToken } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
  });
}
