import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OverloadError } from './errors.ts';
import { InFlight } from './in-flight.ts';

function refusedFor(inFlight: InFlight): number {
  try {
    inFlight.enter('agent', false);
  } catch (error) {
    if (error instanceof OverloadError) return error.retryAfterMs ?? 0;
    throw error;
  }
  throw new Error('it was let in');
}

test('those who are sent away come back after as long as it takes to serve those before them', () => {
  let nowMs = 0;
  const inFlight = new InFlight({ agent: { inFlight: 2 } }, () => nowMs);
  const leaves = [inFlight.enter('agent', false), inFlight.enter('agent', false)];
  for (const leave of leaves) leave();
  for (const _ of leaves) inFlight.enter('agent', false);
  // Two were answered in this second: a hundred need fifty.
  const asked = Array.from({ length: 100 }, () => refusedFor(inFlight));
  assert.equal(asked[0], 1000, 'never less than a second');
  assert.equal(asked[19], 10_000);
  assert.equal(asked[99], 15_000, 'never more than a quarter of a minute');
  nowMs = 5000;
  assert.equal(refusedFor(inFlight), 1000, 'what was long ago does not count');
});

test('agents that fill their places leave those of people alone, and what was let in goes on', () => {
  const inFlight = new InFlight({ agent: { inFlight: 1, longRunning: 1 } }, () => 0);
  const leave = inFlight.enter('agent', false);
  assert.throws(() => inFlight.enter('agent', false), { code: 'FL_HTTP_OVERLOADED' });
  inFlight.enter('kubernetes', false);
  inFlight.enter('system', false);
  const held = inFlight.enter('agent', true);
  assert.throws(() => inFlight.enter('agent', true), { code: 'FL_HTTP_OVERLOADED' });
  leave();
  leave();
  const other = inFlight.enter('agent', false);
  const resumed = inFlight.resume('agent');
  held();
  assert.throws(() => inFlight.enter('agent', false), { code: 'FL_HTTP_OVERLOADED' });
  other();
  resumed();
  inFlight.enter('agent', false);
});
