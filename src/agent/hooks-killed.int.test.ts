import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRng, systemClock, waitFor } from '#base';
import { startProcess } from './testing/agent-process.ts';
import { configMap, openLab } from './testing/harness.ts';

test('killed between any two steps of a hook, it runs once all the same', { timeout: 240_000 }, async () => {
  await using lab = await openLab('b');
  const { plane, namespace } = lab;
  const token = plane.joinToken();
  const rng = seededRng(5);
  const job = {
    apiVersion: 'batch/v1',
    kind: 'Job',
    // Every run leaves an object of its own: a second one would show.
    metadata: { generateName: 'run-', namespace },
    spec: {
      backoffLimit: 0,
      template: {
        metadata: { annotations: { 'testbed.fairlead.dev/run-for': '500ms' } },
        spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'example.test/main:1' }] },
      },
    },
  };
  const hooks = [
    { manifest: job, events: ['pre-install', 'pre-upgrade'] as const },
    { manifest: configMap('once', namespace), events: ['post-install', 'post-upgrade'] as const },
  ].map((hook) => ({ ...hook, events: [...hook.events] }));
  let agent = await startProcess(lab, token);
  try {
    await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
    const releases = 5;
    for (let release = 1; release <= releases; release += 1) {
      await plane.deliver('killed', [configMap('killed', namespace, { release: String(release) })], { hooks });
      for (let kills = 0; kills < 3; kills += 1) {
        await systemClock.sleep(150 + rng() * 700);
        await agent.kill();
        agent = await startProcess(lab, token);
      }
      await plane.untilReady('killed', 40_000);
    }
    const list = (await lab.get(`/apis/batch/v1/namespaces/${namespace}/jobs`)) as { items: unknown[] };
    assert.equal(list.items.length, releases);
    const done = (): readonly string[] =>
      plane.events.filter((event) => event.reason.code === 'FL_HOOK_DONE').map((event) => String(event.reason.args['event']));
    await waitFor('every hook to be told', () => done().length >= 2 * releases, { timeoutMs: 10_000 });
    assert.equal(done().length, 2 * releases, done().join(', '));
  } finally {
    await agent.kill();
  }
});
