import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#base';
import { configMap, openLab } from './testing/harness.ts';

test('a ConfigMap of a signed document is applied, changed and pruned', async () => {
  await using lab = await openLab();
  const { plane, namespace } = lab;
  lab.start();
  await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 10_000 });
  await plane.deliver('web', [configMap('one', namespace), configMap('two', namespace)]);
  const report = await plane.untilReady('web');
  assert.deepEqual(report.objects, { total: 2, applied: 2, healthy: 2, failed: 0, drifted: 0 });
  assert.equal((await lab.configMap('one'))?.data['key'], 'value');

  await plane.deliver('web', [configMap('one', namespace, { key: 'changed' })]);
  await plane.untilReady('web');
  assert.equal((await lab.configMap('one'))?.data['key'], 'changed');
  assert.equal(await lab.configMap('two'), undefined);
});
