import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LAST_APPLIED } from './redact.ts';
import type { KubeObject } from './objects.ts';
import { boundedJson, markedYaml, shortJson, shownObject } from './shown-object.ts';
import { formatYaml } from './yaml.ts';

const secretText = fc.integer({ min: 0, max: 0xffffffff }).map((n) => `canary-${n.toString(16).padStart(8, '0')}`);
// The type of a Secret is shown, and whether it is immutable.
const key = fc.stringMatching(/^[a-z][a-z0-9.-]{0,12}$/).filter((name) => name !== 'type' && name !== 'immutable');
/** Values of any shape, all of whose texts are canaries. */
const nested = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, secretText, fc.array(tie('value'), { maxLength: 3 }), fc.dictionary(key, tie('value'))),
})).value;

test('no value of a Secret is shown, wherever in it it stands', () => {
  fc.assert(
    fc.property(
      fc.dictionary(key, secretText),
      fc.dictionary(key, secretText),
      fc.dictionary(key, secretText),
      fc.dictionary(key, nested),
      secretText,
      (data, labels, annotations, more, copy) => {
        const secret = {
          ...more,
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 'n', namespace: 'ns', labels, annotations: { ...annotations, [LAST_APPLIED]: copy }, extra: copy },
          data: Object.fromEntries(Object.entries(data).map(([k, v]) => [k, Buffer.from(v).toString('base64')])),
          stringData: data,
        } as unknown as KubeObject;
        const text = boundedJson(shownObject(secret, false), 64 * 1024).text;
        assert.ok(!text.includes('canary-') && !text.includes(Buffer.from('canary-').toString('base64').slice(0, 8)), text);
        for (const name of Object.keys(data)) assert.ok(text.includes(JSON.stringify(name)), `the key ${name} is shown`);
      },
    ),
    { numRuns: 80 },
  );
});

test('what is sealed is hidden whatever its kind, and copies and managers of anything are left out', () => {
  const object = (more: object): KubeObject => ({
    apiVersion: 'example.org/v1',
    kind: 'Vault',
    metadata: { name: 'n', annotations: { [LAST_APPLIED]: 'canary-1', team: 'a' }, managedFields: [{ manager: 'canary-2' }] },
    ...more,
  });
  const open = JSON.stringify(shownObject(object({ spec: { url: 'x' } }), false));
  assert.ok(open.includes('"url":"x"') && open.includes('"team":"a"') && !open.includes('canary'), open);
  const sealed = JSON.stringify(shownObject(object({ spec: { password: 'canary-3', list: ['canary-4'] } }), true));
  assert.ok(sealed.includes('"password":"[redacted]"') && !sealed.includes('canary'), sealed);
});

test('an object of any size becomes an object of at most so many bytes', () => {
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 4 }),
      fc.integer({ min: 0, max: 6000 }),
      fc.integer({ min: 300, max: 4000 }),
      (json, n, max) => {
        const object = {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: 'n', namespace: 'ns' },
          data: { json, long: 'é"\\\u{1F600}'.repeat(n), list: Array.from({ length: n % 700 }, (_, i) => String(i)) },
        } as unknown as KubeObject;
        const { text, isCut } = boundedJson(object, max);
        assert.ok(Buffer.byteLength(text) <= max);
        const parsed = JSON.parse(text) as KubeObject;
        assert.equal(parsed.metadata.name, 'n');
        assert.equal(isCut, text !== JSON.stringify(object));
        assert.ok((shortJson(object, 100)?.length ?? 0) <= 101);
      },
    ),
    { numRuns: 150 },
  );
});

test('an object without end is cut, not walked to the bottom', () => {
  let deep: unknown = 'x';
  for (let i = 0; i < 5000; i += 1) deep = [deep];
  const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'n' }, deep } as unknown as KubeObject;
  assert.equal(boundedJson(object, 4096).isCut, true);
  assert.doesNotThrow(() => JSON.stringify(shownObject(object, true)));
});

test('marked lines are the YAML that is shown elsewhere, whatever is marked', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.oneof(key, fc.string({ maxLength: 6 })), fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<unknown>),
      fc.array(
        fc
          .array(fc.oneof(key, fc.nat({ max: 2 }).map(String)), { maxLength: 4 })
          .map((path) => path.map((s) => `/${s}`).join('')),
      ),
      (spec, pointers) => {
        const object = { status: { a: [1, { b: 2, c: [] }] }, spec, apiVersion: 'v1', kind: 'X', metadata: { name: 'n' } };
        const value = JSON.parse(JSON.stringify(object)) as KubeObject;
        const lines = markedYaml(value, ['/metadata/name', '/spec/a/0', '/status/a/1/b', ...pointers]);
        assert.equal(`${lines.map((line) => line.text).join('\n')}\n`, formatYaml(value));
      },
    ),
    { numRuns: 100 },
  );
});

test('a line is marked where its field, or one around it, is named; lines that lead there are, too', () => {
  const object = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', uid: 'u' },
    spec: { replicas: 2, template: { containers: [{ name: 'a', image: 'x', pull: 'Always' }] } },
    status: { ready: 1 },
  } as unknown as KubeObject;
  const pointers = [
    '/kind',
    '/metadata/name',
    '/spec/replicas',
    '/spec/template/containers/0/image',
    'no pointer',
    '/spec/none/at/all',
  ];
  const lines = markedYaml(object, pointers);
  assert.deepEqual(
    lines.filter((line) => line.isMarked).map((line) => line.text.trim()),
    ['kind: Deployment', 'metadata:', 'name: web', 'spec:', 'replicas: 2', 'template:', 'containers:', 'image: x'],
  );
});
