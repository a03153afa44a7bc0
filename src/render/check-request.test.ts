import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkRequest } from './check-request.ts';
import { defaultLimits } from './limits.ts';
import { requestOf, someRecipient } from './testing.ts';

const rulesOf = (request: Parameters<typeof checkRequest>[0]): string[] =>
  checkRequest(request, defaultLimits).map((e) => e.rule);

test('a plain request is accepted', () => {
  assert.deepEqual(rulesOf(requestOf({ 'a.yaml': 'a: 1', 'deep/er/é b.yaml': '', '..data.yaml': '' })), []);
});

for (const name of [
  '',
  '/etc/passwd',
  '../x.yaml',
  'a/../../x.yaml',
  'a/./x.yaml',
  'a//x.yaml',
  'a/',
  'C:/x.yaml',
  'a\\x.yaml',
  'a\0.yaml',
  'a\n.yaml',
  'a\u202Elmay.exe',
  'a\ud800.yaml',
  'x'.repeat(4_097),
]) {
  test(`file name ${JSON.stringify(name.slice(0, 20))} is refused, and printed harmlessly`, () => {
    const errors = checkRequest(requestOf({ [name]: 'a: 1' }), defaultLimits);
    assert.deepEqual(
      errors.map((e) => e.rule),
      ['path-form'],
    );
    // oxlint-disable-next-line no-control-regex -- that there are none is what is tested
    assert.doesNotMatch(errors[0]?.file ?? '', /[\u0000-\u001f\u202e\ud800]/);
    assert.ok((errors[0]?.file ?? '').length < 200);
  });
}

test('too many files and too many bytes are refused with limit and value', () => {
  const many = Object.fromEntries(Array.from({ length: 5_001 }, (_, i) => [`f${i}`, '']));
  const [count] = checkRequest(requestOf(many), defaultLimits);
  assert.deepEqual([count?.code, count?.rule, count?.limit, count?.value], ['FL_RENDER_LIMIT', 'file-count', 5_000, 5_001]);
  const [size] = checkRequest(requestOf({ a: 'xxxx', b: 'yyyy' }), { ...defaultLimits, inputBytes: 7 });
  assert.deepEqual([size?.rule, size?.limit, size?.value], ['input-size', 7, 8]);
});

test('seed, time, namespace and recipients have their forms', () => {
  assert.deepEqual(rulesOf(requestOf({}, { seed: 'xyz' })), ['request-form']);
  assert.deepEqual(rulesOf(requestOf({}, { commitTimeMs: Number.NaN })), ['request-form']);
  assert.deepEqual(rulesOf(requestOf({}, { defaultNamespace: 'Shop' })), ['request-form']);
  assert.deepEqual(rulesOf(requestOf({}, { recipients: [{ ...someRecipient, ageRecipient: 'AGE-SECRET-KEY-1X' }] })), [
    'recipient',
  ]);
  assert.deepEqual(rulesOf(requestOf({}, { recipients: [{ ...someRecipient, equalityKey: '' }] })), ['recipient']);
});

test('at most twenty errors', () => {
  const bad = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`../${i}`, '']));
  assert.equal(checkRequest(requestOf(bad), defaultLimits).length, 20);
});
