import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { FairleadError, must } from '#base';

export interface ServerProcess {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  hasEnded(): boolean;
  kill(signal: NodeJS.Signals): void;
  /** Kills it and resolves when the kernel has reaped it. */
  stop(): Promise<void>;
  /** The end of its log, for an error message. */
  lastLines(): string;
}

/**
 * Starts a server of the testbed's program. It ends when this process does, because it holds the read end of a pipe whose
 * only write end is ours. It does not keep this process's event loop alive.
 */
export async function startProcess(
  name: string,
  program: string,
  args: readonly string[],
  logFile: string,
): Promise<ServerProcess> {
  const log = openSync(logFile, 'a', 0o600);
  // A group of its own: Ctrl-C in a terminal reaches us, and we decide what ends when.
  const child = spawn(program, args, { stdio: ['pipe', log, log], detached: true, env: { PATH: process.env['PATH'] ?? '' } });
  closeSync(log);
  const stdin = must(child.stdin, 'a piped standard input');
  stdin.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) =>
      reject(
        new FairleadError('FL_TESTBED_START', `${name} cannot be started from ${program}: ${cause.message}`, {
          kind: 'unavailable',
          cause,
        }),
      ),
    );
  });
  child.on('error', () => undefined);
  child.unref();
  if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    name,
    pid: must(child.pid, 'a started process has a pid'),
    logFile,
    hasEnded,
    kill: (signal) => void child.kill(signal),
    async stop() {
      if (hasEnded()) return;
      child.ref();
      child.kill('SIGKILL');
      await ended;
    },
    lastLines: () => lastLinesOf(logFile),
  };
}

function lastLinesOf(logFile: string): string {
  const file = openSync(logFile, 'r');
  try {
    const { size } = fstatSync(file);
    const tail = Buffer.alloc(Math.min(size, 8_192));
    readSync(file, tail, 0, tail.length, size - tail.length);
    return tail.toString('utf8').trimEnd().split('\n').slice(-8).join('\n');
  } finally {
    closeSync(file);
  }
}
