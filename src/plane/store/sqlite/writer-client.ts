import { Worker } from 'node:worker_threads';
import { FairleadError, must, type Clock } from '#base';
import type { FromWriter, GroupDone, Request, ToWriter, WriterEvent, WriterOptions, WriterState } from './protocol.ts';
import type { Operation, OperationValue } from '../operations.ts';
import { revive } from './sqlite-errors.ts';

/** What may wait for the writer; above it new work is refused and may come back. */
const PENDING_REQUESTS = 20_000;
const PENDING_BYTES = 256 * 1024 * 1024;

interface Pending {
  readonly bytes: number;
  resolve(value: OperationValue): void;
  reject(error: Error): void;
}

export interface WriterEvents {
  /** Before the promises of the group are resolved. */
  onGroup(done: GroupDone): void;
  onCompacted(oldest: number): void;
}

/**
 * The process's one writer thread. A plane has one database; tests open many, and starting a thread for each would cost
 * more than the database does. It holds the process open only while a database is open.
 */
class WriterThread {
  static #shared: WriterThread | undefined;
  readonly #worker: Worker;
  readonly #listeners = new Map<number, (event: WriterEvent) => void>();
  #nextStore = 1;

  private constructor() {
    this.#worker = new Worker(new URL('./writer-worker.ts', import.meta.url), { execArgv: [], name: 'store-writer' });
    this.#worker.on('message', ({ store, event }: FromWriter) => this.#listeners.get(store)?.(event));
    this.#worker.on('error', (error) => this.#died(error.message));
    this.#worker.on('exit', () => this.#died('it ended'));
  }

  static get(): WriterThread {
    WriterThread.#shared ??= new WriterThread();
    return WriterThread.#shared;
  }

  join(listener: (event: WriterEvent) => void): number {
    const store = this.#nextStore++;
    this.#listeners.set(store, listener);
    this.#worker.ref();
    return store;
  }

  leave(store: number): void {
    this.#listeners.delete(store);
    if (this.#listeners.size === 0) this.#worker.unref();
  }

  post(message: ToWriter): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread has no origin
    this.#worker.postMessage(message);
  }

  #died(why: string): void {
    if (WriterThread.#shared === this) WriterThread.#shared = undefined;
    const error = { code: 'FL_STORE_CLOSED', message: `the writer of the database died: ${why}`, kind: 'unavailable' as const };
    for (const listener of this.#listeners.values()) listener({ type: 'failed', error: { ...error, retryAfterMs: undefined } });
    this.#listeners.clear();
  }
}

/** The main thread's end of one database's writer: sends what was asked in one turn of the event loop as one message. */
export class WriterClient {
  readonly #thread = WriterThread.get();
  readonly #store: number;
  readonly #events: WriterEvents;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  readonly #ready: PromiseWithResolvers<WriterState> = Promise.withResolvers();
  readonly #closed: PromiseWithResolvers<void> = Promise.withResolvers();
  #outgoing: Request[] = [];
  #bytes = 0;
  #nextId = 1;
  #failure: FairleadError | undefined;

  private constructor(clock: Clock, events: WriterEvents) {
    this.#clock = clock;
    this.#events = events;
    this.#store = this.#thread.join((event) => this.#receive(event));
  }

  /** Resolves when the database is open and migrated. */
  static async start(
    options: WriterOptions,
    clock: Clock,
    events: WriterEvents,
  ): Promise<{ readonly writer: WriterClient; readonly state: WriterState }> {
    const writer = new WriterClient(clock, events);
    writer.#thread.post({ store: writer.#store, type: 'open', options });
    return { writer, state: await writer.#ready.promise };
  }

  /** Runs one operation in the next group; resolves after it is on disk. */
  request(operation: Operation): Promise<OperationValue> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const bytes = operation.op === 'commit' ? operation.transaction.bytes : 0;
    if (this.#pending.size >= PENDING_REQUESTS || (this.#bytes > 0 && this.#bytes + bytes > PENDING_BYTES)) {
      return Promise.reject(
        new FairleadError('FL_STORE_BUSY', 'nothing was written: too many commits are waiting for the disk; try again', {
          kind: 'unavailable',
          retryAfterMs: 1_000,
        }),
      );
    }
    const id = this.#nextId++;
    if (this.#outgoing.length === 0) queueMicrotask(() => this.#flush());
    this.#outgoing.push({ id, nowMs: this.#clock.now(), operation });
    this.#bytes += bytes;
    return new Promise((resolve, reject) => this.#pending.set(id, { bytes, resolve, reject }));
  }

  raiseLimit(limit: number): void {
    this.#thread.post({ store: this.#store, type: 'limit', limit });
  }

  /** After everything that was asked for is on disk. */
  async close(): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#flush();
    this.#thread.post({ store: this.#store, type: 'close' });
    await this.#closed.promise;
  }

  #flush(): void {
    if (this.#outgoing.length === 0) return;
    const requests = this.#outgoing;
    this.#outgoing = [];
    this.#thread.post({ store: this.#store, type: 'requests', requests });
  }

  #receive(event: WriterEvent): void {
    switch (event.type) {
      case 'ready':
        this.#ready.resolve(event.state);
        return;
      case 'done':
        this.#settle(event);
        return;
      case 'compacted':
        this.#events.onCompacted(event.oldest);
        return;
      case 'failed':
        this.#end(revive(event.error));
        return;
      case 'closed':
        this.#end(new FairleadError('FL_STORE_CLOSED', 'the database is closed', { kind: 'unavailable' }));
        return;
    }
  }

  #settle(done: GroupDone): void {
    this.#events.onGroup(done);
    for (const [index, id] of done.ids.entries()) {
      const pending = must(this.#pending.get(id), 'the writer answers what it was asked');
      this.#pending.delete(id);
      this.#bytes -= pending.bytes;
      const outcome = must(done.outcomes[index], 'one outcome per request');
      if (outcome.ok) pending.resolve(outcome.value);
      else pending.reject(revive(outcome.error));
    }
  }

  #end(failure: FairleadError): void {
    this.#failure = failure;
    this.#thread.leave(this.#store);
    this.#ready.reject(failure);
    this.#closed.resolve();
    for (const pending of this.#pending.values()) pending.reject(failure);
    this.#pending.clear();
  }
}
