import { createHash, createHmac } from 'node:crypto';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { must, newUid, rfc3339, Sensitive, sha256, silentLog, systemClock, waitFor } from '#base';
import {
  AgentIdentity,
  allKinds,
  Application,
  ChartRepository,
  Cluster,
  conditionOf,
  Delivery,
  GitRepository,
  keyOf,
  Project,
  Release,
  type Key,
  type Kind,
  type PlaneObject,
} from '#api';
import { createEngine, type Controller, type Engine } from '#plane/engine';
import { openStore, type Store } from '#plane/store';
import { buildRenderer, createRenderer, type Renderer } from '#render';
import { startGitServer, type GitServer } from '#testbed';
import { createFetcher, createGuardedConnect, EgressPolicy, openContentCache } from '#plane/fetch';
import { createCharts, createSources, RemoteResolver, type Charts, type Sources } from '../../sources/index.ts';
import { packChart } from '../../sources/charts/testing/pack.ts';
import { createApplications, referenceKey } from '../index.ts';
import type { ResolveReferences } from '../remote-references.ts';
import type { OpenSnapshot } from '../snapshot-files.ts';

export interface Look {
  readonly application: string;
  readonly renders: number;
  readonly released: number | undefined;
}

/** A real chart repository over HTTP: an index.yaml and archives. */
export class ChartServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #archives = new Map<string, Map<string, Uint8Array>>();
  /** What it answers instead of anything it has; undefined: as it should. */
  fault: number | undefined;

  private constructor() {
    this.#server = createServer((request, response) => {
      const content = this.#contentOf(request.url ?? '');
      if (this.fault !== undefined) response.writeHead(this.fault).end();
      else response.writeHead(content === undefined ? 404 : 200).end(content);
    });
  }

  static async start(): Promise<ChartServer> {
    const charts = new ChartServer();
    charts.#server.listen(0, '127.0.0.1');
    await once(charts.#server, 'listening');
    return charts;
  }

  get url(): string {
    // What listens on a port has an address.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  publish(chart: string, version: string, files: Readonly<Record<string, string>> = {}): void {
    const versions = this.#archives.get(chart) ?? new Map<string, Uint8Array>();
    this.#archives.set(chart, versions.set(version, packChart(chart, version, files)));
  }

  #contentOf(path: string): string | Uint8Array | undefined {
    const [, chart = '', version = ''] = /^\/([a-z]+)-([0-9.]+)\.tgz$/.exec(path) ?? [];
    if (path !== '/index.yaml') return this.#archives.get(chart)?.get(version);
    const entries = [...this.#archives].map(([name, versions]) => {
      const lines = [...versions].map(
        ([one, archive]) => `  - {version: ${one}, digest: ${sha256(archive).slice(7)}, urls: [${name}-${one}.tgz]}\n`,
      );
      return `  ${name}:\n${lines.join('')}`;
    });
    return `apiVersion: v1\nentries:\n${entries.join('')}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** Real Git over HTTP, real renderer, real store, real engine; only clusters are missing. */
export class World implements AsyncDisposable {
  readonly dir: string;
  readonly git: GitServer;
  readonly renderer: Renderer;
  readonly looks: Look[] = [];
  store: Store;
  sources!: Sources;
  charts!: Charts;
  openSnapshot!: OpenSnapshot;
  resolveReferences!: ResolveReferences;
  engine!: Engine;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();
  readonly #more: (store: () => Store) => readonly Controller[];
  readonly #fetches: boolean;
  readonly #atEnd: (() => Promise<void>)[] = [];

  private constructor(
    dir: string,
    git: GitServer,
    renderer: Renderer,
    store: Store,
    more: (store: () => Store) => readonly Controller[],
    fetches: boolean,
  ) {
    this.#fetches = fetches;
    this.dir = dir;
    this.git = git;
    this.renderer = renderer;
    this.store = store;
    this.#more = more;
  }

  /** `fetches`: whether what charts and kustomizations name elsewhere is fetched. */
  static async start(
    more: (store: () => Store) => readonly Controller[] = () => [],
    { fetches = false }: { readonly fetches?: boolean } = {},
  ): Promise<World> {
    const dir = await mkdtemp(join(tmpdir(), 'fairlead-world-'));
    const git = await startGitServer({ dir: join(dir, 'git') });
    const wasmPath = join(dir, 'render.wasm');
    await symlink(await buildRenderer(), wasmPath);
    const renderer = await createRenderer({ wasmPath, log: silentLog });
    const world = new World(dir, git, renderer, await open(dir), more, fetches);
    await world.run();
    return world;
  }

  async run(): Promise<void> {
    this.sources = await createSources({
      dataDir: this.dir,
      decrypt: () => new Sensitive({}),
      log: silentLog,
      clock: systemClock,
      allowHttp: true,
      egress: undefined,
      pulse: (kind, key, value) => this.store.pulse(kind, key, value),
    });
    const reading = {
      fetch: createFetcher({ connect: createGuardedConnect(new EgressPolicy({ allow: ['127.0.0.0/8'] })) }),
      cache: await openContentCache({ dir: join(this.dir, 'fetched'), clock: systemClock }),
      decrypt: () => new Sensitive({}),
      log: silentLog,
      clock: systemClock,
      allowHttp: true,
    };
    this.charts = createCharts(reading);
    const remote = new RemoteResolver({ ...reading, read: this.store, sources: this.sources });
    this.resolveReferences = (references, { project, pins, isDue, signal }) =>
      remote.resolve(references, {
        project,
        pin: (reference) => pins.get(referenceKey(reference)),
        isDue: (reference) => isDue(referenceKey(reference)),
        signal,
      });
    this.openSnapshot = (uid, commit, kind) =>
      kind === ChartRepository.kind ? this.charts.openSnapshot(uid, commit) : this.sources.openSnapshot(uid, commit);
    const applications = createApplications({
      renderer: this.renderer,
      openSnapshot: this.openSnapshot,
      ...(this.#fetches ? { resolveReferences: this.resolveReferences } : {}),
      derive: (purpose, ...parts) =>
        createHmac('sha256', 'a test')
          .update(JSON.stringify([purpose, ...parts]))
          .digest(),
      log: silentLog,
      fleetReleaseMs: 50,
      onLook: (look) => this.looks.push(look),
    });
    this.engine = createEngine({
      store: this.#faulty(),
      controllers: [this.sources.controller, this.charts.controller, ...applications, ...this.#more(() => this.store)],
      effects: [],
      clock: systemClock,
      log: silentLog,
    });
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    this.#running = this.engine.run(signal).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  /** Releases whose commit is answered with a conflict, as if somebody had been faster. */
  conflictsToCome = 0;

  #faulty(): Store {
    const { store } = this;
    return new Proxy(store, {
      get: (target, name) => {
        if (name === 'commit') {
          const commit: Store['commit'] = (transaction, fence) => {
            const isRelease = transaction.write?.some((one) => one.kind.kind === 'Release') === true;
            if (!isRelease || this.conflictsToCome <= 0) return target.commit(transaction, fence);
            this.conflictsToCome -= 1;
            return Promise.resolve({
              ok: false,
              conflict: { kind: 'Release', key: { namespace: '', name: 'x' }, found: undefined },
            });
          };
          return commit;
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  }

  /** As a restart of the plane: nothing in memory survives. */
  async restart(): Promise<void> {
    await this.#end();
    this.store = await open(this.dir);
    await this.run();
  }

  onEnd(task: () => Promise<void>): void {
    this.#atEnd.push(task);
  }

  async #end(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    for (const task of this.#atEnd.splice(0)) await task();
    await this.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
    this.renderer.stop();
    await this.git.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  async put<S, T>(
    kind: Kind<S, T>,
    name: string,
    spec: S,
    more: { namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> } = {},
  ): Promise<void> {
    const namespace = more.namespace ?? (kind.scope === 'Cluster' ? '' : 'default');
    const before = await this.store.get(kind, { namespace, name });
    const object: PlaneObject<S, T> = {
      apiVersion: kind.apiVersion,
      kind: kind.kind,
      metadata: {
        ...(before?.metadata ?? { name, uid: newUid(), generation: 0, creationTimestamp: rfc3339(Date.now()) }),
        ...(namespace === '' ? {} : { namespace }),
        generation: (before?.metadata.generation ?? 0) + 1,
        ...(more.labels === undefined ? {} : { labels: more.labels }),
        ...(more.annotations === undefined ? {} : { annotations: more.annotations }),
      },
      spec,
      ...(before?.status === undefined ? {} : { status: before.status }),
    };
    await this.commit([{ op: 'put', kind, object }]);
  }

  async commit(write: Parameters<Store['commit']>[0]['write'] & {}): Promise<void> {
    const result = await this.store.commit({ write });
    if (!result.ok) throw new Error(JSON.stringify(result));
  }

  async remove(kind: Kind, name: string, namespace = kind.scope === 'Cluster' ? '' : 'default'): Promise<void> {
    const object = must(await this.store.get(kind, { namespace, name }), `${kind.kind} ${name} is there`);
    if ((object.metadata.finalizers ?? []).length === 0) return this.commit([{ op: 'delete', kind, key: { namespace, name } }]);
    // As the API does it: what has finalizers is marked.
    const metadata = { ...object.metadata, deletionTimestamp: rfc3339(Date.now()), generation: object.metadata.generation + 1 };
    return this.commit([{ op: 'put', kind, object: { ...object, metadata } }]);
  }

  /** A project that may do everything, and a repository `fleet` on branch main. */
  async project(): Promise<void> {
    await this.put(Project, 'default', { sources: ['**'], clusterSelector: {}, serviceAccount: { agentIdentity: true } });
    await this.git.createRepo('fleet');
  }

  async repository(name = 'fleet', interval = '1h'): Promise<void> {
    await this.put(GitRepository, name, { url: this.git.repoUrl('fleet'), interval });
  }

  async cluster(name: string, labels: Record<string, string>, joined = true): Promise<void> {
    await this.put(Cluster, name, {}, { labels });
    if (joined) await this.join(name);
  }

  async join(name: string): Promise<string> {
    const sealingKey = await identityToRecipient(await generateX25519Identity());
    await this.put(AgentIdentity, name, identity(sealingKey));
    return sealingKey;
  }

  /** Commits to Git and tells the plane, as a webhook would. */
  async push(files: Parameters<GitServer['commit']>[1], options: Parameters<GitServer['commit']>[3] = {}): Promise<string> {
    const commit = await this.git.commit('fleet', files, 'push', options);
    this.look();
    return commit;
  }

  look(name = 'fleet'): void {
    this.sources.requestLook(`default/${name}`);
  }

  app(name: string, namespace = 'default'): Promise<Application> {
    return this.get(Application, { namespace, name });
  }

  async get<S, T>(kind: Kind<S, T>, key: Key): Promise<PlaneObject<S, T>> {
    return must(await this.store.get(kind, key), `${kind.kind} ${key.namespace}/${key.name} is there`);
  }

  async deliveries(application?: string): Promise<readonly Delivery[]> {
    const all = (await this.store.list(Delivery)).items;
    return application === undefined ? all : all.filter((delivery) => delivery.spec.application === application);
  }

  async releases(application: string): Promise<readonly Release[]> {
    const all = (await this.store.list(Release)).items.filter((release) => release.spec.application === application);
    return all.toSorted((a, b) => a.spec.number - b.spec.number);
  }

  /** Resolves when nothing is queued or under way and all changes were looked at. */
  idle(timeoutMs = 30_000): Promise<true> {
    return waitFor('an idle engine', async () => (await this.engine.isIdle()) && true, { timeoutMs, intervalMs: 20 });
  }

  until<T>(what: string, probe: () => Promise<T | undefined | false>, timeoutMs = 15_000): Promise<T> {
    return waitFor(what, probe, { timeoutMs, intervalMs: 20 });
  }

  /** The Application's Ready sentence once it has the reason. */
  async untilReason(application: string, code: string): Promise<string> {
    return this.until(`${application} to say ${code}`, async () => {
      const ready = conditionOf(await this.app(application), 'Ready');
      if (ready?.reason !== code) throw new Error(`it says ${ready?.reason ?? 'nothing'}: ${ready?.message ?? ''}`);
      return ready.message;
    });
  }

  untilReleased(application: string, number: number): Promise<Release> {
    const get = (): Promise<Release | undefined> =>
      this.store.get(Release, { namespace: 'default', name: `${application}.${number}` });
    // The first chart or kustomization of a renderer compiles its module.
    return this.until(`release ${application}.${number}`, get, 60_000);
  }

  /** What the deliveries room will do: says that every wanted Release is applied and healthy. */
  async reportHealthy(application: string): Promise<void> {
    for (const delivery of await this.deliveries(application)) {
      const { generation } = delivery.metadata;
      const condition = {
        type: 'Ready',
        status: 'True' as const,
        lastTransitionTime: rfc3339(Date.now()),
        reason: 'FL_READY',
        message: 'ok',
      };
      const object: Delivery = { ...delivery, status: { observedGeneration: generation, conditions: [condition] } };
      await this.commit([{ op: 'put', kind: Delivery, object }]);
    }
  }
}

function open(dir: string): Promise<Store> {
  return openStore({ dir: join(dir, 'db'), kinds: allKinds, log: silentLog, clock: systemClock });
}

export function identity(sealingKey: string): AgentIdentity['spec'] {
  return {
    signingKey: 'k',
    keyId: createHash('sha256').update(sealingKey).digest('hex'),
    sealingKey,
    kubeSystemUid: newUid(),
    joinedAt: rfc3339(Date.now()),
    receipt: { payloadType: 'x', payload: '', signatures: [{ keyid: 'x', sig: 'x' }] },
  };
}

export function configMap(name: string, data: Record<string, string> = { a: '1' }): string {
  const lines = Object.entries(data).map(([key, value]) => `  ${key}: ${JSON.stringify(value)}\n`);
  return `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata:\n${lines.join('')}`;
}

/** Longest and 99th percentile delay of the event loop while `task` runs, in ms. */
export async function loopDelay<T>(
  task: () => Promise<T>,
): Promise<{ readonly value: T; readonly p99Ms: number; readonly maxMs: number }> {
  const histogram = monitorEventLoopDelay({ resolution: 5 });
  histogram.enable();
  const value = await task();
  histogram.disable();
  return { value, p99Ms: histogram.percentile(99) / 1e6, maxMs: histogram.max / 1e6 };
}

export { keyOf };
