import { FairleadError } from '#base';
import type { Kind } from '#api';
import type { Change } from '../types.ts';
import type { SqliteReader } from './reader.ts';

/** A batch ends after about this much, at the end of a commit. */
const BATCH_ROWS = 500;
const BATCH_BYTES = 4 * 1024 * 1024;

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
  #revision: number;
  #isClosed = false;

  constructor(reader: SqliteReader, revision: number, gaps: readonly Gap[]) {
    this.#reader = reader;
    this.#revision = revision;
    this.#gaps = gaps;
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
  #read(cursor: number, kinds: ReadonlySet<string>): { readonly changes: readonly Change[]; readonly cursor: number } {
    const marks = [...kinds].map(() => '?').join(', ');
    const statement = this.#reader.sql(
      'SELECT revision, last, kind, namespace, name, type, bytes,' +
        ` CASE WHEN kind IN (${marks}) THEN before END AS before, CASE WHEN kind IN (${marks}) THEN after END AS after` +
        ' FROM changes WHERE revision > ? AND revision <= ? ORDER BY revision',
    );
    const changes: Change[] = [];
    let rows = 0;
    let bytes = 0;
    let reached = cursor;
    let isWhole = true;
    for (const row of statement.iterate(...kinds, ...kinds, cursor, this.#revision)) {
      reached = Number(row['revision']);
      isWhole = reached === Number(row['last']);
      rows += 1;
      if (row['after'] !== null) {
        bytes += Number(row['bytes']);
        changes.push({
          revision: reached,
          kind: String(row['kind']),
          key: { namespace: String(row['namespace']), name: String(row['name']) },
          // Written by the writer from the same union.
          type: String(row['type']) as Change['type'],
          before: row['before'] === null ? undefined : String(row['before']),
          after: String(row['after']),
        });
      }
      if (isWhole && (rows >= BATCH_ROWS || bytes >= BATCH_BYTES)) break;
    }
    // Asked after the rows were read: if nothing behind the cursor is gone now, nothing was missing then.
    const oldest = this.#reader.oldest();
    if (cursor < oldest) throw compacted(cursor, oldest);
    return { changes, cursor: rows < BATCH_ROWS && bytes < BATCH_BYTES ? Math.max(reached, this.#revision) : reached };
  }
}

function compacted(after: number, oldest: number): FairleadError {
  return new FairleadError(
    'FL_STORE_COMPACTED',
    `changes after revision ${after} are not known any more (the log starts after ${oldest}); list again and go on from there`,
    { kind: 'conflict', details: { after, oldest } },
  );
}
