import { childController, fullJitter, messageOf, type Clock, type Log, type Rng } from '#base';
import type { CommitResult, Fence, Store, Transaction } from '#plane/store';
import type { Breather } from './breather.ts';
import { DueKeys } from './due-keys.ts';
import { KeyedQueue } from './keyed-queue.ts';
import type { Controller, Reader } from './types.ts';

/** Conflicts are somebody else's progress: look again at once, this many times. */
const CONFLICT_RETRIES = 5;
/** Failures of one key before the log hears of it, and then once per different message. */
const QUIET_FAILURES = 3;

/** Made once: without a reason each abort makes an error with a stack trace, which was 3 % of all CPU during a commit to a fleet. */
const OVER = new Error('the reconcile is over');

export interface LoopOptions {
  readonly controller: Controller;
  readonly store: Pick<Store, 'commit'>;
  readonly read: Reader;
  readonly clock: Clock;
  readonly log: Log;
  readonly rng: Rng;
  readonly breather: Breather;
  readonly backoff: { readonly baseMs: number; readonly maxMs: number };
  readonly deadlineMs: number;
  /** A commit may have brought effects. */
  onCommit(transaction: Transaction): void;
  /** Another engine holds the lease: everything stops. */
  onFenced(): void;
}

export interface ControllerCounters {
  readonly reconciles: number;
  readonly commits: number;
  readonly conflicts: number;
  readonly errors: number;
  readonly queued: number;
  readonly running: number;
  /** Keys that will be looked at again at a later time. */
  readonly waiting: number;
  /** Keys whose last reconcile failed. */
  readonly failing: number;
}

interface Failure {
  readonly attempts: number;
  readonly logged: string | undefined;
}

/** Runs one controller: single flight per key, back-off per key, so that a poisoned key delays nobody. */
export class ControllerLoop {
  readonly #options: LoopOptions;
  readonly #queue = new KeyedQueue();
  readonly #due = new DueKeys();
  readonly #failures = new Map<string, Failure>();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #concurrency: number;
  #stop: AbortSignal | undefined;
  #fence: Fence | undefined;
  #reconciles = 0;
  #commits = 0;
  #conflicts = 0;
  #errors = 0;

  constructor(options: LoopOptions) {
    this.#options = options;
    this.#concurrency = Math.max(1, options.controller.concurrency ?? 4);
  }

  get controller(): Controller {
    return this.#options.controller;
  }

  /** Nothing queued and nothing under way; keys that wait for their time do not count. */
  get isIdle(): boolean {
    return this.#queue.queued === 0 && this.#inFlight.size === 0;
  }

  counters(): ControllerCounters {
    return {
      reconciles: this.#reconciles,
      commits: this.#commits,
      conflicts: this.#conflicts,
      errors: this.#errors,
      queued: this.#queue.queued,
      running: this.#queue.running,
      waiting: this.#due.size,
      failing: this.#failures.size,
    };
  }

  wake(key: string): void {
    this.#queue.add(key);
    this.#pump();
  }

  /** Until the signal aborts and what is under way has ended. */
  async run(fence: Fence, signal: AbortSignal): Promise<void> {
    this.#fence = fence;
    this.#stop = signal;
    this.#options.controller.listen?.((key) => this.wake(key), signal);
    this.#pump();
    await this.#due.run(this.#options.clock, signal, (key) => this.wake(key));
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight);
    this.#stop = undefined;
  }

  #pump(): void {
    while (this.#stop !== undefined && !this.#stop.aborted && this.#inFlight.size < this.#concurrency) {
      const key = this.#queue.take();
      if (key === undefined) return;
      const flight = this.#one(key, this.#stop).finally(() => {
        this.#inFlight.delete(flight);
        this.#pump();
      });
      this.#inFlight.add(flight);
    }
  }

  async #one(key: string, stop: AbortSignal): Promise<void> {
    await this.#options.breather.breathe();
    // This look replaces one that was planned for later.
    this.#due.delete(key);
    let againMs: number | undefined;
    try {
      againMs = await this.#reconcile(key, stop);
      this.#succeeded(key);
    } catch (error) {
      if (!stop.aborted) againMs = this.#failed(key, error);
    }
    if (stop.aborted) {
      // Not finished: the next run of this engine starts with it.
      this.#queue.done(key);
      this.#queue.add(key);
      return;
    }
    if (!this.#queue.done(key) && againMs !== undefined) this.#due.set(key, this.#options.clock.now() + againMs);
  }

  /** Reconciles until no conflict comes in between; when to look again. */
  async #reconcile(key: string, stop: AbortSignal): Promise<number | undefined> {
    const { controller, read, clock } = this.#options;
    for (let attempt = 0; ; attempt++) {
      stop.throwIfAborted();
      this.#reconciles += 1;
      const result = await this.#withDeadline(key, stop, (signal) => controller.reconcile(key, { read, clock, signal }));
      const conflict = await this.#commitAll(result.commit, result.chunks ?? [], stop);
      if (conflict === undefined) return result.againMs;
      this.#conflicts += 1;
      if (attempt === CONFLICT_RETRIES) throw new Error(`conflict: ${conflict} kept changing meanwhile`);
    }
  }

  /** Commits one after the other; the object that was in the way, if there was one. What is committed stays. */
  async #commitAll(
    first: Transaction | undefined,
    chunks: readonly Transaction[],
    stop: AbortSignal,
  ): Promise<string | undefined> {
    for (const transaction of first === undefined ? chunks : [first, ...chunks]) {
      stop.throwIfAborted();
      if (isEmpty(transaction)) continue;
      const result: CommitResult = await this.#options.store.commit(transaction, this.#fence);
      if (result.ok) {
        this.#commits += 1;
        this.#options.onCommit(transaction);
      } else if ('fenced' in result) {
        this.#options.onFenced();
        throw new Error(`another process has taken the lease ${result.fenced}`);
      } else {
        const { kind, key } = result.conflict;
        return `${kind} ${key.namespace === '' ? '' : `${key.namespace}/`}${key.name}`;
      }
    }
    return undefined;
  }

  async #withDeadline<T>(key: string, stop: AbortSignal, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, deadlineMs, controller } = this.#options;
    const own = childController(stop);
    const ended = new AbortController();
    const timeout = new Error(`${controller.name} took longer than ${deadlineMs} ms for ${key}`);
    // Ends the reconcile by its signal; one that does not listen keeps its key, and nobody else waits for it.
    clock.sleep(deadlineMs, ended.signal).then(
      () => own.abort(timeout),
      () => undefined,
    );
    try {
      return await task(own.signal);
    } finally {
      ended.abort(OVER);
      // Lets go of the engine's own signal.
      own.abort(OVER);
    }
  }

  #succeeded(key: string): void {
    const failure = this.#failures.get(key);
    if (failure === undefined) return;
    this.#failures.delete(key);
    if (failure.logged !== undefined) {
      this.#options.log.info({ controller: this.controller.name, key, attempts: failure.attempts }, 'key reconciles again');
    }
  }

  /** When to try again. */
  #failed(key: string, error: unknown): number {
    this.#errors += 1;
    const former = this.#failures.get(key);
    const attempts = (former?.attempts ?? 0) + 1;
    const message = messageOf(error);
    let logged = former?.logged;
    if (attempts >= QUIET_FAILURES && logged !== message) {
      this.#options.log.warn(
        { controller: this.controller.name, key, attempts, error },
        'key fails again and again; it is retried',
      );
      logged = message;
    }
    this.#failures.set(key, { attempts, logged });
    return fullJitter(attempts - 1, this.#options.backoff, this.#options.rng);
  }
}

function isEmpty(transaction: Transaction): boolean {
  const { write, blobs, issue, sealed, forget, audit, effects } = transaction;
  return (
    [write, blobs, issue, sealed, forget, effects].every((part) => part === undefined || part.length === 0) && audit === undefined
  );
}
