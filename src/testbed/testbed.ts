import { mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { FairleadError } from '#base';
import { buildTestbed, type BuildOptions } from './build.ts';
import { startCluster, waitUntil, type Cluster, type ClusterOptions } from './cluster.ts';
import { startProcess } from './process.ts';
import { openTestbedDir } from './testbed-dir.ts';

export interface TestbedOptions {
  /** An empty or absent directory for everything the testbed writes; default: a temporary one, removed at the end. */
  readonly dir?: string;
  /** Stops the testbed when it aborts. */
  readonly signal?: AbortSignal;
  readonly onProgress?: BuildOptions['onProgress'];
}

/** One etcd and the clusters that live in it. `await using` stops all of it and removes its directory. */
export interface Testbed extends AsyncDisposable {
  readonly dir: string;
  /** Path of the testbed's program; see go/main.go for its subcommands. */
  readonly program: string;
  readonly clusters: readonly Cluster[];
  /** Starts a control plane and resolves when it is ready. May be called in parallel. */
  createCluster(options: ClusterOptions): Promise<Cluster>;
  stop(): Promise<void>;
}

/**
 * Builds the program if need be (minutes, the first time) and starts an etcd. Errors: those of buildTestbed, FL_TESTBED_DIR,
 * FL_TESTBED_START (quotes the logs).
 */
export async function startTestbed(options: TestbedOptions = {}): Promise<Testbed> {
  options.signal?.throwIfAborted();
  const program = await buildTestbed({
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const dir = await openTestbedDir(options.dir);
  const socket = join(dir.path, 'etcd.sock');
  const etcd = await startProcess(
    'etcd',
    program,
    ['etcd', `--data-dir=${join(dir.path, 'etcd')}`, `--socket=${socket}`, '--unsafe-no-fsync'],
    join(dir.path, 'etcd.log'),
  );
  const clusters = new Map<string, Promise<Cluster>>();
  const started = new Set<Cluster>();
  let stopping: Promise<void> | undefined;

  const onExit = (): void => {
    // Nothing asynchronous runs any more: kill, then remove, so that nobody writes into what is being removed.
    for (const cluster of started) cluster.killNow();
    etcd.kill('SIGKILL');
    dir.remove();
  };
  process.once('exit', onExit);

  const testbed: Testbed = {
    dir: dir.path,
    program,
    get clusters() {
      return [...started];
    },
    async createCluster(wanted) {
      if (stopping !== undefined) {
        throw new FairleadError('FL_TESTBED_STOPPED', `cluster ${wanted.name} cannot be created: its testbed is stopped`, {
          kind: 'conflict',
        });
      }
      if (clusters.has(wanted.name)) {
        throw new FairleadError('FL_TESTBED_NAME', `the testbed has a cluster named ${wanted.name}; choose another name`, {
          kind: 'conflict',
        });
      }
      const place = { program, dir: join(dir.path, 'clusters', wanted.name), etcdSocket: socket };
      const starting = startCluster(wanted, place, (cluster) => void started.add(cluster));
      clusters.set(wanted.name, starting);
      try {
        return await starting;
      } catch (error) {
        clusters.delete(wanted.name);
        throw error;
      }
    },
    stop() {
      stopping ??= (async () => {
        options.signal?.removeEventListener('abort', onAbort);
        await Promise.all([...started].map((cluster) => cluster.stop()));
        await Promise.allSettled(clusters.values());
        await Promise.all([...started].map((cluster) => cluster.stop()));
        await etcd.stop();
        process.removeListener('exit', onExit);
        dir.remove();
      })();
      return stopping;
    },
    [Symbol.asyncDispose]: () => testbed.stop(),
  };
  const onAbort = (): void => void testbed.stop();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await mkdir(join(dir.path, 'clusters'), { recursive: true });
    await waitUntil(
      'etcd to accept connections',
      () => accepts(socket),
      () => [etcd],
    );
    options.signal?.throwIfAborted();
    return testbed;
  } catch (error) {
    await testbed.stop();
    throw error;
  }
}

/** One cluster on a testbed of its own; disposing the cluster ends both. */
export async function createCluster(options: ClusterOptions & TestbedOptions): Promise<Cluster> {
  const testbed = await startTestbed(options);
  try {
    const cluster = await testbed.createCluster(options);
    return Object.defineProperty(cluster, Symbol.asyncDispose, { value: () => testbed.stop() });
  } catch (error) {
    await testbed.stop();
    throw error;
  }
}

function accepts(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect(socket);
    connection.once('connect', () => {
      connection.destroy();
      resolve(true);
    });
    connection.once('error', () => resolve(false));
  });
}
