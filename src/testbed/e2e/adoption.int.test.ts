import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '#base';
import { testbedMissing, type ClusterHandle } from '#testbed';
import { deploymentYaml, untilEvent } from './drift.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
let fleet: Fleet;
let cluster: ClusterHandle;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'b' } } });
  cluster = fleet.member('dev').handle;
});

after(() => fleet?.[Symbol.asyncDispose]());

/** What Git wants of each: `stays` with another value, and `later`, which goes with the second commit. */
const wanted = { stays: 'from Git', later: 'x' };
const older = { stays: 'old', later: 'x', gone: 'not in Git' };

interface Written {
  readonly metadata: {
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly managedFields?: readonly { readonly manager: string; readonly operation: string; readonly subresource?: string }[];
  };
  readonly data?: Readonly<Record<string, string>>;
}

async function map(application: string, name: string): Promise<Written> {
  const live = await fleet.configMap('dev', fleet.ns(application), name);
  assert.notEqual(live, undefined, `${name} is there`);
  return live as unknown as Written; // of the API server
}

async function namespace(application: string): Promise<void> {
  await cluster.request('POST', '/api/v1/namespaces', {
    body: { apiVersion: 'v1', kind: 'Namespace', metadata: { name: fleet.ns(application) } },
  });
}

/** As a program with this field manager creates it. */
async function create(
  application: string,
  manager: string,
  operation: 'Update' | 'Apply',
  metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  },
): Promise<void> {
  const collection = `/api/v1/namespaces/${fleet.ns(application)}/configmaps`;
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: older };
  const answer =
    operation === 'Update'
      ? await cluster.request('POST', `${collection}?fieldManager=${manager}`, { body })
      : await cluster.request('PATCH', `${collection}/${metadata.name}?fieldManager=${manager}`, {
          body,
          contentType: 'application/apply-patch+yaml',
        });
  assert.equal(answer.status, 201, answer.text);
}

/** Adopted: the very object, with exactly Git's fields, held by us alone, and marked. */
async function expectAdopted(
  application: string,
  name: string,
  uid: string,
  data: Readonly<Record<string, string>> = wanted,
): Promise<void> {
  const live = await map(application, name);
  assert.equal(live.metadata.uid, uid, 'the same object');
  assert.deepEqual(live.data, data, 'exactly what Git says');
  assert.notEqual(live.metadata.labels?.['fairlead.dev/owner'], undefined);
  assert.deepEqual(
    live.metadata.managedFields?.map((one) => `${one.manager} ${one.operation}`),
    ['fairlead Apply'],
  );
  assert.deepEqual(Object.keys(live.metadata.annotations ?? {}), ['fairlead.dev/object'], 'no annotation of its former holder');
}

/** The second commit takes a field away that came with the adoption. */
async function expectFieldGoes(application: string, name: string): Promise<void> {
  const commit = await fleet.commit({ [`${application}/${name}.yaml`]: configMapYaml(name, { stays: 'from Git' }) });
  await fleet.ready(application, 'dev', commit);
  assert.deepEqual((await map(application, name)).data, { stays: 'from Git' });
}

test('objects of kubectl apply are taken over with all their fields; what Git deletes later goes', { skip }, async () => {
  await namespace('kubectl');
  const ns = fleet.ns('kubectl');
  await cluster.apply(configMapYaml('one', older), ns);
  await cluster.apply(deploymentYaml('web', { replicas: 3, image: 'registry.invalid/old:1', env: { OLD: '1' } }), ns);
  const { uid } = (await map('kubectl', 'one')).metadata;
  await fleet.commit({
    'kubectl/one.yaml': configMapYaml('one', wanted),
    'kubectl/web.yaml': deploymentYaml('web', { replicas: 2, image: 'registry.invalid/new:1', env: { NEW: '1' } }),
  });
  await fleet.application('kubectl');
  await fleet.ready('kubectl', 'dev');
  await expectAdopted('kubectl', 'one', uid);
  const event = await untilEvent(fleet, 'kubectl.dev', 'FL_ADOPTED', (message) => message.includes('/one'));
  assert.equal(event.message, `ConfigMap ${ns}/one in dev was taken over from kubectl-client-side-apply`);

  const web = (): Promise<unknown> => fleet.live('dev', `/apis/apps/v1/namespaces/${ns}/deployments/web`);
  const container = { name: 'main', image: 'registry.invalid/new:1' };
  assert.partialDeepStrictEqual(await web(), { spec: { replicas: 2, template: { spec: { containers: [container] } } } });
  assert.deepEqual(envOf(await web()), ['NEW']);

  const commit = await fleet.commit({
    'kubectl/one.yaml': configMapYaml('one', { stays: 'from Git' }),
    'kubectl/web.yaml': deploymentYaml('web', { replicas: 2, image: 'registry.invalid/new:1' }),
  });
  await fleet.ready('kubectl', 'dev', commit);
  assert.deepEqual((await map('kubectl', 'one')).data, { stays: 'from Git' });
  assert.deepEqual(envOf(await web()), []);
  // A later kubectl apply of the old file would find its annotation gone; kubectl diff against Git's file is empty.
  const diff = await cluster.kubectl(['diff', '-n', ns, '-f', '-'], { input: configMapYaml('one', { stays: 'from Git' }) });
  assert.doesNotMatch(diff.stdout, /^[-+] {2,}(stays|later|gone)/m);
});

function envOf(deployment: unknown): string[] {
  const { spec } = deployment as { spec: { template: { spec: { containers: { env?: { name: string }[] }[] } } } };
  return spec.template.spec.containers[0]?.env?.map((one) => one.name) ?? [];
}

test('what Helm installed is refused and named, and taken over with adoption: Always', { skip }, async () => {
  await namespace('helm');
  const helm = (name: string) => ({
    name,
    labels: { 'app.kubernetes.io/managed-by': 'Helm' },
    annotations: { 'meta.helm.sh/release-name': 'shop', 'meta.helm.sh/release-namespace': 'shops' },
  });
  await create('helm', 'helm', 'Update', helm('three'));
  await create('helm', 'helm', 'Apply', helm('four'));
  const before = { three: await map('helm', 'three'), four: await map('helm', 'four') };
  await fleet.commit({
    'helm/three.yaml': configMapYaml('three', wanted),
    'helm/four.yaml': configMapYaml('four', wanted),
    'helm/new.yaml': configMapYaml('new', { a: '1' }),
  });
  await fleet.application('helm');
  const sentence = await fleet.reason('helm', 'dev', 'FL_CLAIM_FOREIGN');
  assert.match(sentence, /^ConfigMap \S+-helm\/(three|four) in dev belongs to Helm release shops\/shop; .*adoption: Always/);
  await waitFor('the others to be applied', async () => (await fleet.configMap('dev', fleet.ns('helm'), 'new')) !== undefined, {
    timeoutMs: 20_000,
  });
  assert.deepEqual({ three: await map('helm', 'three'), four: await map('helm', 'four') }, before, 'untouched');

  await fleet.application('helm', { adoption: 'Always' });
  await fleet.ready('helm', 'dev');
  for (const name of ['three', 'four'] as const) await expectAdopted('helm', name, before[name].metadata.uid);
  await untilEvent(fleet, 'helm.dev', 'FL_ADOPTED', (message) =>
    message.endsWith('/three in dev was taken over from Helm release shops/shop'),
  );
  await expectFieldGoes('helm', 'three');
  await expectFieldGoes('helm', 'four');
});

test("a rendered chart that kubectl or Helm left without a release of Helm is nobody's: taken over", { skip }, async () => {
  await namespace('chart');
  await create('chart', 'helm', 'Update', { name: 'one', labels: { 'app.kubernetes.io/managed-by': 'Helm' } });
  const { uid } = (await map('chart', 'one')).metadata;
  await fleet.commit({ 'chart/one.yaml': configMapYaml('one', wanted) });
  await fleet.application('chart');
  await fleet.ready('chart', 'dev');
  await expectAdopted('chart', 'one', uid);
  await expectFieldGoes('chart', 'one');
});

test('what another plane holds is refused and named, and taken over with adoption: Always', { skip }, async () => {
  await namespace('foreign');
  const ns = fleet.ns('foreign');
  await create('foreign', 'fairlead', 'Apply', {
    name: 'one',
    labels: { 'fairlead.dev/owner': 'theirs' },
    annotations: { 'fairlead.dev/object': `/ConfigMap/${ns}/one` },
  });
  const before = await map('foreign', 'one');
  await fleet.commit({ 'foreign/one.yaml': configMapYaml('one', wanted) });
  await fleet.application('foreign');
  const sentence = await fleet.reason('foreign', 'dev', 'FL_CLAIM_FOREIGN');
  assert.match(sentence, /\/one in dev belongs to Fairlead application theirs of another plane; /);
  assert.deepEqual(await map('foreign', 'one'), before, 'untouched');
  await fleet.application('foreign', { adoption: 'Always' });
  await fleet.ready('foreign', 'dev');
  await expectAdopted('foreign', 'one', before.metadata.uid);
  await expectFieldGoes('foreign', 'one');
});

test('adoption: Never refuses every object that exists, applies the rest, and may be changed later', { skip }, async () => {
  await namespace('never');
  await cluster.apply(configMapYaml('one', older), fleet.ns('never'));
  const before = await map('never', 'one');
  await fleet.commit({ 'never/one.yaml': configMapYaml('one', wanted), 'never/two.yaml': configMapYaml('two', { a: '1' }) });
  await fleet.application('never', { adoption: 'Never' });
  const sentence = await fleet.reason('never', 'dev', 'FL_CLAIM_EXISTS');
  assert.match(sentence, /^ConfigMap \S+\/one exists in dev already and adoption is Never; /);
  await waitFor('the other to be applied', async () => (await fleet.configMap('dev', fleet.ns('never'), 'two')) !== undefined, {
    timeoutMs: 20_000,
  });
  assert.deepEqual(await map('never', 'one'), before, 'untouched');
  // What was refused is not ours: leaving Git deletes nothing.
  const commit = await fleet.commit({ 'never/one.yaml': { delete: true } });
  await fleet.ready('never', 'dev', commit);
  assert.deepEqual(await map('never', 'one'), before, 'untouched');
  await fleet.commit({ 'never/one.yaml': configMapYaml('one', wanted) });
  await fleet.reason('never', 'dev', 'FL_CLAIM_EXISTS');
  await fleet.application('never', { adoption: 'IfUnowned' });
  await fleet.ready('never', 'dev');
  await expectAdopted('never', 'one', before.metadata.uid);
});

test('a Deployment that an autoscaler scales keeps its replicas when it is taken over', { skip }, async () => {
  await namespace('scaled');
  const path = `/apis/apps/v1/namespaces/${fleet.ns('scaled')}/deployments/web`;
  await cluster.apply(deploymentYaml('web', { replicas: 1 }), fleet.ns('scaled'));
  await cluster.request('PATCH', `${path}/scale?fieldManager=kube-controller-manager`, {
    body: { spec: { replicas: 5 } },
    contentType: 'application/merge-patch+json',
  });
  await fleet.commit({ 'scaled/web.yaml': deploymentYaml('web', { replicas: 1, image: 'registry.invalid/new:1' }) });
  await fleet.application('scaled');
  await fleet.ready('scaled', 'dev');
  const live = (await fleet.live('dev', path)) as unknown as { metadata: { generation: number }; spec: { replicas: number } };
  assert.equal(live.spec.replicas, 5);
  // Created, scaled, its annotation taken away (which counts, of a Deployment), one new image: nothing in between.
  assert.ok(live.metadata.generation <= 4, String(live.metadata.generation));
});
