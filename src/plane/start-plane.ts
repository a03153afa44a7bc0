import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FairleadError, newUid, rfc3339, supervise, systemClock, waitFor, type Clock, type Log, type Service } from '#base';
import { allKinds, Credential, DEFAULT_PROJECT, Delivery, formatKey, keyOf, Project, servedKinds, type Doorbell } from '#api';
import { createEngine, type Controller } from '#plane/engine';
import { createEgress, EgressPolicy, startEgressProxy, type EgressOptions } from '#plane/fetch';
import { createHttp, type Http } from '#plane/http';
import { createKubeApi, parseLabelSelector, VERSION_INFO } from '#plane/kubeapi';
import { openKeys, type PlaneKeys } from '#plane/keys';
import { openStore, type Store } from '#plane/store';
import { buildRenderer, createRenderer } from '#render';
import { createAgents, hideLook } from './agents/index.ts';
import { createApplications, previewCommit } from './applications/index.ts';
import { createClusters, createEnroll } from './clusters/index.ts';
import { credentialAdmission, decryptCredential } from './credential-admission.ts';
import { diffViewOf, manifests } from './diff-view.ts';
import { createDeliveries, deliveryAdmission, readFacts, ReleaseHeads, why } from './deliveries/index.ts';
import { adminKubeconfig } from './kubeconfig.ts';
import { createSelf } from './self/index.ts';
import { createSourceReading } from './source-reading.ts';
import { hookRoutes } from './sources/index.ts';
import { signingKeyWatch, tlsRenewal } from './key-watch.ts';
import { databaseOf, keysDirOf, type DatabaseOptions } from './stored-plane.ts';
import { doorbells, FleetIndex, viewsRoutes } from './views/index.ts';

/**
 * What a process does. `api`: Kubernetes API, views and console. `gateway`: agents. `controllers`: decides and signs;
 * `render`: fetches sources and makes releases; of all processes with one of these two, one at a time does it.
 */
export const planeRoles = ['gateway', 'api', 'controllers', 'render'] as const;
export type PlaneRole = (typeof planeRoles)[number];

export interface PlaneOptions extends DatabaseOptions {
  readonly roles?: readonly PlaneRole[];
  readonly listen: Address;
  /** The console's own plain listener, loopback only. Absent: none. */
  readonly consoleListen?: Address;
  /** Plain HTTP for probes, from anywhere: /healthz, /livez, /readyz. Absent: none; the TLS listener answers them, too. */
  readonly healthListen?: Address;
  /** The built console. */
  readonly consoleDir?: string;
  /** The compiled renderer. Default: built from its sources, which takes Go. */
  readonly rendererPath?: string;
  readonly externalUrl?: string;
  readonly tlsNames: readonly string[];
  readonly allowFileUrls: boolean;
  readonly allowHttpUrls: boolean;
  /** Address ranges that sources may or may not be read from, beyond the defaults. */
  readonly egress?: EgressOptions;
  readonly log: Log;
  readonly clock?: Clock;
  /** One line for each step that takes long. */
  readonly report?: (line: string) => void;
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Plane extends AsyncDisposable {
  /** `https://host:port` as agents and kubectl reach it. */
  readonly url: string;
  readonly kubeconfig: string;
  readonly consoleUrl: string | undefined;
  /** The console's address with a login that works once; undefined without a console listener. */
  loginUrl(): string | undefined;
  readonly frozen: boolean;
  /** For tests: nothing queued, under way or due. */
  isIdle(): Promise<boolean>;
  stop(): Promise<void>;
}

/** A plane that is not ready by then opens its port all the same. */
const OPEN_LATEST_MS = 30_000;
/** A killed process's work is taken over after this long at most; one that stops hands it over. */
const LEASE_MS = 15_000;

/** Starts a plane and resolves when it answers. The one place that knows every room. */
export async function startPlane(options: PlaneOptions): Promise<Plane> {
  const { log, dataDir } = options;
  const clock = options.clock ?? systemClock;
  const stack = new AsyncDisposableStack();
  const roles = new Set(options.roles ?? planeRoles);
  if (roles.size === 0 || (roles.size < planeRoles.length && options.databaseUrl === undefined)) {
    throw new FairleadError(
      'FL_PLANE_ROLES',
      'only the processes of a plane on PostgreSQL can divide its roles; give --database-url, or leave --roles out',
      { kind: 'invalid' },
    );
  }
  try {
    const wasmPath = options.rendererPath ?? (await buildRenderer({ onProgress: options.report ?? (() => undefined) }));
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const keys = await openKeys({
      dir: keysDirOf(options),
      clock,
      serverNames: [options.listen.host, ...hostOf(options.externalUrl), ...options.tlsNames].filter(isName),
    });
    const store = await openStore({ ...databaseOf(options, keys), kinds: allKinds, log, clock });
    stack.defer(() => store.close());
    const isFrozen = bindOrFreeze(keys, store, log);
    const frozen = (): boolean => isFrozen;

    const http = await createHttp({
      log,
      clock,
      version: VERSION_INFO,
      sessionSecret: keys.derive('console-session'),
      ...(options.consoleDir === undefined ? {} : { consoleDir: options.consoleDir }),
    });
    stack.defer(() => http.stop());
    http.authenticate((head) => {
      const token = /^Bearer (.+)$/.exec(head.headers.authorization ?? '')?.[1];
      return token !== undefined && keys.isAdminToken(token) ? { type: 'admin', name: 'admin' } : undefined;
    });

    http.readiness('database', () => store.trouble());
    // Routes of a role that this process does not have go to a server that never listens.
    const unserved = await createHttp({ log, clock, version: VERSION_INFO });
    stack.defer(() => unserved.stop());
    const apiHttp = roles.has('api') ? http : unserved;

    const kubeApi = createKubeApi({ store, kinds: servedKinds, http: apiHttp, log, clock, frozen });
    stack.defer(() => kubeApi.stop());
    kubeApi.admit(Credential, credentialAdmission(keys));
    kubeApi.admit(Delivery, deliveryAdmission(clock));
    kubeApi.subresource(createEnroll({ store, keys, clock, newUid, frozen }));

    const renderer = await createRenderer({ wasmPath, log, clock });
    stack.defer(() => renderer.stop());
    const egressPolicy = new EgressPolicy(options.egress);
    const connect = createEgress(options.egress, egressPolicy);
    const egress = await startEgressProxy(connect, log);
    stack.defer(() => egress.stop());
    const decrypt = (credential: Credential): ReturnType<typeof decryptCredential> => decryptCredential(keys, credential);
    const { allowFileUrls, allowHttpUrls: allowHttp } = options;
    const sources = await createSourceReading({ store, dataDir, decrypt, log, clock, allowFileUrls, allowHttp, connect, egress });
    const { openSnapshot, resolveReferences } = sources;
    for (const route of hookRoutes({
      store,
      decrypt,
      clock,
      log,
      frozen,
      requestLook: sources.requestLook,
    })) {
      apiHttp.route(route);
    }
    const agents = await createAgents({ store, keys, clock, log, newUid, frozen }, roles.has('gateway') ? http : unserved);
    const releases = new ReleaseHeads();
    const index = new FleetIndex({ store, log });
    // Each group under a lease of its own: what reads snapshots runs where they were fetched.
    const rendering: readonly Controller[] = [
      ...sources.controllers,
      ...createApplications({
        renderer,
        openSnapshot,
        resolveReferences,
        derive: (purpose, ...parts) => keys.derive(purpose, ...parts),
        log,
      }),
      createSelf({ clientFor: (actor) => kubeApi.client(actor), log }),
    ];
    const deciding: readonly Controller[] = [
      ...createClusters({ live: agents.live, newUid }),
      ...agents.controllers,
      ...createDeliveries({ live: agents.live, newUid, frozen }),
    ];
    const engines = [
      { role: 'render' as const, controllers: rendering },
      { role: 'controllers' as const, controllers: deciding },
    ]
      .filter(({ role }) => roles.has(role) && !isFrozen)
      .map(({ role, controllers }) =>
        createEngine({ store, controllers, effects: [], clock, log, lease: { name: role, ttlMs: LEASE_MS } }),
      );

    for (const route of viewsRoutes({
      index,
      store,
      now: () => rfc3339(clock.now()),
      isFrozen: frozen,
      parseSelector: parseLabelSelector,
      manifests,
      reports: {
        delivery: (cluster, project, application) => agents.live.lane(cluster)?.reports.get(`${project}/${application}`),
        cluster: (cluster) => agents.live.lane(cluster),
        lastContact(cluster) {
          const { lastMs } = agents.live.contact(cluster);
          return lastMs === undefined ? undefined : rfc3339(lastMs);
        },
      },
      async look(cluster, target, { isSealed, by, signal }) {
        const { outcome, before } = await agents.looks.look(cluster, target, by, signal);
        if (!isSealed) return { outcome, before };
        return {
          outcome: outcome.is === 'answered' ? { is: 'answered', answer: hideLook(outcome.answer) } : outcome,
          before: before === undefined ? undefined : hideLook(before),
        };
      },
      async explain(delivery) {
        const [facts] = await readFacts(store, [delivery], clock.now(), { live: agents.live, releases, frozen });
        return facts === undefined ? [] : why(facts).because;
      },
      async diff(project, application, query, signal) {
        const preview = await previewCommit(
          {
            read: store,
            renderer,
            openSnapshot,
            resolveReferences,
            derive: (purpose, ...parts) => keys.derive(purpose, ...parts),
            resolve: sources.resolve,
          },
          { namespace: project, name: application },
          query,
          signal,
        );
        return preview === undefined ? undefined : diffViewOf(application, store.revision(), preview);
      },
    })) {
      apiHttp.route(route);
    }
    addDoorbells(apiHttp, index);
    if (roles.has('api'))
      http.readiness('fleet-index', () => (index.revision > 0 || store.revision() === 0 ? undefined : 'the fleet is being read'));

    if (!isFrozen) await ensureDefaultProject(store, clock);

    // Behind a balancer a port that knows no route would keep the agents that get it: who serves nobody opens none.
    const isServing = roles.has('gateway') || roles.has('api');
    const services: readonly Service[] = [
      ...engines,
      ...(roles.has('api') ? [index] : []),
      ...agents.services,
      signingKeyWatch(keys, clock, log),
      ...(isServing ? [tlsRenewal({ keys, http, clock, log })] : []),
    ];
    const running = new AbortController();
    const ended = supervise(services, running.signal, { log, clock });
    stack.defer(async () => {
      running.abort(new Error('the plane stops'));
      await ended;
    });

    if (options.healthListen !== undefined) await http.listenHealth(options.healthListen);
    // A whole fleet calls as soon as the port is open: not before there is an answer. What never gets ready still has to be looked at.
    await waitFor('the plane to be ready', () => http.isReady(), { timeoutMs: OPEN_LATEST_MS, intervalMs: 20, clock }).catch(
      (error: unknown) => log.warn({ error }, 'the plane opens its port though it is not ready'),
    );
    const tls = isServing
      ? await http.listenTls({ ...options.listen, tls: { cert: keys.tls.cert, key: keys.tls.key.reveal() } })
      : undefined;
    if (tls !== undefined) egressPolicy.addOwnPort(tls.port);
    const url = options.externalUrl ?? tls?.url ?? `https://${options.listen.host}:${options.listen.port}`;
    const consoleListener =
      options.consoleListen === undefined
        ? undefined
        : await http.listenLoopback({ host: loopback(options.consoleListen.host), port: options.consoleListen.port });
    if (consoleListener !== undefined) egressPolicy.addOwnPort(consoleListener.port);
    const kubeconfig = join(dataDir, 'admin.kubeconfig');
    await writeFile(kubeconfig, adminKubeconfig(url, keys), { mode: 0o600 });
    log.info({ url, planeId: keys.planeId, frozen: isFrozen }, 'the plane is up');

    return {
      url,
      kubeconfig,
      consoleUrl: consoleListener?.url,
      loginUrl: () => (consoleListener === undefined ? undefined : `${consoleListener.url}${http.createLoginPath('admin')}`),
      frozen: isFrozen,
      isIdle: async () => (await Promise.all(engines.map((engine) => engine.isIdle()))).every(Boolean),
      stop: () => stack.disposeAsync(),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

/** True when the database belongs to other keys: reads only, nothing signed, pushed or sent. */
function bindOrFreeze(keys: PlaneKeys, store: Store, log: Log): boolean {
  switch (keys.checkInstance(store.instanceId)) {
    case 'bound':
      return false;
    case 'first':
      keys.bind(store.instanceId);
      return false;
    case 'foreign':
      log.error(
        { instanceId: store.instanceId },
        'the database and the keys do not belong together: the plane is frozen until `fairlead plane adopt`',
      );
      return true;
  }
}

/** The Project that exists from the first start may do everything: it is the administrator's own. */
async function ensureDefaultProject(store: Store, clock: Clock): Promise<void> {
  const project: Project = {
    apiVersion: Project.apiVersion,
    kind: Project.kind,
    metadata: { name: DEFAULT_PROJECT, uid: newUid(), generation: 1, creationTimestamp: rfc3339(clock.now()) },
    spec: {
      sources: ['**'],
      clusterSelector: {},
      namespaces: ['*'],
      clusterKinds: [{ group: '*', kind: '*' }],
      serviceAccount: { allowed: ['*'], agentIdentity: true },
      planeKinds: ['*'],
    },
    status: {},
  };
  await store.commit({
    expect: [{ kind: Project, key: keyOf(project), revision: 'absent' }],
    write: [{ op: 'put', kind: Project, object: project }],
    audit: { actor: 'plane', verb: 'create', object: `Project/${formatKey(keyOf(project))}`, at: rfc3339(clock.now()) },
  });
}

function addDoorbells(http: Http, index: FleetIndex): void {
  http.live({
    path: '/live',
    permission: { allow: 'authorized', attributes: () => ({ verb: 'watch', group: 'fairlead.dev', resource: 'deliveries' }) },
    handler(socket, { principal, signal }) {
      doorbells(index, (bells: readonly Doorbell[]) => socket.readyState === socket.OPEN && socket.send(JSON.stringify(bells)), {
        perSecond: 4,
        signal,
        mayHear: (_kind, project) =>
          http.authorizer(principal, { verb: 'watch', group: 'fairlead.dev', resource: 'deliveries', namespace: project })
            .allowed,
      });
    },
  });
}

function hostOf(url: string | undefined): readonly string[] {
  if (url === undefined) return [];
  try {
    return [new URL(url).hostname.replace(/^\[|\]$/g, '')];
  } catch {
    throw new FairleadError('FL_PLANE_URL', `--external-url ${url} is no URL; write https://host:port`, { kind: 'invalid' });
  }
}

function isName(name: string): boolean {
  return name !== '' && name !== '0.0.0.0' && name !== '::';
}

function loopback(host: string): '127.0.0.1' | '::1' {
  if (host === '127.0.0.1' || host === 'localhost') return '127.0.0.1';
  if (host === '::1') return '::1';
  throw new FairleadError(
    'FL_PLANE_CONSOLE_ADDRESS',
    `the console listens in plain HTTP and only on the loopback, not on ${host}; use 127.0.0.1, and the TLS address from elsewhere`,
    { kind: 'invalid' },
  );
}
