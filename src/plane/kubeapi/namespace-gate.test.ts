import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NamespaceGate } from './namespace-gate.ts';

test('many create at once, one deletes alone, and namespaces do not wait for each other', async () => {
  const gate = new NamespaceGate();
  let sharing = 0;
  let most = 0;
  let alone = 0;
  const create = (): Promise<void> =>
    gate.shared('a', async () => {
      assert.equal(alone, 0);
      sharing += 1;
      most = Math.max(most, sharing);
      await new Promise((resolve) => setImmediate(resolve));
      sharing -= 1;
    });
  const remove = (): Promise<void> =>
    gate.exclusive('a', async () => {
      alone += 1;
      assert.equal(sharing, 0);
      assert.equal(alone, 1);
      await new Promise((resolve) => setImmediate(resolve));
      alone -= 1;
    });
  await Promise.all([create(), create(), remove(), create(), remove(), gate.exclusive('b', () => Promise.resolve())]);
  assert.ok(most >= 2);
  await assert.rejects(gate.shared('a', () => Promise.reject(new Error('no'))));
  await gate.exclusive('a', () => Promise.resolve());
});
