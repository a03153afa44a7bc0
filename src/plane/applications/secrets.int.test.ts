import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Application, type Bundle } from '#api';
import { World } from './testing/world.ts';

const secret = (value: string): string => `apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: ${value}}\n`;
const configMap = (value: string): string => `---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: "${value}"}\n`;

async function bundleOf(w: World, cluster: string): Promise<Bundle> {
  const delivery = (await w.deliveries('web')).find((d) => d.spec.cluster === cluster);
  const digest = delivery?.spec.wanted?.bundle ?? '';
  const bytes = (await w.store.blobs([digest], cluster)).get(digest);
  assert.ok(bytes !== undefined, `${cluster} may fetch its bundle`);
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle;
}

test('a Secret is sealed per cluster, and sealed again only when it changes or the cluster has another key', async () => {
  await using w = await World.start();
  await w.project();
  await w.cluster('a', { env: 'x' });
  await w.cluster('b', { env: 'x' });
  await w.git.commit('fleet', { 'app/a.yaml': secret('hunter2-canary') + configMap('1') }, 'one');
  await w.repository();
  const spec: Application['spec'] = {
    source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'app' },
    targets: [{ clusterSelector: {} }],
    defaultNamespace: 'web',
  };
  await w.put(Application, 'web', spec);
  const first = await w.untilReleased('web', 1);
  assert.equal(first.spec.bundles.length, 2, 'one bundle per cluster');
  await w.idle();
  const sealedOf = async (cluster: string) => (await bundleOf(w, cluster)).entries.find((entry) => entry.id.kind === 'Secret');
  const [a, b] = [await sealedOf('a'), await sealedOf('b')];
  assert.ok(a?.sealed !== undefined && b?.sealed !== undefined);
  assert.notEqual(a.digest, b.digest);
  assert.notEqual(a.sealed, b.sealed, 'equality is known per cluster only');
  assert.equal((await w.store.blobs([a.digest], 'b')).size, 0);
  assert.equal((await w.store.blobs([a.digest], 'a')).get(a.digest)?.byteLength, a.size);

  // Another object changes: the Secret stays the very same bytes.
  await w.push({ 'app/a.yaml': secret('hunter2-canary') + configMap('2') });
  await w.untilReleased('web', 2);
  await w.until('a to want it', async () => (await w.deliveries('web')).every((d) => d.spec.wanted?.number === 2));
  assert.equal((await sealedOf('a'))?.digest, a.digest);
  assert.equal((await sealedOf('b'))?.digest, b.digest);

  // A cluster that joins is sealed to; the others are not touched.
  w.looks.length = 0;
  await w.cluster('c', { env: 'x' });
  const third = await w.untilReleased('web', 3);
  assert.equal(third.spec.bundles.length, 3);
  await w.idle();
  assert.equal((await sealedOf('a'))?.digest, a.digest);
  assert.ok((await sealedOf('c'))?.sealed !== undefined);
  assert.equal(
    w.looks.reduce((sum, look) => sum + look.renders, 0),
    1,
  );
  assert.equal((await w.deliveries('web')).find((d) => d.spec.cluster === 'a')?.spec.wanted?.number, 2, 'nothing new for a');

  // An agent that joins anew has another key: what was sealed to the old one is of no use to it.
  await w.join('b');
  await w.untilReleased('web', 4);
  await w.until(
    'b to want it',
    async () => (await w.deliveries('web')).find((d) => d.spec.cluster === 'b')?.spec.wanted?.number === 4,
  );
  assert.notEqual((await sealedOf('b'))?.digest, b.digest);

  // Nothing that anybody can list holds the value.
  const rows = JSON.stringify([await w.releases('web'), await w.deliveries(), await w.app('web')]);
  assert.doesNotMatch(rows, /hunter2|aHVudGVyMi/);
  await w.push({
    'app/a.yaml': 'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {password: "hunter2 canary is no base64"}\n',
  });
  assert.doesNotMatch(await w.untilReason('web', 'FL_RENDER_FAILED'), /hunter2/);
});

test('clusters are told apart by what the files mention, and only by that', async () => {
  await using w = await World.start();
  await w.project();
  for (const [name, env] of [
    ['a', 'x'],
    ['b', 'x'],
    ['c', 'y'],
  ] as const)
    await w.cluster(name, { env, own: name });
  const manifest = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {env: "${cluster.labels.env}"}\n';
  await w.git.commit('fleet', { 'app/a.yaml': manifest }, 'one');
  await w.repository();
  const spec: Application['spec'] = {
    source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'app' },
    targets: [{ clusterSelector: {} }],
    render: { manifests: { substitute: true } },
    defaultNamespace: 'web',
  };
  await w.put(Application, 'web', spec);
  const release = await w.untilReleased('web', 1);
  assert.deepEqual(release.spec.bundles.map((bundle) => bundle.clusters.join()).sort(), ['a,b', 'c']);
  await w.idle();
  assert.equal(
    w.looks.reduce((sum, look) => sum + look.renders, 0),
    2,
  );
  // A label that nothing mentions changes nothing; one that is mentioned makes a Release.
  w.looks.length = 0;
  await w.cluster('b', { env: 'x', own: 'other' }, false);
  await w.idle();
  assert.equal((await w.releases('web')).length, 1);
  await w.cluster('b', { env: 'y' }, false);
  const second = await w.untilReleased('web', 2);
  assert.deepEqual(second.spec.bundles.map((bundle) => bundle.clusters.join()).sort(), ['a', 'b,c']);
  assert.equal(
    w.looks.reduce((sum, look) => sum + look.renders, 0),
    0,
    'y was rendered before',
  );
  await w.cluster('b', {}, false);
  assert.match(
    await w.untilReason('web', 'FL_RENDER_VARIABLE'),
    /app\/a\.yaml:4: \$\{cluster\.labels\.env\} is not known for cluster b/,
  );
});
