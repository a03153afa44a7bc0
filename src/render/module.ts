import { FairleadError } from '#base';
import { createWasiHost, type WasiHost, type WasiOptions } from './wasi.ts';

/** How a run of the module ended. Bytes are the answer as wasm/wire.go writes it, copied out of the module. */
export type ModuleOutcome =
  | {
      readonly ended: 'answer';
      readonly header: unknown;
      readonly bodies: Buffer;
      readonly randomness: boolean;
      readonly memoryBytes: number;
    }
  | {
      /** `depth`: nested so deeply that the call stack ran out; `memory`: at its maximum; `crash`: anything else. */
      readonly ended: 'depth' | 'memory' | 'crash';
      /** What it was parsing, and after about which line. */
      readonly place?: { readonly file: string; readonly line: number };
      readonly memoryBytes: number;
    };

interface RendererExports {
  readonly memory: WebAssembly.Memory;
  readonly _initialize: () => void;
  readonly alloc: (size: number) => number;
  readonly render: () => bigint;
  readonly whereabouts: () => number;
}

/**
 * Runs the module once, in an instance of its own: nothing of one render is left for the next, and everything Go's
 * runtime does at random it does alike in every run.
 */
export function runModule(module: WebAssembly.Module, message: readonly Uint8Array[], options: WasiOptions): ModuleOutcome {
  const host = createWasiHost(module, options);
  const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: host.imports });
  // The shape is that of wasm/main.go; a module without these exports fails at the first call below.
  const exports = instance.exports as unknown as RendererExports;
  host.attach(exports.memory);
  let placeAt = 0;
  try {
    exports._initialize();
    placeAt = exports.whereabouts() >>> 0;
    const size = message.reduce((sum, part) => sum + part.byteLength, 0);
    let at = exports.alloc(size) >>> 0;
    if (at === 0)
      throw new FairleadError('FL_RENDER_HOST', `the module takes no request of ${size} bytes`, { kind: 'too-large' });
    const room = new Uint8Array(exports.memory.buffer);
    for (const part of message) {
      room.set(part, at);
      at += part.byteLength;
    }
    host.started();
    return readAnswer(exports, BigInt.asUintN(64, exports.render()), host);
  } catch (thrown) {
    if (thrown instanceof FairleadError) throw thrown;
    return {
      ended: causeOf(thrown, host.written),
      ...placeOf(exports.memory, placeAt),
      memoryBytes: exports.memory.buffer.byteLength,
    };
  }
}

function readAnswer(exports: RendererExports, packed: bigint, host: WasiHost): ModuleOutcome {
  const at = Number(packed >> 32n);
  const length = Number(packed & 0xffff_ffffn);
  const answer = Buffer.from(exports.memory.buffer, at, length);
  const headerBytes = answer.readUInt32LE(0);
  return {
    ended: 'answer',
    header: JSON.parse(answer.toString('utf8', 4, 4 + headerBytes)) as unknown,
    bodies: Buffer.from(answer.subarray(4 + headerBytes)),
    randomness: host.randomnessAsked,
    memoryBytes: exports.memory.buffer.byteLength,
  };
}

function causeOf(thrown: unknown, written: string): 'depth' | 'memory' | 'crash' {
  if (thrown instanceof RangeError || written.includes('stack overflow') || written.includes('stack exceeds')) return 'depth';
  // Go traps rather than exits once it cannot allocate even its own bookkeeping.
  if (/out of memory|cannot allocate memory/.test(written)) return 'memory';
  return 'crash';
}

/** `parsing` in wasm/main.go: line, length of the name, name. */
function placeOf(memory: WebAssembly.Memory, at: number): { place?: { file: string; line: number } } {
  if (at === 0) return {};
  const data = new DataView(memory.buffer, at, 8);
  const length = Math.min(data.getUint32(4, true), 512);
  if (length === 0) return {};
  return { place: { file: Buffer.from(memory.buffer, at + 8, length).toString('utf8'), line: data.getUint32(0, true) } };
}
