import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseRetryAfter } from '#base';
import { isTooLargeResourceVersion, KubeStatusError, statusError } from './errors.ts';

function answer(status: number, fields: Record<string, unknown>, retryAfter?: string): KubeStatusError {
  const body = JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code: status, ...fields });
  return statusError('PATCH /x', status, retryAfter, Buffer.from(body));
}

const cases: [number, Record<string, unknown>, string, boolean][] = [
  [400, { message: 'admission webhook "a.b.c" denied the request: no' }, 'FL_KUBE_ADMISSION_DENIED', false],
  [403, { message: 'pods "x" is forbidden: exceeded quota: q, requested: pods=1' }, 'FL_KUBE_QUOTA', false],
  [403, { message: 'pods "x" is forbidden: violates PodSecurity "restricted:latest"' }, 'FL_KUBE_ADMISSION_DENIED', false],
  [
    403,
    { message: 'being terminated', details: { causes: [{ reason: 'NamespaceTerminating' }] } },
    'FL_KUBE_NAMESPACE_TERMINATING',
    true,
  ],
  [403, { message: 'User "x" cannot get' }, 'FL_KUBE_FORBIDDEN', false],
  [404, { message: 'not found' }, 'FL_KUBE_NOT_FOUND', false],
  [409, { reason: 'AlreadyExists' }, 'FL_KUBE_EXISTS', false],
  [409, { reason: 'Conflict' }, 'FL_KUBE_CONFLICT', true],
  [422, { message: 'spec.selector: Invalid value: {}: field is immutable' }, 'FL_KUBE_IMMUTABLE', false],
  [
    422,
    { message: 'StatefulSet "x" is invalid: spec: Forbidden: updates to statefulset spec for fields other than are forbidden' },
    'FL_KUBE_IMMUTABLE',
    false,
  ],
  [
    422,
    { message: "configmaps \"x\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no" },
    'FL_KUBE_ADMISSION_DENIED',
    false,
  ],
  [422, { message: 'spec.replicas: must be positive' }, 'FL_KUBE_INVALID', false],
  [429, {}, 'FL_KUBE_THROTTLED', true],
  [500, { message: 'Internal error occurred: failed calling webhook "w": connection refused' }, 'FL_KUBE_WEBHOOK_FAILED', true],
  [504, { reason: 'Timeout' }, 'FL_KUBE_SERVER_TIMEOUT', true],
  [302, {}, 'FL_KUBE_REFUSED', false],
];

for (const [status, fields, code, retryable] of cases) {
  test(`an answer ${status} ${JSON.stringify(fields).slice(0, 60)} is ${code}`, () => {
    const error = answer(status, fields);
    assert.deepEqual([error.code, error.retryable, error.status], [code, retryable, status]);
    assert.match(error.message, /^PATCH \/x: \S/);
    assert.doesNotMatch(error.message, /\.$/);
  });
}

test('the wait asked for is taken from the header, else from the body, and never believed beyond an hour', () => {
  assert.equal(answer(429, {}, '7').retryAfterMs, 7000);
  assert.equal(answer(500, { details: { retryAfterSeconds: 3 } }).retryAfterMs, 3000);
  assert.equal(answer(500, { details: { retryAfterSeconds: 1e99 } }).retryAfterMs, 3_600_000);
  assert.equal(parseRetryAfter('999999'), 3_600_000);
  for (const text of ['', '-1', 'Wed, 21 Oct 2026 07:28:00 GMT', '1e9', undefined])
    assert.equal(parseRetryAfter(text), undefined);
});

test('an answer that is no Status still makes an error, short and without control characters', () => {
  const html = statusError('GET /x', 502, undefined, Buffer.from(`<html>\n${'x'.repeat(5000)}`));
  assert.equal(html.code, 'FL_KUBE_SERVER');
  assert.ok(html.message.length < 400 && !html.message.includes('\n'));
  assert.ok(isTooLargeResourceVersion(answer(504, { message: 'Timeout: Too large resource version: 9, current: 3' })));
});

test('what a webhook or a policy says of a Secret is not repeated, only that it refused', () => {
  const path = 'PATCH /api/v1/namespaces/x/secrets/y';
  for (const [message, kept] of [
    [
      'admission webhook "a.b.c" denied the request: hunter2 is too weak',
      'admission webhook "a.b.c" denied the request: [redacted]',
    ],
    [
      `secrets "y" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no hunter2`,
      `secrets "y" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: [redacted]`,
    ],
  ] as const) {
    const body = JSON.stringify({ kind: 'Status', code: 422, message, details: { causes: [{ message }] } });
    const error = statusError(path, 422, undefined, Buffer.from(body));
    assert.equal(error.code, 'FL_KUBE_ADMISSION_DENIED');
    assert.equal(error.said, kept);
    assert.doesNotMatch(JSON.stringify(error.causes) + error.message, /hunter2/);
  }
});
