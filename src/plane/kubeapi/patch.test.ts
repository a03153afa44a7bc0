import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json } from './json.ts';
import { jsonPatch, mergePatch, namespacePatch, PatchFailure, PatchSyntaxError } from './patch.ts';

test('merge patch: null removes, objects merge, lists replace', () => {
  const target = { a: { b: 1, c: [1, 2] }, d: 'x' };
  assert.deepEqual(mergePatch(target, { a: { b: null, c: [3] }, e: { f: null } }), { a: { c: [3] }, d: 'x', e: {} });
  assert.deepEqual(target, { a: { b: 1, c: [1, 2] }, d: 'x' });
  assert.deepEqual(mergePatch(JSON.parse('{"__proto__":{"x":1}}') as Json, { y: 1 }), JSON.parse('{"__proto__":{"x":1},"y":1}'));
});

test('JSON patch as Kubernetes does it', () => {
  const apply = (document: Json, ...operations: Json[]): Json => jsonPatch(document, operations);
  assert.deepEqual(apply({ a: [1, 2] }, { op: 'add', path: '/a/-', value: 3 }), { a: [1, 2, 3] });
  assert.deepEqual(apply({ a: [1, 2] }, { op: 'add', path: '/a/0', value: 0 }), { a: [0, 1, 2] });
  assert.deepEqual(apply({ a: 1 }, { op: 'replace', path: '/b', value: 2 }), { a: 1, b: 2 }, 'replace of an absent key adds it');
  assert.deepEqual(apply({ 'a/b': { '~': 1 } }, { op: 'remove', path: '/a~1b/~0' }), { 'a/b': {} });
  assert.deepEqual(apply({ a: { b: 1 } }, { op: 'move', from: '/a/b', path: '/c' }), { a: {}, c: 1 });
  assert.deepEqual(apply({ a: 1 }, { op: 'copy', from: '/a', path: '/b' }, { op: 'test', path: '/b', value: 1 }), { a: 1, b: 1 });
  assert.throws(() => apply({}, { op: 'remove', path: '/a' }), PatchFailure);
  assert.throws(() => apply({ a: 1 }, { op: 'test', path: '/a', value: 2 }), PatchFailure);
  assert.throws(() => apply({ a: [1] }, { op: 'replace', path: '/a/1', value: 2 }), PatchFailure);
  assert.throws(() => apply({ a: { b: 1 } }, { op: 'move', from: '/a', path: '/a/b' }), PatchFailure);
  assert.throws(() => apply({}, { op: 'jump', path: '/a' }), PatchSyntaxError);
  assert.throws(() => apply({}, { op: 'add', path: 'a', value: 1 }), PatchSyntaxError);
  assert.throws(
    () =>
      jsonPatch(
        {},
        Array.from({ length: 10_001 }, () => ({ op: 'test', path: '', value: {} })),
      ),
    PatchSyntaxError,
  );
});

test('copies that double do not fill the memory', () => {
  const operations: Json[] = [{ op: 'add', path: '/a', value: 'x'.repeat(100_000) }];
  for (let i = 0; i < 40; i++) operations.push({ op: 'copy', from: '', path: `/c${i}` });
  assert.throws(() => jsonPatch({}, operations), PatchFailure);
});

test('a Namespace takes strategic patches without their directives', () => {
  const target = { metadata: { finalizers: ['a'], labels: { x: '1' } } };
  const patch = { metadata: { finalizers: ['b'], '$setElementOrder/finalizers': ['b'], labels: { x: null, y: '2' } } };
  assert.deepEqual(namespacePatch(target, patch), { metadata: { finalizers: ['a', 'b'], labels: { y: '2' } } });
});
