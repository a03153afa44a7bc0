import assert from 'node:assert/strict';
import { test } from 'node:test';
import { redactLastApplied } from './admission.ts';

test('kubectl’s copy of a secret loses its values and keeps its shape', () => {
  const applied = '{"kind":"Credential","spec":{"type":"basic","stringData":{"user":"u","password":"p"}}}\n';
  const redacted = redactLastApplied(applied, ['spec.stringData', 'spec.other']);
  assert.deepEqual(JSON.parse(redacted), {
    kind: 'Credential',
    spec: { type: 'basic', stringData: { user: '[redacted]', password: '[redacted]' } },
  });
  assert.ok(redacted.endsWith('\n'));
  assert.equal(redactLastApplied('password: p', ['spec.stringData']), '[redacted]');
  assert.equal(redactLastApplied('["p"]', ['spec.stringData']), '[redacted]');
});
