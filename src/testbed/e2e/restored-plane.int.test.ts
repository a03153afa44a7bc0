import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Application, Cluster, conditionOf, CONFIRM_RECOVERY_ANNOTATION, Delivery } from '#api';
import { silentLog, waitFor } from '#base';
import { createKubeClient, loadKubeconfig, Reflector, type ResourceMapping } from '#kube';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from './fleet.ts';
import { Witness } from './witness.ts';

const skip = testbedMissing();
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dev: { on: 'a' }, eu: { on: 'b', labels: { tier: 'gold' } }, late: { on: 'c', isLate: true } },
    agentArgs: ['--lease-duration', '10'],
  });
});

after(() => fleet?.[Symbol.asyncDispose]());

const number = (n: number): string => configMapYaml('one', { n: String(n) });
const copyOf = (name: string): string => join(fleet.dir, name);

async function keepCopy(name: string): Promise<void> {
  await fleet.killPlane();
  await cp(join(fleet.planeDir, 'store'), copyOf(name), { recursive: true });
  await fleet.startPlane();
}

/** The database as it was when it was copied, everything else as it is: what a restore from a backup does. */
async function restore(name: string): Promise<void> {
  await fleet.killPlane();
  await rm(join(fleet.planeDir, 'store'), { recursive: true });
  await cp(copyOf(name), join(fleet.planeDir, 'store'), { recursive: true });
  await fleet.startPlane();
}

async function recovering(cluster: string): Promise<Cluster> {
  return waitFor(
    `${cluster} to be in recovery`,
    async () => {
      const found = await fleet.get(Cluster, { name: cluster });
      if (found?.status?.recovery === undefined) throw new Error(JSON.stringify(found?.status));
      return conditionOf(found, 'Recovering')?.status === 'True' && found;
    },
    { timeoutMs: 60_000 },
  );
}

async function confirm(cluster: string): Promise<void> {
  const { adopted } = (await recovering(cluster)).status?.recovery ?? {};
  await fleet.patch(
    Cluster,
    { name: cluster },
    { metadata: { annotations: { [CONFIRM_RECOVERY_ANNOTATION]: `${adopted?.epoch}.${adopted?.seq}` } } },
  );
  await waitFor(
    `the recovery of ${cluster} to end`,
    async () => (await fleet.get(Cluster, { name: cluster }))?.status?.recovery === undefined,
    { timeoutMs: 60_000 },
  );
}

const mappingOf = (kind: typeof Application | typeof Cluster | typeof Delivery): ResourceMapping => ({
  group: 'fairlead.dev',
  version: 'v1alpha1',
  kind: kind.kind,
  resource: kind.plural,
  namespaced: kind.scope === 'Namespaced',
  verbs: ['list', 'watch'],
  hasStatus: true,
  hasScale: false,
  singular: kind.kind.toLowerCase(),
  shortNames: [],
  categories: [],
});

test(
  'the database of the plane replaced by a day-old copy: no cluster goes back, nothing is deleted, all return, watches relist',
  { skip, timeout: 300_000 },
  async () => {
    await fleet.commit({ 'web/one.yaml': number(1), 'web/two.yaml': configMapYaml('two', { n: '1' }) });
    await fleet.application('web');
    for (const cluster of ['dev', 'eu']) await fleet.ready('web', cluster);
    await keepCopy('day-old');

    // A day: a change, a deletion, a new application, an application for a new label, a new cluster.
    await fleet.enroll('late');
    await fleet.patch(Cluster, { name: 'dev' }, { metadata: { labels: { tier: 'silver' } } });
    const newest = await fleet.commit({
      'web/one.yaml': number(2),
      'web/two.yaml': { delete: true },
      'new/one.yaml': number(1),
      'silver/one.yaml': number(1),
    });
    await fleet.application('new');
    await fleet.application('silver', {
      targets: [{ clusterSelector: { matchLabels: { tier: 'silver' } } }],
      onTargetExit: 'Delete',
    });
    for (const cluster of ['dev', 'eu', 'late']) {
      await fleet.ready('web', cluster, newest);
      await fleet.ready('new', cluster, newest);
    }
    await fleet.ready('silver', 'dev', newest);
    const third = await fleet.commit({ 'web/one.yaml': number(3) });
    for (const cluster of ['dev', 'eu', 'late']) await fleet.ready('web', cluster, third);

    // Everybody who looks: a witness in each cluster, a client-go-like reflector and a bare watch on the plane.
    await using stack = new AsyncDisposableStack();
    const witnesses: Witness[] = [];
    for (const member of fleet.members.values())
      for (const app of ['web', 'new', 'silver'])
        witnesses.push(stack.use(await Witness.of(member.handle.kubeconfig, fleet.ns(app))));
    const watching = createKubeClient({ access: await loadKubeconfig(fleet.kubeconfig), userAgent: 'kubectl/0', log: silentLog });
    stack.defer(() => watching.close());
    const stop = new AbortController();
    const reflectors = [Application, Cluster, Delivery].map((kind) => ({
      kind,
      reflector: new Reflector<string>({
        client: watching,
        mapping: mappingOf(kind),
        project: (object) => object.metadata.resourceVersion,
        log: silentLog,
        maxBackoffMs: 1000,
      }),
    }));
    const ended = Promise.all(reflectors.map(({ reflector }) => reflector.run(stop.signal).catch(() => undefined)));
    stack.defer(async () => {
      stop.abort();
      await ended;
    });
    await waitFor('the reflectors to be there', () => reflectors.every(({ reflector }) => reflector.isSynced), {
      timeoutMs: 20_000,
    });
    const listed = reflectors.map(({ reflector }) => reflector.lists);
    const [highest = 0] = (await fleet.list(Delivery))
      .map((one) => Number(one.metadata.resourceVersion))
      .toSorted((a, b) => b - a);

    await restore('day-old');

    // Who goes on from a version of the lost history is told to list again, and new versions are above all it ever saw.
    const relist = await fleet.client
      .request({
        method: 'GET',
        path: `/apis/fairlead.dev/v1alpha1/${Delivery.plural}`,
        query: { watch: true, resourceVersion: String(highest), timeoutSeconds: 1 },
      })
      .then(
        (response) => response.body.toString('utf8'),
        (error: unknown) => (error instanceof Error && 'status' in error && error.status === 410 ? '"code":410' : String(error)),
      );
    assert.match(relist, /"code": ?410/, 'a watch from the lost history must be told 410 Gone');

    for (const cluster of ['dev', 'eu']) await recovering(cluster);
    // Enrolled since: the plane knows nothing of it, and takes it back by its receipt, with nobody's help.
    await waitFor(
      'late to return',
      async () => {
        const found = await fleet.get(Cluster, { name: 'late' });
        return found !== undefined && conditionOf(found, 'Joined')?.status === 'True';
      },
      { timeoutMs: 90_000 },
    );
    const dev = await fleet.get(Cluster, { name: 'dev' });
    assert.equal(dev?.metadata.labels?.['tier'], 'silver', 'labels are what the newer history proved');

    // What only the clusters remember is wanted again, though the plane has lost its Application.
    for (const cluster of ['dev', 'eu', 'late']) {
      await waitFor(
        `the delivery of new to ${cluster}`,
        async () => {
          const delivery = await fleet.delivery('new', cluster);
          return delivery !== undefined && delivery.spec.retire === undefined;
        },
        { timeoutMs: 60_000 },
      );
    }
    assert.equal(await fleet.get(Application, { namespace: 'default', name: 'new' }), undefined);

    // Life goes on under the pause: a further change arrives everywhere, its deletions wait.
    const fourth = await fleet.commit({ 'web/one.yaml': number(4), 'web/three.yaml': configMapYaml('three', { n: '1' }) });
    for (const cluster of ['dev', 'eu', 'late']) {
      await waitFor(
        `release four on ${cluster}`,
        async () => {
          const found = await fleet.configMap(cluster, fleet.ns('web'), 'one');
          if (found?.data?.['n'] !== '4')
            throw new Error(
              JSON.stringify([
                found?.data,
                (await fleet.delivery('web', cluster))?.spec,
                (await fleet.delivery('web', cluster))?.status?.conditions?.[0],
              ]),
            );
          return true;
        },
        { timeoutMs: 90_000 },
      );
    }
    assert.ok(fourth);
    await fleet.commit({ 'web/three.yaml': { delete: true }, 'web/one.yaml': number(5) });
    for (const cluster of ['dev', 'eu', 'late']) {
      await waitFor(
        `release five on ${cluster}`,
        async () => (await fleet.configMap(cluster, fleet.ns('web'), 'one'))?.data?.['n'] === '5',
        {
          timeoutMs: 90_000,
        },
      );
      assert.ok(await fleet.configMap(cluster, fleet.ns('web'), 'three'), 'nothing is deleted before a person confirms');
    }
    for (const witness of witnesses) {
      assert.deepEqual(witness.wentBack(), []);
      assert.deepEqual(witness.deleted, []);
    }

    // A person looks, and confirms: what had been deleted in Git meanwhile goes.
    assert.match(conditionOf(await recovering('dev'), 'Ready')?.message ?? '', /restored from an older copy/);
    for (const cluster of ['dev', 'eu', 'late']) {
      if ((await fleet.get(Cluster, { name: cluster }))?.status?.recovery !== undefined) await confirm(cluster);
      await waitFor(
        `three on ${cluster} to be pruned`,
        async () => (await fleet.configMap(cluster, fleet.ns('web'), 'three')) === undefined,
        {
          timeoutMs: 60_000,
        },
      );
      assert.ok(await fleet.configMap(cluster, fleet.ns('new'), 'one'), 'what the plane has forgotten stays');
    }
    // The Application is written again (as it would be from Git): it goes on above the numbers the clusters hold.
    await fleet.application('new');
    const sixth = await fleet.commit({ 'new/one.yaml': number(2) });
    for (const cluster of ['dev', 'eu', 'late']) await fleet.ready('new', cluster, sixth);

    // Every watch has listed again and agrees with what a list says.
    for (const [index, { kind, reflector }] of reflectors.entries()) {
      await waitFor(
        `the reflector of ${kind.plural} to agree with a list`,
        async () => {
          const items = await fleet.list(kind as typeof Cluster);
          const expected = items.map((one) => [
            one.metadata.namespace === undefined ? one.metadata.name : `${one.metadata.namespace}/${one.metadata.name}`,
            one.metadata.resourceVersion,
          ]);
          const actual = [...reflector.entries()];
          assert.deepEqual(new Map(actual as [string, string][]), new Map(expected as [string, string][]));
          return true;
        },
        { timeoutMs: 30_000 },
      );
      const before = listed[index];
      assert.ok(
        reflector.lists.paged + reflector.lists.streamed > (before?.paged ?? 0) + (before?.streamed ?? 0),
        `${kind.plural} was listed again`,
      );
    }
    for (const witness of witnesses) {
      assert.deepEqual(witness.wentBack(), []);
      assert.deepEqual(
        witness.deleted.filter((name) => name !== 'three'),
        [],
      );
    }
  },
);

test('the database loses its last second: the cluster that heard of it is believed', { skip, timeout: 180_000 }, async () => {
  const first = await fleet.commit({ 'second/one.yaml': number(1) });
  await fleet.application('second', { targets: [{ clusterSelector: { matchLabels: { tier: 'gold' } } }] });
  await fleet.ready('second', 'eu', first);
  await using witness = await Witness.of(fleet.member('eu').handle.kubeconfig, fleet.ns('second'));
  await keepCopy('second-ago');
  const lost = await fleet.commit({ 'second/one.yaml': number(2) });
  await fleet.ready('second', 'eu', lost);
  await restore('second-ago');
  await fleet.ready('second', 'eu', lost);
  const next = await fleet.commit({ 'second/one.yaml': number(3) });
  await fleet.ready('second', 'eu', next);
  // What is called done is done: no waiting here.
  assert.equal((await fleet.configMap('eu', fleet.ns('second'), 'one'))?.data?.['n'], '3');
  await waitFor('the witness to see it, too', () => witness.seen.get('one')?.at(-1) === 3, { timeoutMs: 10_000 });
  assert.deepEqual(witness.seen.get('one'), [1, 2, 3], 'each of them once, none again');
  assert.deepEqual(witness.deleted, []);
  await confirm('eu');
});
