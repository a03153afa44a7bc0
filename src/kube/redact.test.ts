import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseJson } from './json.ts';
import { capBytes, LAST_APPLIED, redactMessage, redactObject } from './redact.ts';

test('a Secret keeps its keys and loses its values, also in the annotation kubectl leaves', () => {
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'a', annotations: { [LAST_APPLIED]: '{"data":{"p":"aHVudGVyMg=="}}', note: 'kept' } },
    data: { p: 'aHVudGVyMg==' },
    stringData: { q: 'hunter2' },
  };
  const text = JSON.stringify(redactObject(secret));
  assert.doesNotMatch(text, /hunter2|aHVudGVyMg/);
  assert.match(text, /"p":"\[redacted\]"/);
  assert.match(text, /kept/);
  const configMap = { ...secret, kind: 'ConfigMap' };
  assert.equal(redactObject(configMap), configMap);
  const other = { ...secret, apiVersion: 'example.org/v1' };
  assert.equal(redactObject(other), other);
});

test('known secrets and what looks like one disappear from free text', () => {
  const pem = '-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----';
  for (const [text, gone] of [
    [`failed: ${pem} end`, 'MIIabc'],
    ['-----BEGIN PRIVATE KEY-----\nMIIcut', 'MIIcut'],
    ['Authorization: Bearer abcdefghijklmnop', 'abcdefghijklmnop'],
    ['token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.sig-nature', 'eyJhbGci'],
    ['clone https://bob:hunter2@git.example/x', 'hunter2'],
    ['dsn password=hunter2;', 'hunter2'],
    ['{"password": "hunter two"}', 'hunter two'],
    ['the value canary-1 is bad', 'canary-1'],
    [`encoded ${Buffer.from('canary-1').toString('base64')}`, Buffer.from('canary-1').toString('base64')],
    ['Secret "x" is invalid: data[a]: Invalid value: "s3cr3t value": no', 's3cr3t'],
    ['Secret "x": admission webhook "w" denied the request: hunter2 is weak', 'hunter2'],
    ['cannot restore {"kind":"Secret","data":{"a":"c2hvcnQ="}}', 'c2hvcnQ'],
  ] as const) {
    const said = redactMessage(text, { secrets: ['canary-1'] });
    assert.ok(!said.includes(gone), `${text} gave ${said}`);
  }
  assert.equal(redactMessage('deployments.apps "web" not found'), 'deployments.apps "web" not found');
  assert.equal(redactMessage('a\nb\u001b[31m\u202e'), 'a b [31m ');
});

test('whatever comes in, at most 1 KiB of whole characters comes out, in reasonable time', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 3000 }), (text) => {
      const said = redactMessage(text);
      assert.ok(Buffer.byteLength(said) <= 1024);
      assert.ok(!said.includes('\n'));
    }),
  );
  assert.equal(capBytes('äöü', 5), 'ä…');
  const startedAt = performance.now();
  for (const hostile of [
    'a'.repeat(200_000),
    '//'.repeat(50_000),
    'password='.repeat(20_000),
    'eyJ'.repeat(50_000),
    'A'.repeat(65_000) + '"',
  ]) {
    redactMessage(hostile, { kind: 'Secret' });
  }
  assert.ok(performance.now() - startedAt < 2000, 'no pattern may backtrack without bound');
});

test('text that is no JSON is not quoted in the error about it', () => {
  assert.throws(
    () => parseJson(Buffer.from('{"data":{"p":"hunter2"'), 'the answer to GET /x'),
    (error: Error) => error.message === 'the answer to GET /x is no JSON (22 bytes)',
  );
});
