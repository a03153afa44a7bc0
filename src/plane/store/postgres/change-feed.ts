import { FairleadError, messageOf, type Log } from '#base';
import type { Kind } from '#api';
import type { Change } from '../types.ts';
import type { Gap } from './history.ts';

/** A batch ends after about this much, at the end of a commit. */
const BATCH_ROWS = 500;
const BATCH_BYTES = 4 * 1024 * 1024;
/** What is kept of the newest changes for watchers that are nearly up to date. */
const TAIL_BYTES = 8 * 1024 * 1024;
const TAIL_BATCHES = 512;

/** Whole commits after `cursor` from the table, with where the log began in the same snapshot. */
export type ReadChanges = (
  cursor: number,
  rows: number,
  bytes: number,
) => Promise<{
  readonly changes: readonly Change[];
  readonly cursor: number;
  readonly oldest: number;
  readonly revision: number;
}>;

interface Batch {
  readonly from: number;
  readonly to: number;
  readonly changes: readonly Change[];
  readonly bytes: number;
}

/**
 * Follows the change log for all watchers of this process: what is new is read once, by whoever wakes it (an own commit,
 * a notification, the poll), and kept in a bounded tail. A watcher further behind reads the table for itself; one that the
 * log has left behind is told to list again.
 */
export class ChangeFeed {
  readonly #read: ReadChanges;
  readonly #log: Log;
  readonly #wakers = new Set<() => void>();
  #batches: Batch[] = [];
  #bytes = 0;
  #from: number;
  #to: number;
  #revision: number;
  #oldest: number;
  #gaps: readonly Gap[];
  #isReading = false;
  #isClosed = false;

  constructor(read: ReadChanges, log: Log, revision: number, oldest: number, gaps: readonly Gap[]) {
    this.#read = read;
    this.#log = log;
    this.#from = revision;
    this.#to = revision;
    this.#revision = revision;
    this.#oldest = oldest;
    this.#gaps = gaps;
  }

  /** The newest revision that this process knows of. */
  get revision(): number {
    return this.#revision;
  }

  get oldest(): number {
    return this.#oldest;
  }

  get gaps(): readonly Gap[] {
    return this.#gaps;
  }

  /** An own commit: in most cases it follows what is known, and nothing needs to be read. */
  committed(changes: readonly Change[], revision: number, oldest: number): void {
    this.#oldest = Math.max(this.#oldest, oldest);
    if (changes[0]?.revision === this.#to + 1) {
      this.#revision = Math.max(this.#revision, revision);
      this.#append(changes, changes.at(-1)?.revision ?? revision);
      this.#wake();
    } else this.advance(revision);
  }

  /** The database has everything up to `revision`. */
  advance(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    if (this.#to < this.#revision && !this.#isClosed && !this.#isReading) void this.#catchUp();
  }

  /** History was looked at; where it had jumped, those who have seen what is lost are told to list again. */
  checked(gaps: readonly Gap[], revision: number): void {
    const known = this.#gaps.at(-1)?.to ?? 0;
    this.#gaps = gaps;
    const newest = gaps.at(-1);
    if (newest !== undefined && newest.to > known && newest.from < this.#to) {
      this.#batches = [];
      this.#bytes = 0;
      this.#from = newest.to;
      this.#to = newest.to;
      this.#wake();
    }
    this.advance(revision);
  }

  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  async *changes(after: number, kinds: readonly Kind[], signal: AbortSignal): AsyncGenerator<readonly Change[], void, undefined> {
    const names = new Set(kinds.map((kind) => kind.kind));
    await this.#refuseUnknown(after);
    let cursor = after;
    let wake = (): void => undefined;
    const waker = (): void => wake();
    this.#wakers.add(waker);
    signal.addEventListener('abort', waker);
    try {
      while (!signal.aborted && !this.#isClosed) {
        const { promise: woken, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        if (this.#isLost(cursor) || cursor < this.#oldest) throw compacted(cursor, this.#oldest);
        const batch = this.#fromTail(cursor) ?? (cursor < this.#from ? await this.#fromTable(cursor, signal) : undefined);
        if (batch === undefined) {
          await woken;
          continue;
        }
        cursor = batch.to;
        const wanted = batch.changes.filter((change) => names.has(change.kind));
        if (wanted.length > 0) yield wanted;
      }
    } finally {
      this.#wakers.delete(waker);
      signal.removeEventListener('abort', waker);
    }
  }

  #append(changes: readonly Change[], to: number): void {
    const bytes = changes.reduce((sum, { before, after }) => sum + (before?.length ?? 0) + after.length + 200, 0);
    this.#batches.push({ from: this.#to, to, changes, bytes });
    this.#to = to;
    this.#bytes += bytes;
    while (this.#batches.length > 1 && (this.#bytes > TAIL_BYTES || this.#batches.length > TAIL_BATCHES)) {
      const dropped = this.#batches.shift();
      this.#bytes -= dropped?.bytes ?? 0;
      this.#from = dropped?.to ?? this.#from;
    }
  }

  #wake(): void {
    for (const wake of this.#wakers) wake();
  }

  /** Between the ends of a gap: given out by a history that this database has lost. */
  #isLost(revision: number): boolean {
    return this.#gaps.some(({ from, to }) => revision > from && revision < to);
  }

  async #catchUp(): Promise<void> {
    this.#isReading = true;
    try {
      while (this.#to < this.#revision && !this.#isClosed) {
        const from = this.#to;
        const read = await this.#read(from, BATCH_ROWS, BATCH_BYTES);
        this.#oldest = Math.max(this.#oldest, read.oldest);
        this.#revision = Math.max(this.#revision, read.revision);
        // An own commit came first.
        if (this.#to !== from) continue;
        if (from < read.oldest) {
          // Compacted before anybody here read it: whoever needs it will be told by the table.
          this.#batches = [];
          this.#bytes = 0;
          this.#from = Math.max(read.cursor, read.oldest);
          this.#to = this.#from;
        } else if (read.cursor > from) this.#append(read.changes, read.cursor);
        this.#wake();
      }
    } catch (error) {
      // The poll tries again.
      this.#log.warn({ error: messageOf(error) }, 'changes could not be read; they are read again in a moment');
    } finally {
      this.#isReading = false;
    }
  }

  #fromTail(cursor: number): Pick<Batch, 'to' | 'changes'> | undefined {
    if (cursor < this.#from || cursor >= this.#to) return undefined;
    let low = 0;
    let high = this.#batches.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#batches[middle]?.to ?? 0) > cursor) high = middle;
      else low = middle + 1;
    }
    const first = this.#batches[low];
    if (first === undefined) return undefined;
    const changes = first.from >= cursor ? first.changes : first.changes.filter((one) => one.revision > cursor);
    let { to, bytes } = first;
    // One that is behind takes several at once.
    const more: Change[] = [];
    for (const batch of this.#batches.slice(low + 1)) {
      bytes += batch.bytes;
      if (changes.length + more.length + batch.changes.length > BATCH_ROWS || bytes > BATCH_BYTES) break;
      more.push(...batch.changes);
      to = batch.to;
    }
    return { to, changes: more.length === 0 ? changes : [...changes, ...more] };
  }

  async #fromTable(cursor: number, signal: AbortSignal): Promise<Pick<Batch, 'to' | 'changes'> | undefined> {
    const read = await this.#read(cursor, BATCH_ROWS, BATCH_BYTES);
    if (signal.aborted) return undefined;
    if (cursor < read.oldest) throw compacted(cursor, read.oldest);
    return { to: read.cursor, changes: read.changes };
  }

  async #refuseUnknown(after: number): Promise<void> {
    let newest = this.#revision;
    if (after > newest || after < this.#oldest) {
      // Another replica may have given it out a moment ago.
      const read = await this.#read(after, 1, 1);
      this.#oldest = Math.max(this.#oldest, read.oldest);
      newest = read.revision;
      this.advance(newest);
    }
    if (after > newest || this.#isLost(after) || after < this.#oldest) throw compacted(after, this.#oldest);
  }
}

function compacted(after: number, oldest: number): FairleadError {
  return new FairleadError(
    'FL_STORE_COMPACTED',
    `changes after revision ${after} are not known any more (the log starts after ${oldest}); list again and go on from there`,
    { kind: 'conflict', details: { after, oldest } },
  );
}
