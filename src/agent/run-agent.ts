import { reason, type KeySet } from '#api';
import {
  childController,
  FairleadError,
  messageOf,
  newUid,
  randomToken,
  retryDelay,
  rfc3339,
  type Clock,
  type Log,
  type Rng,
} from '#base';
import {
  createKubeClient,
  createLease,
  createLimiter,
  createRestMapper,
  requireLease,
  type ClusterAccess,
  type KubeClient,
  type RestMapper,
} from '#kube';
import { readFacts, readKubeSystemUid } from './facts.ts';
import { holdLease } from './lease/hold-lease.ts';
import { joinPlane } from './link/join.ts';
import { parseJoinToken } from './link/join-token.ts';
import { createPlaneClient, PlaneError, type PlaneClient } from './link/plane-client.ts';
import { runSession } from './session/run-session.ts';
import type { AgentStore, Membership } from './state/agent-store.ts';
import { openState, type StatePlace } from './state/open-state.ts';
import { readServedApis } from './watch/served-apis.ts';

export interface AgentOptions {
  readonly access: ClusterAccess;
  readonly state: StatePlace;
  /** Where the agent lives: its lease, its state if that is in Secrets; nobody delivers into it. */
  readonly namespace: string;
  /** Needed once; later what was learnt at joining counts. */
  readonly planeUrl?: string;
  /** HTTP proxy on the way to the plane: `http://[user:password@]host:port`. */
  readonly proxy?: string;
  readonly joinToken?: string;
  /** Watch only these, where the agent may not watch the whole cluster. */
  readonly watchNamespaces?: readonly string[];
  readonly version: string;
  readonly clock: Clock;
  readonly rng?: Rng;
  readonly log: Log;
  readonly leaseName?: string;
  /** Names this process and whoever follows it when it is dead; never two at a time. Default: the state directory, else one for each start. */
  readonly leaseIdentity?: string;
  readonly leaseDurationSeconds?: number;
  /** First long poll, ms. Default 50,000. */
  readonly firstWaitMs?: number;
  /** Whether live objects are shown to the plane when a person looks at them there. Default true. */
  readonly showsLiveObjects?: boolean;
}

/** Requests to the API server at once. Each is a TLS connection of 300 KB: 64 of them are 8 MB more than 32, and no faster beside a server. */
const IN_FLIGHT = 32;
const BACKOFF = { baseMs: 1000, maxMs: 30_000 };

/**
 * The agent, until `signal` aborts: joins once, then holds the lease, fetches, applies, keeps and reports. What fails is
 * begun again from what is durable. Rejects only for what a person must correct: `FL_JOIN_*`, `FL_KEYSET_ROOT`,
 * `FL_STATE_LOCKED`, `FL_STATE_CORRUPT`, `FL_AGENT_NOT_JOINED`.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { clock, log } = options;
  const client = createKubeClient({
    access: options.access,
    userAgent: `fairlead-agent/${options.version}`,
    log,
    maxSockets: IN_FLIGHT,
  });
  const mapper = createRestMapper({ client, log, clock });
  // Another one for each start: two processes with one identity must not both believe they hold the lease.
  const identity = newUid();
  let attempts = 0;
  try {
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      let askedMs = 0;
      try {
        await runOnce(options, { client, mapper, identity }, signal);
        if (signal.aborted) return;
      } catch (error) {
        if (signal.aborted) return;
        if (isFinal(error)) throw error;
        if (error instanceof FairleadError) askedMs = error.retryAfterMs ?? 0;
        log.error({ error }, 'the agent failed; it begins again from what is durable');
      }
      attempts = clock.monotonic() - startedAt > 60_000 ? 0 : attempts + 1;
      await clock.sleep(retryDelay(attempts, askedMs, BACKOFF, options.rng), signal).catch(() => undefined);
    }
  } finally {
    client.close();
  }
}

interface Shared {
  readonly client: KubeClient;
  readonly mapper: RestMapper;
  readonly identity: string;
}

function isFinal(error: unknown): boolean {
  if (!(error instanceof FairleadError)) return false;
  return (
    /^FL_(JOIN_|KEYSET_ROOT|STATE_LOCKED|STATE_CORRUPT|AGENT_NOT_JOINED|PLANE_URL|CONFIG)/.test(error.code) ||
    (error.kind === 'denied' && error.details['isJoin'] === true)
  );
}

async function runOnce(options: AgentOptions, shared: Shared, signal: AbortSignal): Promise<void> {
  const { clock, log } = options;
  const { client } = shared;
  // A directory is ours alone, and is opened once. Secrets are read again when the lease is ours: until then they may change.
  const early = await openState(options.state, client);
  let membership: Membership;
  let plane: PlaneClient;
  let keySet: KeySet;
  try {
    ({ membership, plane } = await ensureJoined(options, shared, early, signal));
    keySet = early.keySet(membership);
  } catch (error) {
    await early.close();
    throw error;
  }
  const identity = options.leaseIdentity ?? early.exclusiveUser ?? shared.identity;
  const lease = createLease({
    client,
    namespace: options.namespace,
    name: options.leaseName ?? 'fairlead-agent',
    identity,
    clock,
    ...(options.leaseDurationSeconds === undefined ? {} : { durationSeconds: options.leaseDurationSeconds }),
  });
  const controller = childController(signal);
  let store = early;
  try {
    const kubeSystemUid = await readKubeSystemUid(client, signal);
    const isRightCluster = kubeSystemUid === membership.kubeSystemUid;
    const wrongCluster = isRightCluster
      ? undefined
      : reason(
          'FL_CONTACT_WRONG_CLUSTER',
          { cluster: membership.cluster, found: kubeSystemUid, wanted: membership.kubeSystemUid },
          rfc3339(clock.now()),
        );
    if (wrongCluster !== undefined)
      log.error(
        { found: kubeSystemUid, wanted: membership.kubeSystemUid },
        'this is another cluster than the one that joined: nothing is written',
      );
    const run = async (watch: { readonly onTwin: (listener: (other: string | undefined) => void) => void }): Promise<void> => {
      if (options.state.kind === 'secrets') {
        await early.close();
        store = await openState(options.state, client);
      }
      await runSession({
        store,
        membership,
        keySet,
        plane,
        client,
        mapper: shared.mapper,
        limiter: createLimiter({ clock, config: { max: IN_FLIGHT } }),
        mayWrite: () => {
          if (isRightCluster) requireLease(lease, `${options.namespace}/${options.leaseName ?? 'fairlead-agent'}`);
          else
            throw new FairleadError('FL_AGENT_WRONG_CLUSTER', 'this is another cluster than the one that joined', {
              kind: 'denied',
            });
        },
        agentReasons: wrongCluster === undefined ? [] : [wrongCluster],
        isReadOnly: !isRightCluster,
        onTwin: watch.onTwin,
        identity,
        agentNamespace: options.namespace,
        ...(options.watchNamespaces === undefined ? {} : { watchNamespaces: options.watchNamespaces }),
        ...(options.firstWaitMs === undefined ? {} : { firstWaitMs: options.firstWaitMs }),
        showsLiveObjects: options.showsLiveObjects ?? true,
        version: options.version,
        boot: randomToken(9),
        clock,
        rng: options.rng ?? Math.random,
        log: log.with({ cluster: membership.cluster }),
        signal: controller.signal,
      });
    };
    // In the wrong cluster not even a Lease is written: only the plane is told.
    if (!isRightCluster) await run({ onTwin: () => undefined });
    else
      await holdLease({
        lease,
        client,
        options,
        identity,
        run,
        stop: () => controller.abort(),
        signal: controller.signal,
      });
  } finally {
    controller.abort();
    plane.close();
    await store.close();
  }
}

async function ensureJoined(
  options: AgentOptions,
  { client, mapper }: Shared,
  store: AgentStore,
  signal: AbortSignal,
): Promise<{ readonly membership: Membership; readonly plane: PlaneClient }> {
  const { clock, log } = options;
  const reach = {
    userAgent: `fairlead-agent/${options.version}`,
    clock,
    ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
  };
  const held = store.membership();
  if (held !== undefined) {
    // An address given anew counts: planes move. Who the plane is stays pinned.
    const plane = createPlaneClient({ url: options.planeUrl ?? held.planeUrl, ...reach });
    plane.trust(store.keySet(held).tlsAuthorities);
    return { membership: held, plane };
  }
  if (options.planeUrl === undefined || options.joinToken === undefined) {
    throw new FairleadError(
      'FL_AGENT_NOT_JOINED',
      'this agent has not joined a plane yet; pass --plane and --join as printed by fairlead enroll',
      { kind: 'invalid' },
    );
  }
  const plane = createPlaneClient({ url: options.planeUrl, ...reach });
  const membership = await joinPlane({
    plane,
    planeUrl: options.planeUrl,
    token: parseJoinToken(options.joinToken),
    keys: await store.keys(),
    kubeSystemUid: await readKubeSystemUid(client, signal),
    version: options.version,
    facts: await readFacts(client, mapper).catch((error: unknown) => {
      log.warn({ error: messageOf(error) }, 'the facts of the cluster cannot be read');
      return {};
    }),
    apis: await readServedApis(client, mapper, signal).catch(() => undefined),
    signal,
  }).catch((error: unknown) => {
    plane.close();
    throw joinError(error);
  });
  await store.setMembership(membership);
  log.info({ cluster: membership.cluster, plane: options.planeUrl }, 'joined the plane');
  return { membership, plane };
}

/** A refusal of the plane at joining will not change by itself; an absence may. */
function joinError(error: unknown): unknown {
  if (!(error instanceof PlaneError) || error.kind === 'unavailable') return error;
  return new FairleadError(
    'FL_JOIN_REFUSED',
    `the plane refused the join token: ${error.message}; ask for a new one with fairlead enroll`,
    {
      kind: 'denied',
      cause: error,
    },
  );
}
