import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { Application, Cluster, Delivery, GitRepository, Project, say } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from './fleet.ts';

/** More than the default budget of ten, all of one application. */
const OBJECTS = 12;
const skip = testbedMissing();
const clusters = ['dev', 'eu'] as const;
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dev: { on: 'a', labels: { tier: 'gold' } }, eu: { on: 'b', labels: { tier: 'gold' } } },
  });
});

after(() => fleet?.[Symbol.asyncDispose]());

function many(count = OBJECTS): string {
  return Array.from({ length: count }, (_, i) => configMapYaml(`c${i}`, { i: String(i) })).join('---\n');
}

/** uid by name of what the application holds in the cluster: what was deleted and made again has another. */
async function uids(cluster: string, application: string): Promise<Readonly<Record<string, string>>> {
  const { handle } = fleet.member(cluster);
  const response = await handle.request('GET', `/api/v1/namespaces/${fleet.ns(application)}/configmaps`);
  const { items } = response.json() as { items: { metadata: { name: string; uid: string } }[] };
  const ours = items.filter(({ metadata }) => metadata.name !== 'kube-root-ca.crt');
  return Object.fromEntries(ours.map(({ metadata }) => [metadata.name, metadata.uid]));
}

/** The command in a sentence, run as a person would paste it. */
async function paste(sentence: string): Promise<void> {
  const command = /kubectl (annotate .*)$/.exec(sentence)?.[1] ?? '';
  const done = await fleet.kubectl(command.split(' '));
  assert.equal(done.exitCode, 0, `${command}: ${done.stderr}`);
}

/** As if a person, or a restore gone wrong, had lost these rows: no instruction to let go was ever given. */
function forgetEverythingDelivered(path: string): void {
  using database = new DatabaseSync(path);
  for (const table of ['objects', 'labels', 'fields'])
    database.exec(`DELETE FROM ${table} WHERE kind IN ('Application', 'Delivery', 'Release', 'RenderRow')`);
}

async function deliver(application: string, spec: Readonly<Record<string, unknown>> = {}): Promise<void> {
  await fleet.commit({ [`${application}/all.yaml`]: many() });
  await fleet.application(application, spec);
  for (const cluster of clusters) await fleet.ready(application, cluster);
}

test('what is gone from Git beyond the budget waits for a waiver, which allows exactly that', { skip }, async () => {
  await deliver('web');
  const before = await uids('eu', 'web');
  assert.equal(Object.keys(before).length, OBJECTS);
  const shrunk = await fleet.commit({ 'web/all.yaml': many(1) });
  const [onDev, onEu] = [await fleet.reason('web', 'dev', 'FL_HOLD_BUDGET'), await fleet.reason('web', 'eu', 'FL_HOLD_BUDGET')];
  assert.match(
    onEu,
    /^would delete 11 of 12 objects in eu, and more than 10 take a waiver; nothing is deleted; if that is meant: kubectl annotate --overwrite delivery web\.eu /,
  );
  assert.deepEqual(await uids('eu', 'web'), before);

  const wrong = await fleet.kubectl([
    'annotate',
    'delivery',
    'web.dev',
    '-n',
    'default',
    `fairlead.dev/waiver=${'0'.repeat(64)}`,
  ]);
  assert.notEqual(wrong.exitCode, 0);
  assert.match(wrong.stderr, /names no bundle or retirement it has; a waiver for it now is sha256:[0-9a-f]{64}/);

  await paste(onDev);
  await fleet.ready('web', 'dev', shrunk);
  assert.deepEqual(Object.keys(await uids('dev', 'web')), ['c0']);
  assert.deepEqual(await uids('eu', 'web'), before, 'the waiver was for dev only');

  // The waiver named one bundle: the next emptying waits again.
  const grown = await fleet.commit({ 'web/all.yaml': many() });
  for (const cluster of clusters) await fleet.ready('web', cluster, grown);
  await fleet.commit({ 'web/all.yaml': many(1).replace('"0"', '"x"') });
  await fleet.reason('web', 'dev', 'FL_HOLD_BUDGET');
  assert.equal(Object.keys(await uids('dev', 'web')).length, OBJECTS);
  for (const cluster of clusters) await fleet.ready('web', cluster, await fleet.commit({ 'web/all.yaml': many() }));
});

test('an empty render, an emptied, a force-pushed and a lost branch delete nothing', { skip }, async () => {
  await deliver('site');
  const before = [await uids('dev', 'site'), await uids('eu', 'site')];
  const kept = async (): Promise<void> => assert.deepEqual([await uids('dev', 'site'), await uids('eu', 'site')], before);

  await fleet.commit({ 'site/all.yaml': '# nothing\n---\n' });
  assert.match(
    await fleet.reason('site', 'eu', 'FL_RENDER_EMPTY'),
    /^site at [0-9a-f]{12} holds no objects, and the last release has 12 objects; .*clusters keep the last release$/,
  );
  await kept();

  await fleet.git.commit('fleet', { 'README.md': 'moved\n' }, 'Start anew', { parent: 'none' });
  await fleet.look();
  assert.match(
    await fleet.reason('site', 'dev', 'FL_RENDER_NO_PATH'),
    /^site does not exist in GitRepository fleet at [0-9a-f]{12}; /,
  );
  await kept();

  await fleet.git.commit('fleet', { 'site/other.yaml': configMapYaml('other', {}) }, 'Another history', { parent: 'none' });
  await fleet.look();
  assert.match(await fleet.reason('site', 'eu', 'FL_HOLD_BUDGET'), /^would delete 12 of 13 objects in eu/);
  const { other: _added, ...rest } = await uids('eu', 'site');
  assert.deepEqual(rest, before[1]);

  await fleet.git.deleteRef('fleet', 'refs/heads/main');
  await fleet.look();
  assert.match(
    await fleet.reason('site', 'eu', 'FL_SOURCE_EMPTY'),
    /fleet.git has no commit; push one; what is delivered stays$/,
  );

  const restored = await fleet.commit({ 'site/all.yaml': many(), 'web/all.yaml': many() });
  for (const cluster of clusters) await fleet.ready('site', cluster, restored);
  await kept();
});

test('a deleted GitRepository deletes nothing, and a Project that holds something is not deleted', { skip }, async () => {
  const before = await uids('eu', 'site');
  await fleet.delete(GitRepository, { name: 'fleet', namespace: 'default' });
  assert.match(
    await fleet.reason('site', 'eu', 'FL_SOURCE_MISSING'),
    /^GitRepository fleet does not exist; create it, or correct the name in spec.source; what is delivered stays$/,
  );
  for (const what of ['project', 'namespace']) {
    const refused = await fleet.kubectl(['delete', what, 'default', '--timeout=10s']);
    assert.notEqual(refused.exitCode, 0);
    assert.match(refused.stderr, /the project still holds applications .*; delete them first/);
  }
  assert.notEqual(await fleet.get(Project, { name: 'default' }), undefined);
  assert.deepEqual(await uids('eu', 'site'), before);
  await fleet.apply(
    GitRepository,
    { name: 'fleet', namespace: 'default' },
    { url: fleet.git.repoUrl('fleet'), ref: { branch: 'main' }, interval: '5s' },
  );
  await fleet.ready('site', 'eu');
  assert.deepEqual(await uids('eu', 'site'), before);
});

test('a label removed from every cluster deletes nothing beyond the budget without a waiver', { skip }, async () => {
  await deliver('gold', { targets: [{ clusterSelector: { matchLabels: { tier: 'gold' } } }], onTargetExit: 'Delete' });
  const before = await uids('eu', 'gold');
  for (const cluster of clusters) await fleet.patch(Cluster, { name: cluster }, { metadata: { labels: { tier: null } } });
  const [onDev, onEu] = [await fleet.reason('gold', 'dev', 'FL_HOLD_BUDGET'), await fleet.reason('gold', 'eu', 'FL_HOLD_BUDGET')];
  assert.match(
    onEu,
    /^would delete 12 of 12 objects in eu, and more than 10 take a waiver; nothing is deleted; if that is meant: kubectl annotate --overwrite delivery gold\.eu /,
  );
  await paste(onDev);
  await waitFor('gold to be gone from dev', async () => (await fleet.delivery('gold', 'dev')) === undefined, {
    timeoutMs: 60_000,
  });
  assert.deepEqual(await uids('dev', 'gold'), {});
  assert.deepEqual(await uids('eu', 'gold'), before);

  // The label comes back: the removal is called off, and nothing was made anew.
  await fleet.patch(Cluster, { name: 'eu' }, { metadata: { labels: { tier: 'gold' } } });
  await fleet.ready('gold', 'eu');
  assert.deepEqual(await uids('eu', 'gold'), before);
});

test('a deleted Application orphans; with deletionPolicy: Delete it keeps to the budget', { skip }, async () => {
  const kept = await uids('eu', 'web');
  await fleet.delete(Application, { name: 'web', namespace: 'default' });
  await waitFor('web to be let go of', async () => (await fleet.delivery('web', 'eu')) === undefined, { timeoutMs: 60_000 });
  assert.deepEqual(await uids('eu', 'web'), kept);
  const orphan = await fleet.configMap('eu', fleet.ns('web'), 'c0');
  assert.equal(orphan?.metadata.labels?.['fairlead.dev/owner'], undefined, 'nobody believes it managed');

  await fleet.patch(Application, { name: 'gold', namespace: 'default' }, { spec: { deletionPolicy: 'Delete' } });
  await fleet.ready('gold', 'eu');
  const before = await uids('eu', 'gold');
  await fleet.delete(Application, { name: 'gold', namespace: 'default' });
  const sentence = await fleet.reason('gold', 'eu', 'FL_HOLD_BUDGET');
  assert.deepEqual(await uids('eu', 'gold'), before);
  await paste(sentence);
  await waitFor('gold to be gone from eu', async () => (await fleet.delivery('gold', 'eu')) === undefined, { timeoutMs: 60_000 });
  assert.deepEqual(await uids('eu', 'gold'), {});
});

test('a document that names no application removes nothing: what it held is reported as orphaned', { skip }, async () => {
  const before = await uids('eu', 'site');
  await fleet.killPlane();
  forgetEverythingDelivered(join(fleet.planeDir, 'store', 'fairlead.db'));
  await fleet.startPlane();
  const orphaned = await waitFor(
    'the orphans to be reported',
    async () => {
      const view = await fleet.view<{ orphaned: readonly { application: string; objects: number }[] }>('clusters/eu');
      return view.orphaned.find(({ application }) => application === 'site');
    },
    { timeoutMs: 60_000 },
  );
  assert.equal(orphaned.objects, OBJECTS);
  assert.match(
    say({ code: 'FL_ORPHANED', args: { ...orphaned, cluster: 'eu' } }),
    /^12 objects of site are still in eu, and nothing wants or removes them; they are kept; /,
  );
  assert.deepEqual(await fleet.list(Delivery), []);
  assert.deepEqual(await uids('eu', 'site'), before);

  await fleet.application('site');
  await fleet.ready('site', 'eu');
  assert.deepEqual(await uids('eu', 'site'), before, 'taken up again, not made anew');
});

test('a deleted Cluster is let go of: what it runs stays', { skip }, async () => {
  const before = await uids('eu', 'site');
  await fleet.delete(Cluster, { name: 'eu' });
  await waitFor('the delivery to be gone', async () => (await fleet.delivery('site', 'eu')) === undefined, { timeoutMs: 60_000 });
  await fleet.ready('site', 'dev');
  assert.deepEqual(await uids('eu', 'site'), before);
});
