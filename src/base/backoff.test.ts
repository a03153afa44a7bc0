import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retryDelay } from './backoff.ts';

const options = { baseMs: 500, maxMs: 30_000 };

test('a thousand that were sent away together come back spread over as long as they were asked to wait, and none earlier', () => {
  const waits = Array.from({ length: 1000 }, (_, index) => retryDelay(0, 10_000, options, () => index / 1000));
  assert.ok(waits.every((wait) => wait >= 10_000 && wait <= 20_000));
  const perSecond = Array.from(
    { length: 10 },
    (_, second) => waits.filter((wait) => Math.floor(wait / 1000) === second + 10).length,
  );
  assert.ok(Math.max(...perSecond) < 150, JSON.stringify(perSecond));
});

test('the word of the other side counts, however often; without one it is plain full jitter', () => {
  assert.equal(
    retryDelay(20, 10_000, options, () => 1),
    20_000,
  );
  assert.equal(
    retryDelay(0, 10, options, () => 1),
    510,
  );
  assert.equal(
    retryDelay(0, 0, options, () => 1),
    500,
  );
  assert.equal(
    retryDelay(20, 0, options, () => 0),
    3000,
  );
});
