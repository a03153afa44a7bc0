/** Charts as a plane meets them: hooks, kept objects, CRDs, capabilities, determinism, and errors a person can go to. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { silentLog } from '#base';
import { createRenderer, type Renderer } from './renderer.ts';
import { bodyOf, briefly, builtModule, errorsOf, objectsOf, requestOf, someRecipient } from './testing.ts';
import type { HelmOptions, RenderRequest, RenderResult } from './types.ts';

let renderer: Renderer;
before(async () => {
  renderer = await createRenderer({ wasmPath: await builtModule(), log: silentLog, limits: { deadlineMs: 60_000 } });
});
after(() => renderer.stop());

const helm: HelmOptions = { releaseName: 'web', valueFiles: [], ignoreMissingValueFiles: false, values: {}, crds: 'Create' };
const chart = { 'apps/web/Chart.yaml': 'apiVersion: v2\nname: web\nversion: 1.0.0\n' };

type Overrides = Partial<Omit<RenderRequest, 'files' | 'render'>> & { readonly helm?: Partial<HelmOptions> };

function render(files: Readonly<Record<string, string>>, { helm: own, ...rest }: Overrides = {}): Promise<RenderResult> {
  return renderer.render(
    requestOf(
      { ...chart, ...files },
      { engine: 'auto', path: 'apps/web', defaultNamespace: 'shop', helm: { ...helm, ...own }, ...rest },
    ),
  );
}

function configMap(data: string): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  ${data}\n`;
}

test('a chart is found by its Chart.yaml; values merge as Helm merges them, variables are replaced in inline values', async () => {
  const result = await render(
    {
      'apps/web/values.yaml': 'a: chart\nb: chart\nc: chart\nd: chart\n',
      'apps/web/env/prod.yaml': 'b: file\nc: file\nd: file\n',
      'shared/all.yaml': 'c: shared\nd: shared\n',
      'apps/web/templates/cm.yaml': configMap('all: {{ .Values.a }} {{ .Values.b }} {{ .Values.c }} {{ .Values.d }}'),
    },
    { helm: { valueFiles: ['apps/web/env/prod.yaml', 'shared/all.yaml'], values: { d: 'on ${cluster.labels.env}' } } },
  );
  assert.ok(result.ok, JSON.stringify(result));
  assert.equal(result.engine, 'helm');
  assert.match(bodyOf(result.objects[0]), /"all":"chart file shared on prod"/);
  assert.deepEqual(result.readSet.variables, ['cluster.labels.env']);
  assert.ok(result.readSet.files.includes('shared/all.yaml'));
  assert.deepEqual(result.objects[0]?.source, { file: 'apps/web/templates/cm.yaml', line: 1 });
});

test('of a key that a template writes twice the later one counts, as for Helm', async () => {
  const twice = `${configMap('a: first\n  b: only\n  a: later')}---\n${configMap('c: d').replace('metadata: {name: c}', 'metadata:\n  name: z\n  labels: {app: one}\n  labels: {tier: two}')}`;
  const result = await render({ 'apps/web/templates/cm.yaml': twice });
  assert.deepEqual(
    objectsOf(result).map((one) => bodyOf(one)),
    [
      '{"apiVersion":"v1","data":{"a":"later","b":"only"},"kind":"ConfigMap","metadata":{"name":"c","namespace":"shop"}}',
      '{"apiVersion":"v1","data":{"c":"d"},"kind":"ConfigMap","metadata":{"labels":{"tier":"two"},"name":"z","namespace":"shop"}}',
    ],
  );
});

test('hooks stand apart from the objects, in the order of their weight; tests and rollbacks are left out', async () => {
  const hook = (name: string, annotations: string): string =>
    `---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\n  annotations:\n    ${annotations}\n`;
  const result = await render({
    'apps/web/templates/hooks.yaml': [
      hook('later', 'helm.sh/hook: "pre-install, post-upgrade"\n    helm.sh/hook-weight: "5"'),
      hook(
        'first',
        'helm.sh/hook: pre-install\n    helm.sh/hook-weight: "-5"\n    helm.sh/hook-delete-policy: hook-succeeded,hook-failed',
      ),
      hook('test', 'helm.sh/hook: test'),
      hook('back', 'helm.sh/hook: post-rollback'),
      hook('crd', 'helm.sh/hook: crd-install'),
    ].join(''),
    'apps/web/templates/secret.yaml':
      'apiVersion: v1\nkind: Secret\nmetadata: {name: s, annotations: {helm.sh/hook: pre-delete}}\nstringData: {p: hunter2}\n',
    'apps/web/templates/cm.yaml': configMap('a: b'),
  });
  assert.ok(result.ok, JSON.stringify(result));
  assert.deepEqual(
    result.objects.map(({ id }) => id.name),
    ['c'],
  );
  assert.deepEqual(
    result.hooks.map((one) => [one.id.name, one.hook]),
    [
      ['first', { events: ['pre-install'], weight: -5, deletePolicies: ['hook-succeeded', 'hook-failed'], timeoutSeconds: 300 }],
      ['s', { events: ['pre-delete'], weight: 0, deletePolicies: ['before-hook-creation'], timeoutSeconds: 300 }],
      [
        'later',
        { events: ['pre-install', 'post-upgrade'], weight: 5, deletePolicies: ['before-hook-creation'], timeoutSeconds: 300 },
      ],
    ],
  );
  const secret = result.hooks[1];
  assert.ok(secret?.sensitive === true && secret.sealed.length === 1, 'a secret hook is sealed');
  assert.equal(secret.id.namespace, 'shop');
});

test('a hook may leave its name to the API server; nothing else may', async () => {
  const generated = (prefix: string, annotations: string, more = ''): string =>
    `---\napiVersion: v1\nkind: Pod\nmetadata:\n  generateName: ${prefix}\n  annotations: {${annotations}}${more}\nspec: {restartPolicy: Never}\n`;
  const hook = 'helm.sh/hook: pre-install';
  const twice = {
    'apps/web/templates/a.yaml': generated('run-', hook) + generated('run-', hook, '\n  labels: {other: one}'),
  };
  const result = await render(twice, { helm: { hookTimeoutSeconds: 900 } });
  assert.ok(result.ok, JSON.stringify(result));
  assert.deepEqual(
    result.hooks.map(({ id, hook: { timeoutSeconds } }) => [id.kind, id.namespace, id.name, timeoutSeconds]),
    [
      ['Pod', 'shop', '', 900],
      ['Pod', 'shop', '', 900],
    ],
  );
  assert.match(bodyOf(result.hooks[0]), /"generateName":"run-"/);
  const again = await render(twice, { helm: { hookTimeoutSeconds: 900 } });
  assert.deepEqual(again.ok && again.hooks.map(bodyOf), result.hooks.map(bodyOf), 'in the same order');
  const refused = async (text: string, rule: string): Promise<void> => {
    const answer = await render({ 'apps/web/templates/a.yaml': text });
    assert.deepEqual(answer.ok || answer.errors.map((error) => error.rule), [rule]);
  };
  await refused(generated('run-', 'a: b'), 'generate-name');
  await refused(generated('Not_a_name-', hook), 'name-form');
  await refused(generated('[1]', hook), 'name-form');
});

test('crds/ are left out, made once, or held; kept objects say so', async () => {
  const files = {
    'apps/web/crds/w.yaml':
      'apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: ws.example.com}\nspec: {group: example.com, scope: Namespaced, names: {kind: W, plural: ws}, versions: []}\n',
    'apps/web/templates/cm.yaml':
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c, annotations: {helm.sh/resource-policy: keep}}\n',
  };
  const facts = async (crds: HelmOptions['crds']): Promise<unknown> =>
    objectsOf(await render(files, { helm: { crds } })).map(({ id, createOnly, keep }) => [id.kind, createOnly, keep]);
  assert.deepEqual(await facts('Skip'), [['ConfigMap', undefined, true]]);
  assert.deepEqual(await facts('Create'), [
    ['CustomResourceDefinition', true, undefined],
    ['ConfigMap', undefined, true],
  ]);
  assert.deepEqual(await facts('CreateReplace'), [
    ['CustomResourceDefinition', undefined, undefined],
    ['ConfigMap', undefined, true],
  ]);
});

test('what a template asks of the cluster is answered from the cluster, and is all that is recorded of it', async () => {
  const files = {
    'apps/web/templates/cm.yaml': configMap('a: "{{ .Capabilities.APIVersions.Has "example.com/v1" }}"'),
  };
  const on = (apis: readonly string[]): Overrides => ({
    cluster: { name: 'x', labels: {}, facts: {}, capabilities: { kubeVersion: 'v1.30.1', apis } },
  });
  const has = await render(files, on(['example.com/v1']));
  const hasNot = await render(files, on(['v1']));
  assert.ok(has.ok && hasNot.ok);
  assert.match(bodyOf(has.objects[0]), /"a":"true"/);
  assert.match(bodyOf(hasNot.objects[0]), /"a":"false"/);
  assert.deepEqual(has.readSet.variables, ['capabilities.apis.example.com/v1']);
  const version = await render(
    { 'apps/web/templates/cm.yaml': configMap('a: {{ .Capabilities.KubeVersion.Version }}') },
    on(['v1']),
  );
  assert.ok(version.ok);
  assert.match(bodyOf(version.objects[0]), /v1\.30\.1/);
  assert.deepEqual(version.readSet.variables, ['capabilities.kubeVersion']);
  const refused = await render({ 'apps/web/Chart.yaml': `${chart['apps/web/Chart.yaml']}kubeVersion: ">=1.99"\n` }, on([]));
  assert.match(errorsOf(refused)[0]?.message ?? '', /requires Kubernetes >=1\.99, and cluster x has v1\.30\.1/);
});

test('randomness comes from the seed alone, time from the commit, and both say that they were asked for', async () => {
  const random = [
    'randAlphaNum 10',
    'randInt 0 1000000',
    'uuidv4',
    'shuffle "abcdefghijklmnop"',
    'randBytes 8',
    'htpasswd "a" "b"',
  ];
  const files = {
    'apps/web/templates/cm.yaml': configMap(random.map((call, index) => `r${index}: {{ ${call} | quote }}`).join('\n  ')),
  };
  const [one, again, other] = await Promise.all([
    render(files),
    render(files, { commitTimeMs: 5_000 }),
    render(files, { seed: '22'.repeat(32) }),
  ]);
  assert.ok(one.ok && again.ok && other.ok, JSON.stringify(one));
  assert.equal(bodyOf(one.objects[0]), bodyOf(again.objects[0]));
  assert.deepEqual([one.readSet.randomness, one.readSet.clock], [true, false]);
  const data = (result: RenderResult): Record<string, string> =>
    (JSON.parse(bodyOf(objectsOf(result)[0])) as { data: Record<string, string> }).data;
  const [mine, theirs] = [data(one), data(other)];
  for (const key of Object.keys(mine))
    assert.notEqual(mine[key], theirs[key], `${random[Number(key.slice(1))]} is shared by two seeds`);
  const timed = await render({ 'apps/web/templates/cm.yaml': configMap('t: {{ now | date "2006-01-02" | quote }}') });
  assert.ok(timed.ok);
  assert.match(bodyOf(timed.objects[0]), /"t":"2026-01-01"/);
  assert.deepEqual([timed.readSet.randomness, timed.readSet.clock], [false, true]);
});

test('a certificate is made within the deadline, the same one for the same seed', async () => {
  const files = {
    'apps/web/templates/s.yaml':
      '{{- $ca := genCA "ca" 365 }}\n{{- $c := genSignedCert "web" nil (list "web") 365 $ca }}\napiVersion: v1\nkind: Secret\nmetadata: {name: tls}\ndata: {crt: {{ $c.Cert | b64enc }}, key: {{ $c.Key | b64enc }}}\n',
  };
  const sealed = async (): Promise<string | undefined> => {
    const [object] = objectsOf(await render(files, { recipients: [someRecipient] }));
    return object?.sensitive === true ? object.sealed[0]?.equality : undefined;
  };
  const first = await sealed();
  assert.ok(first !== undefined);
  assert.equal(await sealed(), first);
});

test('notes are carried, and no object', async () => {
  const result = await render({
    'apps/web/templates/NOTES.txt': 'Visit {{ .Release.Name }} in {{ .Release.Namespace }}.',
    'apps/web/templates/cm.yaml': configMap('a: b'),
  });
  assert.ok(result.ok);
  assert.deepEqual([result.notes, result.objects.length], ['Visit web in shop.', 1]);
});

test('errors name the file and line a person can go to', async () => {
  const t = 'apps/web/templates';
  const cases: readonly (readonly [Readonly<Record<string, string>>, string, RegExp])[] = [
    [{ [`${t}/a.yaml`]: 'a: b\nc: {{ .Values.x.y }}\n' }, `${t}/a.yaml:2 template`, /nil pointer/],
    [{ [`${t}/a.yaml`]: '\n\n{{ fail "no port" }}\n' }, `${t}/a.yaml:3 template`, /^no port$/],
    [{ [`${t}/a.yaml`]: '{{ required "a host is needed" .Values.host }}\n' }, `${t}/a.yaml:1 template`, /^a host is needed$/],
    [{ [`${t}/a.yaml`]: '{{ if }}\n' }, `${t}/a.yaml:1 template`, /missing value for if/],
    [
      { [`${t}/_h.tpl`]: '{{ define "h" }}\n{{ .Values.a.b }}\n{{ end }}', [`${t}/a.yaml`]: 'x: {{ include "h" . }}\n' },
      `${t}/_h.tpl:2 template`,
      /nil pointer.*used by apps\/web\/templates\/a\.yaml, line 1/,
    ],
    [{ [`${t}/a.yaml`]: 'a: b\n c: d\n' }, `${t}/a.yaml:1 template-output`, /not YAML.*line/],
    [{ [`${t}/a.yaml`]: 'kind: ConfigMap\n' }, `${t}/a.yaml:1 missing-api-version`, /apiVersion/],
    [
      { 'apps/web/values.yaml': 'port: x\n', 'apps/web/values.schema.json': '{"properties":{"port":{"type":"integer"}}}' },
      'apps/web/values.schema.json:1 values-schema',
      /\/port.*want integer/,
    ],
    [{ 'apps/web/values.yaml': 'a: [\n' }, 'apps/web/Chart.yaml:1 chart', /cannot load values\.yaml/],
    [
      {
        'apps/web/Chart.yaml': `${chart['apps/web/Chart.yaml']}dependencies: [{name: redis, version: 1.x, repository: "https://x"}]\n`,
      },
      'apps/web/Chart.yaml:1 chart-dependency',
      /redis 1\.x; run `helm dependency build`/,
    ],
    [{ 'apps/web/Chart.yaml': `${chart['apps/web/Chart.yaml']}type: library\n` }, 'apps/web/Chart.yaml:1 chart-type', /library/],
  ];
  for (const [files, place, words] of cases) {
    const errors = errorsOf(await render(files));
    assert.deepEqual(briefly(errors), [place], JSON.stringify(errors));
    assert.match(errors[0]?.message ?? '', words);
  }
});

test('a value file that is not there is an error, unless the application says otherwise; an encrypted one always is', async () => {
  const valueFiles = ['apps/web/env/none.yaml'];
  const missing = errorsOf(await render({}, { helm: { valueFiles } }));
  assert.deepEqual(briefly(missing), ['apps/web/env/none.yaml:0 value-file-missing']);
  assert.ok((await render({}, { helm: { valueFiles, ignoreMissingValueFiles: true } })).ok);
  const sops = 'password: ENC[AES256_GCM,data:x]\nsops:\n    mac: ENC[AES256_GCM,data:y]\n    version: 3.9.0\n';
  const encrypted = errorsOf(await render({ 'apps/web/env/none.yaml': sops }, { helm: { valueFiles } }));
  assert.deepEqual(briefly(encrypted), ['apps/web/env/none.yaml:2 sops']);
});

test('a dependency in the same repository needs no archive', async () => {
  const result = await render({
    'apps/web/Chart.yaml': `${chart['apps/web/Chart.yaml']}dependencies: [{name: lib, version: "*", repository: "file://../../lib"}]\n`,
    'lib/Chart.yaml': 'apiVersion: v2\nname: lib\nversion: 1.0.0\n',
    'lib/templates/cm.yaml': configMap('from: lib'),
  });
  assert.deepEqual(
    objectsOf(result).map(({ source }) => source.file),
    ['lib/templates/cm.yaml'],
  );
});
