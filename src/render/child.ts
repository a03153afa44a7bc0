import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { FairleadError, messageOf, type Clock, type Log } from '#base';
import { smallModuleOf } from './build.ts';
import { cpuMsOf } from './cpu-time.ts';
import { encodeFrame, FrameReader } from './frame.ts';
import type { RenderLimits } from './limits.ts';
import type { ChildAnswer, ChildRequest } from './protocol.ts';

export interface ChildOptions {
  readonly wasmPath: string;
  readonly limits: RenderLimits;
  readonly log: Log;
  readonly clock: Clock;
}

/** How many times its deadline a render may take by the clock. */
const clockFactor = 4;

export type ChildOutcome =
  | { readonly ended: 'answer'; readonly answer: ChildAnswer; readonly body: Buffer }
  | { readonly ended: 'deadline' | 'cancelled' | 'exit' | 'protocol' };

const here = dirname(fileURLToPath(import.meta.url));
/** The child reads its own sources, the packages they import and the module; nothing else on the machine. */
const packageRoot = join(here, '..', '..');

/**
 * One renderer process. It has no environment, may read only Fairlead's own files and open nothing else, takes one
 * request at a time and is killed, not asked, when it has to go.
 */
export class RendererChild {
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #options: ChildOptions;
  readonly #reader: FrameReader;
  /** Resolves when the module is compiled; rejects `FL_RENDER_CHILD_START`. */
  readonly ready: Promise<void>;
  /** The project it serves; a child never serves a second one. */
  project: string | undefined;
  renders = 0;
  /** Renders since it last changed hands, for the pool's fairness. */
  turn = 0;
  #isAlive = true;
  #stderr = '';
  #nextId = 1;
  #onFrame: (answer: ChildAnswer, body: Buffer) => void = () => undefined;
  #onEnd: (ended: 'exit' | 'protocol') => void = () => undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    const { limits } = options;
    this.#reader = new FrameReader({ headerBytes: limits.headerBytes, bodyBytes: limits.outputBytes });
    this.#process = spawn(
      process.execPath,
      [...flagsOf(options), join(here, 'worker.ts'), options.wasmPath, String(process.pid)],
      {
        env: {},
        cwd: '/',
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    );
    this.#process.stdin.on('error', () => undefined);
    this.#process.stdout.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#process.stderr.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString('utf8')).slice(-2_048);
    });
    this.#process.on('error', () => this.#end('exit'));
    this.#process.on('close', () => this.#end('exit'));
    this.ready = this.#start();
    this.ready.catch(() => undefined);
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  kill(): void {
    this.#process.kill('SIGKILL');
    this.#end('exit');
  }

  /** Hands over one request and waits for its answer, the deadline or the signal; after either of the latter it is dead. */
  async run(request: Omit<ChildRequest, 'id'>, files: readonly Uint8Array[], signal: AbortSignal): Promise<ChildOutcome> {
    const id = this.#nextId++;
    this.renders += 1;
    this.turn += 1;
    const timer = new AbortController();
    try {
      return await new Promise<ChildOutcome>((resolve) => {
        const give = (ended: 'deadline' | 'cancelled'): void => {
          resolve({ ended });
          this.kill();
        };
        this.#onEnd = (ended) => resolve({ ended });
        this.#onFrame = (answer, body) => {
          if (answer.kind !== 'ready' && answer.id === id) resolve({ ended: 'answer', answer, body });
        };
        if (!this.#isAlive) return resolve({ ended: 'exit' });
        if (signal.aborted) return resolve({ ended: 'cancelled' });
        signal.addEventListener('abort', () => give('cancelled'), { once: true, signal: timer.signal });
        this.#untilDeadline(timer.signal).then(
          () => give('deadline'),
          () => undefined,
        );
        for (const part of encodeFrame({ id, ...request }, files)) this.#process.stdin.write(part);
      });
    } finally {
      this.#onFrame = () => undefined;
      this.#onEnd = () => undefined;
      timer.abort();
    }
  }

  /**
   * Resolves when the render has had `deadlineMs` of processor time, or a multiple of it by the clock: a good render on a busy
   * machine is not to blame, and what sleeps or hangs ends too. Where the system does not tell, the clock alone counts.
   */
  async #untilDeadline(signal: AbortSignal): Promise<void> {
    const { clock, limits } = this.#options;
    const used = (): number | undefined => (this.pid === undefined ? undefined : cpuMsOf(this.pid));
    const startedAt = clock.monotonic();
    const before = used();
    let waitMs = limits.deadlineMs;
    for (;;) {
      await clock.sleep(waitMs, signal);
      const now = used();
      if (before === undefined || now === undefined) return;
      const elapsedMs = clock.monotonic() - startedAt;
      const leftMs = Math.min(limits.deadlineMs - (now - before), limits.deadlineMs * clockFactor - elapsedMs);
      if (leftMs <= 0) return;
      waitMs = Math.max(leftMs, 50);
    }
  }

  #start(): Promise<void> {
    const { clock, limits } = this.#options;
    const timer = new AbortController();
    return new Promise<void>((resolve, reject) => {
      const fail = (what: string): void => {
        // Nothing of any project has reached the child yet, so its words may be repeated.
        const said = this.#stderr.trim().split('\n').slice(0, 6).join(' ');
        const words = said === '' ? '' : `: ${said}`;
        reject(
          new FairleadError('FL_RENDER_CHILD_START', `a renderer process ${what}${words}`, {
            kind: 'unavailable',
          }),
        );
      };
      this.#onEnd = () => fail('ended while it started');
      this.#onFrame = (answer) => {
        if (answer.kind === 'ready') resolve();
      };
      clock.sleep(limits.startMs, timer.signal).then(
        () => {
          fail(`was not ready within ${limits.startMs} ms`);
          this.kill();
        },
        () => undefined,
      );
    }).finally(() => timer.abort());
  }

  #take(chunk: Buffer): void {
    try {
      for (const frame of this.#reader.push(chunk)) {
        // The worker of this very version writes them; what it relays of the module is checked in renderer.ts.
        this.#onFrame(frame.header as ChildAnswer, frame.body);
      }
    } catch (error) {
      this.#options.log.error({ error: messageOf(error), pid: this.pid }, 'renderer child broke the protocol; killing it');
      this.#end('protocol');
      this.kill();
    }
  }

  #end(ended: 'exit' | 'protocol'): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#onEnd(ended);
  }
}

function flagsOf(options: ChildOptions): string[] {
  const { limits } = options;
  return [
    `--wasm-max-mem-pages=${limits.memoryPages}`,
    `--max-old-space-size=${limits.oldSpaceMiB}`,
    '--expose-gc',
    '--disallow-code-generation-from-strings',
    '--disable-proto=delete',
    '--no-warnings',
    // Node's permission model: no writing, no child processes, no add-ons, reading only these.
    '--permission',
    `--allow-fs-read=${packageRoot}`,
    `--allow-fs-read=${options.wasmPath}`,
    `--allow-fs-read=${smallModuleOf(options.wasmPath)}`,
    // For the watchdog in worker.ts.
    '--allow-worker',
  ];
}
