/** `drift: Alert` writes nothing but new content, whatever becomes of the process. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { DeliveryReport } from '#api';
import { waitFor } from '#base';
import { configMap, openLab, type Lab } from './testing/harness.ts';

let lab: Lab;
before(async () => {
  lab = await openLab('c');
});
after(() => lab[Symbol.asyncDispose]());

const path = (name: string): string => `/api/v1/namespaces/${lab.namespace}/configmaps/${name}`;
const alert = { drift: { mode: 'Alert' } } as const;
const isApplied = ({ applied }: DeliveryReport): boolean => applied?.release === lab.plane.apps.get('alert')?.release;
const keyOf = async (name: string): Promise<string | undefined> => (await lab.configMap(name))?.data['key'];

test('what a person changed stays through a restart and other settings, is told, and goes when somebody asks', async () => {
  const { plane } = lab;
  let agent = lab.start();
  await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
  const objects = ['one', 'two', 'gone'].map((name) => configMap(name, lab.namespace));
  await plane.deliver('alert', objects, { settings: alert });
  await plane.untilReady('alert');
  await lab.cluster.request('PATCH', `${path('one')}?fieldManager=kubectl-edit`, {
    body: { data: { key: 'by hand' } },
    contentType: 'application/merge-patch+json',
  });
  await lab.cluster.request('DELETE', path('gone'));
  await plane.until('alert', 'both to be told', (one) => one.objects.drifted === 2);

  await agent.stop();
  plane.reports.length = 0;
  agent = lab.start();
  await plane.until('alert', 'both to be told by the next process', (one) => one.objects.drifted === 2);
  assert.deepEqual([await keyOf('one'), await keyOf('gone')], ['by hand', undefined]);

  // A document that says something else about the same content.
  const ignore = [{ kind: 'Deployment', jsonPointers: ['/spec/replicas'] }];
  await plane.deliver('alert', objects, { settings: { drift: { mode: 'Alert', ignore } } });
  await plane.until('alert', 'the newer document to count', (one) => isApplied(one) && one.objects.drifted === 2);
  assert.deepEqual([await keyOf('one'), await keyOf('gone')], ['by hand', undefined]);

  // New content is applied; what a person asks for is done, once.
  await plane.deliver('alert', [...objects.slice(0, 2), configMap('gone', lab.namespace, { key: 'new' })], { settings: alert });
  await plane.until('alert', 'the new content', (one) => isApplied(one) && one.objects.drifted === 0);
  assert.deepEqual([await keyOf('one'), await keyOf('gone')], ['value', 'new']);
  const edit = async (): Promise<unknown> =>
    lab.cluster.request('PATCH', `${path('two')}?fieldManager=kubectl-edit`, {
      body: { data: { key: 'by hand' } },
      contentType: 'application/merge-patch+json',
    });
  await edit();
  await plane.until('alert', 'the edit to be told', (one) => one.objects.drifted === 1);
  await plane.deliver('alert', [...objects.slice(0, 2), configMap('gone', lab.namespace, { key: 'new' })], {
    settings: alert,
    nudge: 'now',
  });
  await plane.until('alert', 'the edit to be put back', (one) => isApplied(one) && one.objects.drifted === 0);
  assert.equal(await keyOf('two'), 'value');
  await edit();
  await plane.until('alert', 'the second edit to be told', (one) => one.objects.drifted === 1);
  await agent.stop();
  plane.reports.length = 0;
  agent = lab.start();
  await plane.until('alert', 'it to be told by the next process', (one) => one.objects.drifted === 1);
  assert.equal(await keyOf('two'), 'by hand', 'what was asked for once is not done again');
  await agent.stop();
});
