import { childController, messageOf, rfc3339 } from '#base';
import { getIn, type KubeClient, type Lease } from '#kube';
import type { AgentOptions } from '../run-agent.ts';

export interface HoldLeaseOptions {
  readonly lease: Lease;
  readonly client: KubeClient;
  readonly options: AgentOptions;
  readonly identity: string;
  /** Runs while the lease is held. */
  readonly run: (watch: { readonly onTwin: (listener: (other: string | undefined) => void) => void }) => Promise<void>;
  readonly stop: () => void;
  readonly signal: AbortSignal;
}

/** On the Lease: who else waits for it, and since when it was last seen. The holder reads it, and reports. */
const WAITING_ANNOTATION = 'fairlead.dev/waiting';

/**
 * Waits for the lease, runs, and keeps renewing. Ends when the run ends or another process holds the lease; an API server
 * that is away ends nothing, but nothing is written until the lease could be renewed.
 */
export async function holdLease(given: HoldLeaseOptions): Promise<void> {
  const { lease, options, signal } = given;
  const { clock, log } = options;
  const durationMs = (options.leaseDurationSeconds ?? 60) * 1000;
  const renewMs = durationMs / 4;
  let lastWaited = '';
  while (!signal.aborted) {
    const state = await lease.acquire({ signal });
    if (state.isHeld) break;
    if (lastWaited !== state.holder) {
      lastWaited = state.holder;
      log.warn({ holder: state.holder, self: given.identity }, 'another process holds the lease of this agent: waiting');
    }
    await announce(given).catch((error: unknown) =>
      log.debug({ error: messageOf(error) }, 'cannot say on the lease that we wait'),
    );
    await clock.sleep(Math.min(Math.max(state.expiresInMs, 250), renewMs), signal).catch(() => undefined);
  }
  if (signal.aborted) return;

  const inner = childController(signal);
  let listener: ((other: string | undefined) => void) | undefined;
  const renewing = (async (): Promise<void> => {
    for (let round = 0; !inner.signal.aborted; round += 1) {
      await clock.sleep(lease.isHeld() ? renewMs : Math.min(renewMs, 2000), inner.signal).catch(() => undefined);
      if (inner.signal.aborted) return;
      try {
        const state = await lease.acquire({ signal: inner.signal, timeoutMs: Math.min(10_000, renewMs) });
        if (!state.isHeld && state.holder !== '') {
          log.error({ holder: state.holder }, 'another process took the lease: stopping');
          given.stop();
          return;
        }
        if (round % 4 === 3) listener?.(await waiter(given));
      } catch (error) {
        if (!inner.signal.aborted)
          log.warn({ error: messageOf(error) }, 'the lease could not be renewed; nothing is written until it is');
      }
    }
  })();
  try {
    await given.run({ onTwin: (set) => (listener = set) });
  } finally {
    inner.abort();
    await renewing;
    await lease
      .release({ timeoutMs: 2000 })
      .catch((error: unknown) => log.debug({ error: messageOf(error) }, 'the lease could not be released'));
  }
}

function pathOf({ options }: HoldLeaseOptions): string {
  const name = options.leaseName ?? 'fairlead-agent';
  return `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(options.namespace)}/leases/${encodeURIComponent(name)}`;
}

async function announce(given: HoldLeaseOptions): Promise<void> {
  const value = `${given.identity} ${rfc3339(given.options.clock.now())}`;
  await given.client.request({
    method: 'PATCH',
    path: pathOf(given),
    contentType: 'application/merge-patch+json',
    body: JSON.stringify({ metadata: { annotations: { [WAITING_ANNOTATION]: value } } }),
    query: { fieldManager: 'fairlead-agent' },
    signal: given.signal,
  });
}

/** Who was seen waiting since the last look; a note that does not change is of a process that is gone. */
const seen = new WeakMap<HoldLeaseOptions, string>();

async function waiter(given: HoldLeaseOptions): Promise<string | undefined> {
  const response = await given.client.request({ method: 'GET', path: pathOf(given), signal: given.signal });
  const note = getIn(JSON.parse(response.body.toString('utf8')), 'metadata', 'annotations', WAITING_ANNOTATION);
  const value = typeof note === 'string' ? note : '';
  const before = seen.get(given);
  seen.set(given, value);
  return value === '' || before === undefined || before === value ? undefined : value.split(' ')[0];
}
