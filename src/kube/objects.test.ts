import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareIds, deepEqual, describeId, formatId, parseId } from './objects.ts';
import { formatPath, formatPointer, getPointer, isWithin, parsePointer, removePointer, setPointer } from './pointers.ts';

test('an object id reads back as it was written, also without group and namespace', () => {
  const deployment = { group: 'apps', kind: 'Deployment', namespace: 'web', name: 'frontend' };
  assert.equal(formatId(deployment), 'apps/Deployment/web/frontend');
  assert.equal(formatId({ group: '', kind: 'Namespace', namespace: '', name: 'web' }), '/Namespace//web');
  assert.deepEqual(parseId('rbac.authorization.k8s.io/ClusterRole//system:node'), {
    group: 'rbac.authorization.k8s.io',
    kind: 'ClusterRole',
    namespace: '',
    name: 'system:node',
  });
  assert.equal(describeId(deployment), 'Deployment web/frontend');
  for (const text of ['', 'a/b/c', 'apps/Deployment/web/x/y', 'apps//web/x', 'apps/Deployment/web/']) {
    assert.throws(() => parseId(text), { code: 'FL_KUBE_ID' }, text);
  }
});

test('ids sort the same way whatever the order they come in', () => {
  const ids = ['/ConfigMap/a/x', 'apps/Deployment/a/x', '/Namespace//a', '/ConfigMap/B/x'].map(parseId);
  const sorted = [...ids].sort(compareIds).map(formatId);
  assert.deepEqual([...ids].reverse().sort(compareIds).map(formatId), sorted);
  assert.equal(sorted[0], '/Namespace//a');
});

test('equality of JSON ignores the order of keys and nothing else', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      const copy = JSON.parse(JSON.stringify(a)) as unknown;
      assert.ok(deepEqual(copy, JSON.parse(JSON.stringify(a))));
      const sortedText = (value: unknown): string =>
        JSON.stringify(value, (_key, item: unknown) =>
          typeof item === 'object' && item !== null && !Array.isArray(item)
            ? { entries: Object.entries(item).sort(([x], [y]) => (x < y ? -1 : 1)) }
            : item,
        );
      assert.equal(deepEqual(a, b), sortedText(a) === sortedText(b));
    }),
  );
});

test('pointers escape, reach, set and remove', () => {
  const object = { metadata: { annotations: { 'a/b~c': '1' } }, list: [{ x: 1 }, { x: 2 }] };
  const pointer = formatPointer(['metadata', 'annotations', 'a/b~c']);
  assert.equal(pointer, '/metadata/annotations/a~1b~0c');
  assert.equal(getPointer(object, pointer), '1');
  assert.equal(getPointer(object, '/list/1/x'), 2);
  assert.equal(getPointer(object, '/list/01/x'), undefined);
  assert.equal(getPointer(object, '/constructor'), undefined);
  assert.deepEqual(setPointer(object, '/spec/replicas', 3), { ...object, spec: { replicas: 3 } });
  assert.deepEqual(removePointer(object, '/list/0'), { ...object, list: [{ x: 2 }] });
  assert.equal(removePointer(object, '/nothing/here'), object);
  assert.equal(formatPath(['spec', 'containers', 0, 'a.b/c']), '.spec.containers[0]["a.b/c"]');
  assert.ok(isWithin('/spec/replicas', '/spec') && !isWithin('/specs', '/spec'));
  for (const text of ['spec', '/a~2', '/~']) assert.throws(() => parsePointer(text), { code: 'FL_KUBE_POINTER' });
});

test('what is set is found, what is removed is gone, and the original stays as it was', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.jsonValue()),
      fc.array(fc.string(), { minLength: 1, maxLength: 4 }),
      (object, path) => {
        const frozen = JSON.stringify(object);
        let changed: unknown;
        try {
          changed = setPointer(object, path, 'here');
        } catch {
          return;
        }
        assert.equal(getPointer(changed, formatPointer(path)), 'here');
        assert.equal(getPointer(removePointer(changed, path), path) === 'here', false);
        assert.equal(JSON.stringify(object), frozen);
        assert.equal(Object.getPrototypeOf(changed), Object.prototype);
      },
    ),
  );
});
