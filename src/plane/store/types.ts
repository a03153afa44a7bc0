import type { Key, Kind, PlaneObject } from '#api';
import type { Requirement } from '#api';

/**
 * The store's contract. Transactions are values, never callbacks: a commit carries its preconditions, writes, audit leaf
 * and effects, is executed by one group-committing writer off the event loop, and is acknowledged after fsync.
 *
 * Revisions: every single write inside a commit gets a revision of its own; they are consecutive, and revision order is
 * commit order. A reader that has seen revision N has seen every write up to N.
 */
export interface Store {
  /** Identity of this database; compared with the key directory's at start. */
  readonly instanceId: string;

  get<S, T>(kind: Kind<S, T>, key: Key): Promise<PlaneObject<S, T> | undefined>;
  list<S, T>(kind: Kind<S, T>, query?: ListQuery): Promise<ListResult<PlaneObject<S, T>>>;
  /** The same page as stored JSON texts (metadata.resourceVersion in place), for edges that only pass them on. */
  listText(kind: Kind, query?: ListQuery): Promise<ListResult<string>>;

  commit(transaction: Transaction, fence?: Fence): Promise<CommitResult>;

  /** The newest revision. */
  revision(): number;
  /**
   * Waits, a second at most, until this process knows of that revision: another one may have given it out a moment ago.
   */
  reach(revision: number): Promise<void>;
  /** The oldest revision after which `changes` can still be asked. */
  oldestRevision(): number;
  /** Revisions never given out lie in (from, to]: a reader that names one comes from another history and must relist. */
  readonly revisionGap: { readonly from: number; readonly to: number } | undefined;

  /**
   * Every change after `after`, in revision order, until the signal aborts; each batch is one or more whole commits. Throws
   * `FL_STORE_COMPACTED` when the log does not reach back that far or `after` lies in the revision gap.
   */
  changes(after: number, kinds: readonly Kind[], signal: AbortSignal): AsyncIterable<readonly Change[]>;

  /** Takes or waits for the lease `name`. Every later commit under it carries the fence. */
  lease(name: string, ttlMs: number, signal: AbortSignal): Promise<Lease>;

  // Content by digest. Bytes are immutable; a row names who may read them.
  /** The bytes of those digests that are there; with `issuedTo`, only of those issued to that cluster. */
  blobs(digests: readonly string[], issuedTo?: string): Promise<ReadonlyMap<string, Uint8Array>>;
  /** Which of the digests are not there. */
  missingBlobs(digests: readonly string[]): Promise<readonly string[]>;
  /**
   * Forgets the blobs that `isKept` does not name, and what was issued and sealed of them; how many went. Blobs put, or asked
   * for by `missingBlobs`, in the last hour stay: a commit that counts on them may be under way.
   */
  sweepBlobs(isKept: (digest: string) => boolean, signal: AbortSignal): Promise<number>;
  /** Sealed forms already made for a cluster: equality HMAC → digest of the sealed bytes. */
  sealedDigests(cluster: string, equalities: readonly string[]): Promise<ReadonlyMap<string, string>>;

  /** Heartbeats and progress: a small value per (kind, key) beside the objects. Never touches a revision, never in the change log; may be lost with the last second. */
  pulse(kind: Kind, key: Key, value: Readonly<Record<string, unknown>>): void;
  pulses(kind: Kind): Promise<ReadonlyMap<string, Readonly<Record<string, unknown>>>>;

  /** Effects due, oldest first, for the engine's runner. */
  dueEffects(nowMs: number, limit: number): Promise<readonly StoredEffect[]>;
  effectDone(id: number): Promise<void>;
  effectFailed(id: number, retryAtMs: number, message: string): Promise<void>;

  /** Verifies the audit chain; the first broken leaf if there is one. */
  verifyAudit(): Promise<{ readonly leaves: number; readonly brokenAt?: number }>;

  /** Why the database cannot be used at present; undefined while all is well. */
  trouble(): string | undefined;
  /** What the processes that share this database show each other; undefined where the database belongs to one process. */
  readonly replicas: Replicas | undefined;

  close(): Promise<void>;
}

/**
 * Small values that replicas of one plane show each other: the newest per (topic, key) wins. Not objects: no revision, no
 * change log, and the last second may be lost with the process that posted it.
 */
export interface Replicas {
  /** This process. */
  readonly id: string;
  /** Shows a value, or takes it away. What is posted within a few ms is written, and seen, together. */
  post(topic: string, key: string, value: string | undefined): void;
  /** Everything posted so far is written. Errors: those of a commit; what was not written is tried again all the same. */
  settled(): Promise<void>;
  /**
   * What there is now, then what others post; own posts are left out. `isCurrent`: everything that was there when it was read
   * has been handed over. One follower per store. Resolves when the signal aborts.
   */
  follow(take: (posts: readonly Post[], isCurrent: boolean) => void, signal: AbortSignal): Promise<void>;
}

export interface Post {
  readonly topic: string;
  readonly key: string;
  /** Undefined: taken away. */
  readonly value: string | undefined;
  /** When it was written, by the clock of this process, ms since the epoch. */
  readonly atMs: number;
}

export interface ListQuery {
  readonly namespace?: string;
  readonly labels?: readonly Requirement[];
  /** Selectable fields of the kind, metadata.name and metadata.namespace; equality or inequality. */
  readonly fields?: readonly FieldRequirement[];
  /** Page size; default and maximum 10,000. */
  readonly limit?: number;
  /** Continue after this key (exclusive), from a former page. */
  readonly after?: Key;
}

export interface FieldRequirement {
  readonly path: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

export interface ListResult<T> {
  readonly items: readonly T[];
  /** The revision this page was read at. */
  readonly revision: number;
  /** The last key, when there is more. */
  readonly next?: Key;
}

/** What must be so for the commit to happen: the object's resourceVersion, or 'absent', or 'present' whatever its version. */
export interface Expectation {
  readonly kind: Kind;
  readonly key: Key;
  readonly revision: number | 'absent' | 'present';
}

export type Write =
  /** Creates or replaces. metadata.resourceVersion is set by the store. A put equal to what is stored changes nothing and costs no revision. */
  | { readonly op: 'put'; readonly kind: Kind; readonly object: PlaneObject }
  | { readonly op: 'delete'; readonly kind: Kind; readonly key: Key };

export interface Transaction {
  readonly expect?: readonly Expectation[];
  readonly write?: readonly Write[];
  readonly blobs?: readonly Blob[];
  /** Digests that a cluster may fetch from now on. */
  readonly issue?: readonly { readonly cluster: string; readonly digests: readonly string[] }[];
  readonly sealed?: readonly { readonly cluster: string; readonly equality: string; readonly digest: string }[];
  /** Clusters that are gone: nothing stays issued or sealed to their names. */
  readonly forget?: readonly string[];
  readonly audit?: AuditLeaf;
  readonly effects?: readonly Effect[];
}

export interface Blob {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** Who did what to what; chained by hash to the leaf before it. */
export interface AuditLeaf {
  readonly actor: string;
  readonly verb: string;
  /** `Kind/namespace/name`. */
  readonly object: string;
  readonly at: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Something to do outside the database, at least once. A newer effect with the same key replaces one that has not run. */
export interface Effect {
  readonly type: string;
  readonly key: string;
  readonly payload: unknown;
}

export interface StoredEffect extends Effect {
  readonly id: number;
  readonly attempts: number;
}

export type CommitResult =
  | {
      readonly ok: true;
      /** Revision of the last write, or the current one when nothing changed. */ readonly revision: number;
      readonly changed: boolean;
    }
  | {
      readonly ok: false;
      readonly conflict: {
        readonly kind: string;
        readonly key: Key;
        /** resourceVersion found, or undefined when absent. */ readonly found: number | undefined;
      };
    }
  | { readonly ok: false; readonly fenced: string };

export interface Change {
  readonly revision: number;
  readonly kind: string;
  readonly key: Key;
  readonly type: 'added' | 'modified' | 'deleted';
  /** Before-image as stored JSON text; undefined for `added`. */
  readonly before: string | undefined;
  /** After-image as stored JSON text; for `deleted`, the last state with the deletion's resourceVersion. */
  readonly after: string;
}

export interface Fence {
  readonly name: string;
  readonly token: number;
}

export interface Lease extends Fence {
  /** Aborts when the lease is lost. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

/** Where revisions that may have been given out are remembered outside the database, so that a restored copy never repeats one. */
export interface RevisionFloor {
  read(): number;
  /** Durable before it returns. */
  reserve(upTo: number): void;
}
