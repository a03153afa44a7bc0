import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Application, type Bundle } from '#api';
import { configMap, World } from './testing/world.ts';

const source = { sourceRef: { kind: 'GitRepository' as const, name: 'fleet' } };

test('a commit becomes a Release, and the Release is assigned to every cluster that is targeted', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('dev', { env: 'dev' });
  await w.cluster('prod-eu', { env: 'prod' });
  await w.cluster('prod-us', { env: 'prod' });
  await w.cluster('new', { env: 'prod' }, false);
  const commit = await w.git.commit(
    'fleet',
    { 'apps/web/dev/a.yaml': configMap('web', { env: 'dev' }), 'apps/web/prod/a.yaml': configMap('web', { env: 'prod' }) },
    'one',
  );
  await w.repository();
  await w.put(Application, 'web', {
    source: { ...source, path: 'apps/web/${cluster.labels.env}' },
    targets: [{ clusterSelector: {} }],
    defaultNamespace: 'web',
  });
  const release = await w.untilReleased('web', 1);
  assert.equal(release.spec.source.commit, commit);
  assert.deepEqual(release.spec.bundles.map((bundle) => bundle.clusters.join()).sort(), ['dev', 'prod-eu,prod-us']);
  await w.idle();
  const deliveries = await w.deliveries('web');
  assert.deepEqual(
    deliveries.map((d) => [d.spec.cluster, d.spec.wanted?.release]),
    [
      ['dev', 'web.1'],
      ['new', undefined],
      ['prod-eu', 'web.1'],
      ['prod-us', 'web.1'],
    ],
  );
  // Content is there and only for whom it is.
  const digest = deliveries[0]?.spec.wanted?.bundle ?? '';
  const bytes = (await w.store.blobs([digest], 'dev')).get(digest);
  assert.ok(bytes !== undefined);
  assert.equal((await w.store.blobs([digest], 'prod-eu')).size, 0, 'not issued to a cluster it is not for');
  const bundle = JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle;
  const object = bundle.entries[0]?.digest ?? '';
  assert.match(Buffer.from((await w.store.blobs([object], 'dev')).get(object) ?? []).toString('utf8'), /"env":"dev"/);
  assert.equal((await w.app('web')).status?.commit, commit);
});

test('a commit that changes nothing of an application makes no Release and renders nothing', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('dev', { env: 'dev' });
  await w.git.commit('fleet', { 'apps/web/a.yaml': configMap('web'), 'apps/web/README.md': 'hello' }, 'one');
  await w.repository();
  await w.put(Application, 'web', { source: { ...source, path: 'apps/web' }, targets: [{ clusterSelector: {} }] });
  await w.untilReleased('web', 1);
  await w.idle();
  w.looks.length = 0;
  const elsewhere = await w.push({ 'other/b.yaml': configMap('b') });
  await w.until('the commit to be looked at', async () => (await w.app('web')).status?.commit === elsewhere);
  const readme = await w.push({ 'apps/web/README.md': 'changed, but not read' });
  await w.until('the commit to be looked at', async () => (await w.app('web')).status?.commit === readme);
  await w.idle();
  assert.equal((await w.releases('web')).length, 1);
  assert.equal(
    w.looks.reduce((sum, look) => sum + look.renders, 0),
    0,
  );
  // Nor does a restart render, and a new commit of the path does.
  w.looks.length = 0;
  await w.restart();
  await w.idle();
  assert.equal(
    w.looks.reduce((sum, look) => sum + look.renders, 0),
    0,
  );
  await w.push({ 'apps/web/a.yaml': configMap('web', { a: '2' }) });
  await w.untilReleased('web', 2);
});

test('errors are one sentence with file and line, keep the last Release, and heal', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('dev', { env: 'dev' });
  await w.git.commit('fleet', { 'apps/web/a.yaml': configMap('web'), 'apps/other/a.yaml': configMap('other') }, 'one');
  await w.repository();
  await w.put(Application, 'web', { source: { ...source, path: 'apps/web' }, targets: [{ clusterSelector: {} }] });
  await w.put(Application, 'other', { source: { ...source, path: 'apps/other' }, targets: [{ clusterSelector: {} }] });
  await w.untilReleased('web', 1);
  await w.untilReleased('other', 1);
  await w.push({ 'apps/web/a.yaml': 'apiVersion: v1\nkind: [\n', 'apps/other/a.yaml': configMap('other', { a: '2' }) });
  assert.match(await w.untilReason('web', 'FL_RENDER_FAILED'), /^apps\/web\/a\.yaml:\d+: .*clusters keep the last release/);
  await w.untilReleased('other', 2);
  await w.push({ 'apps/web/a.yaml': { symlink: '/etc/passwd' } });
  assert.match(await w.untilReason('web', 'FL_SOURCE_FILE'), /apps\/web\/a\.yaml is a symbolic link/);
  await w.push({ 'apps/web/a.yaml': '# nothing\n' });
  assert.match(await w.untilReason('web', 'FL_RENDER_EMPTY'), /holds no objects, and the last release has 1 objects/);
  await w.push({ 'apps/web/a.yaml': { delete: true } });
  assert.match(await w.untilReason('web', 'FL_RENDER_NO_PATH'), /apps\/web does not exist/);
  assert.equal((await w.releases('web')).length, 1);
  assert.equal((await w.deliveries('web'))[0]?.spec.wanted?.number, 1);
  await w.push({ 'apps/web/a.yaml': configMap('web', { a: '3' }) });
  await w.untilReleased('web', 2);
  await w.until('the reason to go', async () => (await w.app('web')).status?.reason === undefined);
});

test('a Release whose commit met a conflict is made without rendering again, and lacks nothing', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('dev', { env: 'dev' });
  const big = Object.fromEntries(
    Array.from({ length: 40 }, (_, i) => [`apps/web/${i}.yaml`, configMap(`m${i}`, { a: 'x'.repeat(40_000) })]),
  );
  await w.git.commit('fleet', { ...big, 'apps/small/a.yaml': configMap('a') }, 'one');
  await w.repository();
  w.conflictsToCome = 3;
  // One whose content goes with the Release, one whose content goes before it.
  for (const name of ['small', 'web'])
    await w.put(Application, name, { source: { ...source, path: `apps/${name}` }, targets: [{ clusterSelector: {} }] });
  for (const name of ['small', 'web']) {
    const release = await w.untilReleased(name, 1);
    const digest = release.spec.bundles[0]?.digest ?? '';
    const bytes = (await w.store.blobs([digest], 'dev')).get(digest);
    const bundle = JSON.parse(Buffer.from(bytes ?? []).toString('utf8')) as Bundle;
    const digests = bundle.entries.map((entry) => entry.digest);
    assert.equal((await w.store.blobs(digests, 'dev')).size, new Set(digests).size);
    assert.equal(
      w.looks.filter((look) => look.application === `default/${name}`).reduce((sum, look) => sum + look.renders, 0),
      1,
    );
  }
  assert.equal(w.conflictsToCome, 0);
});

test('while no renderer can start the application says so, and is rendered as soon as one can', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('dev', { env: 'dev' });
  await w.git.commit('fleet', { 'apps/web/a.yaml': configMap('web') }, 'one');
  const module = join(w.dir, 'render.wasm');
  await rename(module, `${module}.away`);
  await w.repository();
  await w.put(Application, 'web', { source: { ...source, path: 'apps/web' }, targets: [{ clusterSelector: {} }] });
  const sentence = await w.untilReason('web', 'FL_RENDER_UNAVAILABLE');
  assert.match(sentence, /^apps\/web is not rendered because no renderer can start: .+; look at the plane's log/);
  await rename(`${module}.away`, module);
  await w.untilReleased('web', 1);
});
