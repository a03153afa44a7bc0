import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { LookAnswer, LookTarget } from '#api';
import { hideLook, readLook } from './read-look.ts';

const CANARY = 'canary-of-an-agent';
const object = { group: '', version: 'v1', kind: 'Secret', namespace: 'shop', name: 'keys' };
const target: LookTarget = { project: 'default', application: 'web', object };
// The type of a Secret is shown.
const key = fc.stringMatching(/^[a-z]{1,6}$/).filter((name) => name !== 'type');
const value = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constant(CANARY),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(key, tie('value'), { maxKeys: 3 }),
  ),
})).value;

function answerOf(manifest: unknown, changes: Partial<LookAnswer> = {}): LookAnswer {
  return { id: 'i', object, seenAt: '2026-01-01T00:00:00Z', is: 'live', manifest: JSON.stringify(manifest), ...changes };
}

test('whatever an agent says of a Secret, no value of it is believed fit to be shown', () => {
  fc.assert(
    fc.property(fc.dictionary(key, value), fc.dictionary(key, fc.constant(CANARY)), value, (fields, texts, other) => {
      const secret = {
        ...fields,
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { ...fields, name: 'keys', namespace: 'shop', labels: texts, annotations: texts, managedFields: other },
        data: other,
        stringData: texts,
      };
      const difference = { path: '.data.a', kind: 'changed', verdict: 'drift', want: CANARY, live: CANARY } as const;
      const read = readLook(target, answerOf(secret, { wanted: JSON.stringify(secret), differences: [difference] }));
      assert.ok(!JSON.stringify(read ?? {}).includes(CANARY), JSON.stringify(read));
    }),
    { numRuns: 60 },
  );
});

test('any text for a manifest is an object as asked for, or nothing', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json({ maxDepth: 3 })), (manifest) => {
      const read = readLook(target, { ...answerOf(undefined), manifest });
      assert.equal(read, undefined);
    }),
    { numRuns: 200 },
  );
});

test('what is sealed is hidden whatever its kind, in the difference, too', () => {
  const vault = { ...object, group: 'example.org', kind: 'Vault' };
  const difference = { path: '.spec.a', kind: 'changed', verdict: 'drift', want: CANARY, live: CANARY } as const;
  const manifest = {
    apiVersion: 'example.org/v1',
    kind: 'Vault',
    metadata: { name: 'keys', namespace: 'shop' },
    spec: { a: CANARY },
  };
  const read = readLook({ ...target, object: vault }, answerOf(manifest, { object: vault, differences: [difference] }));
  assert.ok(read !== undefined && JSON.stringify(read).includes(CANARY));
  const hidden = JSON.stringify(hideLook(read));
  assert.ok(hidden.includes('"path":".spec.a"') && !hidden.includes(CANARY), hidden);
});
