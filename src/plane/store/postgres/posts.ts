import { messageOf, type Log } from '#base';
import type { Operation, OperationValue } from '../operations.ts';
import type { Post, Replicas } from '../types.ts';

/** What is posted within this time is written together. */
const GATHER_MS = 20;
const PAGE = 2_000;
const WRITE_ROWS = 1_000;
/** After a failed write; what is posted meanwhile joins, the newest per key. */
const RETRY_MS = 1_000;

export interface StoredPost extends Post {
  readonly seq: number;
  readonly poster: string;
}

export interface PostsParts {
  readonly id: string;
  readonly log: Log;
  request(operation: Operation): Promise<OperationValue>;
  /** Posts after `seq`, in order. */
  read(seq: number, limit: number): Promise<readonly StoredPost[]>;
}

/** The values that replicas show each other. */
export class Posts implements Replicas {
  readonly id: string;
  readonly #parts: PostsParts;
  readonly #dirty = new Map<string, { readonly topic: string; readonly key: string; readonly value: string | undefined }>();
  #isWriting = false;
  /** Callers of `settled`, for the write that begins next and for the one under way. */
  #waiting: PromiseWithResolvers<void>[] = [];
  #newest = 0;
  #wake: (() => void) | undefined;
  #isClosed = false;

  constructor(parts: PostsParts) {
    this.id = parts.id;
    this.#parts = parts;
  }

  post(topic: string, key: string, value: string | undefined): void {
    if (this.#isClosed) return;
    this.#dirty.set(`${topic}\0${key}`, { topic, key, value });
    this.#start(GATHER_MS);
  }

  settled(): Promise<void> {
    if (this.#dirty.size === 0 && !this.#isWriting) return Promise.resolve();
    const waiter = Promise.withResolvers<void>();
    this.#waiting.push(waiter);
    this.#start(GATHER_MS);
    return waiter.promise;
  }

  /** The database has posts up to `seq`. */
  advance(seq: number): void {
    if (seq <= this.#newest) return;
    this.#newest = seq;
    this.#wake?.();
  }

  async follow(take: (posts: readonly Post[], isCurrent: boolean) => void, signal: AbortSignal): Promise<void> {
    let cursor = 0;
    const wake = (): void => this.#wake?.();
    signal.addEventListener('abort', wake);
    try {
      while (!signal.aborted && !this.#isClosed) {
        const { promise: woken, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        const page = await this.#parts.read(cursor, PAGE);
        if (signal.aborted) return;
        cursor = page.at(-1)?.seq ?? cursor;
        const isCurrent = page.length < PAGE;
        take(
          page.filter((post) => post.poster !== this.id),
          isCurrent,
        );
        if (isCurrent && this.#newest <= cursor) await woken;
      }
    } finally {
      signal.removeEventListener('abort', wake);
      this.#wake = undefined;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake?.();
    await this.#write().catch(() => undefined);
    for (const one of this.#waiting.splice(0)) one.resolve();
  }

  #start(afterMs: number): void {
    if (this.#isWriting) return;
    this.#isWriting = true;
    void this.#writeLater(afterMs);
  }

  async #writeLater(afterMs: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    let again: number | undefined;
    const waiting = this.#waiting.splice(0);
    try {
      await this.#write();
      for (const one of waiting) one.resolve();
    } catch (error) {
      for (const one of waiting) one.reject(error);
      this.#parts.log.warn({ error: messageOf(error) }, 'other replicas were not told; it is tried again');
      again = RETRY_MS;
    }
    this.#isWriting = false;
    if ((this.#dirty.size > 0 || this.#waiting.length > 0) && !this.#isClosed) this.#start(again ?? GATHER_MS);
  }

  async #write(): Promise<void> {
    while (this.#dirty.size > 0) {
      const rows = [...this.#dirty].slice(0, WRITE_ROWS);
      for (const [id] of rows) this.#dirty.delete(id);
      try {
        await this.#parts.request({ op: 'posts', rows: rows.map(([, row]) => row) });
      } catch (error) {
        for (const [id, row] of rows) if (!this.#dirty.has(id)) this.#dirty.set(id, row);
        throw error;
      }
    }
  }
}
