import { FairleadError } from '#base';
import type { Kind } from '#api';
import type { Change } from '../types.ts';
import type { SqliteReader } from './reader.ts';

/** A batch ends after about this much, at the end of a commit. */
const BATCH_ROWS = 500;
const BATCH_BYTES = 4 * 1024 * 1024;
/** What is kept of the newest changes for watchers that are nearly up to date. */
const TAIL_BYTES = 8 * 1024 * 1024;
const TAIL_BATCHES = 256;

interface Waiter {
  cursor: number;
  readonly kinds: ReadonlySet<string>;
  wake(): void;
}

interface Gap {
  readonly from: number;
  readonly to: number;
}

/**
 * Follows the change log. Nothing is queued for a reader: each one remembers a revision and reads on from the table, so a
 * slow one costs no memory, and one that falls behind the log's bounds is told to list again.
 */
export class ChangeFeed {
  readonly #reader: SqliteReader;
  readonly #gaps: readonly Gap[];
  readonly #waiters = new Set<Waiter>();
  readonly #tail: Tail;
  #revision: number;
  #isClosed = false;

  constructor(reader: SqliteReader, revision: number, gaps: readonly Gap[]) {
    this.#reader = reader;
    this.#revision = revision;
    this.#gaps = gaps;
    this.#tail = new Tail(reader, revision);
  }

  /** The newest acknowledged revision. */
  get revision(): number {
    return this.#revision;
  }

  /** The writer has committed everything up to `revision`; `kinds` had changes since the last call. */
  advance(revision: number, kinds: readonly string[]): void {
    const from = this.#revision;
    if (revision <= from) return;
    this.#revision = revision;
    for (const waiter of this.#waiters) {
      // One that has seen all before and cares for none of these kinds need not look: its cursor must not fall behind the log.
      if (waiter.cursor === from && !kinds.some((kind) => waiter.kinds.has(kind))) waiter.cursor = revision;
      else waiter.wake();
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const waiter of this.#waiters) waiter.wake();
  }

  async *changes(after: number, kinds: readonly Kind[], signal: AbortSignal): AsyncGenerator<readonly Change[], void, undefined> {
    const names = new Set(kinds.map((kind) => kind.kind));
    this.#refuseUnknown(after);
    const waiter: Waiter = { cursor: after, kinds: names, wake: () => undefined };
    while (!signal.aborted && !this.#isClosed) {
      const batch = this.#read(waiter.cursor, names);
      waiter.cursor = batch.cursor;
      if (batch.changes.length > 0) yield batch.changes;
      else if (waiter.cursor >= this.#revision) await this.#wait(waiter, signal);
      // A long stretch of other kinds: let others run.
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #wait(waiter: Waiter, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener('abort', done);
        resolve();
      };
      waiter.wake = done;
      this.#waiters.add(waiter);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted || this.#isClosed) done();
    });
  }

  #refuseUnknown(after: number): void {
    // A revision from the future, or from between the gap's ends, was given out by a history that this database has lost.
    const newest = Math.max(this.#revision, this.#reader.revision());
    const isFromElsewhere = after > newest || this.#gaps.some(({ from, to }) => after > from && after < to);
    if (isFromElsewhere || after < this.#reader.oldest()) throw compacted(after, this.#reader.oldest());
  }

  /** Whole commits after `cursor`; nothing newer than what was acknowledged. */
  #read(cursor: number, kinds: ReadonlySet<string>): Batch {
    const batch = this.#tail.read(cursor, this.#revision) ?? this.#readTable(cursor);
    return { changes: batch.changes.filter((change) => kinds.has(change.kind)), cursor: batch.cursor };
  }

  #readTable(cursor: number): Batch {
    const batch = readCommits(this.#reader, cursor, this.#revision);
    // Asked after the rows were read: if nothing behind the cursor is gone now, nothing was missing then.
    const oldest = this.#reader.oldest();
    if (cursor < oldest) throw compacted(cursor, oldest);
    return batch;
  }
}

interface Batch {
  readonly changes: readonly Change[];
  /** Everything up to here is in `changes`. */
  readonly cursor: number;
}

/** One batch of changes of all kinds after `cursor`, up to `revision`, ending with a whole commit. */
function readCommits(reader: SqliteReader, cursor: number, revision: number): Batch {
  const statement = reader.sql(
    'SELECT revision, last, kind, namespace, name, type, bytes, before, after FROM changes' +
      ' WHERE revision > ? AND revision <= ? ORDER BY revision',
  );
  const changes: Change[] = [];
  let bytes = 0;
  for (const row of statement.iterate(cursor, revision)) {
    const at = Number(row['revision']);
    bytes += Number(row['bytes']);
    changes.push({
      revision: at,
      kind: String(row['kind']),
      key: { namespace: String(row['namespace']), name: String(row['name']) },
      // Written by the writer from the same union.
      type: String(row['type']) as Change['type'],
      before: row['before'] === null ? undefined : String(row['before']),
      after: String(row['after']),
    });
    const isFull = changes.length >= BATCH_ROWS || bytes >= BATCH_BYTES;
    if (isFull && at === Number(row['last'])) return { changes, cursor: at };
  }
  return { changes, cursor: Math.max(cursor, revision) };
}

interface TailBatch {
  readonly from: number;
  readonly to: number;
  readonly changes: readonly Change[];
  readonly bytes: number;
}

/**
 * The newest changes, read once for all watchers that are nearly up to date: fifty of them would otherwise read the same
 * rows fifty times. Bounded; whoever is further behind reads the table.
 */
class Tail {
  readonly #reader: SqliteReader;
  #batches: TailBatch[] = [];
  #from: number;
  #to: number;
  #bytes = 0;

  constructor(reader: SqliteReader, revision: number) {
    this.#reader = reader;
    this.#from = revision;
    this.#to = revision;
  }

  /** The batch after `cursor`, read on from the table where nobody has been yet; undefined when only the table can tell. */
  read(cursor: number, revision: number): Batch | undefined {
    if (cursor < this.#from) return undefined;
    // Nobody has followed for a while, and this one comes from further on.
    if (cursor > this.#to) this.#reset(cursor);
    if (cursor === this.#to && !this.#extend(revision)) return undefined;
    let batch: TailBatch | undefined;
    for (let at = this.#batches.length - 1; at >= 0; at--) {
      const candidate = this.#batches[at];
      if (candidate === undefined || candidate.to <= cursor) break;
      batch = candidate;
    }
    if (batch === undefined) return { changes: [], cursor };
    return {
      changes: batch.from >= cursor ? batch.changes : batch.changes.filter((one) => one.revision > cursor),
      cursor: batch.to,
    };
  }

  #reset(cursor: number): void {
    this.#batches = [];
    this.#bytes = 0;
    this.#from = cursor;
    this.#to = cursor;
  }

  /** Whether what comes next is known. */
  #extend(revision: number): boolean {
    if (revision <= this.#to) return true;
    const { changes, cursor } = readCommits(this.#reader, this.#to, revision);
    // Revisions are consecutive: a hole means that the log was compacted before anybody read it.
    if (changes[0]?.revision !== this.#to + 1) {
      this.#reset(revision);
      return false;
    }
    const bytes = changes.reduce((sum, { before, after }) => sum + (before?.length ?? 0) + after.length + 200, 0);
    this.#batches.push({ from: this.#to, to: cursor, changes, bytes });
    this.#to = cursor;
    this.#bytes += bytes;
    while (this.#batches.length > 1 && (this.#bytes > TAIL_BYTES || this.#batches.length > TAIL_BATCHES)) {
      const dropped = this.#batches.shift();
      this.#bytes -= dropped?.bytes ?? 0;
      this.#from = dropped?.to ?? this.#from;
    }
    return true;
  }
}

function compacted(after: number, oldest: number): FairleadError {
  return new FairleadError(
    'FL_STORE_COMPACTED',
    `changes after revision ${after} are not known any more (the log starts after ${oldest}); list again and go on from there`,
    { kind: 'conflict', details: { after, oldest } },
  );
}
