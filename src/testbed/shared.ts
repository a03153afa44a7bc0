import { readFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FairleadError, newUid } from '#base';
import { clusterHandle, type ClusterHandle, type ClusterRecord } from './handle.ts';
import { startTestbed, type Testbed, type TestbedOptions } from './testbed.ts';

/** Names the file that lets other processes use a running testbed. */
export const SHARED_TESTBED_VARIABLE = 'FAIRLEAD_TESTBED';

interface TestbedRecord {
  readonly program: string;
  readonly pid: number;
  readonly clusters: readonly (ClusterRecord & { readonly pids: Readonly<Record<string, number>> })[];
}

export interface SharedTestbed extends AsyncDisposable {
  /** Path of testbed.json (mode 0600: it holds administrator tokens). */
  readonly file: string;
  readonly testbed: Testbed;
  /** What to add to the environment of processes that shall use it. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export interface SharedTestbedOptions extends TestbedOptions {
  readonly clusters: readonly string[];
  readonly nodes: 'none' | 'simulated';
  readonly nodeCount?: number;
}

/** Starts a testbed with these clusters, in parallel, and writes testbed.json and a `kubectl` script into its directory. */
export async function startShared(options: SharedTestbedOptions): Promise<SharedTestbed> {
  const testbed = await startTestbed(options);
  try {
    const clusters = await Promise.all(
      options.clusters.map((name) =>
        testbed.createCluster({
          name,
          nodes: options.nodes,
          ...(options.nodeCount === undefined ? {} : { nodeCount: options.nodeCount }),
        }),
      ),
    );
    const record: TestbedRecord = {
      program: testbed.program,
      pid: process.pid,
      clusters: clusters.map((cluster) => ({ ...cluster.record, pids: cluster.pids })),
    };
    const file = join(testbed.dir, 'testbed.json');
    await mkdir(testbed.dir, { recursive: true });
    await writeFile(file, `${JSON.stringify(record, undefined, 2)}\n`, { mode: 0o600 });
    const script = join(testbed.dir, 'kubectl');
    await writeFile(script, `#!/bin/sh\nexec '${testbed.program}' kubectl "$@"\n`);
    await chmod(script, 0o755);
    const stop = (): Promise<void> => testbed.stop();
    return { file, testbed, env: { [SHARED_TESTBED_VARIABLE]: file }, stop, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await testbed.stop();
    throw error;
  }
}

/** Why this machine cannot run control planes, set by what prepares a test run. */
export const TESTBED_MISSING_VARIABLE = 'FAIRLEAD_TESTBED_MISSING';

/** For `test(name, {skip: testbedMissing()}, …)`: false where control planes can run, else the reason they cannot. */
export function testbedMissing(): string | false {
  const reason = process.env[TESTBED_MISSING_VARIABLE];
  return reason === undefined || reason === '' ? false : reason;
}

let own: Promise<Testbed> | undefined;
const ownClusters = new Map<string, Promise<ClusterHandle>>();

/**
 * A cluster with simulated nodes for a test file: one of the testbed that FAIRLEAD_TESTBED names, or else of one that this
 * process starts at the first call and that ends with it. Tests share it: keep to a namespace of your own.
 */
export async function sharedCluster(name: 'a' | 'b' | 'c' = 'a'): Promise<ClusterHandle> {
  const file = process.env[SHARED_TESTBED_VARIABLE];
  if (file !== undefined && file !== '') return attach(file, name);
  own ??= startTestbed({ onProgress: (line) => void process.stderr.write(`${line}\n`) });
  const testbed = await own;
  const existing = ownClusters.get(name);
  if (existing !== undefined) return await existing;
  const starting = testbed.createCluster({ name, nodes: 'simulated' });
  ownClusters.set(name, starting);
  return await starting;
}

function attach(file: string, name: string): ClusterHandle {
  const record = readRecord(file);
  const cluster = record.clusters.find((one) => one.name === name);
  if (cluster === undefined) {
    throw new FairleadError('FL_TESTBED_NAME', `the testbed in ${file} has no cluster named ${name}; start it with one`, {
      kind: 'not-found',
    });
  }
  return clusterHandle(cluster, record.program);
}

function readRecord(file: string): TestbedRecord {
  try {
    // Written by startShared of the same version.
    const record = JSON.parse(readFileSync(file, 'utf8')) as TestbedRecord;
    process.kill(record.pid, 0);
    return record;
  } catch (cause) {
    throw new FairleadError(
      'FL_TESTBED_GONE',
      `${SHARED_TESTBED_VARIABLE} names ${file}, and no testbed runs there; start it again or unset the variable`,
      { kind: 'unavailable', retryable: false, cause },
    );
  }
}

export interface UniqueNamespace extends AsyncDisposable {
  readonly name: string;
}

/** Creates the namespace `<prefix>-<random>`; disposing it asks for its deletion and does not wait for the end of it. */
export async function uniqueNamespace(cluster: ClusterHandle, prefix: string): Promise<UniqueNamespace> {
  const name = `${prefix}-${newUid().slice(0, 8)}`;
  const created = await cluster.request('POST', '/api/v1/namespaces', {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
  });
  if (created.status !== 201) {
    throw new FairleadError('FL_TESTBED_REQUEST', `namespace ${name} on cluster ${cluster.name} was refused: ${created.text}`, {
      kind: 'invalid',
    });
  }
  return {
    name,
    async [Symbol.asyncDispose]() {
      await cluster.request('DELETE', `/api/v1/namespaces/${name}`);
    },
  };
}
