import { FairleadError } from '#base';
import { exportGlobals } from './export-globals.ts';
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

/** Memory that renders before left behind, above which an instance is replaced by a new one. */
const wasteBytes = 16 * 1024 * 1024;

/** As runners take it. Errors: `FL_RENDER_HOST` when the bytes are no module of ours. */
export function compileModule(bytes: Uint8Array): Promise<WebAssembly.Module> {
  return WebAssembly.compile(exportGlobals(bytes));
}

/**
 * Runs a module again and again, each time as if for the first time: nothing of one render is left for the next, and
 * everything Go's runtime does at random it does alike in every run. Starting an instance takes ten times as long as rendering a
 * chart, so one that answered is put back to how it was when it had started: its memory and its globals, which is all there is.
 * One that ended otherwise is thrown away.
 */
export class ModuleRunner {
  readonly #module: WebAssembly.Module;
  #instance: StartedInstance | undefined;
  #isThrownAway = false;

  constructor(module: WebAssembly.Module) {
    this.#module = module;
  }

  run(message: readonly Uint8Array[], options: WasiOptions): ModuleOutcome {
    if (this.#instance?.reset() === false) this.#throwAway();
    const instance = (this.#instance ??= new StartedInstance(this.#module));
    const outcome = instance.run(message, options);
    if (outcome.ended !== 'answer') this.#throwAway();
    // It may have had less room than it is allowed.
    return outcome.ended === 'memory' && instance.wasted > 0 ? this.run(message, options) : outcome;
  }

  /** Wipes what the last render left, as the next run would. True when an instance was thrown away since this was called before. */
  reset(): boolean {
    if (this.#instance?.reset() === false) this.#throwAway();
    const isLess = this.#isThrownAway;
    this.#isThrownAway = false;
    return isLess;
  }

  #throwAway(): void {
    this.#instance = undefined;
    this.#isThrownAway = true;
  }
}

/** An instance after Go's start-up, and how it was then. */
class StartedInstance {
  readonly #exports: RendererExports;
  readonly #host: WasiHost;
  readonly #placeAt: number;
  readonly #memory: Uint8Array;
  readonly #globals: readonly { readonly global: WebAssembly.Global; readonly value: unknown }[];
  #isUsed = false;
  /** Bytes that renders before made it grow by: Go, put back to its start, asks for them anew. */
  wasted = 0;

  constructor(module: WebAssembly.Module) {
    this.#host = createWasiHost(module);
    const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: this.#host.imports });
    // The shape is that of wasm/main.go; a module without these exports fails at the first call below.
    this.#exports = instance.exports as unknown as RendererExports;
    this.#host.attach(this.#exports.memory);
    this.#exports._initialize();
    this.#placeAt = this.#exports.whereabouts() >>> 0;
    this.#memory = new Uint8Array(this.#exports.memory.buffer).slice();
    this.#globals = Object.values(instance.exports)
      .filter((one) => one instanceof WebAssembly.Global)
      .map((global) => ({ global, value: global.value as unknown }));
  }

  run(message: readonly Uint8Array[], options: WasiOptions): ModuleOutcome {
    const { memory, alloc, render } = this.#exports;
    this.#isUsed = true;
    this.#host.started(options);
    try {
      const size = message.reduce((sum, part) => sum + part.byteLength, 0);
      let at = alloc(size) >>> 0;
      if (at === 0)
        throw new FairleadError('FL_RENDER_HOST', `the module takes no request of ${size} bytes`, { kind: 'too-large' });
      const room = new Uint8Array(memory.buffer);
      for (const part of message) {
        room.set(part, at);
        at += part.byteLength;
      }
      return readAnswer(this.#exports, BigInt.asUintN(64, render()), this.#host);
    } catch (thrown) {
      if (thrown instanceof FairleadError) throw thrown;
      return {
        ended: causeOf(thrown, this.#host.written),
        ...placeOf(memory, this.#placeAt),
        memoryBytes: memory.buffer.byteLength,
      };
    }
  }

  /** False when it has grown too much to be worth it. */
  reset(): boolean {
    if (!this.#isUsed) return true;
    const all = new Uint8Array(this.#exports.memory.buffer);
    this.wasted = all.byteLength - this.#memory.byteLength;
    if (this.wasted > wasteBytes) return false;
    all.set(this.#memory);
    all.fill(0, this.#memory.byteLength);
    for (const { global, value } of this.#globals) if (global.value !== value) global.value = value;
    this.#isUsed = false;
    return true;
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
