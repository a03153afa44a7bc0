import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bundlesOf, emptiedCluster, isNews, nextNumber, outdatedReleases, settingsOf } from './plan-release.ts';
import { digestsOf, buildBundle } from './bundle.ts';
import { reasonOfRender } from './render-reason.ts';
import { summarise, withStanding } from './application-status.ts';
import { say, type Bundle, type Delivery } from '#api';
import { aDelivery, anApplication, aRelease, wanted } from './testing/objects.ts';

const tree = (groups: Readonly<Record<string, Readonly<Record<string, string>>>>, objects = 1) => ({
  base: 'b',
  tree: 't',
  files: 'f',
  read: [],
  listed: [],
  variables: [],
  groups: [{ values: 'v', bundles: Object.entries(groups).map(([digest, members]) => ({ digest, objects, members })) }],
});

test('a Release is made of what clusters can tell apart, and only that', () => {
  const { settings, settingsDigest } = settingsOf(anApplication({ defaultNamespace: 'x', targets: [], suspend: false }));
  assert.deepEqual(Object.keys(settings), ['adoption', 'defaultNamespace', 'deletionPolicy', 'onTargetExit', 'prune']);
  assert.equal(
    settingsDigest,
    settingsOf(anApplication({ prune: true, defaultNamespace: 'x' })).settingsDigest,
    'defaults are the same said or not',
  );
  assert.notEqual(settingsDigest, settingsOf(anApplication({ prune: false, defaultNamespace: 'x' })).settingsDigest);
  const bundles = bundlesOf([tree({ d2: { b: '' }, d1: { c: '', a: '' } }), tree({ d2: { z: '' } }), tree({ d1: { '': '' } })]);
  assert.deepEqual(bundles, [
    { digest: 'd1', objects: 1, clusters: ['a', 'c'] },
    { digest: 'd1', objects: 1, clusters: [], plane: true },
    { digest: 'd2', objects: 1, clusters: ['b', 'z'] },
  ]);
  const content = { settings, settingsDigest, bundles: [{ digest: 'd', objects: 1, clusters: ['a', 'b'] }] };
  const newest = aRelease(3, { a: 'd', b: 'd' }, settingsDigest);
  assert.equal(isNews(content, newest), false);
  assert.equal(isNews({ ...content, settingsDigest: 'other' }, newest), true);
  assert.equal(isNews({ ...content, bundles: [] }, newest), true, 'nobody left is news');
  assert.equal(isNews({ ...content, bundles: [] }, undefined), false, 'nobody yet is not');
});

test('a number is above everything that was ever seen', () => {
  const application = { ...anApplication({}), status: { release: { name: 'web.4', number: 4, commit: 'c' } } };
  assert.equal(nextNumber(anApplication({}), [], []), 1);
  assert.equal(nextNumber(application, [], []), 5);
  assert.equal(nextNumber(application, [7], []), 8);
  assert.equal(
    nextNumber(application, [7], [aDelivery('a', { wanted: wanted(41, 'x') })]),
    42,
    'learnt from an agent after a restore',
  );
});

test('an application that had objects is never emptied by a commit', () => {
  const newest = aRelease(1, { a: 'd1', b: 'd2' });
  assert.deepEqual(emptiedCluster([{ digest: 'd0', objects: 0, clusters: ['b'] }], newest), { cluster: 'b', objects: 1 });
  assert.equal(emptiedCluster([{ digest: 'd0', objects: 0, clusters: ['new'] }], newest), undefined);
  assert.equal(emptiedCluster([], newest), undefined, 'a cluster that leaves is another matter');
});

test('old Releases go, those in use stay', () => {
  const numbers = [1, 2, 3, 4, 5];
  const held: Delivery = {
    ...aDelivery('b'),
    status: { applied: { release: 'web.2', bundle: 'x', at: '2026-01-01T00:00:00Z' } },
  };
  assert.deepEqual(outdatedReleases(numbers, 'web', [aDelivery('a', { wanted: wanted(1, 'x') }), held], 2), [3]);
});

test('a bundle is exact bytes, and names what must be fetched', () => {
  const object = (name: string) => ({
    id: { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'x', name },
    stage: 'config' as const,
    wave: 0,
    scope: 'Namespaced' as const,
    source: { file: 'a.yaml', line: 1 },
    sensitive: false as const,
    body: Buffer.from(`{"name":"${name}"}`),
  });
  const one = buildBundle([object('a'), object('b')], 'c', () => '');
  const two = buildBundle([object('a'), object('b')], 'another', () => '');
  assert.equal(one.digest, two.digest);
  assert.deepEqual(one.digests.slice(1), digestsOf(one.bytes));
  assert.doesNotMatch(Buffer.from(one.bytes).toString('utf8'), /keep|createOnly|hooks/, 'what is not said is not there');
  const hook = {
    ...object('h'),
    keep: true,
    hook: { events: ['pre-install' as const], weight: 1, deletePolicies: ['hook-failed' as const], timeoutSeconds: 300 },
  };
  const hooked = buildBundle([{ ...object('a'), createOnly: true }], 'c', () => '', [hook]);
  const bundle = JSON.parse(Buffer.from(hooked.bytes).toString('utf8')) as Bundle;
  assert.deepEqual(
    bundle.entries.map((entry) => entry.createOnly),
    [true],
  );
  assert.deepEqual(
    bundle.hooks?.map(({ events, weight, keep }) => ({ events, weight, keep })),
    [{ events: ['pre-install'], weight: 1, keep: true }],
  );
  assert.equal(hooked.objects, 1, 'hooks are not held');
  assert.equal(hooked.digests.length, 3, 'and are fetched like any object');
  assert.deepEqual(hooked.digests.slice(1), digestsOf(hooked.bytes));
  assert.throws(() =>
    buildBundle([{ ...object('s'), sensitive: true, redactedBody: Buffer.from('{}'), sealed: [] }], 'c', () => ''),
  );
});

test('a failed render is one sentence with file, line, cluster and how many more', () => {
  const place = { path: 'apps/web', commit: 'abcdef', cluster: 'prod' };
  const error = { code: 'FL_RENDER_INVALID' as const, rule: 'x', message: 'is wrong' };
  assert.equal(
    say(reasonOfRender([{ ...error, file: 'a.yaml', line: 3 }, error], place)).split(';')[0],
    'a.yaml:3: is wrong (cluster prod) (and 1 more)',
  );
  assert.match(say(reasonOfRender([error], place)), /^apps\/web at abcdef: is wrong/);
  const variable = {
    ...error,
    code: 'FL_RENDER_VARIABLE' as const,
    rule: 'variable-unknown',
    file: 'a.yaml',
    line: 3,
    message: 'variable ${cluster.labels.env} has no value',
  };
  assert.match(say(reasonOfRender([variable], place)), /^a\.yaml:3: \$\{cluster\.labels\.env\} is not known for cluster prod/);
  const alone = { ...place, cluster: undefined, example: 'prod' };
  assert.equal(
    say(reasonOfRender([variable], alone)),
    say(reasonOfRender([variable], place)),
    'also where all are rendered alike',
  );
});

test('ready means: the newest Release, as far as reported for what is wanted now', () => {
  const release = aRelease(2, { a: 'd2', b: 'd2' });
  const ready = (cluster: string, number: number, bundle: string, generation = 1): Delivery => ({
    ...aDelivery(cluster, { wanted: wanted(number, bundle) }),
    status: {
      observedGeneration: generation,
      conditions: [
        { type: 'Ready', status: 'True', lastTransitionTime: '2026-01-01T00:00:00Z', reason: 'FL_READY', message: 'ok' },
      ],
    },
  });
  assert.deepEqual(summarise([ready('a', 2, 'd2'), ready('b', 2, 'd2')], release), { total: 2, ready: 2 });
  assert.equal(summarise([ready('a', 1, 'd2')], release).ready, 1, 'an older number with the same content is as good');
  assert.equal(summarise([ready('a', 1, 'd1')], release).example?.code, 'FL_CONTACT_PENDING', 'not assigned yet');
  assert.equal(summarise([ready('a', 2, 'd2', 0)], release).ready, 0, 'reported for what was wanted before');
  const leaving = aDelivery('c', { retire: { id: 'x', mode: 'Orphan', reason: 'TargetExit', actor: 'x', at: 'x' } });
  assert.equal(summarise([leaving], release).total, 0);

  const application = { ...anApplication({}), status: { release: { name: 'web.2', number: 2, commit: 'c' }, commit: 'c' } };
  const now = '2026-01-02T00:00:00Z';
  const status = withStanding(application, application.status, { reason: undefined, summary: { total: 2, ready: 2 }, now });
  assert.equal(status.conditions?.[0]?.status, 'True');
  const later = withStanding({ ...application, status }, status, {
    reason: undefined,
    summary: { total: 2, ready: 2 },
    now: '2026-01-03T00:00:00Z',
  });
  assert.deepEqual(later, status, 'nothing new is nothing to write');
});
