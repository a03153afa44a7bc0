import assert from 'node:assert/strict';
import { test } from 'node:test';
import { journeyStations, journeyStops } from './journey.ts';

const at = '2026-01-01T00:00:00Z';

test('the first station not reached waits and says why; those behind it lie ahead', () => {
  const stops = journeyStops({ committedAt: at, renderedAt: at, releasedAt: at }, 'waits for eu');
  assert.deepEqual(
    stops.map((stop) => stop.state),
    ['reached', 'reached', 'reached', 'waiting', 'ahead', 'ahead', 'ahead'],
  );
  assert.equal(stops[3]?.why, 'waits for eu');
  assert.equal(stops.filter((stop) => stop.why !== undefined).length, 1);
});

test('a station whose time was forgotten is reached when a later one is', () => {
  const stops = journeyStops({ committedAt: at, appliedAt: at }, 'settling');
  assert.deepEqual(
    stops.map(({ state, at: time }) => [state, time]),
    [
      ['reached', at],
      ['reached', undefined],
      ['reached', undefined],
      ['reached', undefined],
      ['reached', undefined],
      ['reached', at],
      ['waiting', undefined],
    ],
  );
});

test('nothing waits once the last station is reached', () => {
  const stops = journeyStops(Object.fromEntries(journeyStations.map(({ field }) => [field, at])), 'never said');
  assert.ok(stops.every((stop) => stop.state === 'reached'));
});
