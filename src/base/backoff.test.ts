import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fullJitter, retryDelay } from './backoff.ts';
import { seededRng } from './ids.ts';

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

/** When each of `agents`, who all lose the plane at 0, asks for the first time after `outageMs`, ms after that. */
function returns(agents: number, outageMs: number, seed: number): number[] {
  const rng = seededRng(seed);
  return Array.from({ length: agents }, () => {
    let at = 0;
    for (let failures = 1; at <= outageMs; failures += 1) at += fullJitter(failures, options, rng);
    return at - outageMs;
  });
}

test('after an outage of any length a fleet comes back within the longest back-off, and over as long as the outage was', () => {
  for (const outageMs of [10_000, 60_000, 600_000]) {
    const waits = returns(5000, outageMs, outageMs);
    assert.ok(Math.max(...waits) <= options.maxMs, `${Math.max(...waits)} ms after ${outageMs} ms`);
    const seconds = Array.from({ length: 30 }, (_, second) => waits.filter((wait) => Math.floor(wait / 1000) === second).length);
    // What is left of a wait that is uniform up to W falls off evenly, so no second has more than twice the mean over W, plus
    // chance. W grows with the outage, up to the longest back-off.
    const most = Math.max(...seconds) / (5000 / Math.min(outageMs / 1000, 30));
    assert.ok(most < 2.6, `${most.toFixed(2)} times the mean after ${outageMs} ms: ${JSON.stringify(seconds)}`);
  }
});
