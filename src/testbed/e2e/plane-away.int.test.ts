import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Cluster, conditionOf, deliveryName } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from './fleet.ts';
import { Witness } from './witness.ts';

const skip = testbedMissing();
let fleet: Fleet;

// Two ways to keep state: beside a cluster in a directory, and in a pod without a volume, in Secrets.
const clusters = ['dir', 'pod'] as const;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dir: { on: 'a' }, pod: { on: 'b', state: 'secrets' } },
    agentArgs: ['--lease-duration', '10'],
  });
});

after(() => fleet?.[Symbol.asyncDispose]());

/** A person's edit, healed. */
async function healed(cluster: string, name: string, value: string): Promise<void> {
  const path = `/api/v1/namespaces/${fleet.ns('web')}/configmaps/${name}`;
  const { handle } = fleet.member(cluster);
  const edit = await handle.request('PATCH', `${path}?fieldManager=kubectl-edit`, {
    body: { data: { greeting: 'edited', extra: 'x' } },
    contentType: 'application/merge-patch+json',
  });
  assert.equal(edit.status, 200);
  await waitFor(
    `the edit of ${name} on ${cluster} to be healed`,
    async () => {
      const data = (await fleet.configMap(cluster, fleet.ns('web'), name))?.data;
      if (data?.['greeting'] !== value || 'extra' in data) throw new Error(JSON.stringify(data));
      return true;
    },
    { timeoutMs: 60_000 },
  );
}

test(
  'with the plane gone agents heal, survive kill -9 and a new place without a volume, go nowhere, and tell it all afterwards',
  { skip, timeout: 300_000 },
  async () => {
    const yaml = (greeting: string, n: number): string => configMapYaml('one', { greeting, n: String(n) });
    const first = await fleet.commit({
      'web/one.yaml': yaml('hello', 1),
      'web/two.yaml': configMapYaml('two', { greeting: 'two', n: '1' }),
    });
    await fleet.application('web');
    for (const cluster of clusters) await fleet.ready('web', cluster, first);
    assert.equal(existsSync(fleet.stateDir('pod')), false, 'an agent with its state in Secrets has no directory');
    await using onDir = await Witness.of(fleet.member('dir').handle.kubeconfig, fleet.ns('web'));
    await using onPod = await Witness.of(fleet.member('pod').handle.kubeconfig, fleet.ns('web'));

    await fleet.killPlane();
    // Meanwhile Git goes on; nobody can tell the clusters.
    const next = await fleet.git.commit(
      'fleet',
      { 'web/one.yaml': yaml('good evening', 2), 'web/two.yaml': { delete: true } },
      'While the plane is away',
    );

    for (const cluster of clusters) await healed(cluster, 'one', 'hello');
    for (const cluster of clusters) {
      const member = fleet.member(cluster);
      await member.killAgent();
      const path = `/api/v1/namespaces/${fleet.ns('web')}/configmaps/two`;
      // Deleted while nobody looks: the new process finds out.
      await member.handle.request('DELETE', path);
      member.startAgent();
    }
    for (const cluster of clusters) {
      await waitFor(`two to be back on ${cluster}`, () => fleet.configMap(cluster, fleet.ns('web'), 'two'), {
        timeoutMs: 60_000,
      });
      await healed(cluster, 'one', 'hello');
    }
    for (const witness of [onDir, onPod]) {
      assert.deepEqual(witness.deleted, ['two'], 'only what the person deleted');
      assert.deepEqual(witness.wentBack(), []);
      witness.deleted.length = 0;
    }

    await fleet.startPlane();
    for (const cluster of clusters) {
      await fleet.ready('web', cluster, next);
      assert.equal((await fleet.configMap(cluster, fleet.ns('web'), 'one'))?.data?.['greeting'], 'good evening');
      // What happened while it was away is told: the edits and the deletion, named, once each.
      await waitFor(
        `what happened on ${cluster} to be told`,
        async () => {
          const words = (await fleet.events())
            .filter(({ involvedObject }) => involvedObject.name === deliveryName('web', cluster))
            .map(({ reason, message }) => `${reason} ${message}`);
          const said = (part: RegExp): boolean => words.some((one) => part.test(one));
          if (!said(/kubectl-edit/) || !said(/two/)) throw new Error(JSON.stringify(words));
          return true;
        },
        { timeoutMs: 60_000 },
      );
      const found = await fleet.get(Cluster, { name: cluster });
      assert.equal(found?.status?.recovery, undefined, 'a plane that was away is no plane that was restored');
      assert.ok(found !== undefined && conditionOf(found, 'Joined')?.status === 'True');
    }
    for (const witness of [onDir, onPod]) {
      assert.deepEqual(witness.wentBack(), []);
      await waitFor('two to be pruned', () => witness.deleted.includes('two'), { timeoutMs: 60_000 });
    }
  },
);
