import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lockDigest, staleLocks } from './chart-lock.ts';

const repository = 'http://localhost:8879/charts';

test("the digest is Helm's, by the example of its own tests", () => {
  const alpine = [{ name: 'alpine', version: '0.1.0', repository }];
  assert.equal(lockDigest(alpine, alpine), 'sha256:fb239e836325c5fa14b29d1540a13b7d3ba13151b67fe719f820e0ef6d66aaaf');
});

test('fields that do not lock anything count too, in the order and escapes of Go', () => {
  const plain = { name: 'redis', version: '>=1.0.0 <2', repository };
  const digest = lockDigest([plain], [plain]);
  assert.notEqual(lockDigest([{ ...plain, alias: 'cache' }], [plain]), digest);
  assert.notEqual(lockDigest([{ ...plain, condition: 'redis.enabled', tags: ['x'] }], [plain]), digest);
  assert.equal(
    lockDigest([{ ...plain, tags: [], enabled: false, 'import-values': [] }], [plain]),
    digest,
    'empty ones are left out',
  );
  assert.equal(lockDigest([{ repository, version: '>=1.0.0 <2', name: 'redis' }], [plain]), digest, 'order does not matter');
  assert.equal(lockDigest([{ ...plain, version: 1.2 }], [plain]), undefined, 'Helm reads no number there');
  assert.equal(lockDigest('none', []), undefined);
});

test('a lock that is not of its Chart.yaml is named; one that is, or none at all, is not', () => {
  const chart = (range: string): string =>
    `apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n- {name: alpine, version: ${range}, repository: "${repository}"}\n`;
  const lock = `dependencies:\n- {name: alpine, version: 0.1.0, repository: "${repository}"}\ndigest: sha256:fb239e836325c5fa14b29d1540a13b7d3ba13151b67fe719f820e0ef6d66aaaf\ngenerated: "2026-01-01T00:00:00Z"\n`;
  const files = (range: string): ReadonlyMap<string, Uint8Array> =>
    new Map([
      ['web/Chart.yaml', Buffer.from(chart(range))],
      ['web/Chart.lock', Buffer.from(lock)],
      ['bare/Chart.yaml', Buffer.from(chart(range))],
      ['odd/Chart.yaml', Buffer.from('{')],
      ['odd/Chart.lock', Buffer.from('digest: 1')],
    ]);
  const directories = ['web', 'bare', 'odd', 'web', 'nowhere'];
  assert.deepEqual(staleLocks(files('0.1.0'), directories), []);
  assert.deepEqual(staleLocks(files('0.1.x'), directories), ['web/Chart.lock']);
});
