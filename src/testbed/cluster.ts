import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FairleadError, messageOf, waitFor } from '#base';
import {
  apiServerArgs,
  controllerManagerArgs,
  schedulerArgs,
  simulatedNodesArgs,
  writeControlPlaneFiles,
} from './control-plane.ts';
import { clusterHandle, type ClusterHandle, type ClusterRecord } from './handle.ts';
import { choosePort } from './ports.ts';
import { startProcess, type ServerProcess } from './process.ts';

export interface ClusterOptions {
  /** A DNS label; also the cluster's prefix in etcd. */
  readonly name: string;
  /** `none`: pods stay Pending. `simulated`: nodes are ready, pods run at once, and nothing runs (docs/adr/0001-testbed.md). */
  readonly nodes: 'none' | 'simulated';
  /** Default 2. */
  readonly nodeCount?: number;
}

/** A control plane of our own, with the power to stop it. `await using` stops it. */
export interface Cluster extends ClusterHandle, AsyncDisposable {
  /** Process ids by part; empty while stopped. */
  readonly pids: Readonly<Record<string, number>>;
  readonly record: ClusterRecord;
  /** Ends every process of the control plane at once, as a power cut would; its data stays. */
  stop(): Promise<void>;
  /** Stops it if it runs, and starts it again on the same port with the same data; resolves when it is ready. */
  restart(): Promise<void>;
  /** SIGSTOP, in force when it resolves (on Linux): the API server still accepts connections, and answers nothing. */
  pause(): Promise<void>;
  resume(): void;
  /** Kills without waiting; for the moment this process exits. */
  killNow(): void;
}

export interface ClusterPlace {
  readonly program: string;
  readonly dir: string;
  readonly etcdSocket: string;
}

const READY_TIMEOUT_MS = 120_000;

/** Starts a control plane; `onPrepared` learns of it before its first process runs, so that its owner can end it early. */
export async function startCluster(
  options: ClusterOptions,
  place: ClusterPlace,
  onPrepared: (cluster: Cluster) => void,
): Promise<Cluster> {
  if (!/^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$/.test(options.name)) {
    throw new FairleadError('FL_TESTBED_NAME', `cluster name "${options.name}" is no DNS label of at most 42 characters`, {
      kind: 'invalid',
    });
  }
  for (let attempt = 1; ; attempt += 1) {
    const cluster = await prepareCluster(options, place);
    onPrepared(cluster);
    try {
      await cluster.restart();
      return cluster;
    } catch (error) {
      await cluster.stop();
      const isCollision = error instanceof Error && error.message.includes('address already in use');
      if (!isCollision || attempt === 3) throw error;
    }
  }
}

async function prepareCluster(options: ClusterOptions, place: ClusterPlace): Promise<Cluster> {
  const { name } = options;
  const port = await choosePort();
  const files = await writeControlPlaneFiles(place.dir, name, port);
  const record: ClusterRecord = {
    name,
    server: `https://127.0.0.1:${port}`,
    caFile: files.caFile,
    adminToken: files.adminToken,
    kubeconfig: files.adminKubeconfig,
    auditLog: files.auditLog,
  };
  const handle = clusterHandle(record, place.program);
  // Replaced by each stop and each start, so that a start that was overtaken by a stop notices and ends what it started.
  let processes: ServerProcess[] = [];

  const cluster: Cluster = {
    ...handle,
    record,
    get pids() {
      return Object.fromEntries(processes.map((one) => [one.name, one.pid]));
    },
    async stop() {
      const ending = processes;
      processes = [];
      await Promise.all(ending.map((one) => one.stop()));
    },
    async restart() {
      await cluster.stop();
      const mine: ServerProcess[] = [];
      processes = mine;
      const assertNotStopped = (): void => {
        if (processes === mine) return;
        throw new FairleadError('FL_TESTBED_STOPPED', `cluster ${name} was stopped while it was starting`, { kind: 'cancelled' });
      };
      const start = async (args: readonly string[]): Promise<void> => {
        assertNotStopped();
        const part = args[0] ?? '';
        const started = await startProcess(part, place.program, args, join(place.dir, `${part}.log`));
        if (processes !== mine) await started.stop();
        assertNotStopped();
        mine.push(started);
      };
      const until = async (what: string, probe: () => Promise<boolean>): Promise<void> => {
        try {
          await waitUntil(`cluster ${name}: ${what}`, probe, () => mine);
        } catch (error) {
          assertNotStopped();
          throw error;
        }
      };
      await start(apiServerArgs(place.dir, { name, port, etcdSocket: place.etcdSocket }));
      await until('the API server is ready', () => isFound(handle, '/readyz'));
      await start(controllerManagerArgs(place.dir));
      if (options.nodes === 'simulated') {
        await start(simulatedNodesArgs(place.dir, options.nodeCount ?? 2));
        await start(schedulerArgs(place.dir));
      }
      await until('namespace default has its service account', () =>
        isFound(handle, '/api/v1/namespaces/default/serviceaccounts/default'),
      );
      if (options.nodes === 'simulated') {
        await until('its nodes can be scheduled on', () => hasReadyNodes(handle, options.nodeCount ?? 2));
      }
    },
    async pause() {
      const stopping = processes;
      for (const one of stopping) one.kill('SIGSTOP');
      await waitFor(`cluster ${name} to stand still`, () => stopping.every(isStandingStill), { timeoutMs: 5_000, intervalMs: 2 });
    },
    resume() {
      for (const one of processes) one.kill('SIGCONT');
    },
    killNow() {
      for (const one of processes) one.kill('SIGKILL');
    },
    [Symbol.asyncDispose]: () => cluster.stop(),
  };
  return cluster;
}

/** Whether SIGSTOP has reached it: the kernel delivers it a moment after kill() returns. Elsewhere than on Linux, presumed. */
function isStandingStill(one: ServerProcess): boolean {
  if (process.platform !== 'linux' || one.hasEnded()) return true;
  return /\) T /.test(readFileSync(`/proc/${one.pid}/stat`, 'utf8'));
}

async function isFound(handle: ClusterHandle, path: string): Promise<boolean> {
  return (await handle.request('GET', path, { timeoutMs: 5_000 })).status === 200;
}

interface NodeList {
  readonly items: readonly {
    readonly spec: { readonly taints?: readonly unknown[] };
    readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
  }[];
}

async function hasReadyNodes(handle: ClusterHandle, count: number): Promise<boolean> {
  const answer = await handle.request('GET', '/api/v1/nodes', { timeoutMs: 5_000 });
  if (answer.status !== 200) return false;
  const { items } = answer.json() as NodeList; // the API server's own NodeList
  const ready = items.filter(
    (node) =>
      (node.spec.taints ?? []).length === 0 &&
      (node.status.conditions ?? []).some((one) => one.type === 'Ready' && one.status === 'True'),
  );
  return ready.length >= count;
}

/** Polls until it is so; fails, quoting the logs, at once when one of the processes has ended. Errors: FL_TESTBED_START. */
export async function waitUntil(
  what: string,
  probe: () => Promise<boolean>,
  running: () => readonly ServerProcess[],
): Promise<void> {
  let gone: ServerProcess | undefined;
  try {
    await waitFor(
      what,
      async () => {
        gone = running().find((one) => one.hasEnded());
        return gone !== undefined || (await probe());
      },
      { timeoutMs: READY_TIMEOUT_MS, intervalMs: 50 },
    );
  } catch (cause) {
    throw new FairleadError('FL_TESTBED_START', `${messageOf(cause)}\n${quoteLogs(running())}`, { kind: 'unavailable', cause });
  }
  if (gone === undefined) return;
  throw new FairleadError('FL_TESTBED_START', `${gone.name} ended while waiting for ${what}\n${quoteLogs([gone])}`, {
    kind: 'unavailable',
  });
}

function quoteLogs(processes: readonly ServerProcess[]): string {
  return processes.map((one) => `${one.logFile} ends with:\n${one.lastLines()}`).join('\n');
}
