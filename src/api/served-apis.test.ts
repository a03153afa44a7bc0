import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apisDigest, isApiVersion, withUnavailable } from './index.ts';

test('of a group version that does not answer, what was known stays; what is gone of others goes', () => {
  const former = ['a.example/v1', 'a.example/v1/Old', 'apps/v1', 'apps/v1/Deployment', 'm.example/v1', 'm.example/v1/Lamp'];
  const listed = ['a.example/v1', 'a.example/v1/New', 'm.example/v1'];
  assert.deepEqual(withUnavailable(listed, former, ['m.example/v1']), [
    'a.example/v1',
    'a.example/v1/New',
    'm.example/v1',
    'm.example/v1/Lamp',
  ]);
  // Also where discovery does not even list it, and for the core group.
  assert.deepEqual(withUnavailable([], former, ['m.example/v1']), ['m.example/v1', 'm.example/v1/Lamp']);
  assert.deepEqual(withUnavailable([], ['v1', 'v1/Pod', 'v10/Pod'], ['v1']), ['v1', 'v1/Pod']);
  assert.deepEqual(withUnavailable(['b', 'a', 'b'], [], []), ['a', 'b']);
});

test('entries are group versions and kinds, and nothing that could be read as anything else', () => {
  for (const one of ['v1', 'v1/Pod', 'apps/v1', 'apps/v1/Deployment', 'metrics.k8s.io/v1beta1/NodeMetrics', 'a-b.c/v1/x-Y'])
    assert.ok(isApiVersion(one), one);
  for (const one of [
    '',
    '/',
    'v1/',
    '/v1',
    'a/b/c/d',
    'v1\n',
    'v1/Pod\nkind: Secret',
    'V1',
    'a b/v1',
    'v1/{{x}}',
    'x'.repeat(401),
  ])
    assert.ok(!isApiVersion(one), JSON.stringify(one));
  assert.notEqual(apisDigest(['a', 'b']), apisDigest(['ab']));
});
