import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeProtobuf } from './protobuf.ts';

const field = (number: number, content: Buffer | string): Buffer => {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]);
};
const message = (apiVersion: string, kind: string, raw: Buffer): Buffer =>
  Buffer.concat([Buffer.from('k8s\0'), field(1, Buffer.concat([field(1, apiVersion), field(2, kind)])), field(2, raw)]);

test('what kubectl sends for create namespace and auth can-i is read', () => {
  const label = field(11, Buffer.concat([field(1, 'a'), field(2, 'b')]));
  const namespace = field(1, Buffer.concat([field(1, 'team'), label, Buffer.from([7 * 8, 5])]));
  assert.deepEqual(decodeProtobuf(message('v1', 'Namespace', namespace)), {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'team', labels: { a: 'b' } },
  });
  const attributes = field(1, Buffer.concat([field(2, 'get'), field(3, 'fairlead.dev'), field(5, 'clusters')]));
  assert.deepEqual(decodeProtobuf(message('authorization.k8s.io/v1', 'SelfSubjectAccessReview', field(2, attributes)))['spec'], {
    resourceAttributes: { verb: 'get', group: 'fairlead.dev', resource: 'clusters' },
  });
});

test('other kinds and broken bodies are refused', () => {
  assert.throws(() => decodeProtobuf(message('v1', 'Pod', Buffer.alloc(0))), { code: 'FL_API_UNSUPPORTED_MEDIA_TYPE' });
  assert.throws(() => decodeProtobuf(Buffer.from('{}')), { code: 'FL_API_BAD_REQUEST' });
  const good = message('v1', 'Namespace', field(1, field(1, 'team')));
  for (let end = 4; end < good.length - 1; end++) {
    try {
      decodeProtobuf(good.subarray(0, end));
    } catch (error) {
      assert.match((error as { code?: string }).code ?? '', /^FL_API_/);
    }
  }
});
