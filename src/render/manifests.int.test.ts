import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { silentLog } from '#base';
import { createRenderer, type Renderer } from './renderer.ts';
import { bodyOf, briefly, builtModule, configMap, errorsOf, objectsOf, requestOf } from './testing.ts';
import type { RenderResult } from './types.ts';

let renderer: Renderer;
before(async () => {
  renderer = await createRenderer({ wasmPath: await builtModule(), log: silentLog });
});
after(() => renderer.stop());

type Overrides = Parameters<typeof requestOf>[1];

function render(files: Readonly<Record<string, string>>, overrides?: Overrides): Promise<RenderResult> {
  return renderer.render(requestOf(files, overrides));
}

async function bodies(files: Readonly<Record<string, string>>, overrides?: Overrides): Promise<string[]> {
  return objectsOf(await render(files, overrides)).map(bodyOf);
}

test('keys are sorted, numbers exact, text as written', async () => {
  const source = `apiVersion: example.org/v1
kind: Thing
metadata: {name: x, namespace: shop}
spec:
  z: 1
  a: 9007199254740993
  min: -9223372036854775808
  beyond: 9223372036854775808
  float: 1.50
  exp: 1e3
  html: "<a href='&'>"
  text: "é😀\\u2028\\t\\"\\\\"
  yes: no
  list: [3, 1, 2]
  __proto__: {polluted: true}
  constructor: 1
`;
  assert.deepEqual(await bodies({ 'a.yaml': source }), [
    '{"apiVersion":"example.org/v1","kind":"Thing","metadata":{"name":"x","namespace":"shop"},"spec":{"__proto__":{"polluted":true},' +
      '"a":9007199254740993,"beyond":9223372036854776000,"constructor":1,"exp":1000,"float":1.5,"html":"<a href=\'&\'>",' +
      '"list":[3,1,2],"min":-9223372036854775808,"text":"é😀\u2028\\t\\"\\\\","true":false,"z":1}}',
  ]);
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
});

test('YAML, JSON, CRLF and a byte order mark give the same bytes', async () => {
  const yaml = configMap('web', { a: 'b' });
  const json = '{"kind":"ConfigMap","apiVersion":"v1",\n\t"metadata":{"namespace":"shop","name":"web"},"data":{"a":"b"}}';
  const [plain] = await bodies({ 'a.yaml': yaml });
  assert.deepEqual(await bodies({ 'a.json': json }), [plain]);
  assert.deepEqual(await bodies({ 'a.yaml': json }), [plain]);
  assert.deepEqual(await bodies({ 'a.yml': `\uFEFF${yaml.replaceAll('\n', '\r\n')}` }), [plain]);
});

test('the same request gives the same bytes, in whatever order files and keys come, by whatever child', async () => {
  const files = Object.fromEntries(
    Array.from({ length: 50 }, (_, i) => [
      `f${i}.yaml`,
      configMap(`web-${i}`, Object.fromEntries('qwertz'.split('').map((k) => [k, k]))),
    ]),
  );
  const reversed = Object.fromEntries(Object.entries(files).reverse());
  const other = await createRenderer({ wasmPath: await builtModule(), log: silentLog });
  try {
    const first = await bodies(files);
    assert.equal(first.length, 50);
    assert.deepEqual(await bodies(reversed), first);
    assert.deepEqual(objectsOf(await other.render(requestOf(files))).map(bodyOf), first);
  } finally {
    other.stop();
  }
});

test('files: by suffix, sorted by path, below only when recursing; empty documents and lists', async () => {
  const files = {
    'b.yaml': `# only a comment\n---\n---\n${configMap('b')}`,
    'a/z.yml': configMap('z'),
    'README.md': 'kind: Nothing',
    'values.txt': 'x',
    'list.json': JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [{ apiVersion: 'v1', kind: 'ConfigMapList', items: [{ metadata: { name: 'in-list', namespace: 'shop' } }] }],
    }),
  };
  const result = await render(files);
  assert.deepEqual(
    objectsOf(result).map((o) => `${o.id.name} ${o.source.file}:${o.source.line}`),
    ['b b.yaml:4', 'in-list list.json:1', 'z a/z.yml:1'],
  );
  assert.ok(result.ok);
  assert.deepEqual(result.readSet, {
    files: ['a/z.yml', 'b.yaml', 'list.json'],
    listed: [{ directory: '.', suffixes: ['.yaml', '.yml', '.json'], names: ['Kustomization'], recurse: true }],
    variables: [],
    randomness: false,
    clock: false,
    hasSecrets: false,
  });
  const flat = objectsOf(await render(files, { recurse: false })).map((o) => o.id.name);
  assert.deepEqual(flat, ['b', 'in-list']);
});

test('order of application: stage, wave, group, kind, namespace, name', async () => {
  const object = (apiVersion: string, kind: string, name: string, wave?: string): string =>
    JSON.stringify({
      apiVersion,
      kind,
      metadata: { name, namespace: 'n', ...(wave === undefined ? {} : { annotations: { 'fairlead.dev/wave': wave } }) },
    });
  const files = [
    object('admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration', 'hook'),
    object('example.org/v1', 'Thing', 'thing'),
    object('apps/v1', 'Deployment', 'late', '5'),
    object('apps/v1', 'Deployment', 'b'),
    object('apps/v1', 'Deployment', 'a'),
    object('v1', 'Service', 'svc'),
    object('batch/v1', 'Job', 'early', '-1'),
    object('rbac.authorization.k8s.io/v1', 'ClusterRole', 'system:role'),
    object('v1', 'Namespace', 'n'),
    object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'things.example.org'),
  ];
  const got = objectsOf(await render({ 'all.yaml': files.join('\n---\n') }));
  assert.deepEqual(
    got.map((o) => `${o.stage} ${o.wave} ${o.id.kind} ${o.id.name}`),
    [
      'crds 0 CustomResourceDefinition things.example.org',
      'namespaces 0 Namespace n',
      'config 0 ClusterRole system:role',
      'workloads -1 Job early',
      'workloads 0 Service svc',
      'workloads 0 Deployment a',
      'workloads 0 Deployment b',
      'workloads 5 Deployment late',
      'rest 0 Thing thing',
      'webhooks 0 ValidatingWebhookConfiguration hook',
    ],
  );
});

test('namespaces: default for namespaced kinds, none for cluster kinds, by the CRD of the bundle, else as written', async () => {
  const files = {
    'a.yaml': `
{apiVersion: v1, kind: ConfigMap, metadata: {name: plain}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: own, namespace: other}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: role, namespace: other}}
---
{apiVersion: example.org/v1, kind: Thing, metadata: {name: thing}}
---
{apiVersion: example.org/v1, kind: Global, metadata: {name: global, namespace: other}}
---
{apiVersion: other.org/v1, kind: Unknown, metadata: {name: unknown}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.org}
spec: {group: example.org, scope: Namespaced, names: {kind: Thing, plural: things}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: globals.example.org}
spec: {group: example.org, scope: Cluster, names: {kind: Global, plural: globals}}
`,
  };
  const got = objectsOf(await render(files, { defaultNamespace: 'shop' }));
  const byName = Object.fromEntries(got.map((o) => [o.id.name, `${o.scope} ${o.id.namespace}`]));
  assert.deepEqual(byName, {
    'globals.example.org': 'Cluster ',
    'things.example.org': 'Cluster ',
    own: 'Namespaced other',
    plain: 'Namespaced shop',
    role: 'Cluster ',
    global: 'Cluster ',
    thing: 'Namespaced shop',
    unknown: 'unknown ',
  });
  const bodyOfNamed = (name: string): string => bodyOf(got.find((o) => o.id.name === name));
  assert.equal(bodyOfNamed('plain'), '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"plain","namespace":"shop"}}');
  assert.equal(
    bodyOfNamed('role'),
    '{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"role"}}',
  );
  assert.doesNotMatch(bodyOfNamed('unknown'), /namespace/);
});

test('variables: only where the application opts in, only in values, and never as structure', async () => {
  const source = `apiVersion: v1
kind: ConfigMap
metadata:
  name: \${cluster.name}
  namespace: shop
data:
  region: \${cluster.labels.topology.kubernetes.io/region}
  version: "\${cluster.facts.version}"
  shell: $\${HOME} \${HOME}
  evil: \${cluster.labels.evil}
`;
  const cluster = {
    name: 'edge-1',
    labels: { 'topology.kubernetes.io/region': '3', evil: 'x\n  injected: "true"' },
    facts: { version: 'v1.36.3' },
  };
  const result = await render({ 'a.yaml': source }, { cluster, substitute: true });
  assert.deepEqual(objectsOf(result).map(bodyOf), [
    '{"apiVersion":"v1","data":{"evil":"x\\n  injected: \\"true\\"","region":"3","shell":"${HOME} ${HOME}","version":"v1.36.3"},' +
      '"kind":"ConfigMap","metadata":{"name":"edge-1","namespace":"shop"}}',
  ]);
  assert.ok(result.ok);
  assert.deepEqual(result.readSet.variables, [
    'cluster.facts.version',
    'cluster.labels.evil',
    'cluster.labels.topology.kubernetes.io/region',
    'cluster.name',
  ]);
  const [untouched] = await bodies({ 'a.yaml': source.replace('name: ${cluster.name}', 'name: x') }, { cluster });
  assert.match(untouched ?? '', /"shell":"\$\$\{HOME\} \$\{HOME\}"/);
});

test('an unknown variable names file, line, variable and cluster, also inside a block of text', async () => {
  const source = `${configMap('x')}  conf: |\n    one\n    two \${cluster.labels.nope}\n  \${cluster.name}: key\n`;
  const errors = errorsOf(await render({ 'dir/a.yaml': source }, { substitute: true }));
  assert.deepEqual(briefly(errors), ['dir/a.yaml:10 variable-unknown', 'dir/a.yaml:11 variable-in-key']);
  assert.equal(
    errors[0]?.message,
    'variable ${cluster.labels.nope} has no value on cluster "edge-1": the cluster has no label "nope"; write $${ for a literal ${',
  );
});

test('status and creationTimestamp: null are dropped', async () => {
  const [body] = await bodies({
    'a.yaml':
      '{apiVersion: apps/v1, kind: Deployment, metadata: {name: x, namespace: shop, creationTimestamp: null}, spec: {}, status: {replicas: 3}}',
  });
  assert.equal(body, '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x","namespace":"shop"},"spec":{}}');
});

test('a directory for another engine is refused where plain manifests are asked for', async () => {
  for (const [file, says] of [
    ['overlay/kustomization.yaml', 'Kustomize, and the application reads plain manifests; point an application at overlay'],
    ['Kustomization', 'Kustomize, and .* leave render.manifests out'],
    ['Chart.yaml', 'Helm, and .* leave render.manifests out'],
  ] as const) {
    const [error] = errorsOf(await render({ 'a.yaml': configMap('x'), [file]: 'apiVersion: v1' }));
    assert.deepEqual([error?.code, error?.file], ['FL_RENDER_ENGINE', file]);
    assert.match(error?.message ?? '', new RegExp(`is for ${says}`));
  }
});

test('an empty directory renders to nothing, and says what it looked for', async () => {
  const result = await render({ 'README.md': 'hello' });
  assert.ok(result.ok);
  assert.deepEqual([result.objects, result.readSet.files, result.readSet.listed.length], [[], [], 1]);
});
