import { childController, fullJitter, messageOf, type Clock, type Log, type Rng } from '#base';
import type { Store, StoredEffect } from '#plane/store';
import type { EffectRunner } from './types.ts';

/** How often the outbox is looked into when nobody says that there is something. */
const POLL_MS = 1_000;
const CONCURRENCY = 16;
const QUIET_FAILURES = 3;
/** An effect that nobody here can run: another version may. */
const UNKNOWN_RETRY_MS = 60_000;

export interface EffectLoopOptions {
  readonly store: Pick<Store, 'dueEffects' | 'effectDone' | 'effectFailed'>;
  readonly runners: readonly EffectRunner[];
  readonly clock: Clock;
  readonly log: Log;
  readonly rng: Rng;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  readonly deadlineMs: number;
}

export interface EffectCounters {
  readonly done: number;
  readonly failed: number;
  readonly running: number;
}

/**
 * Runs effects from the outbox after they were committed, at least once, one at a time per (type, key): a newer effect of
 * the same key waits for the older one that is under way.
 */
export class EffectLoop {
  readonly #options: EffectLoopOptions;
  readonly #runners: ReadonlyMap<string, EffectRunner>;
  readonly #running = new Map<string, Promise<void>>();
  #wake: (() => void) | undefined;
  #isAsked = false;
  #isLooking = false;
  /** Earliest retry that this process knows of. */
  #retryAtMs = Number.POSITIVE_INFINITY;
  #done = 0;
  #failed = 0;

  constructor(options: EffectLoopOptions) {
    this.#options = options;
    this.#runners = new Map(options.runners.map((runner) => [runner.type, runner]));
  }

  counters(): EffectCounters {
    return { done: this.#done, failed: this.#failed, running: this.#running.size };
  }

  /** Nothing due and nothing under way. */
  async isIdle(): Promise<boolean> {
    if (this.#running.size > 0 || this.#isAsked || this.#isLooking) return false;
    return (await this.#options.store.dueEffects(this.#options.clock.now(), 1)).length === 0;
  }

  /** There may be something in the outbox. */
  look(): void {
    this.#isAsked = true;
    this.#wake?.();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#options;
    try {
      while (!signal.aborted) {
        this.#isAsked = false;
        this.#isLooking = true;
        const now = clock.now();
        // Those under way are still in the outbox: ask for as many more.
        const due = await store.dueEffects(now, CONCURRENCY + this.#running.size);
        for (const effect of due) this.#start(effect, signal);
        this.#isLooking = false;
        if (!this.#isAsked) await this.#wait(signal);
      }
    } finally {
      this.#isLooking = false;
      await Promise.allSettled(this.#running.values());
    }
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const asked = new AbortController();
    this.#wake = () => asked.abort();
    const sleepMs = Math.min(POLL_MS, Math.max(1, this.#retryAtMs - clock.now()));
    this.#retryAtMs = Number.POSITIVE_INFINITY;
    await clock.sleep(sleepMs, AbortSignal.any([signal, asked.signal])).catch(() => undefined);
    this.#wake = undefined;
  }

  #start(effect: StoredEffect, signal: AbortSignal): void {
    const key = `${effect.type}\n${effect.key}`;
    if (this.#running.has(key) || this.#running.size >= CONCURRENCY || signal.aborted) return;
    const flight = this.#one(effect, signal).finally(() => {
      this.#running.delete(key);
      this.look();
    });
    this.#running.set(key, flight);
  }

  async #one(effect: StoredEffect, stop: AbortSignal): Promise<void> {
    const { store, clock, log, backoff, rng, deadlineMs } = this.#options;
    const named = { effect: effect.type, key: effect.key };
    const runner = this.#runners.get(effect.type);
    try {
      if (runner === undefined) {
        if (effect.attempts === 0) log.error(named, 'no part of this plane runs this effect; it stays in the outbox');
        await store.effectFailed(effect.id, clock.now() + UNKNOWN_RETRY_MS, 'no runner');
        return;
      }
      const failure = await this.#attempt(runner, effect, stop, deadlineMs);
      if (failure === undefined) {
        this.#done += 1;
        await store.effectDone(effect.id);
      } else if (!stop.aborted) {
        this.#failed += 1;
        const retryAtMs = clock.now() + fullJitter(effect.attempts, backoff, rng);
        if (effect.attempts + 1 === QUIET_FAILURES)
          log.warn({ ...named, error: failure }, 'effect fails again and again; it is retried');
        await store.effectFailed(effect.id, retryAtMs, messageOf(failure));
        this.#retryAtMs = Math.min(this.#retryAtMs, Math.ceil(retryAtMs));
      }
    } catch (error) {
      // The outbox still holds it: it runs again.
      if (!stop.aborted) log.warn({ ...named, error }, 'the end of an effect was not recorded; it runs again');
      this.#retryAtMs = Math.min(this.#retryAtMs, clock.now() + POLL_MS);
    }
  }

  async #attempt(runner: EffectRunner, effect: StoredEffect, stop: AbortSignal, deadlineMs: number): Promise<unknown> {
    const own = childController(stop);
    const ended = new AbortController();
    this.#options.clock.sleep(deadlineMs, ended.signal).then(
      () => own.abort(new Error(`it took longer than ${deadlineMs} ms`)),
      () => undefined,
    );
    try {
      await runner.run({ type: effect.type, key: effect.key, payload: effect.payload }, own.signal);
      return undefined;
    } catch (error) {
      return error ?? new Error('it failed without a reason');
    } finally {
      ended.abort();
      own.abort();
    }
  }
}
