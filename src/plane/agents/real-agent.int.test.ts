import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runAgent } from '#agent';
import { jsonLog, systemClock, waitFor } from '#base';
import { Cluster, conditionOf, Event } from '#api';
import { loadKubeconfig } from '#kube';
import { sharedCluster, uniqueNamespace } from '#testbed';
import { PlaneRooms } from './testing/plane-rooms.ts';

test('the agent that runs in clusters speaks this protocol: join, fetch, apply, report, come back', async () => {
  const cluster = await sharedCluster('a');
  const own = await uniqueNamespace(cluster, 'fairlead-agent');
  const web = await uniqueNamespace(cluster, 'web');
  const stateDir = mkdtempSync(join(tmpdir(), 'fairlead-real-agent-'));
  const logs: string[] = [];
  const stop = new AbortController();
  let running: Promise<void> = Promise.resolve();
  try {
    await using plane = await PlaneRooms.start();
    await plane.createProject('default', {
      clusterSelector: {},
      namespaces: ['*'],
      clusterKinds: [{ group: '*', kind: '*' }],
      serviceAccount: { agentIdentity: true },
    });
    await plane.createCluster('real');
    running = runAgent(
      {
        access: await loadKubeconfig(cluster.kubeconfig),
        state: { kind: 'directory', directory: stateDir },
        namespace: own.name,
        planeUrl: plane.url,
        joinToken: await plane.enroll('real'),
        version: '0.0.0-test',
        clock: systemClock,
        log: jsonLog({ write: (line) => void logs.push(line) }),
        firstWaitMs: 5_000,
      },
      stop.signal,
    );
    running.catch((error: unknown) => logs.push(String(error)));
    await plane.deliver('web', 1, ['real'], ['one', 'two'], web.name);
    const seen = async (): Promise<string> => {
      const delivery = await plane.delivery('web', 'real');
      return delivery === undefined ? '' : `${conditionOf(delivery, 'Ready')?.status} ${conditionOf(delivery, 'Ready')?.message}`;
    };
    await waitFor(
      'the delivery to be ready',
      async () => {
        const now = await seen();
        if (now.startsWith('True')) return true;
        throw new Error(`${now}\n${logs.slice(-5).join('')}`);
      },
      { timeoutMs: 60_000, intervalMs: 100 },
    );

    const revision = plane.store.revision();
    const from = performance.now();
    await plane.deliver('web', 2, ['real'], ['one', 'three'], web.name);
    await waitFor(
      'release 2',
      async () =>
        (await plane.delivery('web', 'real'))?.status?.applied?.release === 'web.2' && (await seen()).startsWith('True'),
      { timeoutMs: 30_000, intervalMs: 10 },
    );
    const ms = performance.now() - from;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const rows = plane.store.revision() - revision - 1;
    assert.ok(rows <= 8, `${rows} rows in ${ms.toFixed(0)} ms`);
    const events = await plane.store.list(Event, { namespace: 'default' });
    assert.ok(
      events.items.some((one) => one.spec.code === 'FL_APPLIED'),
      events.items.map((one) => one.spec.message).join('\n'),
    );
    assert.equal(
      (await plane.store.get(Cluster, { namespace: '', name: 'real' }))?.status?.facts?.['kubernetesVersion'] !== undefined,
      true,
    );
    if (process.env['FAIRLEAD_TEST_VERBOSE'] !== undefined)
      process.stderr.write(`${rows} rows, ${ms.toFixed(0)} ms\n${events.items.map((one) => one.spec.message).join('\n')}\n`);
    stop.abort();
    await running.catch(() => undefined);
  } finally {
    stop.abort();
    await running.catch(() => undefined);
    rmSync(stateDir, { recursive: true, force: true });
    await Promise.allSettled([own[Symbol.asyncDispose](), web[Symbol.asyncDispose]()]);
  }
});
