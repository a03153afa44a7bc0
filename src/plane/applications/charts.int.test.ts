import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Application, type Bundle, type Release } from '#api';
import { configMap, World } from './testing/world.ts';

const source = { sourceRef: { kind: 'GitRepository' as const, name: 'fleet' } };
const chart = {
  'charts/web/Chart.yaml': 'apiVersion: v2\nname: web\nversion: 1.0.0\n',
  'charts/web/values.yaml': 'host: none\nlevel: none\n',
  'charts/web/templates/cm.yaml':
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\ndata: {host: "{{ .Values.host }}", level: "{{ .Values.level }}", kube: "{{ .Capabilities.KubeVersion.Version }}"}\n',
  'charts/web/templates/hook.yaml':
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: migrate, annotations: {helm.sh/hook: pre-upgrade}}\n',
  'values/dev.yaml': 'level: debug\n',
  'values/prod.yaml': 'level: info\n',
};

async function bundleFor(
  w: World,
  release: Release,
  cluster: string,
): Promise<{ readonly bundle: Bundle; readonly text: string }> {
  const digest = release.spec.bundles.find((one) => one.clusters.includes(cluster))?.digest ?? '';
  const bytes = (await w.store.blobs([digest], cluster)).get(digest) ?? Buffer.alloc(0);
  const bundle = JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle;
  const digests = [...bundle.entries, ...(bundle.hooks ?? [])].map((entry) => entry.digest);
  const blobs = await w.store.blobs(digests, cluster);
  return { bundle, text: digests.map((one) => Buffer.from(blobs.get(one) ?? []).toString('utf8')).join('\n') };
}

test('a chart is delivered with value files and values of each cluster, its hooks apart', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('dev', { env: 'dev' });
  await w.cluster('prod', { env: 'prod' });
  await w.git.commit('fleet', chart, 'one');
  await w.repository();
  await w.put(Application, 'web', {
    source: { ...source, path: 'charts/web' },
    targets: [{ clusterSelector: {} }],
    defaultNamespace: 'web',
    render: {
      helm: {
        valueFiles: ['/values/${cluster.labels.env}.yaml'],
        values: { host: '${cluster.name}.example.com' },
        hookTimeout: '10m',
      },
    },
  });
  const release = await w.untilReleased('web', 1);
  const dev = await bundleFor(w, release, 'dev');
  assert.match(dev.text, /"host":"dev\.example\.com".*"level":"debug"/);
  assert.match((await bundleFor(w, release, 'prod')).text, /"host":"prod\.example\.com".*"level":"info"/);
  assert.deepEqual(
    dev.bundle.hooks?.map(({ id, events, timeoutSeconds }) => [id.name, events, timeoutSeconds]),
    [['migrate', ['pre-upgrade'], 600]],
  );
  assert.deepEqual(
    dev.bundle.entries.map(({ id, source: place }) => [id.name, place?.file]),
    [['web', 'charts/web/templates/cm.yaml']],
  );
});

test('a kustomization is rendered again when a base that it reads changes, and by nothing else', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('dev', { env: 'dev' });
  await w.git.commit(
    'fleet',
    {
      'overlays/dev/kustomization.yaml': 'resources: [../../base]\nnamePrefix: dev-\n',
      'base/kustomization.yaml': 'resources: [cm.yaml]\n',
      'base/cm.yaml': configMap('web'),
      'base/README.md': 'hello',
    },
    'one',
  );
  await w.repository();
  await w.put(Application, 'web', {
    source: { ...source, path: 'overlays/${cluster.labels.env}' },
    targets: [{ clusterSelector: {} }],
    defaultNamespace: 'web',
  });
  const release = await w.untilReleased('web', 1);
  assert.deepEqual(
    (await bundleFor(w, release, 'dev')).bundle.entries.map(({ id, source: place }) => [id.name, place?.file]),
    [['dev-web', 'base/cm.yaml']],
  );
  await w.idle();
  w.looks.length = 0;
  const readme = await w.push({ 'base/README.md': 'changed', 'elsewhere/a.yaml': configMap('a') });
  await w.until('the commit to be looked at', async () => (await w.app('web')).status?.commit === readme);
  await w.idle();
  assert.equal(
    w.looks.reduce((sum, look) => sum + look.renders, 0),
    0,
    'nothing that it reads changed',
  );
  await w.push({ 'base/cm.yaml': configMap('web', { changed: 'yes' }) });
  const second = await w.untilReleased('web', 2);
  assert.match((await bundleFor(w, second, 'dev')).text, /"changed":"yes"/);
});

test('passwords differ by cluster and stay over commits elsewhere; a base from another place is named', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('a', {});
  await w.cluster('b', {});
  const random =
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: p}\ndata: {p: {{ randAlphaNum 20 }}, at: {{ now | unixEpoch | quote }}}\n';
  await w.git.commit(
    'fleet',
    { 'charts/p/Chart.yaml': 'apiVersion: v2\nname: p\nversion: 1.0.0\n', 'charts/p/templates/a.yaml': random },
    'one',
  );
  await w.repository();
  await w.put(Application, 'p', { source: { ...source, path: 'charts/p' }, targets: [{ clusterSelector: {} }] });
  const release = await w.untilReleased('p', 1);
  assert.equal(release.spec.bundles.length, 2, 'no two clusters share a password');
  const elsewhere = await w.push({ 'other/a.yaml': configMap('a'), 'charts/p/README.md.bak': 'x' });
  await w.until('the commit to be looked at', async () => (await w.app('p')).status?.commit === elsewhere);
  await w.idle();
  await w.push({
    'charts/p/Chart.yaml':
      'apiVersion: v2\nname: p\nversion: 1.0.0\ndependencies: [{name: redis, version: 1.x, repository: "https://charts.example.com"}]\n',
  });
  assert.match(
    await w.untilReason('p', 'FL_RENDER_REMOTE'),
    /charts\/p\/Chart\.yaml:4: needs chart redis 1\.x from https:\/\/charts\.example\.com/,
  );
});
