import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Application, Project } from '#api';
import type { FleetCluster } from './fleet.ts';
import { targetsOf } from './targets.ts';
import { baseGroups, mentionedVariables, valuesKey } from './wanted-groups.ts';
import { anApplication, aCluster, aProject } from './testing/objects.ts';

const names = (application: Application, project: Project, fleet: readonly FleetCluster[]): string =>
  targetsOf(application, project, fleet)
    .clusters.map(({ cluster }) => cluster.name)
    .join(' ');

const fleet = [aCluster('a', { env: 'dev' }), aCluster('b', { env: 'prod' }), aCluster('c', { env: 'prod', region: 'us' })];

test('no targets is no cluster, {} is every cluster, the Project limits both', () => {
  assert.equal(names(anApplication({}), aProject(), fleet), '');
  assert.equal(names(anApplication({ targets: [{ clusterSelector: {} }] }), aProject(), fleet), 'a b c');
  const project = aProject({ clusterSelector: { matchLabels: { env: 'prod' } } });
  const targeting = targetsOf(anApplication({ targets: [{ clusterSelector: {} }] }), project, fleet);
  assert.deepEqual([targeting.clusters.map((c) => c.cluster.name), targeting.refused.map((c) => c.name)], [['b', 'c'], ['a']]);
  assert.equal(names(anApplication({ targets: [{ clusterSelector: {} }] }), { ...aProject(), spec: {} }, fleet), '');
  assert.equal(names(anApplication({ targets: [{ plane: {} }] }), aProject(), fleet), '');
});

test('the first target that matches wins, and adds to how the application is rendered', () => {
  const application = anApplication({
    render: { manifests: { recurse: false } },
    targets: [
      { clusterSelector: { matchLabels: { region: 'us' } }, render: { manifests: { substitute: true } } },
      { clusterSelector: { matchLabels: { env: 'prod' } } },
    ],
  });
  assert.deepEqual(
    targetsOf(application, aProject(), fleet).clusters.map(({ cluster, render }) => [cluster.name, render.manifests]),
    [
      ['b', { recurse: false }],
      ['c', { recurse: false, substitute: true }],
    ],
  );
});

test('a suspended cluster stays targeted, one on its way out does not', () => {
  const application = anApplication({ targets: [{ clusterSelector: {} }] });
  const gone = { ...aCluster('d', {}), isDeleting: true };
  const asleep = { ...aCluster('e', {}), isSuspended: true };
  assert.equal(names(application, aProject(), [gone, asleep]), 'e');
});

test('clusters with equal path and options are one group; a label that the path needs must be there', () => {
  const application = anApplication({ targets: [{ clusterSelector: {} }] }, 'apps/${cluster.labels.env}');
  const grouping = baseGroups(application, targetsOf(application, aProject(), fleet), 'v1');
  assert.ok(grouping.ok);
  assert.deepEqual(
    grouping.groups.map((group) => [group.path, group.members.map((member) => member.cluster?.name)]),
    [
      ['apps/dev', ['a']],
      ['apps/prod', ['b', 'c']],
    ],
  );
  const bare = baseGroups(application, targetsOf(application, aProject(), [aCluster('x', {})]), 'v1');
  assert.ok(!bare.ok);
  assert.match(bare.message, /no label "env"/);
  const later = baseGroups(application, targetsOf(application, aProject(), fleet), 'v2');
  assert.ok(later.ok && later.groups[0]?.base !== grouping.groups[0]?.base, 'another renderer is another key');
});

test('a cluster whose agent has not joined is not rendered', () => {
  const application = anApplication({ targets: [{ clusterSelector: {} }] });
  const grouping = baseGroups(
    application,
    targetsOf(application, aProject(), [{ ...aCluster('x', {}), sealingKey: undefined }]),
    'v1',
  );
  assert.deepEqual(grouping, { ok: true, groups: [] });
});

test('only what the files mention tells clusters apart', () => {
  const mentioned = mentionedVariables([
    Buffer.from('a: ${cluster.labels.env} ${cluster.name}'),
    Buffer.from('${cluster.labels.env} ${cluster.open'),
  ]);
  assert.deepEqual(mentioned, ['cluster.labels.env', 'cluster.name']);
  const key = (name: string, labels: Record<string, string>, of: readonly string[]): string =>
    valuesKey(aCluster(name, labels), of);
  assert.equal(
    key('a', { env: 'x', other: '1' }, ['cluster.labels.env']),
    key('b', { env: 'x', other: '2' }, ['cluster.labels.env']),
  );
  assert.notEqual(key('a', { env: 'x' }, mentioned), key('b', { env: 'x' }, mentioned));
  assert.notEqual(key('a', {}, ['cluster.labels.env']), key('a', { env: '' }, ['cluster.labels.env']));
});
