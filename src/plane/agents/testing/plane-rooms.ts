import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  newUid,
  rfc3339,
  sha256,
  silentLog,
  supervise,
  systemClock,
  waitFor,
  type Budget,
  type Clock,
  type Log,
  type Sensitive,
} from '#base';
import {
  allKinds,
  API_VERSION,
  Cluster,
  Delivery,
  deliveryName,
  keyOf,
  Project,
  Release,
  releaseName,
  type Bundle,
  type Kind,
  type PlaneObject,
} from '#api';
import { createEngine, type Engine } from '#plane/engine';
import { createHttp, type Http, type HttpLimits } from '#plane/http';
import { openKeys, type PlaneKeys } from '#plane/keys';
import { openStore, type Store, type Transaction, type Write } from '#plane/store';
import { createClusters, createEnroll } from '../../clusters/index.ts';
import { createDeliveries } from '../../deliveries/index.ts';
import { createAgents, type Agents } from '../index.ts';
import type { Verb } from '../budgets.ts';
import { AgentClient, type AgentClientOptions } from './agent-client.ts';

export interface PlaneRoomsOptions {
  /** Holds `data` and `keys`; a new temporary directory when absent. */
  readonly dir?: string;
  /** PostgreSQL instead of a database in `dir`: for several of these at once, with the same keys. */
  readonly url?: Sensitive<string>;
  /** Serves agents and decides nothing, beside another one that does. */
  readonly isGateway?: boolean;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly frozen?: () => boolean;
  readonly budgets?: Readonly<Partial<Record<Verb, Budget>>>;
  readonly totalBudgets?: Readonly<Partial<Record<Verb, Budget>>>;
  readonly limits?: HttpLimits;
}

/** The rooms agents, clusters and deliveries on a real store, real keys, the real engine and TLS listeners. */
export class PlaneRooms implements AsyncDisposable {
  readonly dir: string;
  readonly store: Store;
  readonly keys: PlaneKeys;
  readonly http: Http;
  readonly engine: Engine;
  readonly agents: Agents;
  readonly url: string;
  readonly #clock: Clock;
  readonly #stop: AbortController;
  readonly #running: Promise<unknown>;
  readonly #clients: AgentClient[] = [];
  readonly #ownsDir: boolean;

  private constructor(parts: {
    dir: string;
    ownsDir: boolean;
    store: Store;
    keys: PlaneKeys;
    http: Http;
    engine: Engine;
    agents: Agents;
    url: string;
    clock: Clock;
    stop: AbortController;
    running: Promise<unknown>;
  }) {
    this.dir = parts.dir;
    this.#ownsDir = parts.ownsDir;
    this.store = parts.store;
    this.keys = parts.keys;
    this.http = parts.http;
    this.engine = parts.engine;
    this.agents = parts.agents;
    this.url = parts.url;
    this.#clock = parts.clock;
    this.#stop = parts.stop;
    this.#running = parts.running;
  }

  static async start(options: PlaneRoomsOptions = {}): Promise<PlaneRooms> {
    const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'fairlead-rooms-')));
    const clock = options.clock ?? systemClock;
    const log = options.log ?? silentLog;
    const keys = await openKeys({ dir: join(dir, 'keys'), clock: systemClock });
    const place = options.url === undefined ? { dir: join(dir, 'data') } : { url: options.url };
    const store = await openStore({ ...place, kinds: allKinds, log, clock: systemClock });
    const http = await createHttp({ log, version: {}, ...(options.limits === undefined ? {} : { limits: options.limits }) });
    const frozen = options.frozen ?? (() => false);
    const agents = await createAgents({ store, keys, clock, log, newUid, frozen }, http, {
      ...(options.budgets === undefined ? {} : { budgets: options.budgets }),
      ...(options.totalBudgets === undefined ? {} : { totalBudgets: options.totalBudgets }),
    });
    const engine = createEngine({
      store,
      clock,
      log,
      effects: [],
      controllers: [
        ...agents.controllers,
        ...createClusters({ live: agents.live, newUid }),
        ...createDeliveries({ live: agents.live, newUid, frozen }),
      ],
    });
    const stop = new AbortController();
    const running = supervise([...(options.isGateway === true ? [] : [engine]), ...agents.services], stop.signal, { log });
    const listener = await http.listenTls({
      host: '127.0.0.1',
      port: 0,
      tls: { cert: keys.tls.cert, key: keys.tls.key.reveal() },
    });
    return new PlaneRooms({
      dir,
      ownsDir: options.dir === undefined,
      store,
      keys,
      http,
      engine,
      agents,
      url: listener.url,
      clock,
      stop,
      running,
    });
  }

  /** Stops and keeps the directory: `start({dir})` goes on with it. */
  async stop(): Promise<void> {
    for (const client of this.#clients) client.close();
    this.#stop.abort();
    await this.http.stop();
    await this.#running;
    await this.store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    if (this.#ownsDir) await rm(this.dir, { recursive: true, force: true });
  }

  /** A copy of the database as it is now, as a backup would be; the plane is stopped for it. */
  static async copyData(dir: string, to: string): Promise<void> {
    await rm(join(dir, to), { recursive: true, force: true });
    await cp(join(dir, 'data'), join(dir, to), { recursive: true });
  }

  client(options: Partial<AgentClientOptions> = {}): AgentClient {
    const client = new AgentClient({ url: this.url, ca: this.keys.tls.ca, ...options });
    this.#clients.push(client);
    return client;
  }

  async commit(transaction: Transaction): Promise<void> {
    const result = await this.store.commit(transaction);
    if (!result.ok) throw new Error(`conflict: ${JSON.stringify(result)}`);
  }

  async put(...objects: readonly (readonly [Kind, PlaneObject])[]): Promise<void> {
    await this.commit({ write: objects.map(([kind, object]): Write => ({ op: 'put', kind, object })) });
  }

  metadata(name: string, namespace?: string): PlaneObject['metadata'] {
    return {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid: newUid(),
      generation: 1,
      creationTimestamp: rfc3339(this.#clock.now()),
    };
  }

  async createProject(
    name = 'default',
    spec: Project['spec'] = { clusterSelector: {}, serviceAccount: { agentIdentity: true } },
  ): Promise<void> {
    await this.put([Project, { apiVersion: API_VERSION, kind: 'Project', metadata: this.metadata(name), spec }]);
  }

  async createCluster(name: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.put([
      Cluster,
      { apiVersion: API_VERSION, kind: 'Cluster', metadata: { ...this.metadata(name), labels }, spec: {} },
    ]);
  }

  async enroll(name: string, ttlSeconds?: number): Promise<string> {
    const enroll = createEnroll({ store: this.store, keys: this.keys, clock: this.#clock, newUid, frozen: () => false });
    const { object } = await enroll.handle({
      name,
      body: ttlSeconds === undefined ? {} : { ttlSeconds },
      actor: 'admin/test',
      dryRun: false,
    });
    return object.token;
  }

  /** A Cluster with its agent. */
  async joined(name: string, options: Partial<AgentClientOptions> = {}): Promise<AgentClient> {
    await this.createCluster(name);
    const client = this.client(options);
    await client.join(await this.enroll(name));
    return client;
  }

  /**
   * Makes Release `number` of an application with one ConfigMap per text and assigns it to the clusters, as the applications
   * room does: content first, then the Release, then what each Delivery wants.
   */
  async deliver(
    application: string,
    number: number,
    clusters: readonly string[],
    texts: readonly string[] = [`${application} ${number}`],
    namespace = 'web',
  ): Promise<string> {
    const objects = texts.map((text, index) => ({
      name: `${application}-${index}`,
      bytes: Buffer.from(
        JSON.stringify({
          apiVersion: 'v1',
          data: { text },
          kind: 'ConfigMap',
          metadata: { name: `${application}-${index}`, namespace },
        }),
      ),
    }));
    const bundle: Bundle = {
      version: 1,
      entries: objects.map(({ name, bytes }) => ({
        id: { group: '', version: 'v1', kind: 'ConfigMap', namespace, name },
        digest: sha256(bytes),
        size: bytes.length,
        stage: 'config',
        wave: 0,
        scope: 'Namespaced',
      })),
    };
    const bundleBytes = Buffer.from(JSON.stringify(bundle));
    const digest = sha256(bundleBytes);
    await this.commit({
      blobs: [...objects.map(({ bytes }) => ({ digest: sha256(bytes), bytes })), { digest, bytes: bundleBytes }],
    });
    const release: Release = {
      apiVersion: API_VERSION,
      kind: 'Release',
      metadata: this.metadata(releaseName(application, number), 'default'),
      spec: {
        application,
        applicationUid: `uid-${application}`,
        applicationGeneration: 1,
        number,
        source: { kind: 'GitRepository', name: 'fleet', commit: `c${number}`, committedAt: rfc3339(this.#clock.now()) },
        rendererVersion: 'test',
        settings: { defaultNamespace: namespace },
        settingsDigest: sha256('settings'),
        bundles: [{ digest, objects: objects.length, clusters: [...clusters] }],
        renderedAt: rfc3339(this.#clock.now()),
      },
    };
    await this.put([Release, release]);
    for (let at = 0; at < clusters.length; at += 500) {
      const writes: Write[] = [];
      for (const cluster of clusters.slice(at, at + 500)) {
        const key = { namespace: 'default', name: deliveryName(application, cluster) };
        const before = await this.store.get(Delivery, key);
        const wanted = {
          release: release.metadata.name,
          number,
          bundle: digest,
          settings: release.spec.settingsDigest,
          assignedAt: rfc3339(this.#clock.now()),
        };
        const object: Delivery =
          before === undefined
            ? {
                apiVersion: API_VERSION,
                kind: 'Delivery',
                metadata: this.metadata(key.name, 'default'),
                spec: { application, cluster, wanted },
              }
            : {
                ...before,
                metadata: { ...before.metadata, generation: before.metadata.generation + 1 },
                spec: { ...before.spec, wanted },
              };
        writes.push({ op: 'put', kind: Delivery, object });
      }
      await this.commit({ write: writes });
    }
    return digest;
  }

  async delivery(application: string, cluster: string): Promise<Delivery | undefined> {
    return this.store.get(Delivery, { namespace: 'default', name: deliveryName(application, cluster) });
  }

  /** Changes a stored object until nobody else changes it in between. */
  async update<S, T>(
    kind: Kind<S, T>,
    key: { namespace: string; name: string },
    change: (object: PlaneObject<S, T>) => PlaneObject<S, T>,
  ): Promise<void> {
    await waitFor(
      `an update of ${kind.kind} ${key.name}`,
      async () => {
        const object = await this.store.get(kind, key);
        if (object === undefined) return false;
        const result = await this.store.commit({
          expect: [{ kind, key: keyOf(object), revision: Number(object.metadata.resourceVersion) }],
          write: [{ op: 'put', kind, object: change(object) }],
        });
        return result.ok;
      },
      { timeoutMs: 5_000 },
    );
  }
}
