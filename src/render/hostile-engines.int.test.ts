/** Charts and kustomizations without end: each ends by its limit, is said in words, and other renders go on. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { silentLog } from '#base';
import { createRenderer, type Renderer } from './renderer.ts';
import { builtModule, configMap, errorsOf, objectsOf, requestOf } from './testing.ts';
import type { RenderErrorCode } from './types.ts';

let renderer: Renderer;
before(async () => {
  renderer = await createRenderer({
    wasmPath: await builtModule(),
    log: silentLog,
    limits: { deadlineMs: 15_000, startMs: 120_000 },
  });
});
after(() => renderer.stop());

const chart = { 'Chart.yaml': 'apiVersion: v2\nname: bomb\nversion: 1.0.0\n' };
const template = (text: string, more: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> => ({
  ...chart,
  'templates/a.yaml': text,
  ...more,
});
const nine = (names: string): string =>
  names
    .split('')
    .map((name, i) => `${name}: &${name} [${Array.from({ length: 9 }, () => (i === 0 ? 'x' : `*${names[i - 1]}`)).join(',')}]`)
    .join('\n');

const bombs: Readonly<Record<string, readonly [Readonly<Record<string, string>>, readonly RenderErrorCode[]]>> = {
  'a list of a billion': [template('{{ range until 1000000000 }}x{{ end }}'), ['FL_RENDER_MEMORY', 'FL_RENDER_CRASHED']],
  'loops in loops': [template('{{ $l := until 100000 }}{{ range $l }}{{ range $l }}{{ end }}{{ end }}'), ['FL_RENDER_DEADLINE']],
  'a string of a gigabyte': [template('{{ repeat 1000000000 "x" }}'), ['FL_RENDER_MEMORY', 'FL_RENDER_CRASHED']],
  'an include of itself': [
    template('{{ include "a" . }}', { 'templates/_a.tpl': '{{ define "a" }}{{ include "a" . }}{{ end }}' }),
    ['FL_RENDER_INVALID', 'FL_RENDER_LIMIT', 'FL_RENDER_MEMORY'],
  ],
  'a template of itself': [
    template('{{ include "a" . }}', { 'templates/_a.tpl': '{{ define "a" }}{{ tpl "{{ include \\"a\\" . }}" . }}{{ end }}' }),
    ['FL_RENDER_INVALID', 'FL_RENDER_LIMIT', 'FL_RENDER_MEMORY'],
  ],
  'aliases in values': [template('{{ toYaml .Values }}', { 'values.yaml': nine('abcdefghi') }), ['FL_RENDER_INVALID']],
  'values a thousand deep': [
    template('x', { 'values.yaml': `${'{a: '.repeat(20_000)}1${'}'.repeat(20_000)}` }),
    ['FL_RENDER_INVALID', 'FL_RENDER_LIMIT'],
  ],
  'a base of itself': [
    { 'kustomization.yaml': 'resources: [a]\n', 'a/kustomization.yaml': 'resources: [../a]\n' },
    ['FL_RENDER_INVALID'],
  ],
  'a kustomization of aliases': [
    { 'kustomization.yaml': `${nine('abcdefghi')}\n` },
    ['FL_RENDER_INVALID', 'FL_RENDER_SYNTAX', 'FL_RENDER_MEMORY', 'FL_RENDER_DEADLINE'],
  ],
};

for (const [what, [files, codes]] of Object.entries(bombs)) {
  test(`${what} ends, and another project renders meanwhile`, async () => {
    const [bomb, other] = await Promise.all([
      renderer.render(requestOf(files, { engine: 'auto' })),
      renderer.render(requestOf({ 'a.yaml': configMap('x') }, { project: 'other' })),
    ]);
    const [error] = errorsOf(bomb);
    assert.ok(error !== undefined && codes.includes(error.code), JSON.stringify(error));
    assert.ok(error.message.length > 10 && error.message.length < 1_000);
    assert.equal(objectsOf(other).length, 1);
  });
}
