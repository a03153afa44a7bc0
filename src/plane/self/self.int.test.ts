import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog, systemClock } from '#base';
import { Application, Cluster, conditionOf, GitRepository, Project, servedKinds } from '#api';
import { createHttp } from '#plane/http';
import { createKubeApi, VERSION_INFO, type KubeApi } from '#plane/kubeapi';
import { World } from '../applications/testing/world.ts';
import { createSelf } from './index.ts';

const source = { sourceRef: { kind: 'GitRepository' as const, name: 'fleet' } };

const cluster = (name: string): string =>
  `apiVersion: fairlead.dev/v1alpha1\nkind: Cluster\nmetadata: {name: ${name}, labels: {env: prod}}\nspec: {}\n`;
const app = (name: string, path = 'apps/x'): string =>
  `apiVersion: fairlead.dev/v1alpha1\nkind: Application\nmetadata: {name: ${name}}\nspec: {source: {sourceRef: {kind: GitRepository, name: fleet}, path: ${path}}}\n`;

async function planeWorld(): Promise<World> {
  let api: KubeApi | undefined;
  const world = await World.start((store) => [
    createSelf({
      log: silentLog,
      clientFor: (actor) => {
        api ??= createKubeApi({ store: store(), kinds: servedKinds, http, log: silentLog });
        return api.client(actor);
      },
    }),
  ]);
  const http = await createHttp({ log: silentLog, clock: systemClock, version: VERSION_INFO });
  world.onEnd(async () => {
    await http.stop();
    await api?.stop();
  });
  await world.project();
  await world.put(Project, 'default', {
    sources: ['**'],
    clusterSelector: {},
    planeKinds: ['*'],
    serviceAccount: { agentIdentity: true },
  });
  await world.repository();
  return world;
}

test('a commit changes the plane itself: applied, recorded, pruned, and never its own end', async () => {
  await using w = await planeWorld();
  await w.push({
    'plane/clusters.yaml': cluster('prod'),
    'plane/a.yaml': app('a'),
    'plane/b.yaml': app('b'),
    'plane/root.yaml': app('root', 'plane'),
  });
  await w.put(Application, 'root', { source: { ...source, path: 'plane' }, targets: [{ plane: {} }] });
  // The manifest of the root itself says nothing of targets: they belong to who wrote them.
  await w.until('the plane to hold it', async () => (await w.app('root')).status?.plane?.release === 'root.1');
  assert.deepEqual((await w.app('root')).status?.plane?.objects, [
    'Application/default/a',
    'Application/default/b',
    'Application/default/root',
    'Cluster//prod',
  ]);
  const a = await w.app('a');
  assert.equal(a.metadata.managedFields?.[0]?.manager, 'fairlead-self');
  await w.until('Ready', async () => conditionOf(await w.app('root'), 'Ready')?.status === 'True');

  await w.push({ 'plane/b.yaml': { delete: true }, 'plane/root.yaml': { delete: true } });
  await w.until('b to go', async () => (await w.store.get(Application, { namespace: 'default', name: 'b' })) === undefined);
  await w.until('it to be recorded', async () => {
    const { plane, release } = (await w.app('root')).status ?? {};
    return plane?.release === release?.name && plane?.objects.join() === 'Application/default/a,Cluster//prod';
  });
  assert.equal((await w.app('root')).metadata.deletionTimestamp, undefined);

  await w.push({ 'plane/clusters.yaml': { delete: true } });
  const words = await w.untilReason('root', 'FL_HOLD_PLANE');
  assert.match(words, /would delete Cluster\/\/prod on the plane.*protected kind.*fairlead\.dev\/waiver=sha256:/);
  assert.ok(await w.store.get(Cluster, { namespace: '', name: 'prod' }));
  const waiver = /waiver=(sha256:\S+)/.exec(words)?.[1] ?? '';
  const root = await w.app('root');
  await w.commit([
    {
      op: 'put',
      kind: Application,
      object: { ...root, metadata: { ...root.metadata, annotations: { 'fairlead.dev/waiver': waiver } } },
    },
  ]);
  await w.until('the cluster to go', async () => (await w.store.get(Cluster, { namespace: '', name: 'prod' })) === undefined);

  await w.remove(Application, 'root');
  await w.until(
    'the application to go',
    async () => (await w.store.get(Application, { namespace: 'default', name: 'root' })) === undefined,
  );
  assert.ok(await w.store.get(Application, { namespace: 'default', name: 'a' }), 'deletionPolicy is Orphan by default');
});

test('what the API refuses and what the Project does not allow is said, the rest goes on', async () => {
  await using w = await planeWorld();
  await w.push({ 'plane/a.yaml': app('a'), 'plane/bad.yaml': app('bad').replace('spec: {', 'spec: {nonsense: 1, ') });
  await w.put(Application, 'root', { source: { ...source, path: 'plane' }, targets: [{ plane: {} }] });
  assert.match(await w.untilReason('root', 'FL_APPLY_PLANE'), /Application\/default\/bad is refused by the plane: .*nonsense/);
  assert.ok(await w.store.get(Application, { namespace: 'default', name: 'a' }));
  await w.put(Project, 'default', {
    sources: ['**'],
    clusterSelector: {},
    planeKinds: ['GitRepository'],
    serviceAccount: { agentIdentity: true },
  });
  await w.untilReason('root', 'FL_CLAIM_PLANE');
  assert.ok(await w.store.get(GitRepository, { namespace: 'default', name: 'fleet' }));
});
