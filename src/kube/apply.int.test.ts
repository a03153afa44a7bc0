import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '#base';
import { sharedCluster, uniqueNamespace, type ClusterHandle, type UniqueNamespace } from '#testbed';
import { applyObject, deleteObject, getObject, jsonPatch, type JsonPatchOperation } from './apply.ts';
import { differsFromWanted } from './drift.ts';
import { fieldConflicts } from './errors.ts';
import { injectMetadata } from './inject.ts';
import { bytesOf, connectTo, type ClusterUnderTest } from './kube.testing.ts';
import { authorOf, claimLegacyOwnership, foreignFields, ownedPaths, projectOwned } from './managed-fields.ts';
import { getIn, idOf, type KubeObject } from './objects.ts';

const OURS = { fieldManager: 'fairlead', force: true } as const;

let cluster: ClusterHandle;
let under: ClusterUnderTest;
let namespace: UniqueNamespace;

before(async () => {
  cluster = await sharedCluster('a');
  under = await connectTo(cluster);
  namespace = await uniqueNamespace(cluster, 'kube-apply');
});

after(async () => {
  under[Symbol.dispose]();
  await namespace[Symbol.asyncDispose]();
});

function configMap(name: string, data: Record<string, string>): KubeObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: namespace.name }, data };
}

function deployment(name: string, more: Record<string, unknown> = {}): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: namespace.name, labels: { app: name } },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          hostNetwork: false,
          containers: [
            {
              name: 'app',
              image: 'registry.example/app:1',
              env: [{ name: 'A', value: '' }],
              ports: [{ containerPort: 8080 }, { containerPort: 53, protocol: 'UDP' }, { containerPort: 53 }],
              resources: { requests: { cpu: '0.5', memory: '1024Mi' }, limits: { cpu: 1 } },
              volumeMounts: [{ name: 'tmp', mountPath: '/tmp' }],
            },
          ],
          volumes: [{ name: 'tmp', emptyDir: {} }],
          tolerations: [{ key: 'x', operator: 'Exists' }],
        },
      },
      ...more,
    },
  };
}

async function mappingOf(object: KubeObject): ReturnType<typeof under.mapper.mapping> {
  const [group, version] = object.apiVersion.includes('/') ? object.apiVersion.split('/') : ['', object.apiVersion];
  return under.mapper.mapping({ group: group ?? '', version: version ?? '', kind: object.kind });
}

async function apply(
  object: KubeObject,
  options: Partial<Parameters<typeof applyObject>[4]> = {},
): ReturnType<typeof applyObject> {
  return applyObject(under.client, await mappingOf(object), idOf(object), bytesOf(object), { ...OURS, ...options });
}

async function read(object: KubeObject): Promise<KubeObject> {
  const live = await getObject(under.client, await mappingOf(object), idOf(object));
  assert.ok(live !== null);
  return live;
}

test('an apply creates, then changes nothing, then configures, also as a dry run and with a known version', async () => {
  const one = configMap('results', { a: '1' });
  assert.equal((await apply(one, { dryRun: true })).result, 'created');
  const created = await apply(one);
  assert.equal(created.result, 'created');
  assert.equal((await apply(one)).result, 'unchanged');
  const previous = { resourceVersion: created.live.metadata.resourceVersion ?? '' };
  assert.equal((await apply(one, { previous, metadataOnly: true })).result, 'unchanged');
  assert.equal((await apply(one, { dryRun: true })).result, 'unchanged');
  const two = configMap('results', { a: '2' });
  assert.equal((await apply(two, { dryRun: true })).result, 'configured');
  assert.equal((await apply(two, { previous })).result, 'configured');
  assert.equal((await apply(configMap('fresh', {}), { previous: null })).result, 'created');
});

test('integers above 2^53 arrive with all their digits after labels were injected', async () => {
  const name = 'digits';
  const body = injectMetadata(
    Buffer.from(
      `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"${name}","namespace":"${namespace.name}","generation":9007199254740993},"spec":{"holderIdentity":"x"}}`,
    ),
    { labels: { 'fairlead.dev/owner': 'abc' }, annotations: { note: 'ü"\\' } },
  );
  const mapping = await under.mapper.mapping({ group: 'coordination.k8s.io', version: 'v1', kind: 'Lease' });
  const id = { group: 'coordination.k8s.io', kind: 'Lease', namespace: namespace.name, name };
  const { live } = await applyObject(under.client, mapping, id, body, OURS);
  assert.deepEqual(live.metadata.labels, { 'fairlead.dev/owner': 'abc' });
  assert.deepEqual(live.metadata.annotations, { note: 'ü"\\' });
});

test('a conflict without force names the manager and the field', async () => {
  await apply(configMap('conflict', { a: 'ours' }));
  await assert.rejects(apply(configMap('conflict', { a: 'theirs' }), { fieldManager: 'other', force: false }), (error) => {
    assert.deepEqual(fieldConflicts(error), [{ manager: 'fairlead', field: '.data.a' }]);
    return (error as { code?: string }).code === 'FL_KUBE_FIELD_CONFLICT';
  });
});

test('an immutable field, a missing namespace and a forbidden identity have codes of their own', async () => {
  await apply(deployment('immutable'));
  const other = deployment('immutable', { selector: { matchLabels: { app: 'other' } } });
  await assert.rejects(apply(other), { code: /FL_KUBE_(IMMUTABLE|INVALID)/ });
  const nowhere = { ...configMap('x', {}), metadata: { name: 'x', namespace: 'no-such-namespace' } };
  await assert.rejects(apply(nowhere), { code: 'FL_KUBE_NOT_FOUND' });
  const impersonate = { user: `system:serviceaccount:${namespace.name}:nobody` };
  await assert.rejects(apply(configMap('denied', {}), { impersonate }), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'FL_KUBE_FORBIDDEN');
    assert.match(error.message, new RegExp(`system:serviceaccount:${namespace.name}:nobody`));
    return true;
  });
  await assert.rejects(apply(configMap('denied', {}), { impersonate: { user: '' } }), { code: 'FL_KUBE_IMPERSONATION' });
  await assert.rejects(apply(configMap('denied', {}), { impersonate: { user: 'a', groups: ['system:masters'] } }), {
    code: 'FL_KUBE_IMPERSONATION',
  });
});

test('a delete touches only the object with that uid', async () => {
  const object = configMap('gone', {});
  const { live } = await apply(object);
  const mapping = await mappingOf(object);
  const remove = (uid: string, resourceVersion?: string): Promise<string> =>
    deleteObject(under.client, mapping, idOf(object), { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) });
  assert.equal(await remove('00000000-0000-0000-0000-000000000000'), 'successor');
  await assert.rejects(remove(live.metadata.uid ?? '', '1'), { code: 'FL_KUBE_CONFLICT' });
  assert.equal(await remove(live.metadata.uid ?? ''), 'deleted');
  assert.equal(await remove(live.metadata.uid ?? ''), 'absent');
  const held = {
    ...configMap('held', {}),
    metadata: { name: 'held', namespace: namespace.name, finalizers: ['example.org/wait'] },
  };
  const kept = await apply(held);
  assert.equal(await deleteObject(under.client, mapping, idOf(held), { uid: kept.live.metadata.uid ?? '' }), 'deleting');
  await jsonPatch(under.client, mapping, idOf(held), [{ op: 'remove', path: '/metadata/finalizers' }], { fieldManager: 'test' });
});

test('an object just applied does not differ from what was wanted, for all that the server made of it', async () => {
  const objects: KubeObject[] = [
    deployment('same'),
    configMap('same', { a: '1000m' }),
    { ...configMap('empty', {}), metadata: { name: 'empty', namespace: namespace.name, labels: {}, annotations: {} } },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'same', namespace: namespace.name },
      stringData: { password: 'hunter2' },
      data: { other: 'eA==' },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'same', namespace: namespace.name },
      spec: {
        selector: { app: 'same' },
        ports: [
          { name: 'web', port: 80, targetPort: 'http' },
          { name: 'dns', port: 53, protocol: 'UDP' },
        ],
      },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'same', namespace: namespace.name },
      spec: {
        podSelector: {},
        ingress: [{ ports: [{ port: 80 }], from: [{ namespaceSelector: {} }] }],
        policyTypes: ['Ingress'],
      },
    },
    {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'same', namespace: namespace.name },
      spec: { hard: { 'requests.cpu': '4000m', pods: 1000 } },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'same', namespace: namespace.name },
      spec: { minAvailable: '50%', selector: { matchLabels: { app: 'same' } } },
    },
    {
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata: { name: 'same', namespace: namespace.name },
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'same' },
        maxReplicas: 3,
        metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'AverageValue', averageValue: '0.5' } } }],
      },
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: { name: 'same', namespace: namespace.name },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }],
    },
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'same', namespace: namespace.name },
      automountServiceAccountToken: false,
    },
    {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'same', namespace: namespace.name },
      spec: {
        schedule: '0 0 1 1 *',
        suspend: false,
        jobTemplate: { spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'a', image: 'b' }] } } } },
      },
    },
  ];
  for (const object of objects) {
    const { live } = await apply(object);
    assert.deepEqual(differsFromWanted(live, bytesOf(object), { manager: 'fairlead' }), [], object.kind);
    // Its controller may write an annotation between our read and our apply.
    await waitFor(`${object.kind} unchanged`, async () => (await apply(object)).result === 'unchanged', { timeoutMs: 10_000 });
  }
});

test('a field that is no longer wanted shows as extra until it is applied away', async () => {
  await apply(configMap('extra', { a: '1', b: '2' }));
  const wanted = configMap('extra', { a: '1' });
  const differences = differsFromWanted(await read(wanted), wanted, { manager: 'fairlead' });
  assert.deepEqual(
    differences.map(({ kind, path }) => [kind, path]),
    [['extra', '.data.b']],
  );
  const { live } = await apply(wanted);
  assert.deepEqual(differsFromWanted(live, wanted, { manager: 'fairlead' }), []);
});

test('kubectl edits, scaling and removals are seen and attributed; what others add is left alone', async () => {
  const wanted = deployment('drift');
  await apply(wanted);
  const kubectl = async (...args: string[]): Promise<void> => {
    const result = await cluster.kubectl([...args, '-n', namespace.name]);
    assert.equal(result.exitCode, 0, result.stderr);
  };
  await kubectl('scale', 'deployment/drift', '--replicas=3');
  await kubectl('set', 'image', 'deployment/drift', 'app=registry.example/app:2');
  await kubectl('annotate', 'deployment/drift', 'note=mine');
  await kubectl('set', 'env', 'deployment/drift', 'A-', 'B=2');
  const live = await read(wanted);
  const differences = differsFromWanted(live, wanted, { manager: 'fairlead' });
  const found = new Map(differences.map((difference) => [difference.path, difference]));
  assert.equal(found.get('.spec.replicas')?.kind, 'changed');
  assert.deepEqual([found.get('.spec.replicas')?.live, found.get('.spec.replicas')?.want], [3, 1]);
  const image = '.spec.template.spec.containers[name="app"].image';
  assert.equal(found.get(image)?.kind, 'changed');
  assert.ok(
    differences.some(({ kind, path }) => kind === 'missing' && path.includes('.env')),
    JSON.stringify(differences),
  );
  assert.ok(!differences.some(({ path }) => path.includes('note') || path.includes('name="B"')));

  const scaled = authorOf(live, found.get('.spec.replicas')?.steps ?? [], { ours: 'fairlead' });
  assert.equal(scaled?.subresource, 'scale');
  assert.equal(scaled?.manager, 'kubectl');
  const edited = authorOf(live, found.get(image)?.steps ?? [], { ours: 'fairlead' });
  assert.equal(edited?.manager, 'kubectl-set');
  assert.match(edited?.time ?? '', /^20\d\d-/);
  const foreign = foreignFields(live, { ours: 'fairlead' });
  assert.ok(
    foreign.some(
      (f) => f.manager === 'kubectl-annotate' && f.fields.some((field) => field.pointer === '/metadata/annotations/note'),
    ),
  );

  assert.deepEqual(
    differsFromWanted(live, wanted, {
      manager: 'fairlead',
      ignorePointers: ['/spec/replicas', '/spec/template/spec/containers/*/image', '/spec/template/spec/containers/0/env'],
    }),
    [],
  );
  const healed = await apply(wanted);
  assert.deepEqual(differsFromWanted(healed.live, wanted, { manager: 'fairlead' }), []);
  assert.equal(getIn(healed.live, 'metadata', 'annotations', 'note'), 'mine');
});

test('a value changed away and back is noticed as no longer ours', async () => {
  const wanted = configMap('back', { a: '1' });
  await apply(wanted);
  for (const value of ['2', '1'])
    await cluster.kubectl([
      'patch',
      'configmap',
      'back',
      '-n',
      namespace.name,
      '--type=merge',
      '-p',
      `{"data":{"a":"${value}"}}`,
    ]);
  const live = await read(wanted);
  assert.deepEqual(
    differsFromWanted(live, wanted, { manager: 'fairlead' }).map((d) => [d.kind, d.path]),
    [['unowned', '.data.a']],
  );
  assert.deepEqual(differsFromWanted((await apply(wanted)).live, wanted, { manager: 'fairlead' }), []);
});

test('the projection holds what we applied and nothing else', async () => {
  const wanted = configMap('projected', { a: '1' });
  await apply(wanted);
  await apply(configMap('projected', { b: '2' }), { fieldManager: 'other' });
  const live = await read(wanted);
  assert.deepEqual(projectOwned(live, 'fairlead'), { data: { a: '1' } });
  assert.deepEqual(ownedPaths(live, 'fairlead'), ['.data.a']);
});

for (const [title, command] of [
  ['kubectl apply', ['apply', '-f', '-']],
  ['kubectl create', ['create', '-f', '-']],
  ['kubectl create --save-config', ['create', '--save-config', '-f', '-']],
] as const) {
  test(`after ${title}, adopting an object lets deleted fields go`, async () => {
    const name = `legacy-${command.join('').replaceAll(/[^a-z]/g, '')}`;
    const old = deployment(name, { minReadySeconds: 5 });
    const result = await cluster.kubectl([...command], { input: JSON.stringify(old) });
    assert.equal(result.exitCode, 0, result.stderr);
    const wanted = deployment(name);
    const mapping = await mappingOf(wanted);
    await apply(wanted);
    assert.equal(getIn(await read(wanted), 'spec', 'minReadySeconds'), 5, 'without a claim the old field stays');

    const claim = async (): Promise<KubeObject> => {
      patch = claimLegacyOwnership(await read(wanted), { ours: 'fairlead' }) ?? [];
      assert.ok(patch.length > 0);
      return jsonPatch(under.client, mapping, idOf(wanted), patch, { fieldManager: 'fairlead' });
    };
    let patch: readonly JsonPatchOperation[] = [];
    // The deployment's controller may come between.
    const claimed = await waitFor('the claim', claim, { timeoutMs: 10_000 });
    assert.equal(claimed.metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration'], undefined);
    assert.ok(
      !(claimed.metadata.managedFields ?? []).some((record) => record.manager?.startsWith('kubectl') && !record.subresource),
    );
    assert.ok(
      differsFromWanted(claimed, wanted, { manager: 'fairlead' }).some(
        (d) => d.kind === 'extra' && d.path === '.spec.minReadySeconds',
      ),
    );
    const { live } = await apply(wanted);
    assert.equal(getIn(live, 'spec', 'minReadySeconds'), undefined);
    assert.equal(claimLegacyOwnership(live, { ours: 'fairlead' }), undefined);
    assert.deepEqual(differsFromWanted(live, wanted, { manager: 'fairlead' }), []);
    // A claim made from a stale copy must not win over a change in between.
    await assert.rejects(jsonPatch(under.client, mapping, idOf(wanted), patch, { fieldManager: 'fairlead' }), {
      code: 'FL_KUBE_CONFLICT',
    });
  });
}
