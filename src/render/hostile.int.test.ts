/** H14 to H24 of the threat list: each refused by rule, file, line, limit, while others render and memory stays flat. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { silentLog } from '#base';
import { createRenderer, type Renderer } from './renderer.ts';
import { briefly, builtModule, configMap, errorsOf, objectsOf, requestOf } from './testing.ts';
import type { RenderError } from './types.ts';

let renderer: Renderer;
before(async () => {
  // Other tests watch the clock; these ask for the right words, on machines as busy as they come.
  renderer = await createRenderer({
    wasmPath: await builtModule(),
    log: silentLog,
    limits: { deadlineMs: 120_000, startMs: 120_000 },
  });
});
after(() => renderer.stop());

async function refusedAs(
  file: string,
  content: string | Uint8Array,
  expected: readonly string[],
): Promise<readonly RenderError[]> {
  const errors = errorsOf(await renderer.render(requestOf({ [file]: content })));
  assert.deepEqual(briefly(errors), expected);
  return errors;
}

const object = (rest: string): string => `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  namespace: shop\n${rest}`;
const chain = (names: string, last: string): string =>
  names
    .split('')
    .map((name, i) => `${name}: &${name} [${Array.from({ length: 9 }, () => (i === 0 ? last : `*${names[i - 1]}`)).join(',')}]`)
    .join('\n');

const listed = Array.from({ length: 1_000 }, (_, i) => `- &n${i} {k${i}: 1}`).join('\n');
const merging = Array.from({ length: 1_000 }, (_, i) => {
  return `- {<<: [${Array.from({ length: 50 }, (_, j) => `*n${(i + j) % 1_000}`).join(',')}]}`;
}).join('\n');
const deep = (depth: number): string => Array.from({ length: depth }, (_, i) => `${' '.repeat(i)}a:\n`).join('');

const limits: readonly (readonly [string, string, string, readonly string[], number])[] = [
  ['H14 alias bomb', 'a.yaml', chain('abcdefghi', 'x'), ['a.yaml:1 alias-expansion'], 20_000],
  ['H15 quadratic merges', 'a.yaml', `list:\n${listed}\nall:\n${merging}`, ['a.yaml:451 alias-expansion'], 20_000],
  ['H16 depth 101, flow', 'a.yaml', object(`data: ${'['.repeat(101)}${']'.repeat(101)}`), ['a.yaml:6 depth'], 100],
  ['H16 depth 10,000, flow', 'a.yaml', `${'['.repeat(10_000)}${']'.repeat(10_000)}`, ['a.yaml:1 depth'], 100],
  ['H16 depth 1,000,000, flow', 'a.yaml', `${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}`, ['a.yaml:1 depth'], 100],
  ['H16 depth 10,000, block', 'a.yaml', '- '.repeat(10_000), ['a.yaml:1 depth'], 100],
  ['H16 depth 2,000, indented', 'a.yaml', deep(2_000), ['a.yaml:101 depth'], 100],
  ['H16 depth 100,000, JSON', 'a.json', `${'{"a":\n'.repeat(100_000)}1${'}'.repeat(100_000)}`, ['a.json:101 depth'], 100],
  ['H17 100,000 documents', 'a.yaml', '---\n'.repeat(100_000), ['a.yaml:5001 documents-per-file'], 5_000],
  [
    'H17 a long document',
    'a.yaml',
    `a: 1\n---\n${object(`data: {a: ${'x'.repeat(5_000_000)}}`)}`,
    ['a.yaml:2 document-size'],
    4_194_304,
  ],
  ['H17 a long JSON document', 'a.json', `\n{"a": "${'x'.repeat(5_000_000)}"}`, ['a.json:1 document-size'], 4_194_304],
  ['H17 a million values', 'a.json', `{"a": [${'1,'.repeat(1_000_000)}1]}`, ['a.json:1 value-count'], 200_000],
  ['H23 object over 1.5 MB', 'a.yaml', object(`data: {a: ${'x'.repeat(1_500_000)}}`), ['a.yaml:1 object-size'], 1_500_000],
  [
    'H23 a name of 300 characters',
    'a.yaml',
    `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${'x'.repeat(300)}`,
    ['a.yaml:4 name-length'],
    253,
  ],
];

for (const [what, file, content, expected, limit] of limits) {
  test(what, async () => {
    const others = renderer.render(requestOf({ 'ok.yaml': configMap('ok') }, { project: 'other' }));
    const [error] = await refusedAs(file, content, expected);
    assert.equal(error?.limit, limit);
    assert.equal(error?.code, 'FL_RENDER_LIMIT');
    assert.equal(objectsOf(await others).length, 1);
  });
}

const refused: readonly (readonly [string, string, string | Uint8Array, readonly string[]])[] = [
  ['H14 alias cycle', 'a.yaml', 'a: &a [*a]', ['a.yaml:1 alias-cycle']],
  ['H18 duplicate keys', 'a.yaml', object('data:\n  a: 1\n  b: 2\n  a: 3\n'), ['a.yaml:9 duplicate-key']],
  ['H18 duplicate keys that only look different', 'a.yaml', object('data: {1: a, "1": b}'), ['a.yaml:6 duplicate-key']],
  ['H18 duplicate keys in JSON', 'a.json', '{"kind":"Pod",\n"kind":"Secret"}', ['a.json:2 duplicate-key']],
  ['H20 a tag of JavaScript', 'a.yaml', object('data:\n  a: !!js/function "x"\n'), ['a.yaml:7 unknown-tag']],
  [
    'H20 !!binary',
    'a.yaml',
    object('data:\n  a: !!binary "@@@"\n  b: !local {}\n'),
    ['a.yaml:7 unknown-tag', 'a.yaml:8 unknown-tag'],
  ],
  ['H20 a tag that lies', 'a.yaml', object('data:\n  a: !!int "x"\n'), ['a.yaml:7 tag-mismatch']],
  [
    'H21 not a number, infinity',
    'a.yaml',
    object('x: .nan\ny: -.inf\n'),
    ['a.yaml:6 non-finite-number', 'a.yaml:7 non-finite-number'],
  ],
  ['H21 a number beyond all', 'a.json', '{"a": 1e999}', ['a.json:1 number-range']],
  [
    'H21 data that YAML reads as something else',
    'a.yaml',
    object('data:\n  a: no\n  b: 012\n'),
    ['a.yaml:7 data-form', 'a.yaml:8 data-form'],
  ],
  ['H22 invalid UTF-8', 'a.yaml', Buffer.from('a: 1\nb: \xff\n', 'latin1'), ['a.yaml:2 utf8']],
  ['H22 UTF-16', 'a.yaml', Buffer.from('\ufeffa: 1', 'utf16le'), ['a.yaml:1 utf8']],
  ['H22 a tab as indentation', 'a.yaml', object('data:\n\ta: b\n'), ['a.yaml:7 tab-indent']],
  ['H22 control characters', 'a.yaml', 'a: 1\nb: \u0007\n', ['a.yaml:2 syntax']],
  ['H23 no kind', 'a.yaml', 'replicas: 3\n', ['a.yaml:1 missing-kind']],
  ['H23 no apiVersion', 'a.yaml', 'kind: Pod\n', ['a.yaml:1 missing-api-version']],
  ['H23 no name', 'a.yaml', 'apiVersion: v1\nkind: Pod\nmetadata: {}\n', ['a.yaml:3 missing-name']],
  [
    'H23 not an object',
    'a.yaml',
    'a: 1\n---\n- a\n---\nhello\n',
    ['a.yaml:3 not-an-object', 'a.yaml:5 not-an-object', 'a.yaml:1 missing-kind'],
  ],
  ['H23 a list of no objects', 'a.yaml', 'apiVersion: v1\nkind: List\nitems:\n- 1\n', ['a.yaml:4 list-form']],
  ['H23 a name that is a path', 'a.yaml', 'apiVersion: x/v1\nkind: X\nmetadata:\n  name: ../y', ['a.yaml:4 name-form']],
  ['H23 a name in capitals', 'a.yaml', 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: Web', ['a.yaml:4 name-form']],
  ['H23 a name that is a number', 'a.yaml', 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: 12', ['a.yaml:4 name-form']],
  [
    'H23 an apiVersion of three parts',
    'a.yaml',
    'apiVersion: a/b/c\nkind: Pod\nmetadata: {name: x}',
    ['a.yaml:1 api-version-form'],
  ],
  ['H24 generateName', 'a.yaml', 'apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: x-\n', ['a.yaml:4 generate-name']],
  [
    'H24 what the API server sets',
    'a.yaml',
    `apiVersion: v1
kind: Pod
metadata:
  name: x
  uid: 1f4b
  resourceVersion: "7"
  managedFields: []
  creationTimestamp: 2026-01-01T00:00:00Z
  ownerReferences: [{uid: x}]
`,
    [5, 6, 7, 8, 9].map((line) => `a.yaml:${line} ${line === 9 ? 'owner-reference' : 'server-field'}`),
  ],
  [
    'the owner mark, set by hand',
    'a.yaml',
    'apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  labels:\n    fairlead.dev/owner: me\n  annotations:\n    fairlead.dev/object: x\n',
    ['a.yaml:6 owner-mark', 'a.yaml:8 owner-mark'],
  ],
  [
    'labels and annotations that are not strings, or not labels',
    'a.yaml',
    'apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  labels:\n    on: yes\n    a b: c\n    d: e f\n  annotations:\n    n: 1\n    fairlead.dev/wave: high\n',
    ['a.yaml:6 label-form', 'a.yaml:7 label-form', 'a.yaml:8 label-form', 'a.yaml:10 annotation-form', 'a.yaml:11 wave-form'],
  ],
  [
    'one object twice, also in two versions',
    'a.yaml',
    '{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}}\n---\n{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: x}}',
    ['a.yaml:3 duplicate-object'],
  ],
  ['a template that was not rendered', 'a.yaml', object('data:\n  a: {{ .Values.a }}\n'), ['a.yaml:7 key-form']],
];

for (const [what, file, content, expected] of refused) {
  test(what, async () => {
    const errors = await refusedAs(file, content, expected);
    for (const error of errors) assert.match(error.message, /^[^A-Z].*[^.]$|^YAML|^JSON/s, 'lower case, no final period');
  });
}

test('H18 duplicates name the first place; files are told apart', async () => {
  const errors = errorsOf(await renderer.render(requestOf({ 'a.yaml': configMap('x'), 'b.yaml': `\n\n${configMap('x')}` })));
  assert.deepEqual(briefly(errors), ['b.yaml:3 duplicate-object']);
  assert.match(errors[0]?.message ?? '', /the same object is in a\.yaml, line 1; keep one/);
});

test('errors of many files come together, at most twenty, the rest counted', async () => {
  const files = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`${i}.yaml`, 'kind: x']));
  const errors = errorsOf(await renderer.render(requestOf(files)));
  assert.equal(errors.length, 21);
  assert.deepEqual([errors[20]?.rule, errors[20]?.limit, errors[20]?.value], ['more-errors', 20, 30]);
});

test('nothing of a syntax error repeats the input', async () => {
  for (const content of [
    'password: *hunter2',
    'a: "hunter2\\q"',
    'a: !<hunter2 x',
    '- hunter2\nhunter2: [',
    '{"a": hunter2}',
    'hunter2: %hunter2',
  ]) {
    for (const file of ['a.yaml', 'a.json']) {
      const errors = errorsOf(await renderer.render(requestOf({ [file]: content })));
      assert.doesNotMatch(JSON.stringify(errors), /hunter/, content);
    }
  }
});

test('memory of the plane and of the children stays flat over all of this', async () => {
  const rssMiB = (pid: number | 'self'): number =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  const round = async (): Promise<void> => {
    for (const [what, file, content] of limits)
      if (!what.includes('million')) await renderer.render(requestOf({ [file]: content }));
  };
  await round();
  const before = rssMiB('self');
  for (let i = 0; i < 3; i++) await round();
  assert.ok(rssMiB('self') < before + 64, `the plane grew from ${before} to ${rssMiB('self')} MiB`);
  for (const pid of renderer.status().pids) assert.ok(rssMiB(pid) < 300, `child ${pid} holds ${rssMiB(pid)} MiB`);
});
