import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Application } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'c' } } });
});

after(() => fleet?.[Symbol.asyncDispose]());

const uidOf = async (name: string): Promise<string | undefined> =>
  (await fleet.configMap('dev', fleet.ns('shop'), name))?.metadata.uid;

/** An application whose objects are in the namespace that all of them share. */
const inShop = (name: string, spec: Readonly<Record<string, unknown>> = {}): Promise<void> =>
  fleet.application(name, { defaultNamespace: fleet.ns('shop'), ...spec });

async function ownedBy(name: string): Promise<string | undefined> {
  return (await fleet.configMap('dev', fleet.ns('shop'), name))?.metadata.labels?.['fairlead.dev/owner'];
}

test('an object moved to another application in one commit is handed over: same uid, new owner', { skip }, async () => {
  await fleet.commit({
    'left/moving.yaml': configMapYaml('moving', { a: '1' }),
    'left/left.yaml': configMapYaml('left', {}),
    'right/right.yaml': configMapYaml('right', {}),
  });
  await inShop('left');
  await inShop('right');
  await fleet.ready('left', 'dev');
  await fleet.ready('right', 'dev');
  const uid = await uidOf('moving');
  const right = await ownedBy('right');
  assert.notEqual(uid, undefined);
  for (const [from, to] of [
    ['left', 'right'],
    ['right', 'left'],
  ] as const) {
    const commit = await fleet.commit({
      [`${from}/moving.yaml`]: { delete: true },
      [`${to}/moving.yaml`]: configMapYaml('moving', { a: to }),
    });
    await fleet.ready(from, 'dev', commit);
    await fleet.ready(to, 'dev', commit);
    assert.equal(await uidOf('moving'), uid);
    assert.equal(await ownedBy('moving'), await ownedBy(to));
    assert.equal((await fleet.configMap('dev', fleet.ns('shop'), 'moving'))?.data?.['a'], to);
  }
  assert.notEqual(await ownedBy('moving'), right);
});

test('a file renamed, split or moved below the path changes no object', { skip }, async () => {
  const before = await fleet.configMap('dev', fleet.ns('shop'), 'moving');
  const commit = await fleet.commit({
    'left/moving.yaml': { delete: true },
    'left/left.yaml': { delete: true },
    'left/deeper/all.yaml': `${configMapYaml('left', {})}---\n${configMapYaml('moving', { a: 'left' })}`,
  });
  await fleet.ready('left', 'dev', commit);
  assert.deepEqual(await fleet.configMap('dev', fleet.ns('shop'), 'moving'), before);
});

test('a renamed application takes over from the old one, also when the old one was to delete', { skip }, async () => {
  await fleet.patch(Application, { name: 'left', namespace: 'default' }, { spec: { deletionPolicy: 'Delete' } });
  await fleet.ready('left', 'dev');
  const uids = [await uidOf('moving'), await uidOf('left')];
  await inShop('renamed', { source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'left' } });
  // Both list the same objects: the one that has them keeps them.
  assert.match(await fleet.reason('renamed', 'dev', 'FL_CLAIM_CONFLICT'), /is claimed by application default\/left too/);
  await fleet.delete(Application, { name: 'left', namespace: 'default' });
  await waitFor('the old one to be gone', async () => (await fleet.delivery('left', 'dev')) === undefined, { timeoutMs: 60_000 });
  await fleet.ready('renamed', 'dev');
  assert.deepEqual([await uidOf('moving'), await uidOf('left')], uids);
  assert.equal(await ownedBy('moving'), await ownedBy('left'));
});

test('the new application may come after the old one let go', { skip }, async () => {
  const uid = await uidOf('right');
  await fleet.delete(Application, { name: 'right', namespace: 'default' });
  await waitFor('the old one to be gone', async () => (await fleet.delivery('right', 'dev')) === undefined, {
    timeoutMs: 60_000,
  });
  await inShop('newer', { source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'right' } });
  await fleet.ready('newer', 'dev');
  assert.equal(await uidOf('right'), uid);
});
