import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { waitFor } from '#base';
import { configMap, openLab, uniqueName, type Lab } from './testing/harness.ts';
import type { Manifest } from './testing/plane.ts';

let lab: Lab;
before(async () => {
  lab = await openLab('a');
  lab.start();
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
});
after(() => lab[Symbol.asyncDispose]());

async function refusal(name: string, code: string): Promise<Readonly<Record<string, unknown>>> {
  const report = await lab.plane.until(
    name,
    code,
    (one) =>
      one.release === lab.plane.apps.get(name)?.release &&
      (one.problems.some((problem) => problem.reason.code === code) || one.reason?.code === code),
  );
  const problem = report.problems.find((one) => one.reason.code === code)?.reason ?? report.reason;
  return problem?.args ?? {};
}

const secret = (name: string, value: string): Manifest => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace: lab.namespace },
  stringData: { password: value },
});

test('an immutable field, an invalid object, a denied one: each with its reason, and the rest is applied', async () => {
  const { plane, namespace } = lab;
  const frozen = { ...configMap('frozen', namespace), immutable: true };
  await plane.deliver('bad', [frozen]);
  await plane.untilReady('bad');
  const invalid = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'invalid', namespace },
    spec: { ports: [{ port: 700_000 }] },
  };
  await plane.deliver('bad', [{ ...frozen, data: { key: 'other' } }, invalid, configMap('good', namespace)]);
  const immutable = await refusal('bad', 'FL_APPLY_IMMUTABLE');
  assert.match(String(immutable['field']), /data/);
  const words = await refusal('bad', 'FL_APPLY_INVALID');
  assert.match(String(words['words']), /65535/);
  assert.equal(words['file'], 'app.yaml');
  await waitFor('the good one', () => lab.configMap('good'), { timeoutMs: 5000 });
  assert.equal(plane.delivery('bad')?.applied?.release, 'bad-1');
});

test('a missing kind waits for its definition, and goes on as soon as it is there', async () => {
  const { plane, namespace } = lab;
  const plural = uniqueName('things').replaceAll('-', '');
  const group = 'agent-test.example.com';
  const kind = `Thing${plural.slice(6)}`;
  const thing = { apiVersion: `${group}/v1`, kind, metadata: { name: 'one' }, spec: { size: 0 } };
  await plane.deliver('things', [{ ...thing, spec: { size: 1 } }], { settings: { defaultNamespace: namespace } });
  assert.equal((await refusal('things', 'FL_APPLY_NO_KIND'))['kind'], kind);
  const definition = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural, singular: plural, kind, listKind: `${kind}List` },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  };
  const startedAt = performance.now();
  await plane.deliver('definitions', [definition]);
  await plane.untilReady('things', 15_000);
  process.stdout.write(`# ${Math.round(performance.now() - startedAt)} ms from the definition's document to its object\n`);
  // Both in one bundle: the definition first, then its object, in its namespace.
  const again = definition.spec.names;
  const both = {
    ...definition,
    metadata: { name: `x${plural}.${group}` },
    spec: {
      ...definition.spec,
      names: { ...again, plural: `x${plural}`, singular: `x${plural}`, kind: `X${kind}`, listKind: `X${kind}List` },
    },
  };
  await plane.deliver('both', [{ ...thing, kind: `X${kind}`, spec: { size: 2 } }, both], {
    settings: { defaultNamespace: namespace },
  });
  await plane.untilReady('both', 15_000);
  await lab.cluster.request('DELETE', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${group}`);
  await lab.cluster.request('DELETE', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x${plural}.${group}`);
  plane.apps.clear();
  plane.publish();
});

test('limits of the Project: nothing is applied while one object is outside of them', async () => {
  const { plane, namespace, agentNamespace } = lab;
  await plane.deliver('limited', [configMap('limited-ok', namespace), configMap('limited-x', 'default')], {
    limits: { namespaces: [namespace] },
  });
  assert.equal((await refusal('limited', 'FL_CLAIM_NAMESPACE'))['namespace'], 'default');
  assert.equal(await lab.configMap('limited-ok'), undefined);
  const role = {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: uniqueName('agent-test') },
    rules: [],
  };
  await plane.deliver('limited', [role], { limits: { clusterKinds: [] } });
  await refusal('limited', 'FL_CLAIM_KIND');
  await plane.deliver('limited', [configMap('own', agentNamespace)]);
  assert.match(String((await refusal('limited', 'FL_CLAIM_RESERVED'))['why']), /namespace of the agent/);
  const webhook = {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: uniqueName('agent-test') },
    webhooks: [
      {
        name: 'all.example.com',
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        clientConfig: { url: 'https://127.0.0.1:1/' },
        rules: [{ apiGroups: ['*'], apiVersions: ['*'], operations: ['*'], resources: ['*'] }],
      },
    ],
  };
  await plane.deliver('limited', [webhook]);
  assert.match(String((await refusal('limited', 'FL_CLAIM_RESERVED'))['why']), /all\.example\.com/);
});

test('a service account without rights is named; with rights it applies, as itself', async () => {
  const { plane, namespace } = lab;
  await plane.deliver('tenant', [configMap('tenant', namespace)], { serviceAccount: `${namespace}/deployer` });
  const said = await refusal('tenant', 'FL_APPLY_FORBIDDEN');
  assert.equal(said['identity'], `service account ${namespace}/deployer`);
  await lab.cluster.apply(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'deployer', namespace } },
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'RoleBinding',
          metadata: { name: 'deployer', namespace },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
          subjects: [{ kind: 'ServiceAccount', name: 'deployer', namespace }],
        },
      ],
    }),
  );
  await plane.untilReady('tenant', 40_000);
});

test('a quota, and a missing default namespace that is created', async () => {
  const { plane, namespace } = lab;
  const fresh = uniqueName('agent-test-fresh');
  await plane.deliver('fresh', [{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'here' }, data: { a: '1' } }], {
    settings: { defaultNamespace: fresh },
    scope: 'unknown',
  });
  await plane.untilReady('fresh');
  const quota = {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: 'none', namespace: fresh },
    spec: { hard: { 'count/secrets': '0' } },
  };
  await lab.cluster.apply(JSON.stringify(quota));
  await waitFor(
    'the quota to count',
    async () =>
      ((await lab.get(`/api/v1/namespaces/${fresh}/resourcequotas/none`))?.['status'] as { hard?: object } | undefined)?.hard !==
      undefined,
    {
      timeoutMs: 10_000,
    },
  );
  await plane.deliver('quota', [{ ...secret('over', 'x'), metadata: { name: 'over', namespace: fresh } }]);
  await refusal('quota', 'FL_APPLY_QUOTA');
  await lab.cluster.request('DELETE', `/api/v1/namespaces/${fresh}`);
  plane.apps.delete('quota');
  plane.apps.delete('fresh');
  plane.publish();
  assert.ok(namespace);
});

test('a sealed Secret is applied in the clear, healed, and its value is nowhere in what is said', async () => {
  const { plane, namespace } = lab;
  const canary = uniqueName('canary-value');
  await plane.deliver('sealed', [secret('sealed', canary)]);
  await plane.untilReady('sealed');
  const path = `/api/v1/namespaces/${namespace}/secrets/sealed`;
  const value = async (): Promise<string> =>
    Buffer.from(((await lab.get(path)) as { data: { password: string } }).data.password, 'base64').toString();
  assert.equal(await value(), canary);
  await lab.cluster.request('PATCH', `${path}?fieldManager=kubectl-edit`, {
    body: { data: { password: Buffer.from('stolen-canary').toString('base64') } },
    contentType: 'application/merge-patch+json',
  });
  await waitFor('the value to be back', async () => (await value()) === canary, { timeoutMs: 5000 });
  // An invalid one, so that the API server has something to say about it.
  await plane.deliver('sealed', [{ ...secret('sealed', canary), type: 'kubernetes.io/tls' }]);
  await plane.until('sealed', 'refused', (one) => one.problems.length > 0);
  const said = JSON.stringify([plane.reports, plane.events, lab.logs]);
  assert.ok(!said.includes(canary) && !said.includes(Buffer.from(canary).toString('base64')));
  const directory = join(lab.stateDir, 'state');
  for (const name of readdirSync(directory)) {
    const bytes = readFileSync(join(directory, name));
    const tail = name === 'state.json' ? (JSON.parse(bytes.toString()) as { tail: string }).tail : '';
    const plain = name.endsWith('.segment') ? gunzipSync(bytes) : tail === '' ? bytes : gunzipSync(Buffer.from(tail, 'base64'));
    assert.ok(!plain.includes(canary), name);
  }
});

test('a namespace that is being deleted, and an object with a finalizer', async () => {
  const { plane, namespace } = lab;
  await plane.deliver('held', [
    { ...configMap('held', namespace), metadata: { name: 'held', namespace, finalizers: ['example.com/hold'] } },
  ]);
  await plane.untilReady('held');
  await plane.deliver('held', []);
  const said = await refusal('held', 'FL_APPLY_TERMINATING');
  assert.equal(said['finalizers'], 'example.com/hold');
  await lab.cluster.request('PATCH', `/api/v1/namespaces/${namespace}/configmaps/held`, {
    body: { metadata: { finalizers: null } },
    contentType: 'application/merge-patch+json',
  });
  await plane.untilReady('held');
});

test('an application waits for those it depends on', async () => {
  const { plane, namespace } = lab;
  await plane.deliver('needs', [configMap('needs', namespace)], { settings: { dependsOn: [{ name: 'base' }] } });
  const said = await refusal('needs', 'FL_HOLD_DEPENDENCY');
  assert.equal(said['dependency'], 'base');
  assert.equal(await lab.configMap('needs'), undefined);
  await plane.deliver('base', [configMap('base', namespace)]);
  await plane.untilReady('needs');
});
