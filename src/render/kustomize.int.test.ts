/** Kustomizations as a plane meets them: bases elsewhere in the repository, exact read sets, options around them, errors. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { silentLog } from '#base';
import { createRenderer, type Renderer } from './renderer.ts';
import { bodyOf, briefly, builtModule, configMap, errorsOf, objectsOf, requestOf } from './testing.ts';
import type { RenderResult } from './types.ts';

let renderer: Renderer;
before(async () => {
  renderer = await createRenderer({ wasmPath: await builtModule(), log: silentLog, limits: { deadlineMs: 60_000 } });
});
after(() => renderer.stop());

type Overrides = Parameters<typeof requestOf>[1];

function render(files: Readonly<Record<string, string>>, overrides: Overrides = {}): Promise<RenderResult> {
  return renderer.render(requestOf(files, { engine: 'auto', path: 'overlays/prod', ...overrides }));
}

const base = { 'base/kustomization.yaml': 'resources: [cm.yaml]\n', 'base/cm.yaml': `# a comment\n${configMap('web')}` };

test('a base outside of the path is read, and nothing else is recorded', async () => {
  const result = await render({
    ...base,
    'overlays/prod/kustomization.yaml': 'resources: [../../base]\nnamePrefix: prod-\n',
    'overlays/prod/unused.yaml': configMap('unused'),
    'base/unused.yaml': configMap('unused'),
    'elsewhere/kustomization.yaml': '',
  });
  assert.ok(result.ok, JSON.stringify(result));
  assert.equal(result.engine, 'kustomize');
  assert.deepEqual(
    result.objects.map(({ id, source }) => [id.name, source]),
    [['prod-web', { file: 'base/cm.yaml', line: 2 }]],
  );
  const { files, listed } = result.readSet;
  assert.deepEqual(listed, []);
  assert.ok(files.includes('base/cm.yaml') && files.includes('overlays/prod/kustomization.yaml'));
  assert.ok(!files.some((file) => file.includes('unused') || file.startsWith('elsewhere')), files.join());
});

test('the options are an overlay around the kustomization', async () => {
  const result = await render(
    {
      'overlays/prod/kustomization.yaml': 'resources: [d.yaml]\n',
      'overlays/prod/d.yaml':
        'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: c, image: nginx:1}]}}}\n',
      'components/extra/kustomization.yaml':
        'apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nconfigMapGenerator: [{name: extra, literals: [a=b], options: {disableNameSuffixHash: true}}]\n',
    },
    {
      kustomize: {
        namePrefix: 'a-',
        nameSuffix: '-z',
        namespace: 'shop',
        labels: { team: 'x' },
        images: [{ name: 'nginx', newTag: '2' }],
        components: ['../../components/extra'],
        patches: [{ patch: '- {op: add, path: /spec/replicas, value: 3}', target: { kind: 'Deployment' } }],
      },
      substitute: true,
    },
  );
  const [extra, web] = objectsOf(result);
  assert.deepEqual([extra?.id.name, extra?.id.namespace], ['a-extra-z', 'shop']);
  assert.match(bodyOf(web), /"labels":\{"team":"x"\}.*"a-web-z".*"shop".*"replicas":3.*"nginx:2"/);
});

test('variables are replaced in what a kustomization makes, where the application says so', async () => {
  const files = {
    'overlays/prod/kustomization.yaml': 'configMapGenerator: [{name: c, literals: ["env=${cluster.labels.env}"]}]\n',
  };
  assert.match(bodyOf(objectsOf(await render(files, { substitute: true }))[0]), /"env":"prod"/);
  assert.match(bodyOf(objectsOf(await render(files))[0]), /\$\{cluster\.labels\.env\}/);
});

test('what was fetched stands for its entry', async () => {
  const entry = 'https://github.com/example/bases//web?ref=v1';
  const result = await render(
    {
      'overlays/prod/kustomization.yaml': `resources:\n- ${entry}\nnamePrefix: p-\n`,
      '.fairlead/remote/x/web/kustomization.yaml': 'resources: [../shared]\n',
      '.fairlead/remote/x/shared/kustomization.yaml': 'resources: [cm.yaml]\n',
      '.fairlead/remote/x/shared/cm.yaml': configMap('far'),
    },
    { fetched: [{ entry, directory: '.fairlead/remote/x/web' }] },
  );
  assert.deepEqual(
    objectsOf(result).map(({ id }) => id.name),
    ['p-far'],
  );
});

test('errors name a file, say what is missing, and repeat no literal of a secret', async () => {
  const k = 'overlays/prod/kustomization.yaml';
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['resources: [none.yaml]\n', `${k}:1 kustomize`, /none\.yaml/],
    ['resources: [../../..]\n', `${k}:1 kustomize`, /./],
    ['resources:\n- https://example.com/x.git//a?ref=1\n', `${k}:1 remote`, /a remote base was not fetched.*example\.com/],
    ['helmCharts: [{name: x, repo: "https://x", version: "1"}]\n', `${k}:1 helm-charts`, /application of its own/],
    [
      'generators:\n- |-\n  apiVersion: example.com/v1\n  kind: Exec\n  metadata: {name: x, annotations: {config.kubernetes.io/function: "exec: {path: /bin/sh}"}}\n',
      `${k}:1 plugin`,
      /built into Kustomize/,
    ],
    ['secretGenerator: [{name: s, literals: [hunter2]}]\n', `${k}:1 kustomize`, /./],
    ['resources: [\n', `${k}:2 kustomize`, /./],
  ];
  for (const [content, place, words] of cases) {
    const errors = errorsOf(await render({ [k]: content }));
    assert.equal(briefly(errors)[0]?.replace(/:\d+ /, ':1 '), place.replace(/:\d+ /, ':1 '), JSON.stringify(errors));
    assert.match(errors[0]?.message ?? '', words);
    assert.doesNotMatch(JSON.stringify(errors), /hunter2/);
  }
});
