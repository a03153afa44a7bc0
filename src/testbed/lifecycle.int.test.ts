import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { must, waitFor } from '#base';
import { startCluster } from './cluster.ts';
import { testbedMissing } from './shared.ts';
import { startTestbed } from './testbed.ts';

const skip = testbedMissing();

function isAlive(pid: number): boolean {
  try {
    // A zombie still has a pid; it runs no more.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

test(
  'a cluster is stopped, restarted with its data, paused and resumed; the end leaves no process and no file',
  { skip },
  async () => {
    const testbed = await startTestbed();
    const pids: number[] = [];
    try {
      const cluster = await testbed.createCluster({ name: 'one', nodes: 'none' });
      pids.push(...Object.values(cluster.pids));
      assert.deepEqual(Object.keys(cluster.pids), ['kube-apiserver', 'kube-controller-manager']);
      await assert.rejects(testbed.createCluster({ name: 'one', nodes: 'none' }), { code: 'FL_TESTBED_NAME' });
      await cluster.apply('{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {a: b}}', 'default');

      await cluster.stop();
      assert.deepEqual(cluster.pids, {});
      assert.equal(pids.some(isAlive), false);
      await assert.rejects(cluster.request('GET', '/readyz'), { code: 'FL_TESTBED_REQUEST' });
      await cluster.restart();
      pids.push(...Object.values(cluster.pids));
      assert.equal((await cluster.request('GET', '/api/v1/namespaces/default/configmaps/kept')).status, 200);

      await cluster.pause();
      await assert.rejects(cluster.request('GET', '/readyz', { timeoutMs: 300 }), { code: 'FL_TESTBED_REQUEST' });
      cluster.resume();
      await waitFor('the cluster to answer again', async () => (await cluster.request('GET', '/readyz')).status === 200, {
        timeoutMs: 10_000,
      });
    } finally {
      await testbed.stop();
    }
    assert.equal(pids.length, 4);
    assert.equal(pids.some(isAlive), false);
    assert.equal(existsSync(testbed.dir), false);
  },
);

test('aborting the signal while clusters start ends everything', { skip }, async () => {
  const ending = new AbortController();
  const testbed = await startTestbed({ signal: ending.signal });
  const starting = testbed.createCluster({ name: 'two', nodes: 'none' });
  const [cluster] = await waitFor(
    'the API server process',
    () => (Object.keys(testbed.clusters[0]?.pids ?? {}).length > 0 ? testbed.clusters : undefined),
    { timeoutMs: 20_000, intervalMs: 5 },
  );
  const pids = Object.values(must(cluster, 'a cluster has a process').pids);
  ending.abort();
  await assert.rejects(starting, { code: 'FL_TESTBED_STOPPED' });
  await testbed.stop();
  assert.notDeepEqual(pids, []);
  assert.equal(pids.some(isAlive), false);
  assert.equal(existsSync(testbed.dir), false);
});

test('a start that fails says which part ended and quotes its log', { skip }, async () => {
  await using testbed = await startTestbed();
  const place = {
    program: testbed.program,
    dir: join(testbed.dir, 'clusters', 'bad'),
    etcdSocket: join(testbed.dir, 'etcd.sock'),
  };
  // A node count the program does not understand: it ends at once, and says why.
  await assert.rejects(
    startCluster({ name: 'bad', nodes: 'simulated', nodeCount: Number.NaN }, place, () => undefined),
    { code: 'FL_TESTBED_START', message: /simulated-nodes ended while waiting[^]*invalid value "NaN"/ },
  );
});

for (const way of ['SIGKILL', 'SIGTERM', 'SIGKILL while paused'] as const) {
  test(`${way} of the process that owns a testbed leaves no process`, { skip }, async () => {
    const dir = join(mkdtempSync(join(tmpdir(), 'fl-end-')), 't');
    const child = spawn(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        join(import.meta.dirname, 'main.ts'),
        'up',
        '--clusters=k',
        '--nodes=simulated',
        `--dir=${dir}`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const exited = new Promise<number | NodeJS.Signals | null>((resolve) => {
      child.once('exit', (code, signal) => resolve(code ?? signal));
    });
    try {
      const file = join(dir, 'testbed.json');
      const pids = await waitFor(
        'the testbed to be ready',
        () => {
          if (!existsSync(file)) return undefined;
          const record = JSON.parse(readFileSync(file, 'utf8')) as { clusters: [{ pids: Record<string, number> }] };
          return Object.values(record.clusters[0].pids);
        },
        { timeoutMs: 120_000 },
      );
      assert.equal(pids.length, 4);
      assert.equal(pids.every(isAlive), true);
      if (way === 'SIGKILL while paused') for (const pid of pids) process.kill(pid, 'SIGSTOP');
      child.kill(way === 'SIGTERM' ? 'SIGTERM' : 'SIGKILL');
      await exited;
      await waitFor('all its processes to end', () => !pids.some(isAlive), { timeoutMs: 5_000 });
      // Only kill -9 may leave files: nobody was left to remove them.
      if (way === 'SIGTERM') assert.equal(existsSync(dir), false);
    } finally {
      child.kill('SIGKILL');
      rmSync(join(dir, '..'), { recursive: true, force: true });
    }
  });
}
