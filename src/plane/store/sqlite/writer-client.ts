import { Worker } from 'node:worker_threads';
import { FairleadError, must, type Clock } from '#base';
import type {
  FromWriter,
  GroupDone,
  Operation,
  OperationValue,
  Request,
  ToWriter,
  WriterOptions,
  WriterState,
} from './protocol.ts';
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

/** The main thread's end of the writer: sends what was asked in one turn of the event loop as one message. */
export class WriterClient {
  readonly #worker: Worker;
  readonly #events: WriterEvents;
  readonly #clock: Clock;
  readonly #pending = new Map<number, Pending>();
  #outgoing: Request[] = [];
  #bytes = 0;
  #nextId = 1;
  #failure: FairleadError | undefined;
  #closed: (() => void) | undefined;

  private constructor(worker: Worker, clock: Clock, events: WriterEvents) {
    this.#worker = worker;
    this.#clock = clock;
    this.#events = events;
    worker.on('message', (message: FromWriter) => this.#receive(message));
    worker.on('error', (cause) => this.#fail(cause.message));
    worker.on('exit', () => {
      this.#fail('it ended');
      this.#closed?.();
    });
  }

  /** Starts the writer's thread; resolves when the database is open and migrated. */
  static async start(
    options: WriterOptions,
    clock: Clock,
    events: WriterEvents,
  ): Promise<{ readonly writer: WriterClient; readonly state: WriterState }> {
    const worker = new Worker(new URL('./writer-worker.ts', import.meta.url), {
      workerData: options,
      execArgv: [],
      name: 'store-writer',
    });
    const state = await new Promise<WriterState>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('message', (message: FromWriter) => {
        worker.off('error', reject);
        if (message.type === 'ready') resolve(message.state);
        else reject(message.type === 'failed' ? revive(message.error) : new Error(`unexpected ${message.type}`));
      });
    });
    return { writer: new WriterClient(worker, clock, events), state };
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
    this.#post({ type: 'limit', limit });
  }

  /** Ends the thread after everything that was asked for is on disk. */
  async close(): Promise<void> {
    if (this.#failure !== undefined) return;
    this.#flush();
    const closed = new Promise<void>((resolve) => (this.#closed = resolve));
    this.#post({ type: 'close' });
    await closed;
  }

  #post(message: ToWriter): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread has no origin
    this.#worker.postMessage(message);
  }

  #flush(): void {
    if (this.#outgoing.length === 0) return;
    const requests = this.#outgoing;
    this.#outgoing = [];
    this.#post({ type: 'requests', requests });
  }

  #receive(message: FromWriter): void {
    if (message.type === 'compacted') this.#events.onCompacted(message.oldest);
    if (message.type !== 'done') return;
    this.#events.onGroup(message);
    for (const [index, id] of message.ids.entries()) {
      const pending = must(this.#pending.get(id), 'the writer answers what it was asked');
      this.#pending.delete(id);
      this.#bytes -= pending.bytes;
      const outcome = must(message.outcomes[index], 'one outcome per request');
      if (outcome.ok) pending.resolve(outcome.value);
      else pending.reject(revive(outcome.error));
    }
  }

  #fail(why: string): void {
    this.#failure ??= new FairleadError('FL_STORE_CLOSED', `the database is closed (its writer: ${why})`, {
      kind: 'unavailable',
    });
    for (const pending of this.#pending.values()) pending.reject(this.#failure);
    this.#pending.clear();
  }
}
