import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { allKinds, Application, Cluster, Delivery, deliveryName, say, type Condition, type Kind, type PlaneObject } from '#api';
import { newUid, silentLog, systemClock, waitFor } from '#base';
import { openStore, type Store } from '#plane/store';
import { FleetIndex } from './fleet-index.ts';
import { applicationsView, clustersView, fleetView, verdict } from './fleet-view.ts';

const at = '2026-01-01T00:00:00Z';

function object(
  kind: Kind,
  name: string,
  parts: { namespace?: string; labels?: Record<string, string>; spec?: unknown; status?: unknown },
): PlaneObject {
  const { namespace, labels, spec = {}, status } = parts;
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid: newUid(),
      generation: 1,
      creationTimestamp: at,
      ...(labels === undefined ? {} : { labels }),
    },
    spec,
    status,
  };
}

function ready(status: Condition['status'], code: string, args: Record<string, unknown>): Condition[] {
  return [{ type: 'Ready', status, reason: code, message: say({ code, args }), lastTransitionTime: at }];
}

function delivery(application: string, cluster: string, code: string, args: Record<string, unknown>, since = at): PlaneObject {
  return object(Delivery, deliveryName(application, cluster), {
    namespace: 'default',
    spec: { application, cluster },
    status: { reason: { code, args, since }, conditions: ready(code === 'FL_READY' ? 'True' : 'False', code, args) },
  });
}

async function withIndex(work: (store: Store, index: FleetIndex) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-views-'));
  const store = await openStore({ dir, kinds: allKinds, log: silentLog, clock: systemClock });
  const stop = new AbortController();
  const index = new FleetIndex({ store, log: silentLog });
  const running = index.run(stop.signal);
  try {
    await work(store, index);
  } finally {
    stop.abort();
    await running;
    await store.close();
    await rm(dir, { recursive: true, force: true });
  }
}

async function put(store: Store, kind: Kind, ...objects: PlaneObject[]): Promise<number> {
  const result = await store.commit({ write: objects.map((one) => ({ op: 'put', kind, object: one })) });
  assert.ok(result.ok);
  return result.revision;
}

test('the verdict counts in words and numbers that agree', () => {
  assert.equal(
    verdict({ clusters: 312, deliveries: 4180, ready: 4163 }),
    '312 clusters, 4,180 deliveries: 4,163 are what Git says, 17 are not',
  );
  assert.equal(verdict({ clusters: 1, deliveries: 2, ready: 1 }), '1 cluster, 2 deliveries: 1 is what Git says, 1 is not');
  assert.equal(verdict({ clusters: 3, deliveries: 9, ready: 9 }), '3 clusters, 9 deliveries: all are what Git says');
  assert.equal(verdict({ clusters: 3, deliveries: 0, ready: 0 }), '3 clusters, 0 deliveries: nothing is delivered yet');
});

test('the first screen groups what is wrong by reason, oldest first, and the grid worst first; it follows every change', async () => {
  await withIndex(async (store, index) => {
    await put(
      store,
      Cluster,
      object(Cluster, 'dev', { labels: { env: 'dev' } }),
      object(Cluster, 'eu', { labels: { env: 'prod' } }),
      object(Cluster, 'us', { labels: { env: 'prod' } }),
    );
    await put(
      store,
      Application,
      object(Application, 'web', {
        namespace: 'default',
        spec: { source: { sourceRef: { kind: 'GitRepository', name: 'fleet' } } },
        status: { conditions: ready('True', 'FL_APPLICATION_READY', {}) },
      }),
    );
    const failed = { object: 'apps/Deployment/web/web', cluster: 'us', words: 'Progress deadline exceeded' };
    const last = await put(
      store,
      Delivery,
      delivery('web', 'dev', 'FL_READY', { release: 'web.1' }),
      delivery('web', 'eu', 'FL_CONTACT_LOST', { cluster: 'eu', since: '5 minutes ago' }, '2026-01-01T00:05:00Z'),
      delivery('web', 'us', 'FL_HEALTH_FAILED', failed, '2026-01-01T00:01:00Z'),
    );
    await waitFor('the mirror to follow', () => index.revision >= last, { timeoutMs: 5000, intervalMs: 2 });
    const view = fleetView(index, { group: 'env', where: [], project: undefined, limit: 100 }, at, false);
    assert.equal(view.sentence, '3 clusters, 3 deliveries: 1 is what Git says, 2 are not');
    assert.deepEqual(
      view.problems.map((problem) => [problem.code, problem.count, problem.actor]),
      [
        ['FL_HEALTH_FAILED', 1, 'application owner'],
        ['FL_CONTACT_LOST', 1, 'cluster owner'],
      ],
    );
    assert.equal(view.problems[0]?.sentence, say({ code: 'FL_HEALTH_FAILED', args: failed }));
    assert.deepEqual(
      view.groups.map((group) => [group.value, group.ready, group.total, group.cells.map((cell) => cell.cluster)]),
      [
        ['prod', 0, 2, ['us', 'eu']],
        ['dev', 1, 1, ['dev']],
      ],
    );
    const filtered = fleetView(
      index,
      { group: '', where: [{ key: 'env', operator: 'In', values: ['dev'] }], project: undefined, limit: 100 },
      at,
      false,
    );
    assert.equal(filtered.sentence, '1 cluster, 1 delivery: it is what Git says');
    assert.equal(
      applicationsView(index, { limit: 10, after: undefined, project: undefined, where: [] }, at).items[0]?.state,
      'failed',
    );

    const gone = await store.commit({ write: [{ op: 'delete', kind: Delivery, key: { namespace: 'default', name: 'web.us' } }] });
    assert.ok(gone.ok);
    await waitFor('the deletion to arrive', () => index.revision >= gone.revision, { timeoutMs: 5000, intervalMs: 2 });
    assert.deepEqual(index.deliveriesOfCluster('us'), []);
  });
});

test('pages of clusters join up without gaps or repeats', async () => {
  await withIndex(async (store, index) => {
    const names = Array.from({ length: 25 }, (_, n) => `c-${String(n).padStart(2, '0')}`);
    const last = await put(store, Cluster, ...names.map((name) => object(Cluster, name, {})));
    await waitFor('the mirror to follow', () => index.revision >= last, { timeoutMs: 5000, intervalMs: 2 });
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = clustersView(index, { limit: 10, after, project: undefined, where: [] }, () => undefined, at);
      seen.push(...page.items.map((item) => item.name));
      after = page.next;
    } while (after !== undefined);
    assert.deepEqual(seen, names);
  });
});
