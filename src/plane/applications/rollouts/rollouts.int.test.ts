import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Application, Cluster, conditionOf, Delivery, GitRepository, Project, Release, RenderRow } from '#api';
import { configMap, World } from '../testing/world.ts';

const spec: Application['spec'] = {
  source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'apps/web' },
  targets: [{ clusterSelector: { matchLabels: { env: 'prod' } } }],
};

async function worldWithWeb(clusters: readonly string[]): Promise<World> {
  const w = await World.start();
  await w.project();
  for (const name of clusters) await w.cluster(name, { env: 'prod' });
  await w.git.commit('fleet', { 'apps/web/a.yaml': configMap('web') }, 'one');
  await w.repository();
  await w.put(Application, 'web', spec);
  await w.untilReleased('web', 1);
  await w.until('all to be assigned', async () => (await wanting(w, 1)).length === clusters.length);
  return w;
}

/** Clusters that want the Release of that number, and are not told to let go. */
async function wanting(w: World, number: number): Promise<string[]> {
  const deliveries = await w.deliveries('web');
  return deliveries.filter((d) => d.spec.wanted?.number === number && d.spec.retire === undefined).map((d) => d.spec.cluster);
}

const delivery = (w: World, cluster: string) => w.store.get(Delivery, { namespace: 'default', name: `web.${cluster}` });

test('a cluster that leaves the targets is told to let go, one that returns in time is not', async () => {
  await using w = await worldWithWeb(['a', 'b']);
  await w.cluster('a', { env: 'test' }, false);
  const retired = await w.until('a to be told', async () => {
    const found = await delivery(w, 'a');
    return found?.spec.retire === undefined ? undefined : found;
  });
  assert.equal(retired.spec.retire?.mode, 'Orphan');
  assert.equal(retired.spec.retire?.reason, 'TargetExit');
  assert.equal(retired.spec.wanted?.number, 1);
  await w.untilReleased('web', 2);
  assert.deepEqual((await w.get(Release, { namespace: 'default', name: 'web.2' })).spec.bundles[0]?.clusters, ['b']);
  await w.cluster('a', { env: 'prod' }, false);
  await w.until('it to be withdrawn', async () => (await delivery(w, 'a'))?.spec.retire === undefined);
  await w.idle();
  assert.deepEqual(
    (await w.deliveries('web')).map((d) => d.spec.retire),
    [undefined, undefined],
  );
});

test('deleting an Application tells every cluster in the mode of that moment, and waits for none', async () => {
  await using w = await worldWithWeb(['a', 'b']);
  await w.cluster('waiting', { env: 'prod' }, false);
  await w.until('a Delivery without anything', async () => (await delivery(w, 'waiting')) !== undefined);
  await w.put(Application, 'web', { ...spec, deletionPolicy: 'Delete' });
  await w.remove(Application, 'web');
  await w.until(
    'the Application to go',
    async () => (await w.store.get(Application, { namespace: 'default', name: 'web' })) === undefined,
  );
  const deliveries = await w.deliveries('web');
  assert.deepEqual(
    deliveries.map((d) => [d.spec.cluster, d.spec.retire?.mode, d.spec.retire?.reason]),
    [
      ['a', 'Delete', 'ApplicationDeleted'],
      ['b', 'Delete', 'ApplicationDeleted'],
    ],
  );
  assert.notEqual(deliveries[0]?.spec.retire?.id, deliveries[1]?.spec.retire?.id);
  assert.equal(await w.store.get(RenderRow, { namespace: 'default', name: 'web' }), undefined);
  // Its Releases are needed until the last cluster has let go, and then no more.
  assert.ok((await w.releases('web')).length > 0);
  await w.commit(deliveries.map((d) => ({ op: 'delete', kind: Delivery, key: { namespace: 'default', name: d.metadata.name } })));
  await w.until('its Releases to go', async () => (await w.releases('web')).length === 0);
});

test('an Application made again under the name goes on above the old numbers', async () => {
  await using w = await worldWithWeb(['a']);
  await w.remove(Application, 'web');
  await w.until('it to go', async () => (await w.store.get(Application, { namespace: 'default', name: 'web' })) === undefined);
  await w.put(Application, 'web', spec);
  const release = await w.untilReleased('web', 2);
  assert.equal(release.spec.bundles.length, 1);
  await w.until('the retirement to be withdrawn', async () => (await delivery(w, 'a'))?.spec.retire === undefined);
});

test('deleting a Cluster detaches it, deleting the GitRepository or the Project touches nothing', async () => {
  await using w = await worldWithWeb(['a', 'b']);
  await w.remove(GitRepository, 'fleet');
  assert.match(await w.untilReason('web', 'FL_SOURCE_MISSING'), /GitRepository fleet does not exist/);
  await w.remove(Project, 'default');
  await w.untilReason('web', 'FL_CLAIM_PROJECT');
  await w.cluster('a', { env: 'test' }, false);
  await w.idle();
  assert.deepEqual(
    (await w.deliveries('web')).map((d) => [d.spec.wanted?.number, d.spec.retire]),
    [
      [1, undefined],
      [1, undefined],
    ],
  );
  await w.remove(Cluster, 'b');
  await w.until('the Delivery to go', async () => (await delivery(w, 'b')) === undefined);
  assert.equal((await delivery(w, 'a'))?.spec.retire, undefined);
});

test('suspending holds: the Application makes no Release, a Cluster is assigned none', async () => {
  await using w = await worldWithWeb(['a', 'b']);
  await w.put(Cluster, 'b', { suspend: true });
  await w.idle();
  await w.push({ 'apps/web/a.yaml': configMap('web', { a: '2' }) });
  await w.untilReleased('web', 2);
  await w.until('a to want it', async () => (await wanting(w, 2)).join() === 'a');
  await w.idle();
  assert.deepEqual(await wanting(w, 1), ['b']);
  await w.put(Cluster, 'b', {});
  await w.until('b to want it', async () => (await wanting(w, 2)).join() === 'a,b');
  await w.put(Application, 'web', { ...spec, suspend: true });
  await w.idle();
  const commit = await w.push({ 'apps/web/a.yaml': configMap('web', { a: '3' }) });
  await w.until(
    'the commit to be there',
    async () => (await w.get(GitRepository, { namespace: 'default', name: 'fleet' })).status?.snapshot?.commit === commit,
  );
  await w.idle();
  assert.equal((await w.releases('web')).length, 2);
  assert.equal((await w.app('web')).status?.reason?.code, 'FL_HOLD_SUSPENDED');
  await w.put(Application, 'web', spec);
  await w.untilReleased('web', 3);
});

test('a restored plane never assigns anything below what a cluster holds', async () => {
  await using w = await worldWithWeb(['a', 'b']);
  // What the agents room writes when an agent proves to be ahead: a Release that this plane does not have.
  const ahead = await w.get(Delivery, { namespace: 'default', name: 'web.a' });
  const adopted = {
    ...ahead.spec.wanted,
    release: 'web.41',
    number: 41,
    bundle: `sha256:${'0'.repeat(64)}`,
    settings: 'x',
    assignedAt: '2026-01-01T00:00:00Z',
  };
  await w.commit([{ op: 'put', kind: Delivery, object: { ...ahead, spec: { ...ahead.spec, wanted: adopted } } }]);
  await w.idle();
  assert.equal((await delivery(w, 'a'))?.spec.wanted?.number, 41);
  await w.push({ 'apps/web/a.yaml': configMap('web', { a: '2' }) });
  await w.untilReleased('web', 42);
  await w.until('both to want it', async () => (await wanting(w, 42)).join() === 'a,b');
});

test('Ready is what the Deliveries of the newest Release come to, counted at most once a second', async () => {
  await using w = await worldWithWeb(['a', 'b']);
  await w.until('two to be counted', async () => (await w.app('web')).status?.deliveries?.total === 2);
  assert.equal(conditionOf(await w.app('web'), 'Ready')?.status, 'False');
  await w.reportHealthy('web');
  await w.untilReason('web', 'FL_APPLICATION_READY');
  assert.deepEqual((await w.app('web')).status?.deliveries, { total: 2, ready: 2 });
  const before = (await w.app('web')).metadata.resourceVersion;
  for (let i = 0; i < 20; i += 1) await w.reportHealthy('web');
  await w.idle();
  assert.equal((await w.app('web')).metadata.resourceVersion, before, 'nothing new is not written');
  await w.push({ 'apps/web/a.yaml': configMap('web', { a: '2' }) });
  await w.untilReleased('web', 2);
  assert.equal(conditionOf(await w.app('web'), 'Ready')?.status, 'False', 'from the first moment of a new Release');
});
