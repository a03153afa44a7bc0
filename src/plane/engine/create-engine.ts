import { childController, codeOf, FairleadError, type Clock, type Log, type Rng, type Service } from '#base';
import type { Kind, PlaneObject } from '#api';
import type { Change, Store } from '#plane/store';
import { Breather } from './breather.ts';
import { ControllerLoop, type ControllerCounters } from './controller-loop.ts';
import { EffectLoop, type EffectCounters } from './effect-loop.ts';
import type { Controller, EffectRunner, ObjectChange, Reader } from './types.ts';

export interface EngineOptions {
  readonly store: Store;
  readonly controllers: readonly Controller[];
  readonly effects: readonly EffectRunner[];
  readonly clock: Clock;
  readonly log: Log;
  readonly rng?: Rng;
  /** Only the holder runs; default `engine`, 15 s. */
  readonly lease?: { readonly name: string; readonly ttlMs: number };
  /** Of failing keys and effects; default 200 ms to 60 s. */
  readonly backoff?: { readonly baseMs: number; readonly maxMs: number };
  /** After this long a reconcile or effect is told to stop; default 2 minutes. */
  readonly deadlineMs?: number;
}

export interface EngineCounters {
  readonly controllers: Readonly<Record<string, ControllerCounters>>;
  readonly effects: EffectCounters;
  /** How many times every controller started over with its initial keys. */
  readonly resyncs: number;
  /** Revisions committed while the engine was last busy and not yet looked at. */
  readonly lag: number;
}

export interface Engine extends Service {
  /** For /metrics. */
  counters(): EngineCounters;
  /** Looks at a key now, as if something it watches had changed. */
  wake(controller: string, key: string): void;
  /** Effects may have been committed by somebody else; they run within a second anyway. */
  lookForEffects(): void;
  /**
   * For tests: nothing queued, under way or due, and every change so far has been looked at. Keys that wait for a later time
   * do not count.
   */
  isIdle(): Promise<boolean>;
}

/** After a wake that failed the whole controller is looked at again, this much later. */
const RESYNC_MS = 5_000;

/**
 * The engine: takes the lease, asks every controller for its first keys, then follows the changes. It commits under the
 * lease's fence, so that a process that lost it can decide but never write.
 */
export function createEngine(options: EngineOptions): Engine {
  return new RunningEngine(options);
}

class RunningEngine implements Engine {
  readonly id = 'engine';
  readonly #options: EngineOptions;
  readonly #read: Reader;
  readonly #loops: readonly ControllerLoop[];
  readonly #effects: EffectLoop;
  readonly #breather = new Breather();
  readonly #kinds: readonly Kind[];
  readonly #resync = new Map<ControllerLoop, number>();
  #stop: AbortController | undefined;
  #following = 0;
  #isBusy = true;
  #resyncs = 0;

  constructor(options: EngineOptions) {
    const { store, clock, log } = options;
    const rng = options.rng ?? Math.random;
    const backoff = options.backoff ?? { baseMs: 200, maxMs: 60_000 };
    const deadlineMs = options.deadlineMs ?? 120_000;
    this.#options = options;
    this.#read = readerOf(store);
    this.#effects = new EffectLoop({ store, runners: options.effects, clock, log, rng, backoff, deadlineMs });
    this.#loops = options.controllers.map(
      (controller) =>
        new ControllerLoop({
          controller,
          store,
          read: this.#read,
          clock,
          log,
          rng,
          breather: this.#breather,
          backoff,
          deadlineMs,
          onCommit: (transaction) => {
            if ((transaction.effects?.length ?? 0) > 0) this.#effects.look();
          },
          onFenced: () =>
            this.#stop?.abort(
              new FairleadError('FL_ENGINE_FENCED', 'another process runs the controllers', { kind: 'conflict' }),
            ),
        }),
    );
    const kinds = new Map(options.controllers.flatMap(({ wakes }) => wakes.map(({ kind }) => [kind.kind, kind] as const)));
    this.#kinds = [...kinds.values()];
  }

  async run(signal: AbortSignal): Promise<void> {
    const { store, log } = this.#options;
    const { name, ttlMs } = this.#options.lease ?? { name: 'engine', ttlMs: 15_000 };
    const lease = await store.lease(name, ttlMs, signal);
    const stop = childController(AbortSignal.any([signal, lease.lost]));
    this.#stop = stop;
    this.#isBusy = true;
    log.info(
      { lease: name, token: lease.token, controllers: this.#loops.map((loop) => loop.controller.name) },
      'controllers started',
    );
    const parts = [
      this.#follow(stop.signal),
      this.#effects.run(stop.signal),
      ...this.#loops.map((loop) => loop.run(lease, stop.signal)),
    ];
    try {
      // The first that fails stops the others; none goes on unseen.
      await Promise.all(parts.map((part) => part.catch((error: unknown) => this.#failed(stop, error))));
    } finally {
      this.#stop = undefined;
      await lease.release();
    }
    if (!signal.aborted) throw stop.signal.reason;
  }

  #failed(stop: AbortController, error: unknown): void {
    if (!stop.signal.aborted) stop.abort(error);
  }

  wake(controller: string, key: string): void {
    this.#loops.find((loop) => loop.controller.name === controller)?.wake(key);
  }

  lookForEffects(): void {
    this.#effects.look();
  }

  counters(): EngineCounters {
    return {
      controllers: Object.fromEntries(this.#loops.map((loop) => [loop.controller.name, loop.counters()])),
      effects: this.#effects.counters(),
      resyncs: this.#resyncs,
      lag: this.#isBusy ? Math.max(0, this.#options.store.revision() - this.#following) : 0,
    };
  }

  async isIdle(): Promise<boolean> {
    // A commit wakes the follower in the same turn that acknowledges it: two calm turns with one revision are calm.
    const revision = this.#options.store.revision();
    for (let turn = 0; turn < 3; turn++) {
      if (this.#isBusy || this.#loops.some((loop) => !loop.isIdle)) return false;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return (
      (await this.#effects.isIdle()) && revision === this.#options.store.revision() && this.#loops.every((loop) => loop.isIdle)
    );
  }

  /** Turns changes into wake-ups. Whatever the log cannot tell any more is made good by looking at everything. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#options;
    while (!signal.aborted) {
      this.#isBusy = true;
      // Before the initial keys are read: what changes meanwhile is told again.
      this.#following = store.revision();
      for (const loop of this.#loops) await this.#initial(loop);
      this.#resyncs += 1;
      this.#isBusy = false;
      this.#effects.look();
      const resyncing = new AbortController();
      const resync = this.#resyncLater(AbortSignal.any([signal, resyncing.signal]));
      try {
        for await (const batch of store.changes(this.#following, this.#kinds, signal)) {
          this.#isBusy = true;
          await this.#wakeAll(batch);
          this.#following = batch.at(-1)?.revision ?? this.#following;
          this.#effects.look();
          this.#isBusy = false;
        }
        // The store was closed.
        if (!signal.aborted)
          throw new FairleadError('FL_ENGINE_STORE', 'the store has ended its changes', { kind: 'unavailable' });
      } catch (error) {
        if (codeOf(error) !== 'FL_STORE_COMPACTED') throw error;
        this.#options.log.warn(
          { following: this.#following },
          'changes were dropped before they were read; looking at everything again',
        );
        await clock.sleep(10, signal).catch(() => undefined);
      } finally {
        resyncing.abort();
        await resync;
      }
    }
  }

  async #wakeAll(batch: readonly Change[]): Promise<void> {
    for (const change of batch) {
      let parsed: ObjectChange<unknown, unknown> | undefined;
      for (const loop of this.#loops) {
        for (const wake of loop.controller.wakes) {
          if (wake.kind.kind !== change.kind) continue;
          parsed ??= parseChange(change);
          try {
            for (const key of await wake.keysOf(parsed, this.#read)) loop.wake(key);
          } catch (error) {
            // The change would be lost: look at all of this controller's keys instead, a little later.
            this.#options.log.error(
              { controller: loop.controller.name, kind: change.kind, error },
              'cannot tell which keys a change wakes',
            );
            if (!this.#resync.has(loop)) this.#resync.set(loop, this.#options.clock.now() + RESYNC_MS);
          }
        }
      }
      await this.#breather.breathe();
    }
  }

  async #resyncLater(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(RESYNC_MS / 5, signal).catch(() => undefined);
      for (const [loop, atMs] of this.#resync) {
        if (signal.aborted || atMs > clock.now()) continue;
        this.#resync.delete(loop);
        await this.#initial(loop);
      }
    }
  }

  /** One controller that cannot list its keys holds nobody else up: it is asked again. */
  async #initial(loop: ControllerLoop): Promise<void> {
    try {
      for (const key of await loop.controller.initial(this.#read)) loop.wake(key);
    } catch (error) {
      this.#options.log.error({ controller: loop.controller.name, error }, 'cannot list the keys of a controller; trying again');
      this.#resync.set(loop, this.#options.clock.now() + RESYNC_MS);
    }
  }
}

function parseChange(change: Change): ObjectChange<unknown, unknown> {
  return {
    type: change.type,
    // Stored by the store from PlaneObjects.
    before: change.before === undefined ? undefined : (JSON.parse(change.before) as PlaneObject),
    after: JSON.parse(change.after) as PlaneObject,
  };
}

function readerOf(store: Store): Reader {
  return {
    get: (kind, key) => store.get(kind, key),
    list: (kind, query) => store.list(kind, query),
    blobs: (digests, issuedTo) => store.blobs(digests, issuedTo),
    missingBlobs: (digests) => store.missingBlobs(digests),
    sealedDigests: (cluster, equalities) => store.sealedDigests(cluster, equalities),
    pulses: (kind) => store.pulses(kind),
  };
}
