import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cacheKey, contentKey } from './cache-key.ts';
import { requestOf, someRecipient } from './testing.ts';
import type { ReadSet } from './types.ts';

const files = { 'a.yaml': 'a: 1', 'sub/b.yaml': 'b: 1', 'README.md': 'hello' };
const readSet: ReadSet = {
  files: ['a.yaml', 'sub/b.yaml'],
  listed: [{ directory: '.', suffixes: ['.yaml', '.yml', '.json'], names: ['Kustomization'], recurse: true }],
  variables: ['cluster.labels.env'],
  randomness: false,
  clock: false,
  hasSecrets: false,
};
const key = cacheKey(requestOf(files), readSet, 'v1');
const cluster = requestOf(files).cluster;

const changes = {
  'a file that was read': [requestOf({ ...files, 'a.yaml': 'a: 2' }), readSet, 'v1'],
  'a file that was read is gone': [requestOf({ 'sub/b.yaml': 'b: 1', 'README.md': 'hello' }), readSet, 'v1'],
  'a new manifest': [requestOf({ ...files, 'c.json': '{}' }), readSet, 'v1'],
  'a new kustomization': [requestOf({ ...files, Kustomization: '' }), readSet, 'v1'],
  'the value of a variable that was used': [
    requestOf(files, { cluster: { ...cluster, labels: { env: 'test' } } }),
    readSet,
    'v1',
  ],
  'the loss of a variable that was used': [requestOf(files, { cluster: { ...cluster, labels: {} } }), readSet, 'v1'],
  'an option': [requestOf(files, { substitute: true }), readSet, 'v1'],
  'the default namespace': [requestOf(files, { defaultNamespace: 'shop' }), readSet, 'v1'],
  'the sensitive kinds': [requestOf(files, { sensitiveKinds: [{ group: 'x.io', kind: 'Key' }] }), readSet, 'v1'],
  'the renderer': [requestOf(files), readSet, 'v2'],
} as const;

const nonChanges = {
  'a file that no engine looks at': requestOf({ ...files, 'README.md': 'bye', 'new.txt': '' }),
  'another label': requestOf(files, { cluster: { ...cluster, labels: { ...cluster.labels, more: 'x' } } }),
  'facts and the cluster name': requestOf(files, { cluster: { ...cluster, name: 'edge-2', facts: {} } }),
  'time, seed and recipients, which had no influence': requestOf(files, {
    commitTimeMs: 1,
    seed: '22'.repeat(32),
    recipients: [],
  }),
  'the order in which files were read from Git': requestOf({ 'sub/b.yaml': 'b: 1', 'README.md': 'hello', 'a.yaml': 'a: 1' }),
};

for (const [what, [request, read, version]] of Object.entries(changes)) {
  test(`the key changes with ${what}`, () => assert.notEqual(cacheKey(request, read, version), key));
}

for (const [what, request] of Object.entries(nonChanges)) {
  test(`the key does not change with ${what}`, () => assert.equal(cacheKey(request, readSet, 'v1'), key));
}

test('seed, time and recipients count where they had an influence', () => {
  const all: ReadSet = { ...readSet, randomness: true, clock: true, hasSecrets: true };
  const base = cacheKey(requestOf(files), all, 'v1');
  for (const other of [
    requestOf(files, { seed: '22'.repeat(32) }),
    requestOf(files, { commitTimeMs: 1 }),
    requestOf(files, { recipients: [] }),
    requestOf(files, { recipients: [{ ...someRecipient, equalityKey: 'cd'.repeat(32) }] }),
  ]) {
    assert.notEqual(cacheKey(other, all, 'v1'), base);
  }
});

test('a directory that is not walked does not count', () => {
  const flat: ReadSet = {
    ...readSet,
    files: ['a.yaml'],
    listed: [{ directory: '.', suffixes: ['.yaml'], names: [], recurse: false }],
  };
  assert.equal(
    cacheKey(requestOf({ ...files, 'deep/x.yaml': '' }, { recurse: false }), flat, 'v1'),
    cacheKey(requestOf(files, { recurse: false }), flat, 'v1'),
  );
});

test('the content key is per project and application, and changes with any file', () => {
  const base = contentKey(requestOf(files));
  assert.notEqual(contentKey(requestOf(files, { project: 'other' })), base);
  assert.notEqual(contentKey(requestOf(files, { application: 'other' })), base);
  assert.notEqual(contentKey(requestOf({ ...files, 'README.md': 'x' })), base);
  assert.equal(contentKey(requestOf(files, { seed: '22'.repeat(32), recipients: [] })), base);
});
