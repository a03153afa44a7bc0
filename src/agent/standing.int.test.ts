import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRng, systemClock, waitFor } from '#base';
import { startProcess } from './testing/agent-process.ts';
import { configMap, openLab, type Lab } from './testing/harness.ts';
import type { AppOptions, Manifest } from './testing/plane.ts';

function migration(lab: Lab, name: string, podAnnotations: Readonly<Record<string, string>>): Manifest {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, namespace: lab.namespace },
    spec: {
      backoffLimit: 0,
      template: {
        metadata: { annotations: podAnnotations },
        spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'example.test/main:1' }] },
      },
    },
  };
}

const before = (manifest: Manifest): AppOptions => ({ hooks: [{ manifest, events: ['pre-upgrade'] }] });

async function edit(lab: Lab, name: string): Promise<void> {
  const path = `/api/v1/namespaces/${lab.namespace}/configmaps/${name}?fieldManager=kubectl-edit`;
  await lab.cluster.request('PATCH', path, {
    body: { data: { key: 'by hand' } },
    contentType: 'application/merge-patch+json',
  });
}

/** Edits one object, deletes another, and waits until both are as release 1 has them. */
async function expectHealed(lab: Lab, when: string): Promise<void> {
  await edit(lab, 'kept-edited');
  await lab.cluster.request('DELETE', `/api/v1/namespaces/${lab.namespace}/configmaps/kept-deleted`);
  for (const name of ['kept-edited', 'kept-deleted'])
    await waitFor(`${name} to be healed ${when}`, async () => (await lab.configMap(name))?.data['key'] === 'one', {
      timeoutMs: 10_000,
    });
}

const objects = (lab: Lab, key: string): Manifest[] =>
  ['kept-edited', 'kept-deleted'].map((name) => configMap(name, lab.namespace, { key }));

test('while a pre-upgrade hook runs, and when it has failed, the release before it is healed, across a kill -9', async () => {
  await using lab = await openLab('a');
  const { plane } = lab;
  const token = plane.joinToken();
  const corrected = (): number => plane.events.filter((one) => /^FL_DRIFT_(CORRECTED|DELETED)$/.test(one.reason.code)).length;
  const expectTold = async (count: number): Promise<void> => {
    await waitFor(`${count} corrections to be told`, () => corrected() >= count, { timeoutMs: 10_000 });
    assert.equal(corrected(), count);
  };
  let agent = await startProcess(lab, token);
  try {
    await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
    await plane.deliver('kept', objects(lab, 'one'));
    await plane.untilReady('kept');

    const hangs = migration(lab, 'kept-hangs', { 'testbed.fairlead.dev/run-for': '600s' });
    await plane.deliver('kept', [...objects(lab, 'two'), configMap('kept-new', lab.namespace)], before(hangs));
    await plane.until('kept', 'at its hook', (one) => one.reason?.code === 'FL_HOOK_RUNNING');
    await expectHealed(lab, 'while a hook runs');

    // The next release comes while the hook runs; its own fails.
    const fails = migration(lab, 'kept-fails', { 'testbed.fairlead.dev/outcome': 'fail' });
    await plane.deliver('kept', objects(lab, 'three'), before(fails));
    await plane.until('kept', 'stopped', (one) => one.reason?.code === 'FL_HOOK_FAILED', 40_000);
    await expectHealed(lab, 'when a hook has failed');

    // What is done twice to one object before anybody is told counts as one.
    await expectTold(4);
    await agent.kill();
    await edit(lab, 'kept-edited');
    await lab.cluster.request('DELETE', `/api/v1/namespaces/${lab.namespace}/configmaps/kept-deleted`);
    agent = await startProcess(lab, token);
    for (const name of ['kept-edited', 'kept-deleted'])
      await waitFor(`${name} to be healed by the next process`, async () => (await lab.configMap(name))?.data['key'] === 'one', {
        timeoutMs: 15_000,
      });
    await expectHealed(lab, 'by the next process');
    assert.equal(await lab.configMap('kept-new'), undefined);
    await expectTold(8);
    assert.equal(plane.delivery('kept')?.reason?.code, 'FL_HOOK_FAILED');

    // Mended: from its first object on it is the new one that is kept.
    const works = migration(lab, 'kept-works', {});
    await plane.deliver('kept', objects(lab, 'four'), before(works));
    await plane.untilReady('kept', 40_000);
    await edit(lab, 'kept-edited');
    await waitFor('the new value to be back', async () => (await lab.configMap('kept-edited'))?.data['key'] === 'four', {
      timeoutMs: 10_000,
    });
  } finally {
    await agent.kill();
  }
});

test('without a plane to fetch the new content from, and held by another application, the release before it is healed', async () => {
  await using lab = await openLab('b');
  const { plane } = lab;
  let agent = lab.start();
  await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
  await plane.deliver('kept', objects(lab, 'one'));
  await plane.untilReady('kept');

  plane.fault = (path) => (path.startsWith('/agent/v1/bundles/') ? { status: 503, code: 'FL_TEST' } : undefined);
  await plane.deliver('kept', objects(lab, 'two'));
  await plane.until('kept', 'blocked', (one) => one.phase === 'blocked');
  await expectHealed(lab, 'without its content');
  await agent.stop();
  agent = lab.start();
  await expectHealed(lab, 'by the next process, without its content');

  plane.fault = undefined;
  await plane.deliver('kept', objects(lab, 'three'), { settings: { dependsOn: [{ name: 'absent' }] } });
  await plane.until('kept', 'held', (one) => one.reason?.code === 'FL_HOLD_DEPENDENCY');
  await expectHealed(lab, 'while it waits for another application');

  // What a person asks for counts at once, and what the Project no longer allows is not written.
  await plane.deliver('kept', objects(lab, 'three'), { settings: { dependsOn: [{ name: 'absent' }], drift: { mode: 'Alert' } } });
  await plane.until('kept', 'held', (one) => one.release === plane.apps.get('kept')?.release && one.phase === 'blocked');
  await edit(lab, 'kept-edited');
  await plane.until('kept', 'drifted', (one) => one.objects.drifted === 1);
  assert.equal((await lab.configMap('kept-edited'))?.data['key'], 'by hand');
  await plane.deliver('kept', objects(lab, 'three'), {
    settings: { dependsOn: [{ name: 'absent' }] },
    limits: { namespaces: ['elsewhere'] },
  });
  await plane.until('kept', 'refused', (one) => one.problems[0]?.reason.code === 'FL_CLAIM_NAMESPACE');
  assert.equal((await lab.configMap('kept-edited'))?.data['key'], 'by hand');
  await plane.deliver('kept', objects(lab, 'three'));
  await plane.untilReady('kept');
});

test(
  'killed again and again on the way to a release: never half of the one and half of the other',
  { timeout: 240_000 },
  async () => {
    await using lab = await openLab('c');
    const { plane, namespace } = lab;
    const token = plane.joinToken();
    const rng = seededRng(17);
    const all = (release: number): Manifest[] =>
      Array.from({ length: 8 }, (_, index) => configMap(`turn-${index}`, namespace, { key: String(release) }));
    const short = migration(lab, 'turn', { 'testbed.fairlead.dev/run-for': '300ms' });
    let agent = await startProcess(lab, token);
    try {
      await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
      await plane.deliver('turn', all(0));
      await plane.untilReady('turn');
      for (let release = 1; release <= 6; release += 1) {
        await plane.deliver('turn', all(release), before(short));
        const seen: number[] = [];
        for (let kills = 0; kills < 2; kills += 1) {
          await edit(lab, 'turn-0');
          await systemClock.sleep(150 + rng() * 600);
          await agent.kill();
          seen.push(Number((await lab.configMap('turn-1'))?.data['key']));
          agent = await startProcess(lab, token);
        }
        await plane.untilReady('turn', 40_000);
        // Once it has begun nothing of it is taken back.
        assert.deepEqual(
          [...seen].sort((a, b) => a - b),
          seen,
        );
        const isNew = async (index: number): Promise<boolean> =>
          (await lab.configMap(`turn-${index}`))?.data['key'] === String(release);
        for (let index = 0; index < 8; index += 1)
          await waitFor(`turn-${index} of release ${release}`, () => isNew(index), { timeoutMs: 10_000 });
      }
    } finally {
      await agent.kill();
    }
  },
);
