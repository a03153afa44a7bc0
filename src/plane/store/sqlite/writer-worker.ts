import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { must } from '#base';
import type { FromWriter, Request, ToWriter, WriterOptions } from './protocol.ts';
import { plainError } from './sqlite-errors.ts';
import { SqliteWriter } from './writer.ts';

/**
 * The writer's thread. While one group waits for the disk, requests pile up in the port; the next group takes them all
 * (up to a bound), so the more writers wait, the fewer fsyncs each of them costs.
 */
const GROUP_REQUESTS = 256;
const GROUP_BYTES = 16 * 1024 * 1024;

const port = must(parentPort, 'this file runs in a worker thread');
const queue: Request[] = [];
let isClosing = false;
let isScheduled = false;

function post(message: FromWriter): void {
  port.postMessage(message);
}

function bytesOf(request: Request): number {
  return request.operation.op === 'commit' ? request.operation.transaction.bytes : 0;
}

function nextGroup(): Request[] {
  let bytes = 0;
  let count = 0;
  for (const request of queue) {
    bytes += bytesOf(request);
    if (count > 0 && bytes > GROUP_BYTES) break;
    if (++count === GROUP_REQUESTS) break;
  }
  return queue.splice(0, count);
}

function take(writer: SqliteWriter, message: ToWriter): void {
  if (message.type === 'requests') queue.push(...message.requests);
  else if (message.type === 'limit') writer.raiseLimit(message.limit);
  else isClosing = true;
}

function work(writer: SqliteWriter): void {
  isScheduled = false;
  // What arrived while the last group was on its way to the disk.
  for (let more = receiveMessageOnPort(port); more !== undefined; more = receiveMessageOnPort(port)) {
    take(writer, more.message as ToWriter);
  }
  const group = nextGroup();
  let more = false;
  if (group.length > 0) {
    const done = writer.run(group);
    post(done);
    const nowMs = group.at(-1)?.nowMs ?? 0;
    const compacted = writer.compact(nowMs);
    if (compacted.oldest !== done.oldest) post({ type: 'compacted', oldest: compacted.oldest });
    more = compacted.more;
    lastNowMs = nowMs;
  } else if (isCompacting) {
    const compacted = writer.compact(lastNowMs);
    post({ type: 'compacted', oldest: compacted.oldest });
    more = compacted.more;
  }
  isCompacting = more;
  if (isClosing && queue.length === 0) {
    writer.close();
    post({ type: 'closed' });
    port.close();
    return;
  }
  if (queue.length > 0 || isCompacting) schedule(writer);
}

let lastNowMs = 0;
let isCompacting = false;

function schedule(writer: SqliteWriter): void {
  if (isScheduled) return;
  isScheduled = true;
  setImmediate(work, writer);
}

try {
  const writer = new SqliteWriter(workerData as WriterOptions);
  port.on('message', (message: ToWriter) => {
    take(writer, message);
    if (!isScheduled) work(writer);
  });
  post({ type: 'ready', state: writer.state() });
} catch (error) {
  post({ type: 'failed', error: plainError(error) });
  port.close();
}
