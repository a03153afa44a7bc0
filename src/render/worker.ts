/**
 * The renderer child: compiles the module once, then renders one request after another, each in an instance as new.
 * It is started with an empty environment, reads requests from standard input, answers on standard output and ends when
 * its input does. Secrets are in clear in here and nowhere else: what leaves is redacted or sealed.
 */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv, exit, memoryUsage, stdin, stdout } from 'node:process';
import { Worker } from 'node:worker_threads';
import { encodeFrame, FrameReader } from './frame.ts';
import { compileModule, ModuleRunner, type ModuleOutcome } from './module.ts';
import { redactNotes } from './redact-notes.ts';
import type { ChildAnswer, ChildObject, ChildRequest, ModuleObject, ModuleResult } from './protocol.ts';
import { Sealer } from './seal.ts';

/**
 * Memory of an ended instance goes with the garbage collector; above this it is told to come now. The full module
 * takes 180 MiB by itself, its instance and what that is put back to 45 more.
 */
const collectAboveBytes = 240 * 1024 * 1024;

/**
 * Ends this process when the plane is gone. The main thread learns of that from its input, but not while a render keeps
 * it busy, and the deadline that would end such a render died with the plane. An orphan is handed to another parent. Plain
 * JavaScript in a string, because a thread that has to load the TypeScript loader takes twenty megabytes.
 */
const watchdog = `
  const { workerData } = require('node:worker_threads');
  setInterval(() => { if (process.ppid !== workerData) process.kill(process.pid, 'SIGKILL'); }, 1000);
`;
new Worker(watchdog, {
  eval: true,
  workerData: Number(argv[3]),
  resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 2 },
}).unref();

const fullPath = argv[2] ?? '';
/** Plain manifests need little, and most applications no more: Helm and Kustomize are compiled when the first one asks. */
const small = await compileAt(join(dirname(fullPath), 'small.wasm')).catch(() => undefined);
let full: Promise<ModuleRunner> | undefined = small === undefined ? compileAt(fullPath) : undefined;
await full;
const reader = new FrameReader({ headerBytes: 16 * 1024 * 1024, bodyBytes: 48 * 1024 * 1024 });
send({ kind: 'ready' }, []);

for await (const chunk of stdin) {
  // A stream without an encoding gives buffers.
  for (const frame of reader.push(chunk as Buffer)) {
    // The plane is trusted; its header is what child.ts writes.
    await answer(frame.header as ChildRequest, frame.body);
    const isThrownAway = [small?.reset(), (await full)?.reset()].includes(true);
    // What it held is gone before the next one needs room.
    if (isThrownAway && memoryUsage.rss() > collectAboveBytes) collect();
  }
}
exit(0);

type Unmeasured<T> = T extends { readonly rssBytes: number } ? Omit<T, 'rssBytes'> : T;

function send(answer: Unmeasured<ChildAnswer>, body: readonly Uint8Array[]): void {
  const header: ChildAnswer = answer.kind === 'ready' ? answer : { ...answer, rssBytes: memoryUsage.rss() };
  for (const part of encodeFrame(header, body)) stdout.write(part);
}

async function answer(request: ChildRequest, files: Buffer): Promise<void> {
  const { id } = request;
  let sealers: Sealer[];
  try {
    sealers = request.recipients.map((recipient) => new Sealer(recipient));
  } catch {
    const message = 'a recipient is not an age X25519 public key (age1…); enrol the cluster again';
    send({ kind: 'refused', id, error: { code: 'FL_RENDER_REQUEST', rule: 'recipient', message } }, []);
    return;
  }
  const started = performance.now();
  const outcome = await runSmallest(request, files);
  const renderMs = performance.now() - started;
  if (outcome.ended !== 'answer') {
    send({ kind: 'died', id, ended: outcome.ended, ...(outcome.place === undefined ? {} : { place: outcome.place }) }, []);
  } else await answerRendered(request, sealers, outcome, renderMs);
}

async function compileAt(path: string): Promise<ModuleRunner> {
  return new ModuleRunner(await compileModule(await readFile(path)));
}

async function runSmallest(request: ChildRequest, files: Buffer): Promise<ModuleOutcome> {
  const message = [moduleHeader(request), files];
  const options = { timeMs: request.timeMs, seed: request.seed };
  if (small !== undefined) {
    const outcome = small.run(message, options);
    // The shape is that of `result` in wasm/render.go.
    if (outcome.ended !== 'answer' || (outcome.header as ModuleResult).needsFull !== true) return outcome;
  }
  full ??= compileAt(fullPath);
  return (await full).run(message, options);
}

function moduleHeader(request: ChildRequest): Buffer {
  const header = Buffer.from(JSON.stringify(request.module), 'utf8');
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  return Buffer.concat([length, header]);
}

async function answerRendered(
  request: ChildRequest,
  sealers: readonly Sealer[],
  outcome: Extract<ModuleOutcome, { readonly ended: 'answer' }>,
  renderMs: number,
): Promise<void> {
  const { id } = request;
  // The shape is that of `result` in wasm/render.go.
  const result = outcome.header as ModuleResult;
  const sealings = result.objects.filter((object) => object.sensitive).length * sealers.length;
  const started = performance.now();
  if (sealings > request.maxSealings) return refuse(id, 'sealings', 'secrets × clusters', request.maxSealings, sealings);
  const parts: Uint8Array[] = [];
  const objects: ChildObject[] = [];
  const secrets: Uint8Array[] = [];
  let at = 0;
  let total = 0;
  for (const object of result.objects) {
    const body = outcome.bodies.subarray(at, at + object.bodyBytes);
    const redacted = outcome.bodies.subarray(at + object.bodyBytes, at + object.bodyBytes + object.redactedBytes);
    at += object.bodyBytes + object.redactedBytes;
    const first = parts.length;
    const sealed = [];
    if (object.sensitive) {
      parts.push(redacted);
      secrets.push(body);
      for (const sealer of sealers) {
        const { equality, bytes } = await sealer.seal(body);
        sealed.push({ equality, bytes: bytes.byteLength });
        parts.push(bytes);
      }
    } else parts.push(body);
    for (const part of parts.slice(first)) total += part.byteLength;
    if (total > request.maxOutputBytes)
      return refuse(id, 'output-size', 'all objects and their sealed copies', request.maxOutputBytes, total);
    objects.push({ ...facts(object), bytes: parts[first]?.byteLength ?? 0, sealed });
  }
  const notes = redactNotes(result.notes, secrets);
  for (const secret of secrets) secret.fill(0);
  send(
    {
      kind: 'rendered',
      id,
      errors: result.errors,
      objects,
      readSet: result.readSet,
      engine: result.engine,
      notes,
      randomness: outcome.randomness,
      renderMs,
      sealMs: performance.now() - started,
    },
    parts,
  );
}

function facts(object: ModuleObject): Omit<ModuleObject, 'bodyBytes' | 'redactedBytes'> {
  const { bodyBytes: _body, redactedBytes: _redacted, ...rest } = object;
  return rest;
}

function refuse(id: number, rule: string, what: string, limit: number, value: number): void {
  const message = `${what} come to ${value}, more than ${limit}; split the application or its targets`;
  send({ kind: 'refused', id, error: { code: 'FL_RENDER_LIMIT', rule, message, limit, value } }, []);
}

/** Present because child.ts starts this with --expose-gc. */
function collect(): void {
  const gc = 'gc' in globalThis ? globalThis.gc : undefined;
  if (typeof gc === 'function') gc();
}
