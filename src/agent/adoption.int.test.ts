import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '#base';
import { configMap, openLab, type Lab } from './testing/harness.ts';

let lab: Lab;
before(async () => {
  lab = await openLab('c');
  lab.start();
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
});
after(() => lab[Symbol.asyncDispose]());

const mapsPath = (): string => `/api/v1/namespaces/${lab.namespace}/configmaps`;

async function create(
  name: string,
  more: { labels?: object; annotations?: object; data?: object } = {},
  manager = 'kubectl-create',
): Promise<void> {
  const body = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: lab.namespace, labels: more.labels, annotations: more.annotations },
    data: more.data ?? { key: 'before' },
  };
  const answer = await lab.cluster.request('POST', `${mapsPath()}?fieldManager=${manager}`, { body });
  assert.equal(answer.status, 201);
}

const problemCode = (name: string): string | undefined => lab.plane.delivery(name)?.problems[0]?.reason.code;

test('what kubectl apply put there is taken over, and its fields that Git does not have go', async () => {
  await lab.cluster.apply(JSON.stringify({ ...configMap('applied', lab.namespace, { key: 'old', gone: '1' }) }));
  const uid = (await lab.configMap('applied'))?.metadata.uid;
  await lab.plane.deliver('applied', [configMap('applied', lab.namespace, { key: 'git' })]);
  await lab.plane.untilReady('applied');
  const live = await lab.configMap('applied');
  assert.equal(live?.metadata.uid, uid);
  assert.deepEqual(live?.data, { key: 'git' });
  assert.equal(live?.metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration'], undefined);
  const event = await waitFor(
    'the event',
    () => lab.plane.events.find((one) => one.application === 'applied' && one.reason.code === 'FL_ADOPTED'),
    {
      timeoutMs: 5000,
    },
  );
  assert.equal(event.reason.args['manager'], 'kubectl-client-side-apply');
});

test('what is like Git already is only marked', async () => {
  await create('same', { data: { key: 'value' } });
  await lab.plane.deliver('same', [configMap('same', lab.namespace)]);
  await lab.plane.untilReady('same');
  assert.notEqual((await lab.configMap('same'))?.metadata.labels?.['fairlead.dev/owner'], undefined);
});

test('what a Helm release owns is refused and named; adoption: Always takes it over with its fields', async () => {
  const helm = {
    labels: { 'app.kubernetes.io/managed-by': 'Helm' },
    annotations: { 'meta.helm.sh/release-name': 'shop', 'meta.helm.sh/release-namespace': 'apps' },
    data: { key: 'old', gone: '1' },
  };
  await create('helmed', helm, 'helm');
  await lab.plane.deliver('helmed', [configMap('helmed', lab.namespace, { key: 'git' })]);
  const report = await lab.plane.until('helmed', 'refused', (one) => one.problems.length === 1);
  assert.equal(report.problems[0]?.reason.code, 'FL_CLAIM_FOREIGN');
  assert.equal(report.problems[0]?.reason.args['owner'], 'Helm release apps/shop');
  assert.equal((await lab.configMap('helmed'))?.data['key'], 'old');
  await lab.plane.deliver('helmed', [configMap('helmed', lab.namespace, { key: 'git' })], { settings: { adoption: 'Always' } });
  await lab.plane.untilReady('helmed');
  assert.deepEqual((await lab.configMap('helmed'))?.data, { key: 'git' });
});

test('an owner mark of another tool is refused and named, and the other objects go on', async () => {
  await create('fluxed', {
    labels: { 'kustomize.toolkit.fluxcd.io/name': 'infra', 'kustomize.toolkit.fluxcd.io/namespace': 'flux-system' },
  });
  await lab.plane.deliver('fluxed', [configMap('fluxed', lab.namespace), configMap('beside', lab.namespace)]);
  await lab.plane.until('fluxed', 'refused', (one) => one.objects.failed === 1 && one.objects.applied === 1);
  assert.equal(problemCode('fluxed'), 'FL_CLAIM_FOREIGN');
  assert.equal(lab.plane.delivery('fluxed')?.problems[0]?.reason.args['owner'], 'Flux Kustomization flux-system/infra');
  assert.notEqual(await lab.configMap('beside'), undefined);
});

test('adoption: Never refuses whatever exists', async () => {
  await create('never');
  await lab.plane.deliver('never', [configMap('never', lab.namespace)], { settings: { adoption: 'Never' } });
  await lab.plane.until('never', 'refused', (one) => one.problems.length === 1);
  assert.equal(problemCode('never'), 'FL_CLAIM_EXISTS');
  // As soon as it is out of the way, it goes on by itself.
  await lab.cluster.request('DELETE', `${mapsPath()}/never`);
  await lab.plane.untilReady('never', 40_000);
});

test('a copy of our marks is not ours', async () => {
  await lab.plane.deliver('original', [configMap('original', lab.namespace)]);
  await lab.plane.untilReady('original');
  const marks = (await lab.configMap('original'))?.metadata;
  await create('copy', { labels: marks?.labels ?? {}, annotations: marks?.annotations ?? {} });
  await lab.plane.deliver('original', [configMap('original', lab.namespace, { key: '2' })]);
  await lab.plane.untilReady('original');
  assert.equal((await lab.configMap('copy'))?.data['key'], 'before');
});

test('a crowd of existing objects is adopted', async () => {
  const names = Array.from({ length: 60 }, (_, index) => `crowd-${index}`);
  await Promise.all(names.map((name) => create(name)));
  await lab.plane.deliver(
    'crowd',
    names.map((name) => configMap(name, lab.namespace)),
  );
  await lab.plane.untilReady('crowd', 30_000);
  assert.equal((await lab.configMap('crowd-59'))?.data['key'], 'value');
});
