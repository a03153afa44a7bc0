import { FairleadError, type Clock } from '#base';
import type { Operation, OperationValue } from './operations.ts';
import type { Lease } from './types.ts';

/** A waiter asks at least this often, so that a released lease is not waited out. */
const POLL_MS = 250;

/**
 * Takes the lease, waiting for its holder to let go or to expire, and renews it at a third of its life. `own` aborts what
 * belongs to this lease; `signal` ends the wait for it.
 */
export async function holdLease(
  name: string,
  ttlMs: number,
  own: AbortController,
  signal: AbortSignal,
  clock: Clock,
  ask: (operation: Operation) => Promise<OperationValue>,
): Promise<Lease> {
  let token: number | undefined;
  const waiting = AbortSignal.any([signal, own.signal]);
  while (token === undefined) {
    waiting.throwIfAborted();
    const value = await ask({ op: 'acquire', name, ttlMs });
    if (value !== undefined && 'token' in value) token = value.token;
    else if (value !== undefined && 'retryAtMs' in value) {
      await clock.sleep(Math.min(Math.max(value.retryAtMs - clock.now(), 1), POLL_MS), waiting);
    }
  }
  const held = token;
  const renewing = renew(held);
  return {
    name,
    token: held,
    lost: own.signal,
    async release() {
      if (!own.signal.aborted)
        own.abort(new FairleadError('FL_STORE_LEASE', `lease ${name} was released`, { kind: 'cancelled' }));
      await renewing;
      await ask({ op: 'release', name, token: held }).catch(() => undefined);
    },
  };

  async function renew(mine: number): Promise<void> {
    let renewedAt = clock.monotonic();
    while (!own.signal.aborted) {
      try {
        await clock.sleep(ttlMs / 3, own.signal);
      } catch {
        return;
      }
      const askedAt = clock.monotonic();
      const isHeld = await ask({ op: 'renew', name, token: mine, ttlMs }).then(
        (value) => value !== undefined && 'held' in value && value.held,
        // A full disk: still ours until it expires.
        () => clock.monotonic() - renewedAt < ttlMs,
      );
      if (!isHeld) {
        own.abort(new FairleadError('FL_STORE_LEASE', `lease ${name} was lost`, { kind: 'conflict' }));
        return;
      }
      renewedAt = askedAt;
    }
  }
}
