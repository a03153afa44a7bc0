import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Cluster } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { untilEvent } from './drift.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { eu: { on: 'a' }, us: { on: 'c' } } });
});

after(() => fleet?.[Symbol.asyncDispose]());

/** An application of `count` ConfigMaps for clusters with label `tier: <name>`, whose objects go with the target. */
async function deliver(name: string, count: number, clusters: readonly string[]): Promise<void> {
  const objects = Array.from({ length: count }, (_, index) => configMapYaml(`one-${index}`, { a: '1' }));
  await fleet.commit({ [`${name}/all.yaml`]: objects.join('---\n') });
  await fleet.application(name, {
    targets: [{ clusterSelector: { matchLabels: { [name]: 'gold' } } }],
    onTargetExit: 'Delete',
  });
  for (const cluster of clusters) await label(cluster, name, 'gold');
  for (const cluster of clusters) await fleet.ready(name, cluster);
}

async function label(cluster: string, name: string, value: string | null): Promise<void> {
  await fleet.patch(Cluster, { name: cluster }, { metadata: { labels: { [name]: value } } });
}

/** Names of the application's ConfigMaps on the cluster. */
async function held(cluster: string, application: string): Promise<readonly string[]> {
  const response = await fleet.member(cluster).handle.request('GET', `/api/v1/namespaces/${fleet.ns(application)}/configmaps`);
  const { items } = response.json() as { items: { metadata: { name: string } }[] };
  return items.map((item) => item.metadata.name).filter((name) => name !== 'kube-root-ca.crt');
}

async function untilGone(application: string, cluster: string): Promise<void> {
  await waitFor(
    'the delivery to be gone',
    async () => {
      const delivery = await fleet.delivery(application, cluster);
      if (delivery !== undefined) throw new Error(JSON.stringify(delivery.status?.reason));
      return true;
    },
    { timeoutMs: 60_000 },
  );
}

test('a cluster that leaves the targets loses exactly what onTargetExit: Delete says; others keep it', { skip }, async () => {
  await deliver('small', 8, ['eu', 'us']);
  const foreign = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'by-hand', namespace: fleet.ns('small') } };
  await fleet.member('eu').handle.request('POST', `/api/v1/namespaces/${fleet.ns('small')}/configmaps`, { body: foreign });
  await label('eu', 'small', null);
  await untilGone('small', 'eu');
  assert.deepEqual(await held('eu', 'small'), ['by-hand'], 'all of its own, and nothing of others');
  const namespace = await fleet.live('eu', `/api/v1/namespaces/${fleet.ns('small')}`);
  assert.notEqual(namespace, undefined, 'the namespace stays');
  assert.equal((await held('us', 'small')).length, 8);
  await fleet.ready('small', 'us');
  const event = await untilEvent(fleet, 'small.eu', 'FL_RETIRED');
  assert.equal(event.message, 'eu let go of small: 8 objects deleted');
  // It comes back with the label.
  await label('eu', 'small', 'gold');
  await fleet.ready('small', 'eu');
  assert.equal((await held('eu', 'small')).length, 9);
});

test('more than the budget allows waits for a waiver, and says how to give it', { skip }, async () => {
  await deliver('large', 14, ['eu', 'us']);
  await label('eu', 'large', null);
  const sentence = await fleet.reason('large', 'eu', 'FL_HOLD_BUDGET');
  assert.match(sentence, /^would delete 14 of 14 objects in eu, .*\b10\b/);
  assert.equal((await held('eu', 'large')).length, 14, 'nothing goes');
  // The remedy, word for word.
  const args = /kubectl (annotate .+)$/.exec(sentence)?.[1]?.split(' ') ?? [];
  const result = await fleet.kubectl(args);
  assert.equal(result.exitCode, 0, `${args.join(' ')}: ${result.stderr}`);
  await untilGone('large', 'eu');
  assert.deepEqual(await held('eu', 'large'), []);
  assert.equal((await held('us', 'large')).length, 14);
});

test('a target that comes back before anything was deleted loses nothing', { skip }, async () => {
  await deliver('back', 12, ['eu']);
  await label('eu', 'back', null);
  await fleet.reason('back', 'eu', 'FL_HOLD_BUDGET');
  await label('eu', 'back', 'gold');
  await fleet.ready('back', 'eu');
  assert.equal((await held('eu', 'back')).length, 12);
});

test('the policy that counts is the one that was in force when the cluster left', { skip }, async () => {
  await deliver('policy', 3, ['eu', 'us']);
  await fleet.application('policy', {
    targets: [{ clusterSelector: { matchLabels: { policy: 'gold' } } }],
    onTargetExit: 'Orphan',
  });
  await fleet.ready('policy', 'eu');
  await label('eu', 'policy', null);
  await untilGone('policy', 'eu');
  assert.equal((await held('eu', 'policy')).length, 3, 'orphaned');
  const one = await fleet.configMap('eu', fleet.ns('policy'), 'one-0');
  assert.equal(one?.metadata.labels?.['fairlead.dev/owner'], undefined, 'and let go of');
});
