import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { FairleadError } from '#base';

/** A program of ours as a process of its own, writing to a log file. It ends when our end of its standard input closes. */
export interface Child {
  readonly pid: number;
  readonly log: string;
  readonly exited: Promise<number | null>;
  isRunning(): boolean;
  /** SIGTERM, SIGKILL after `graceMs`; resolves when it is gone. */
  stop(graceMs?: number): Promise<void>;
}

/** `args` as Node takes them: flags, then the program, then its own arguments. */
export function startChild(args: readonly string[], log: string, env: Readonly<Record<string, string>> = {}): Child {
  const file = openSync(log, 'a', 0o600);
  const child: ChildProcess = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...args], {
    stdio: ['pipe', file, file],
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', FAIRLEAD_EXIT_WITH_STDIN: '1', ...env },
  });
  closeSync(file);
  const { pid } = child;
  if (pid === undefined) throw new FairleadError('FL_DEMO_START', `cannot start node ${args.join(' ')}`, { kind: 'internal' });
  let running = true;
  const exited = new Promise<number | null>((resolve) => {
    child.on('exit', (code) => {
      running = false;
      resolve(code);
    });
  });
  child.stdin?.on('error', () => undefined);
  return {
    pid,
    log,
    exited,
    isRunning: () => running,
    async stop(graceMs = 10_000) {
      if (!running) return;
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** The last lines of a child's log, for error messages. */
export function tailOf(log: string, lines = 12): string {
  return readFileSync(log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
}
