import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cluster } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: {
      dev: { on: 'a', labels: { env: 'dev' } },
      eu: { on: 'b', labels: { env: 'prod' } },
      us: { on: 'c', labels: { env: 'prod' } },
    },
  });
});

after(() => fleet?.[Symbol.asyncDispose]());

test('a commit changing one value reaches three clusters; deleting a file prunes exactly its objects', { skip }, async () => {
  await fleet.commit({
    'web/one.yaml': configMapYaml('one', { greeting: 'hello' }),
    'web/two.yaml': configMapYaml('two', { x: '1' }),
  });
  await fleet.application('web');
  for (const cluster of fleet.members.keys()) await fleet.ready('web', cluster);

  const second = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { greeting: 'good evening' }) });
  for (const cluster of fleet.members.keys()) {
    await fleet.ready('web', cluster, second);
    assert.equal((await fleet.configMap(cluster, fleet.ns('web'), 'one'))?.data?.['greeting'], 'good evening');
  }

  const before = await fleet.configMap('dev', fleet.ns('web'), 'one');
  const third = await fleet.commit({ 'web/two.yaml': { delete: true } });
  for (const cluster of fleet.members.keys()) {
    await fleet.ready('web', cluster, third);
    await waitFor(
      'the object of the deleted file to be gone',
      async () => (await fleet.configMap(cluster, fleet.ns('web'), 'two')) === undefined,
      { timeoutMs: 20_000 },
    );
  }
  assert.deepEqual(await fleet.configMap('dev', fleet.ns('web'), 'one'), before, 'what did not change was not written');
});

test(
  'a cluster that begins to match receives everything without a push; one that leaves keeps its objects',
  { skip },
  async () => {
    await fleet.commit({ 'exit/one.yaml': configMapYaml('one', { a: '1' }) });
    await fleet.application('exit', { targets: [{ clusterSelector: { matchLabels: { tier: 'gold' } } }] });
    assert.equal(await fleet.delivery('exit', 'eu'), undefined);
    await fleet.patch(Cluster, { name: 'eu' }, { metadata: { labels: { tier: 'gold' } } });
    await fleet.ready('exit', 'eu');
    await fleet.patch(Cluster, { name: 'eu' }, { metadata: { labels: { tier: null } } });
    await waitFor('the delivery to be let go of', async () => (await fleet.delivery('exit', 'eu')) === undefined, {
      timeoutMs: 60_000,
    });
    assert.equal((await fleet.configMap('eu', fleet.ns('exit'), 'one'))?.data?.['a'], '1', 'orphaned, not deleted');
  },
);
