import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSION, ApiList, apiListKey, apisDigest, Application, Cluster, Release } from '#api';
import { newUid, rfc3339 } from '#base';
import { World } from './testing/world.ts';

const source = { sourceRef: { kind: 'GitRepository' as const, name: 'fleet' } };
const BASE = ['apps/v1', 'apps/v1/Deployment', 'v1'];
const MONITOR = 'monitoring.coreos.com/v1/ServiceMonitor';
const WITH_MONITORS = [...BASE, 'monitoring.coreos.com/v1', MONITOR].sort();

function chart(name: string, more: string): Record<string, string> {
  return {
    [`charts/${name}/Chart.yaml`]: `apiVersion: v2\nname: ${name}\nversion: 1.0.0\n`,
    [`charts/${name}/templates/cm.yaml`]: `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {${more}}\n`,
  };
}

/** What the agents room does with a report. */
async function reportApis(w: World, cluster: string, list: readonly string[]): Promise<void> {
  const digest = apisDigest(list);
  const { name } = apiListKey(digest);
  const found = await w.get(Cluster, { namespace: '', name: cluster });
  const metadata = { name, uid: newUid(), generation: 1, creationTimestamp: rfc3339(Date.now()) };
  const status = { ...found.status, apis: { count: list.length, digest, reported: digest } };
  await w.commit([
    { op: 'put', kind: ApiList, object: { apiVersion: API_VERSION, kind: 'ApiList', metadata, spec: { versions: [...list] } } },
    { op: 'put', kind: Cluster, object: { ...found, status } },
  ]);
}

function objectsOf(release: Release, cluster: string): number | undefined {
  return release.spec.bundles.find((one) => one.clusters.includes(cluster))?.objects;
}

function renders(w: World, application: string): number {
  return w.looks.filter((look) => look.application === `default/${application}`).reduce((sum, look) => sum + look.renders, 0);
}

test('a new API renders again what asked for it, on the clusters that serve it, and nothing else', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('a', {});
  await w.cluster('b', {});
  await reportApis(w, 'a', BASE);
  await reportApis(w, 'b', BASE);
  const monitor =
    '{{ if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor" }}\napiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: asks}\n{{ end }}\n';
  await w.git.commit(
    'fleet',
    {
      ...chart('asks', 'a: b'),
      'charts/asks/templates/monitor.yaml': monitor,
      ...chart('other', 'kube: "{{ .Capabilities.APIVersions.Has "batch/v1/CronJob" }}"'),
      ...chart('none', 'a: b'),
    },
    'one',
  );
  await w.repository();
  for (const name of ['asks', 'other', 'none'])
    await w.put(Application, name, {
      source: { ...source, path: `charts/${name}` },
      targets: [{ clusterSelector: {} }],
      defaultNamespace: 'x',
    });
  for (const name of ['asks', 'other', 'none']) await w.untilReleased(name, 1);
  await w.idle();
  // One render of each: that they ask costs no second one while all clusters answer alike.
  for (const name of ['asks', 'other', 'none']) assert.equal(renders(w, name), 1, name);
  w.looks.length = 0;

  await reportApis(w, 'a', WITH_MONITORS);
  const second = await w.untilReleased('asks', 2);
  await w.idle();
  assert.equal(objectsOf(second, 'a'), 2);
  assert.equal(objectsOf(second, 'b'), 1);
  assert.deepEqual([renders(w, 'asks'), renders(w, 'other'), renders(w, 'none')], [1, 0, 0]);

  w.looks.length = 0;
  await reportApis(w, 'a', [...WITH_MONITORS, 'zzz.example.com/v1']);
  await w.idle();
  assert.equal(
    w.looks.reduce((sum, look) => sum + look.renders, 0),
    0,
    'an API that nobody asks for renders nothing',
  );
  assert.equal((await w.releases('asks')).length, 2);

  // The other cluster is alike now, and shares what there is.
  await reportApis(w, 'b', WITH_MONITORS);
  const third = await w.untilReleased('asks', 3);
  assert.deepEqual(
    third.spec.bundles.map(({ clusters }) => clusters),
    [['a', 'b']],
  );

  // What was asked is known after a restart, too.
  await w.restart();
  await w.idle();
  w.looks.length = 0;
  await reportApis(w, 'b', BASE);
  const fourth = await w.untilReleased('asks', 4);
  assert.deepEqual([objectsOf(fourth, 'a'), objectsOf(fourth, 'b')], [2, 1]);
  await w.idle();
  assert.deepEqual([renders(w, 'other'), renders(w, 'none')], [0, 0]);
});

test('one cluster: what a chart asked counts although nothing differs; a second cluster is not taken for the first', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('a', {});
  const files = chart(
    'asks',
    'has: "{{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" }}", p: "{{ randAlphaNum 20 }}"',
  );
  await w.git.commit('fleet', files, 'one');
  await w.repository();
  await w.put(Application, 'asks', {
    source: { ...source, path: 'charts/asks' },
    targets: [{ clusterSelector: {} }],
    defaultNamespace: 'x',
  });
  const first = await w.untilReleased('asks', 1);
  await w.idle();
  await reportApis(w, 'a', BASE);
  await w.idle();
  assert.equal(
    (await w.releases('asks')).length,
    1,
    'what Helm assumes of a cluster that it does not know has no such API either',
  );
  await reportApis(w, 'a', WITH_MONITORS);
  const second = await w.untilReleased('asks', 2);
  assert.notEqual(second.spec.bundles[0]?.digest, first.spec.bundles[0]?.digest);
  await w.cluster('b', {});
  const third = await w.untilReleased('asks', 3);
  assert.equal(third.spec.bundles.length, 2, 'another answer, another password');
  assert.ok(
    third.spec.bundles.some((one) => one.digest === second.spec.bundles[0]?.digest),
    'the password of the first stays',
  );
});
