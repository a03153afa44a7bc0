import { reason, type DesiredPosition, type KeySet, type Reason } from '#api';
import { childController, messageOf, rfc3339, supervise, type Clock, type Log, type Rng } from '#base';
import type { KubeClient, Limiter, RestMapper } from '#kube';
import type { ClusterPort } from '../apply/cluster-port.ts';
import { WantedObjects } from '../apply/wanted-objects.ts';
import { restore } from '../core/reduce.ts';
import { readFacts } from '../facts.ts';
import { returnToPlane } from '../link/join.ts';
import type { PlaneClient } from '../link/plane-client.ts';
import { SyncLoop } from '../link/sync-loop.ts';
import { LookDesk } from '../looks/look-desk.ts';
import { Reporter } from '../report/reporter.ts';
import type { AgentStore, Membership } from '../state/agent-store.ts';
import { Watcher } from '../watch/watcher.ts';
import { KindWait } from '../watch/kind-wait.ts';
import { ServedApisWatch } from '../watch/served-apis.ts';
import { Housekeeping } from './housekeeping.ts';
import { Interpreter } from './interpreter.ts';
import { Mailbox } from './mailbox.ts';

export interface SessionOptions {
  readonly store: AgentStore;
  readonly membership: Membership;
  readonly keySet: KeySet;
  readonly plane: PlaneClient;
  readonly client: KubeClient;
  readonly mapper: RestMapper;
  readonly limiter: Limiter;
  readonly mayWrite: () => void;
  /** What is the matter with this agent from the start. */
  readonly agentReasons: readonly Reason[];
  /** Only ask and report. */
  readonly isReadOnly: boolean;
  readonly onTwin: (listener: (other: string | undefined) => void) => void;
  readonly identity: string;
  readonly agentNamespace: string;
  readonly watchNamespaces?: readonly string[];
  readonly firstWaitMs?: number;
  /** Whether live objects are shown to the plane when it asks. */
  readonly showsLiveObjects: boolean;
  readonly version: string;
  readonly boot: string;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The agent's life while it holds the lease, from what is durable until the signal aborts. Rejects when it must begin anew. */
export async function runSession(options: SessionOptions): Promise<void> {
  const { store, membership, plane, rng, log, boot } = options;
  // Whatever is told or compared with the plane is by its clock.
  const clock: Clock = {
    now: () => options.clock.now() + plane.clockOffsetMs,
    monotonic: () => options.clock.monotonic(),
    sleep: (ms, at) => options.clock.sleep(ms, at),
  };
  const controller = childController(options.signal);
  const { signal } = controller;
  let failure: unknown;
  const fail = (error: unknown): void => {
    failure ??= error;
    controller.abort();
  };
  const keys = await store.keys();
  const held = store.held();
  let { keySet } = options;
  let currentMembership = membership;
  const credentials = { signer: keys.signer, planeId: keySet.planeId, cluster: membership.cluster };
  const port: ClusterPort = {
    client: options.client,
    mapper: options.mapper,
    limiter: options.limiter,
    clock,
    log,
    cluster: membership.cluster,
    agentNamespace: options.agentNamespace,
    mayWrite: options.mayWrite,
  };
  const wantedObjects = new WantedObjects(store, keys);
  const watcher = new Watcher({
    port,
    wanted: wantedObjects,
    signal,
    ...(options.watchNamespaces === undefined ? {} : { namespaces: options.watchNamespaces }),
    onObserved: (app, changes) => mailbox.post({ type: 'observed', app, changes }),
  });
  const waiters: { readonly position: DesiredPosition; readonly done: () => void }[] = [];
  const { events, gap } = store.outbox();
  const initial = restore({
    planeId: keySet.planeId,
    cluster: membership.cluster,
    boot,
    ...(held === undefined || options.isReadOnly ? {} : { held }),
    records: options.isReadOnly ? [] : store.records(),
    begun: store.begun(),
    retired: store.retired(),
    outbox: events,
    gap,
  });
  const interpreter = new Interpreter({
    store,
    plane,
    credentials,
    port,
    watcher,
    wantedObjects,
    post: (posted) => mailbox.post(posted),
    state: () => mailbox.state,
    fail,
    signal,
    log,
  });
  const kindWait = new KindWait({ port, signal, onChange: () => mailbox.post({ type: 'kindsChanged' }) });
  // What another cluster serves is nobody's business.
  const served = options.isReadOnly
    ? undefined
    : new ServedApisWatch({
        client: options.client,
        mapper: options.mapper,
        clock,
        rng,
        log,
        onChange: () => reporter.notice(),
        onVersion: () => void sync.refreshFacts(),
      });
  const reporter = new Reporter({
    plane,
    credentials,
    clock,
    rng,
    log,
    boot,
    state: () => mailbox.state,
    apis: () => served?.current,
    isDurable: (event) => store.isDurable(event),
    onTaken: (taken, takenGap) => mailbox.post({ type: 'reported', events: taken, gap: takenGap }),
  });
  const memory = new Housekeeping({ store, wantedObjects, clock, log, signal, fail, onDurable: () => reporter.notice() });
  const mailbox: Mailbox = new Mailbox({
    initial,
    clock,
    rng,
    signal,
    execute: (command, state) => interpreter.execute(command, state),
    onChange: (state) => {
      for (const waiter of waiters.splice(0)) {
        const isThere = state.position?.digest === waiter.position.digest;
        if (isThere) waiter.done();
        else waiters.push(waiter);
      }
      kindWait.follow(state);
      reporter.notice();
      memory.follow(state);
    },
  });

  const looks = new LookDesk({
    ...port,
    wantedObjects,
    isOn: options.showsLiveObjects,
    plane,
    credentials,
    state: () => mailbox.state,
    signal,
  });
  const sync = new SyncLoop({
    plane,
    credentials,
    clock,
    rng,
    log,
    boot,
    version: options.version,
    kubeSystemUid: membership.kubeSystemUid,
    rootHash: membership.rootHash,
    facts: () => readFacts(options.client, options.mapper),
    keySet: () => keySet,
    onKeySet: async (envelope, next) => {
      currentMembership = { ...currentMembership, keySet: envelope };
      await store.setMembership(currentMembership);
      keySet = next;
      plane.trust(next.tlsAuthorities);
      log.info({ version: next.version }, 'took over a newer key set of the plane');
    },
    position: () => mailbox.state.position ?? held?.position,
    heldEnvelope: () => store.held()?.envelope,
    onDocument: (document, position, envelope) => {
      if (options.isReadOnly) return Promise.resolve();
      return new Promise((done) => {
        waiters.push({ position, done });
        signal.addEventListener('abort', () => done(), { once: true });
        mailbox.post({ type: 'document', document, position, envelope });
      });
    },
    onRefused: (refused) => noteRefusal(mailbox, refused),
    onResync: () => reporter.resync(),
    onLooks: (asked) => looks.take(asked),
    onUnknown: async (at) => {
      const desired = store.held()?.envelope;
      const facts = await readFacts(options.client, options.mapper).catch(() => ({}));
      const answer = await returnToPlane(
        { plane, credentials, receipt: membership.receipt, desired, version: options.version, facts, apis: served?.current },
        at,
      );
      if (answer.keySet !== undefined) await sync.takeKeySet(answer.keySet);
      log.info({ plane: plane.url }, 'came back to the plane by the receipt');
      reporter.resync();
    },
    ...(options.firstWaitMs === undefined ? {} : { firstWaitMs: options.firstWaitMs }),
  });

  for (const one of options.agentReasons) mailbox.post({ type: 'agentReason', code: one.code, reason: one });
  options.onTwin((other) => {
    const words = { cluster: membership.cluster, holder: options.identity, other };
    const twin = other === undefined ? undefined : reason('FL_CONTACT_TWIN', words, rfc3339(clock.now()));
    const isKnown = mailbox.state.agent.has('FL_CONTACT_TWIN');
    if (twin !== undefined || isKnown) mailbox.post({ type: 'agentReason', code: 'FL_CONTACT_TWIN', reason: twin });
  });
  mailbox.post({ type: 'tick' });

  await supervise(
    [
      { id: 'sync', run: (at) => sync.run(at) },
      { id: 'report', run: (at) => reporter.run(at) },
      ...(served === undefined ? [] : [{ id: 'served-apis', run: (at: AbortSignal) => served.run(at) }]),
    ],
    signal,
    { log, clock },
  );
  // Best effort: the next process finds the events in its own memory.
  await memory
    .flush(mailbox.state)
    .catch((error: unknown) => log.debug({ error: messageOf(error) }, 'the outbox could not be written'));
  if (failure !== undefined) throw failure;
}

const refusals = ['FL_DOCUMENT_SIGNATURE', 'FL_DOCUMENT_OLD', 'FL_DOCUMENT_FOREIGN', 'FL_DOCUMENT_CRITICAL'] as const;

function noteRefusal(mailbox: Mailbox, refused: Reason | undefined): void {
  for (const code of refusals) {
    if (refused?.code === code) mailbox.post({ type: 'agentReason', code, reason: refused });
    else if (refused === undefined && mailbox.state.agent.has(code))
      mailbox.post({ type: 'agentReason', code, reason: undefined });
  }
}
