import { spawn } from 'node:child_process';
import { FairleadError } from './errors.ts';

export interface ExecOptions {
  readonly cwd?: string;
  /** The whole environment of the child; nothing is inherited. */
  readonly env: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Bytes of standard output after which the child is killed. */
  readonly maxOutputBytes: number;
  readonly input?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: Buffer;
  /** At most the last 16 KiB. */
  readonly stderr: string;
}

/**
 * Runs a program without a shell, in a process group of its own that is killed whole at the deadline, on abort and when
 * its output passes the cap. A non-zero exit is a result; not starting, a time-out and an overflow are errors.
 */
export function exec(file: string, args: readonly string[], options: ExecOptions): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const out: Buffer[] = [];
    let outBytes = 0;
    let stderr = '';
    let failure: FairleadError | undefined;
    const kill = (error: FairleadError): void => {
      failure ??= error;
      if (child.pid === undefined) return;
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    };
    const timer = setTimeout(
      () =>
        kill(new FairleadError('FL_EXEC_TIMEOUT', `${file} did not end within ${options.timeoutMs} ms`, { kind: 'unavailable' })),
      options.timeoutMs,
    );
    const onAbort = (): void => kill(new FairleadError('FL_EXEC_CANCELLED', `${file} was cancelled`, { kind: 'cancelled' }));
    options.signal?.addEventListener('abort', onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
    child.stdout.on('data', (chunk: Buffer) => {
      outBytes += chunk.length;
      if (outBytes > options.maxOutputBytes) {
        kill(
          new FairleadError('FL_EXEC_OUTPUT', `${file} wrote more than ${options.maxOutputBytes} bytes`, {
            kind: 'too-large',
            retryable: false,
          }),
        );
      } else out.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString('utf8')).slice(-16_384);
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input);
    const done = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    };
    child.on('error', (cause) => {
      done();
      reject(
        new FairleadError('FL_EXEC_START', `cannot start ${file}: ${cause.message}; install it or put it on PATH`, {
          kind: 'unavailable',
          retryable: false,
          cause,
        }),
      );
    });
    child.on('close', (code) => {
      done();
      if (failure !== undefined) reject(failure);
      else resolve({ exitCode: code ?? -1, stdout: Buffer.concat(out), stderr });
    });
  });
}
