import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Application, Cluster, Delivery, say } from '#api';
import { waitFor } from '#base';
import { fleetView, verdict } from './fleet-view.ts';
import { applicationsView, clustersView } from './list-views.ts';
import { at, delivery, object, put, ready, withIndex } from './testing/index-world.ts';

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
      applicationsView(index, { limit: 10, after: undefined, project: undefined, where: [], sort: 'name' }, at).items[0]?.state,
      'failed',
    );

    const gone = await store.commit({ write: [{ op: 'delete', kind: Delivery, key: { namespace: 'default', name: 'web.us' } }] });
    assert.ok(gone.ok);
    await waitFor('the deletion to arrive', () => index.revision >= gone.revision, { timeoutMs: 5000, intervalMs: 2 });
    assert.equal(index.ofCluster('us').total, 0);
    assert.equal(
      [...index.unready].some((one) => one.cluster === 'us'),
      false,
    );
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
      const page = clustersView(index, { limit: 10, after, project: undefined, where: [], sort: 'name' }, () => undefined, at);
      seen.push(...page.items.map((item) => item.name));
      after = page.next;
    } while (after !== undefined);
    assert.deepEqual(seen, names);
  });
});
