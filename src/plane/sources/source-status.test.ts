import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reasonOf, type Snapshot } from '#api';
import { foundAfter, snapshotAfter } from './source-status.ts';

const at = (commit: string, fetchedAt: string): Snapshot => ({
  commit,
  ref: 'branch main',
  committedAt: '2026-01-01T00:00:00Z',
  fetchedAt,
});
const denied = { reason: reasonOf('FL_SOURCE_DENIED', { url: 'x', credential: 'y' }) };

test('a Snapshot stays what it was until another one is found, or the same one signed otherwise', () => {
  const first = at('a', '1');
  assert.equal(snapshotAfter(first, { snapshot: at('a', '2') }), first);
  assert.equal(snapshotAfter(first, undefined), first);
  assert.equal(snapshotAfter(first, { snapshot: at('b', '2') })?.commit, 'b');
  assert.equal(snapshotAfter(first, { snapshot: { ...at('a', '2'), ref: 'tag v1' } })?.fetchedAt, '2');
  assert.equal(snapshotAfter(first, { snapshot: { ...at('a', '2'), version: '1.0.0' } })?.fetchedAt, '2');
  const signed = { ...at('a', '2'), signature: { signer: 'ann', policy: 'p' } };
  assert.equal(snapshotAfter(first, { snapshot: signed }), signed);
  assert.equal(snapshotAfter(signed, { snapshot: structuredClone({ ...signed, fetchedAt: '3' }) }), signed);
});

test('a failure keeps the last Snapshot and its own time; a success ends it', () => {
  const failed = foundAfter({ snapshot: at('a', '1') }, denied, 'noon');
  assert.deepEqual([failed.snapshot?.commit, failed.reason?.since], ['a', 'noon']);
  assert.deepEqual(foundAfter(failed, denied, 'one'), failed);
  assert.deepEqual(foundAfter(failed, { snapshot: at('a', '2') }, 'two'), { snapshot: at('a', '1') });
  assert.deepEqual(Object.keys(foundAfter(undefined, denied, 'noon')), ['reason']);
});
