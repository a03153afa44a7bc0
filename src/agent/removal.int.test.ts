import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newUid, waitFor } from '#base';
import type { RetireEntry } from '#api';
import { configMap, openLab, type Lab } from './testing/harness.ts';

let lab: Lab;
before(async () => {
  lab = await openLab();
  lab.start();
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
});
after(() => lab[Symbol.asyncDispose]());

function many(prefix: string, count: number): ReturnType<typeof configMap>[] {
  return Array.from({ length: count }, (_, index) => configMap(`${prefix}-${index}`, lab.namespace));
}

async function names(prefix: string): Promise<string[]> {
  const list = (await lab.get(`/api/v1/namespaces/${lab.namespace}/configmaps`)) as { items: { metadata: { name: string } }[] };
  return list.items.map((item) => item.metadata.name).filter((name) => name.startsWith(`${prefix}-`));
}

function retirement(name: string, more: Partial<RetireEntry>): RetireEntry {
  const app = lab.plane.apps.get(name);
  return {
    id: newUid(),
    project: 'default',
    application: name,
    uid: app?.uid ?? '',
    mode: 'Delete',
    reason: 'ApplicationDeleted',
    actor: 'someone',
    maxObjects: 100,
    maxDeletions: 10,
    maxDeletionPercent: 20,
    waived: false,
    ...more,
  };
}

test('more deletions than the budget allows wait for a waiver that names the bundle', async () => {
  const { plane } = lab;
  await plane.deliver('budget', many('budget', 15));
  await plane.untilReady('budget');
  await plane.deliver('budget', many('budget', 2));
  const held = await plane.until('budget', 'held', (report) => report.reason?.code === 'FL_HOLD_BUDGET');
  assert.equal(held.reason?.args['count'], 13);
  assert.equal(held.reason.args['limit'], 10);
  assert.equal((await names('budget')).length, 15);
  const bundle = plane.apps.get('budget')?.bundle ?? '';
  await plane.deliver('budget', many('budget', 2), { waiver: { bundle, actor: 'someone' } });
  await plane.untilReady('budget');
  assert.equal((await names('budget')).length, 2);
});

test('an empty bundle counts fully against the budget', async () => {
  const { plane } = lab;
  await plane.deliver('empty', many('empty', 12));
  await plane.untilReady('empty');
  await plane.deliver('empty', []);
  await plane.until('empty', 'held', (report) => report.reason?.code === 'FL_HOLD_BUDGET');
  assert.equal((await names('empty')).length, 12);
});

test('a protected kind stays without a waiver, the rest goes', async () => {
  const { plane, namespace } = lab;
  const claim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'precious', namespace },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
  };
  await plane.deliver('protected', [claim, configMap('protected-0', namespace)]);
  await plane.until('protected', 'applied', (report) => report.objects.applied === 2);
  await plane.deliver('protected', []);
  const held = await plane.until('protected', 'held', (report) => report.reason?.code === 'FL_HOLD_PROTECTED');
  assert.match(String(held.reason?.args['object']), /PersistentVolumeClaim .*precious/);
  assert.notEqual(await lab.get(`/api/v1/namespaces/${namespace}/persistentvolumeclaims/precious`), undefined);
  assert.deepEqual(await names('protected'), []);
});

test('prune: false keeps, and so does the annotation on one object', async () => {
  const { plane, namespace } = lab;
  const keeper = configMap('annotated-0', namespace);
  await plane.deliver('annotated', [
    { ...keeper, metadata: { name: 'annotated-0', namespace, annotations: { 'fairlead.dev/prune': 'disabled' } } },
  ]);
  await plane.deliver('unpruned', many('unpruned', 2), { settings: { prune: false } });
  await plane.untilReady('annotated');
  await plane.untilReady('unpruned');
  await plane.setApp('annotated', []);
  await plane.deliver('unpruned', [], { settings: { prune: false } });
  await plane.untilReady('annotated');
  await plane.untilReady('unpruned');
  assert.deepEqual(await names('annotated'), ['annotated-0']);
  assert.equal((await names('unpruned')).length, 2);
  // Turned on again, what was left goes.
  await plane.deliver('unpruned', []);
  await plane.untilReady('unpruned');
  await waitFor('the rest to go', async () => (await names('unpruned')).length === 0, { timeoutMs: 10_000 });
});

test('while deletions are paused nothing is pruned', async () => {
  const { plane } = lab;
  await plane.deliver('paused', many('paused', 3));
  await plane.untilReady('paused');
  plane.deletionsPaused = true;
  await plane.deliver('paused', many('paused', 1));
  await plane.until('paused', 'held', (report) => report.reason?.code === 'FL_HOLD_RECOVERY');
  assert.equal((await names('paused')).length, 3);
  plane.deletionsPaused = false;
  plane.publish();
  await plane.untilReady('paused');
  assert.equal((await names('paused')).length, 1);
});

test('absence is no instruction: kept, and reported as orphaned', async () => {
  const { plane } = lab;
  await plane.deliver('absent', many('absent', 2));
  await plane.untilReady('absent');
  const app = plane.apps.get('absent');
  plane.apps.delete('absent');
  plane.publish();
  await waitFor(
    'the orphan to be reported',
    () => plane.reports.at(-1)?.orphaned.some((one) => one.application === 'absent' && one.objects === 2),
    {
      timeoutMs: 10_000,
    },
  );
  assert.equal((await names('absent')).length, 2);
  // It comes back as if nothing had been.
  if (app !== undefined) plane.apps.set('absent', app);
  plane.publish();
  await plane.untilReady('absent');
});

test('retire: Delete removes within the budget and acknowledges; Orphan takes the marks away', async () => {
  const { plane, namespace } = lab;
  await plane.setApp('doomed', many('doomed', 3));
  await plane.deliver('released', many('released', 3));
  await plane.untilReady('doomed');
  await plane.untilReady('released');
  const doomed = retirement('doomed', { mode: 'Delete' });
  const released = retirement('released', { mode: 'Orphan', reason: 'TargetExit' });
  plane.apps.delete('doomed');
  plane.apps.delete('released');
  plane.retire.push(doomed, released);
  plane.publish();
  for (const [id, result] of [
    [doomed.id, 'deleted'],
    [released.id, 'orphaned'],
  ]) {
    await waitFor(
      `${result} to be acknowledged`,
      () => plane.reports.at(-1)?.retired.some((one) => one.id === id && one.result === result && one.objects === 3),
      {
        timeoutMs: 15_000,
      },
    );
  }
  assert.deepEqual(await names('doomed'), []);
  const left = await lab.configMap('released-0');
  assert.equal(left?.data['key'], 'value');
  const metadata = left?.metadata;
  assert.equal(metadata?.labels?.['fairlead.dev/owner'], undefined);
  assert.equal(metadata?.annotations?.['fairlead.dev/object'], undefined);
  assert.ok(!metadata?.managedFields?.some((one) => one.manager === 'fairlead' && one.operation === 'Apply'), namespace);
  plane.retire.length = 0;
  plane.publish();
});

test('retire: over budget nothing goes until it is waived', async () => {
  const { plane } = lab;
  await plane.deliver('big', many('big', 14));
  await plane.untilReady('big');
  const entry = retirement('big', {});
  plane.apps.delete('big');
  plane.retire.push(entry);
  plane.publish();
  await plane.until('big', 'held', (report) => report.reason?.code === 'FL_HOLD_BUDGET');
  assert.equal((await names('big')).length, 14);
  plane.retire[0] = { ...entry, waived: true };
  plane.publish();
  await waitFor(
    'the acknowledgement',
    () => plane.reports.at(-1)?.retired.some((one) => one.id === entry.id && one.objects === 14),
    { timeoutMs: 15_000 },
  );
  assert.deepEqual(await names('big'), []);
  plane.retire.length = 0;
  plane.publish();
});

test('an object that moves to another application is handed over, never deleted and made again', async () => {
  const { plane, namespace } = lab;
  await plane.deliver('from', [configMap('moving', namespace), configMap('from-stays', namespace)]);
  await plane.untilReady('from');
  const uid = (await lab.configMap('moving'))?.metadata.uid;
  await plane.setApp('from', [configMap('from-stays', namespace)]);
  await plane.deliver('to', [configMap('moving', namespace)]);
  await plane.untilReady('from');
  await plane.untilReady('to');
  assert.equal((await lab.configMap('moving'))?.metadata.uid, uid);
  // Listed by both, the one that has it keeps it.
  await plane.deliver('thief', [configMap('moving', namespace)]);
  const report = await plane.until('thief', 'refused', (one) =>
    one.problems.some((problem) => problem.reason.code === 'FL_CLAIM_CONFLICT'),
  );
  assert.equal(report.problems[0]?.reason.args['owner'], 'default/to');
  plane.apps.delete('thief');
  plane.publish();
});
