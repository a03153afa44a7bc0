import { systemClock, type Clock } from './clock.ts';
import { FairleadError, messageOf } from './errors.ts';

export interface PollOptions {
  readonly timeoutMs: number;
  readonly intervalMs?: number;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
}

/**
 * Asks `probe` until it gives something other than undefined or false, or the deadline passes. A probe that throws
 * counts as "not yet"; its last words are part of the time-out's message. The one way tests and commands wait.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: PollOptions,
): Promise<T> {
  const clock = options.clock ?? systemClock;
  const deadline = clock.monotonic() + options.timeoutMs;
  let last = 'it was not so';
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      // A mistake in the probe itself never becomes right by waiting.
      if (error instanceof ReferenceError || error instanceof SyntaxError) throw error;
      last = messageOf(error);
    }
    if (clock.monotonic() >= deadline) {
      throw new FairleadError('FL_WAIT_TIMEOUT', `waited ${options.timeoutMs} ms for ${what}: ${last}`, { kind: 'unavailable' });
    }
    await clock.sleep(options.intervalMs ?? 50, options.signal);
  }
}
