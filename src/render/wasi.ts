import { createHmac } from 'node:crypto';
import { FairleadError } from '#base';

/**
 * The host of the renderer module: the few `wasi_snapshot_preview1` functions that a Go program links, and nothing
 * behind them. No file, no socket, no environment, no argument but a name. The clock stands at a given time, sleeping takes no
 * time, random bytes are a function of a seed.
 * Source: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
 */
export interface WasiHost {
  readonly imports: WebAssembly.ModuleImports;
  /** Must be called with the instance's memory before anything in it runs. */
  attach(memory: WebAssembly.Memory): void;
  /**
   * Ends start-up. Until then random bytes are the same for everybody: Go seeds its map iteration and math/rand with
   * them, which no read set records. From then on they come from the seed and are recorded. Called again for every render of
   * an instance that is put back to where its start-up ended.
   */
  started(options: WasiOptions): void;
  /** Whether random bytes were asked for since the last `started`. */
  readonly randomnessAsked: boolean;
  /** What was written to standard output and error since then, cut at 8 KiB. For telling why the module died, not for people. */
  readonly written: string;
}

export interface WasiOptions {
  readonly timeMs: number;
  /** Hex. */
  readonly seed: string;
}

/** The module ended itself; Go does that with code 2 on a fatal error. */
export class ModuleExit extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`the module ended itself with code ${exitCode}`);
    this.exitCode = exitCode;
  }
}

const SUCCESS = 0;
const EBADF = 8;
const EINVAL = 28;
const ENOSYS = 52;
const writtenCap = 8_192;
const programName = Buffer.from('render\0');

export function createWasiHost(module: WebAssembly.Module): WasiHost {
  let memory: WebAssembly.Memory | undefined;
  let monotonicNs = 1_000_000_000n;
  /** Where the monotonic clock stood at the end of the start-up. */
  let startedNs: bigint | undefined;
  let realNs = 0n;
  let randomnessAsked = false;
  let written = '';
  let stream = randomStream(Buffer.alloc(32));

  function view(): DataView {
    if (memory === undefined)
      throw new FairleadError('FL_RENDER_HOST', 'the module ran before its memory was attached', { kind: 'internal' });
    return new DataView(memory.buffer);
  }

  function none(countAt: number, bytesAt: number): number {
    const data = view();
    data.setUint32(countAt, 0, true);
    data.setUint32(bytesAt, 0, true);
    return SUCCESS;
  }

  const offered: Record<string, (...args: never[]) => number> = {
    // One argument, as every program has: libraries look for the name of their program.
    args_get(vectorAt: number, bytesAt: number): number {
      const data = view();
      data.setUint32(vectorAt, bytesAt, true);
      Buffer.from(data.buffer, bytesAt, programName.length).set(programName);
      return SUCCESS;
    },
    args_sizes_get(countAt: number, bytesAt: number): number {
      const data = view();
      data.setUint32(countAt, 1, true);
      data.setUint32(bytesAt, programName.length, true);
      return SUCCESS;
    },
    environ_get: () => SUCCESS,
    environ_sizes_get: none,
    sched_yield: () => SUCCESS,
    clock_time_get(id: number, _precision: bigint, at: number): number {
      if (id > 1) return EINVAL;
      // A microsecond per look keeps Go's own bookkeeping from dividing by nothing, and stays the same in every run.
      if (id === 1) monotonicNs += 1_000n;
      view().setBigUint64(at, id === 0 ? realNs : monotonicNs, true);
      return SUCCESS;
    },
    random_get(at: number, length: number): number {
      if (startedNs !== undefined) randomnessAsked = true;
      stream(new Uint8Array(view().buffer, at, length));
      return SUCCESS;
    },
    fd_write(fd: number, vectors: number, count: number, writtenAt: number): number {
      if (fd !== 1 && fd !== 2) return EBADF;
      const data = view();
      let total = 0;
      for (let i = 0; i < count; i++) {
        const at = data.getUint32(vectors + 8 * i, true);
        const length = data.getUint32(vectors + 8 * i + 4, true);
        total += length;
        const room = Math.min(length, writtenCap - written.length);
        if (room > 0) written += Buffer.from(data.buffer, at, room).toString('latin1');
      }
      data.setUint32(writtenAt, total, true);
      return SUCCESS;
    },
    poll_oneoff(subscriptions: number, events: number, count: number, countAt: number): number {
      const data = view();
      let longest = 0n;
      for (let i = 0; i < count; i++) {
        const from = subscriptions + 48 * i;
        const to = events + 32 * i;
        const isClock = data.getUint8(from + 8) === 0;
        const timeout = isClock ? data.getBigUint64(from + 24, true) : 0n;
        const isAbsolute = isClock && (data.getUint16(from + 40, true) & 1) === 1;
        const wait = isAbsolute ? timeout - monotonicNs : timeout;
        if (wait > longest) longest = wait;
        data.setBigUint64(to, data.getBigUint64(from, true), true);
        data.setUint16(to + 8, isClock ? SUCCESS : EBADF, true);
        data.setUint8(to + 10, data.getUint8(from + 8));
      }
      // Whoever sleeps wakes at once, having slept.
      monotonicNs += longest;
      data.setUint32(countAt, count, true);
      return SUCCESS;
    },
    proc_exit(code: number): number {
      throw new ModuleExit(code);
    },
  };

  const imports: Record<string, WebAssembly.ImportValue> = {};
  for (const wanted of WebAssembly.Module.imports(module)) {
    if (wanted.module !== 'wasi_snapshot_preview1' || wanted.kind !== 'function') {
      throw new FairleadError('FL_RENDER_HOST', `the module wants ${wanted.module}.${wanted.name}, which is not offered`, {
        kind: 'internal',
      });
    }
    // Everything about files is answered as if there were none.
    imports[wanted.name] = offered[wanted.name] ?? ((): number => (wanted.name.startsWith('fd_') ? EBADF : ENOSYS));
  }

  return {
    imports,
    attach(instanceMemory) {
      memory = instanceMemory;
    },
    started({ timeMs, seed }) {
      monotonicNs = startedNs ??= monotonicNs;
      // Until now the time was nobody's: libraries seed generators with it, which no read set records.
      realNs = BigInt(timeMs) * 1_000_000n;
      stream = randomStream(Buffer.from(seed, 'hex'));
      randomnessAsked = false;
      written = '';
    },
    get randomnessAsked() {
      return randomnessAsked;
    },
    get written() {
      return written;
    },
  };
}

/** HMAC-SHA256(key, 0), HMAC-SHA256(key, 1), … as one stream of bytes. */
function randomStream(key: Buffer): (into: Uint8Array) => void {
  let counter = 0n;
  let left = Buffer.alloc(0);
  return (into) => {
    let at = 0;
    while (at < into.length) {
      if (left.length === 0) {
        const block = Buffer.alloc(8);
        block.writeBigUInt64BE(counter);
        counter += 1n;
        left = createHmac('sha256', key).update(block).digest();
      }
      const piece = left.subarray(0, into.length - at);
      into.set(piece, at);
      at += piece.length;
      left = left.subarray(piece.length);
    }
  };
}
