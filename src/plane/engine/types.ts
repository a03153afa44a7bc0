import type { Clock } from '#base';
import type { Kind, PlaneObject } from '#api';
import type { Change, Effect, Store, Transaction } from '#plane/store';

/** What a controller may look at. */
export type Reader = Pick<Store, 'get' | 'list' | 'blobs' | 'missingBlobs' | 'sealedDigests' | 'pulses'>;

export interface ReconcileContext {
  readonly read: Reader;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Level-triggered: a key says "look at this again", never what happened. A controller reads, decides and returns; the
 * engine commits and runs effects. Reconciling a key twice must end in the same state as once.
 */
export interface Controller {
  readonly name: string;
  /** Which changes wake which keys; keys are strings of the controller's own making (`namespace/name` mostly). */
  readonly wakes: readonly Wake[];
  /** Keys to look at when the plane starts. */
  initial(read: Reader): Promise<readonly string[]>;
  /**
   * Wakes that no stored change carries, such as contact and reports: the engine calls this once at start; `wake` may be
   * called with a key at any time until the signal aborts.
   */
  listen?(wake: (key: string) => void, signal: AbortSignal): void;
  /** How many keys may be reconciled at the same time; default 4. */
  readonly concurrency?: number;
  reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult>;
}

export interface Wake {
  readonly kind: Kind;
  keysOf(change: ObjectChange<unknown, unknown>, read: Reader): readonly string[] | Promise<readonly string[]>;
}

/** One change of an object with its images; `before` is absent for `added`. */
export interface ObjectChange<S, T> {
  readonly type: Change['type'];
  readonly before: PlaneObject<S, T> | undefined;
  readonly after: PlaneObject<S, T>;
}

/** A wake of a kind, typed: `wakeOn(Cluster, ({ after }) => [after.metadata.name])`. */
export function wakeOn<S, T>(
  kind: Kind<S, T>,
  keysOf: (change: ObjectChange<S, T>, read: Reader) => readonly string[] | Promise<readonly string[]>,
): Wake {
  return {
    kind,
    // The engine hands a wake only changes of its own kind.
    keysOf: (change, read) => keysOf(change as ObjectChange<S, T>, read),
  };
}

export interface ReconcileResult {
  readonly commit?: Transaction;
  /**
   * Committed after `commit`, one after the other; fleets are written in chunks of at most 500 writes. A conflict ends the
   * row: what is committed stays, and the key is reconciled again at once.
   */
  readonly chunks?: readonly Transaction[];
  /** Look again after this many ms even if nothing changes. */
  readonly againMs?: number;
}

/** Runs effects of one type: idempotent, keyed, tried again with back-off until it succeeds. */
export interface EffectRunner {
  readonly type: string;
  run(effect: Effect, signal: AbortSignal): Promise<void>;
}
