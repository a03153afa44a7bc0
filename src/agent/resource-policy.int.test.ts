import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newUid, waitFor } from '#base';
import { configMap, openLab, uniqueName, type Lab } from './testing/harness.ts';
import type { Manifest } from './testing/plane.ts';

let lab: Lab;
before(async () => {
  lab = await openLab('c');
  lab.start();
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
});
after(() => lab[Symbol.asyncDispose]());

function kept(name: string): Manifest {
  const annotations = { 'helm.sh/resource-policy': 'keep' };
  return { ...configMap(name, lab.namespace), metadata: { name, namespace: lab.namespace, annotations } };
}

const saidKept = (app: string): string[] =>
  lab.plane.events
    .filter((event) => event.application === app && event.reason.code === 'FL_KEPT')
    .map((event) => String(event.reason.args['object']));

test('resource-policy: keep is let go of instead of pruned or deleted, outside the budget, and said', async () => {
  const { plane, namespace } = lab;
  const limits = { maxDeletions: 1, maxDeletionPercent: 0 };
  await plane.deliver('keep', [kept('pruned-1'), kept('pruned-2'), kept('stays'), configMap('goes', namespace)], { limits });
  await plane.untilReady('keep');
  await plane.deliver('keep', [kept('stays')], { limits });
  await plane.untilReady('keep');
  assert.equal(await lab.configMap('goes'), undefined);
  for (const name of ['pruned-1', 'pruned-2']) {
    const live = await lab.configMap(name);
    assert.equal(live?.data['key'], 'value');
    assert.equal(live?.metadata.labels?.['fairlead.dev/owner'], undefined, 'nobody holds it any more');
  }
  await waitFor('it to be said', () => saidKept('keep').length > 0, { timeoutMs: 5000 });
  // Wanted again it is taken over as it is.
  await plane.deliver('keep', [kept('stays'), kept('pruned-1')], { limits });
  await plane.untilReady('keep');
  const uid = plane.apps.get('keep')?.uid ?? '';
  plane.apps.delete('keep');
  const id = newUid();
  plane.retire.push({
    id,
    project: 'default',
    application: 'keep',
    uid,
    mode: 'Delete',
    reason: 'ApplicationDeleted',
    actor: 'someone',
    maxObjects: 1,
    maxDeletions: 1,
    maxDeletionPercent: 0,
    waived: false,
  });
  plane.publish();
  await waitFor('the acknowledgement', () => plane.reports.some((report) => report.retired.some((one) => one.id === id)), {
    timeoutMs: 20_000,
  });
  assert.equal((await lab.configMap('stays'))?.metadata.labels?.['fairlead.dev/owner'], undefined);
  assert.notEqual(await lab.configMap('pruned-1'), undefined);
});

function definition(group: string, versions: readonly string[], extra = ''): Manifest {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `things.${group}` },
    spec: {
      group,
      names: { kind: 'Thing', plural: 'things', singular: 'thing', listKind: 'ThingList' },
      scope: 'Namespaced',
      versions: versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        schema: { openAPIV3Schema: { type: 'object', description: extra, 'x-kubernetes-preserve-unknown-fields': true } },
      })),
    },
  };
}

const definitionPath = (group: string): string => `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.${group}`;

interface Definition {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>>; readonly generation: number };
  readonly spec: { readonly versions: readonly { readonly name: string }[] };
}

test('a version in which objects may be stored is not taken out of its definition', async () => {
  const group = `${uniqueName('stored')}.example.com`;
  const { plane } = lab;
  try {
    await plane.deliver('stored', [definition(group, ['v1alpha1'])]);
    await plane.untilReady('stored', 30_000);
    await plane.deliver('stored', [definition(group, ['v1'])]);
    const report = await plane.until('stored', 'refused', (one) => one.problems[0]?.reason.code === 'FL_APPLY_STORED_VERSION');
    assert.equal(report.problems[0]?.reason.args['version'], 'v1alpha1');
    const live = (await lab.get(definitionPath(group))) as unknown as Definition;
    assert.deepEqual(
      live.spec.versions.map((one) => one.name),
      ['v1alpha1'],
    );
    await plane.deliver('stored', [definition(group, ['v1', 'v1alpha1'])]);
    await plane.untilReady('stored', 30_000);
  } finally {
    await lab.cluster.request('DELETE', definitionPath(group));
  }
});

test('a definition that is only to be made is made where it is missing, and never touched again', async () => {
  const group = `${uniqueName('made')}.example.com`;
  const { plane } = lab;
  const thing = { apiVersion: `${group}/v1`, kind: 'Thing', metadata: { name: 'one', namespace: lab.namespace } };
  const createOnly = [`things.${group}`];
  try {
    await plane.deliver('made', [definition(group, ['v1'], 'first'), thing], { createOnly });
    await plane.untilReady('made', 30_000);
    const made = (await lab.get(definitionPath(group))) as unknown as Definition;
    assert.equal(made.metadata.labels?.['fairlead.dev/owner'], undefined);
    await plane.deliver('made', [definition(group, ['v1'], 'second'), thing, configMap('made', lab.namespace)], { createOnly });
    await plane.untilReady('made', 30_000);
    const later = (await lab.get(definitionPath(group))) as unknown as Definition;
    assert.equal(later.metadata.generation, made.metadata.generation);
    // Gone from Git it stays, and asks for no waiver although its kind is protected.
    await plane.deliver('made', [configMap('made', lab.namespace)]);
    await plane.untilReady('made', 30_000);
    assert.notEqual(await lab.get(definitionPath(group)), undefined);
  } finally {
    await lab.cluster.request('DELETE', definitionPath(group));
  }
});
