import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { diffObjects } from './diff.ts';
import type { KubeObject } from './objects.ts';
import { getPointer } from './pointers.ts';

function deployment(
  containers: unknown[],
  more: Record<string, unknown> = {},
  metadata: Record<string, unknown> = {},
): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'x', ...metadata },
    spec: { template: { spec: { containers } }, ...more },
  };
}

const lines = (a: KubeObject | null, b: KubeObject | null): string[] =>
  diffObjects(a, b).map((c) => `${c.kind} ${c.path} ${JSON.stringify(c.before)}>${JSON.stringify(c.after)}`);

test('named items are compared by name wherever they stand', () => {
  const before = deployment(
    [
      { name: 'a', image: 'a:1' },
      { name: 'b', image: 'b:1' },
    ],
    { replicas: 1 },
  );
  const after = deployment([{ name: 'b', image: 'b:2' }, { name: 'a', image: 'a:1' }, { name: 'c' }], { replicas: 3 });
  assert.deepEqual(lines(before, after), [
    'changed .spec.replicas 1>3',
    'changed .spec.template.spec.containers[name="b"].image "b:1">"b:2"',
    'added .spec.template.spec.containers[name="c"] undefined>{"name":"c"}',
  ]);
});

test('one item put into the middle of a plain list is one change', () => {
  const of = (args: string[]): KubeObject => deployment([{ name: 'a', args }]);
  assert.deepEqual(lines(of(['1', '2', '3']), of(['1', 'x', '2', '3'])), [
    'added .spec.template.spec.containers[name="a"].args[1] undefined>"x"',
  ]);
  assert.deepEqual(lines(of(['1', '2']), of(['2'])), ['removed .spec.template.spec.containers[name="a"].args[0] "1">undefined']);
});

test('what only the server writes is left out, and an absent object is one change', () => {
  const before = deployment([], {}, { uid: 'a', resourceVersion: '1', managedFields: [{}], generation: 1 });
  const after = { ...deployment([], {}, { uid: 'b', resourceVersion: '2', generation: 2 }), status: { replicas: 1 } };
  assert.deepEqual(lines(before, after), []);
  assert.deepEqual(
    diffObjects(before, after, { withStatus: true }).map((c) => c.path),
    ['.status'],
  );
  assert.deepEqual(
    diffObjects(null, after).map((c) => [c.kind, c.path]),
    [['added', '']],
  );
  assert.deepEqual(diffObjects(null, null), []);
});

test('a changed Secret shows which keys changed, never to what', () => {
  const secret = (data: Record<string, string>): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's' },
    data,
  });
  const changes = diffObjects(secret({ a: 'hunter2', b: 'same' }), secret({ a: 'hunter3', b: 'same', c: 'hunter4' }));
  assert.deepEqual(
    changes.map((c) => [c.kind, c.path, c.before, c.after]),
    [
      ['changed', '.data.a', '[redacted]', '[redacted]'],
      ['added', '.data.c', undefined, '[redacted]'],
    ],
  );
  for (const whole of [
    diffObjects(null, secret({ a: 'hunter2' })),
    diffObjects(secret({ a: 'hunter2' }), null),
    diffObjects(secret({ a: 'hunter2' }), { ...secret({}), data: null }),
  ]) {
    assert.doesNotMatch(JSON.stringify(whole), /hunter2/);
  }
});

test('equal objects have no changes, and every change names a place where the two differ', () => {
  const object = fc
    .dictionary(fc.constantFrom('a', 'b', 'c', 'spec'), fc.jsonValue())
    .map((fields): KubeObject => ({ apiVersion: 'v1', kind: 'Thing', metadata: { name: 'x' }, ...fields }));
  fc.assert(
    fc.property(object, object, (a, b) => {
      assert.deepEqual(diffObjects(a, JSON.parse(JSON.stringify(a)) as KubeObject), []);
      for (const change of diffObjects(a, b)) {
        const source = change.kind === 'removed' ? a : b;
        assert.notEqual(getPointer(source, change.pointer), undefined, JSON.stringify(change));
      }
    }),
  );
});
