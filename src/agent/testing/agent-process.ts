import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { buildAgent } from '../build.ts';
import type { Lab } from './harness.ts';

export interface AgentProcess {
  readonly child: ChildProcess;
  readonly errors: string[];
  kill(signal?: NodeJS.Signals): Promise<void>;
}

/** The shipped bundle in a process of its own, with its state in a directory unless `more` names a Secret. */
export async function startProcess(lab: Lab, token: string, more: readonly string[] = []): Promise<AgentProcess> {
  const file = await buildAgent();
  const args = [
    '--plane',
    lab.plane.url,
    '--join',
    token,
    '--kubeconfig',
    lab.cluster.kubeconfig,
    '--namespace',
    lab.agentNamespace,
  ];
  if (!more.includes('--state-secret')) args.push('--state-dir', join(lab.stateDir, 'process'));
  const child = spawn(process.execPath, [file, ...args, ...more], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {},
  });
  const errors: string[] = [];
  child.stderr?.on('data', (chunk: Buffer) => void errors.push(chunk.toString()));
  return {
    child,
    errors,
    async kill(signal = 'SIGKILL') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill(signal);
      await ended;
    },
  };
}
