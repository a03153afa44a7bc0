import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { must } from '#base';
import type { Request, ToWriter, WriterEvent } from './protocol.ts';
import { plainError } from './sqlite-errors.ts';
import { SqliteWriter } from './writer.ts';

/**
 * The writers' thread. While one group waits for the disk, requests pile up in the port; the next group takes them all
 * (up to a bound), so the more writers wait, the fewer fsyncs each of them costs.
 */
const GROUP_REQUESTS = 256;
const GROUP_BYTES = 16 * 1024 * 1024;

const port = must(parentPort, 'this file runs in a worker thread');
const hosts = new Map<number, WriterHost>();

/** One database and what waits for it. */
class WriterHost {
  readonly #store: number;
  readonly #writer: SqliteWriter;
  readonly #queue: Request[] = [];
  #nowMs: number;
  #isClosing = false;
  #isScheduled = false;
  #isCompacting = false;

  constructor(store: number, writer: SqliteWriter, nowMs: number) {
    this.#store = store;
    this.#writer = writer;
    this.#nowMs = nowMs;
  }

  take(message: ToWriter): void {
    if (message.type === 'requests') this.#queue.push(...message.requests);
    else if (message.type === 'limit') this.#writer.raiseLimit(message.limit);
    else if (message.type === 'close') this.#isClosing = true;
    if (isDraining) this.#schedule();
    else if (!this.#isScheduled) this.#work();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#work());
  }

  #work(): void {
    // What arrived while the last group was on its way to the disk.
    this.#isScheduled = true;
    drainPort();
    this.#isScheduled = false;
    const group = this.#nextGroup();
    if (group.length > 0) {
      this.#nowMs = group.at(-1)?.nowMs ?? this.#nowMs;
      post(this.#store, this.#writer.run(group));
    }
    if (group.length > 0 || this.#isCompacting) {
      const compacted = this.#writer.compact(this.#nowMs);
      if (compacted.didCompact) post(this.#store, { type: 'compacted', oldest: compacted.oldest });
      this.#isCompacting = compacted.more;
    }
    if (this.#isClosing && this.#queue.length === 0) {
      hosts.delete(this.#store);
      this.#writer.close();
      post(this.#store, { type: 'closed' });
    } else if (this.#queue.length > 0 || this.#isCompacting) this.#schedule();
  }

  #nextGroup(): Request[] {
    let bytes = 0;
    let count = 0;
    for (const { operation } of this.#queue) {
      bytes += operation.op === 'commit' ? operation.transaction.bytes : 0;
      if (count > 0 && bytes > GROUP_BYTES) break;
      if (++count === GROUP_REQUESTS) break;
    }
    return this.#queue.splice(0, count);
  }
}

function post(store: number, event: WriterEvent): void {
  port.postMessage({ store, event });
}

let isDraining = false;

function drainPort(): void {
  isDraining = true;
  for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
    // Sent by writer-client.ts.
    receive(next.message as ToWriter);
  }
  isDraining = false;
}

function receive(message: ToWriter): void {
  if (message.type !== 'open') {
    hosts.get(message.store)?.take(message);
    return;
  }
  try {
    const writer = new SqliteWriter(message.options);
    hosts.set(message.store, new WriterHost(message.store, writer, message.options.nowMs));
    post(message.store, { type: 'ready', state: writer.state() });
  } catch (error) {
    post(message.store, { type: 'failed', error: plainError(error) });
  }
}

port.on('message', receive);
