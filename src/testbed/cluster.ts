import { join } from 'node:path';
import { FairleadError, waitFor } from '#base';
import {
  apiServerArgs,
  controllerManagerArgs,
  schedulerArgs,
  simulatedNodesArgs,
  writeControlPlaneFiles,
} from './control-plane.ts';
import { clusterHandle, type ClusterHandle, type ClusterRecord } from './handle.ts';
import { choosePort } from './ports.ts';
import { assertRunning, startProcess, type ServerProcess } from './process.ts';

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
  /** SIGSTOP: the API server still accepts connections, and answers nothing. */
  pause(): void;
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
  let processes: ServerProcess[] = [];

  const start = async (args: readonly string[]): Promise<void> => {
    const part = args[0] ?? '';
    processes.push(await startProcess(part, place.program, args, join(place.dir, `${part}.log`)));
  };
  const until = (what: string, probe: () => Promise<boolean>): Promise<void> =>
    waitUntil(`cluster ${name}: ${what}`, probe, () => processes);

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
      await start(apiServerArgs(place.dir, { name, port, etcdSocket: place.etcdSocket }));
      await until(
        'the API server is ready',
        async () => (await handle.request('GET', '/readyz', { timeoutMs: 5_000 })).status === 200,
      );
      await start(controllerManagerArgs(place.dir));
      if (options.nodes === 'simulated') {
        await start(simulatedNodesArgs(place.dir, options.nodeCount ?? 2));
        await start(schedulerArgs(place.dir));
      }
      await until('namespace default has its service account', async () => {
        const answer = await handle.request('GET', '/api/v1/namespaces/default/serviceaccounts/default', { timeoutMs: 5_000 });
        return answer.status === 200;
      });
      if (options.nodes === 'simulated') {
        await until('its nodes can be scheduled on', () => hasReadyNodes(handle, options.nodeCount ?? 2));
      }
    },
    pause() {
      for (const one of processes) one.kill('SIGSTOP');
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

/** Polls until it is so; fails at once, quoting the log, when one of the processes has ended. */
export async function waitUntil(
  what: string,
  probe: () => Promise<boolean>,
  running: () => readonly ServerProcess[],
): Promise<void> {
  const outcome = await waitFor<'so' | 'ended'>(
    what,
    async () => {
      if (running().some((one) => one.hasEnded())) return 'ended';
      return (await probe()) && 'so';
    },
    { timeoutMs: READY_TIMEOUT_MS, intervalMs: 50 },
  );
  if (outcome === 'ended') assertRunning(running(), what);
}
