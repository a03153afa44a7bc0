import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '#base';
import { Quarantine } from './quarantine.ts';
import { requestOf } from './testing.ts';

const bad = requestOf({ 'a.yaml': 'bad' });

test('the third kill puts an input into quarantine, until it changes or an hour is over', async () => {
  const clock = new FakeClock(0);
  const quarantine = new Quarantine({ clock, kills: 3, ms: 3_600_000 });
  assert.deepEqual([quarantine.count(bad), quarantine.count(bad)], [false, false]);
  assert.equal(quarantine.refusal(bad), undefined);
  assert.equal(quarantine.count(bad), true);
  assert.equal(quarantine.refusal(bad)?.code, 'FL_RENDER_QUARANTINED');
  assert.match(quarantine.refusal(bad)?.message ?? '', /killed the renderer 3 times .* before 1970-01-01T01:00:00Z/);
  assert.equal(quarantine.refusal(requestOf({ 'a.yaml': 'better' })), undefined);
  assert.equal(quarantine.refusal(requestOf({ 'a.yaml': 'bad' }, { project: 'other' })), undefined);
  await clock.advance(3_599_999);
  assert.ok(quarantine.refusal(bad));
  await clock.advance(1);
  assert.equal(quarantine.refusal(bad), undefined);
});

test('it remembers a bounded number of inputs, the latest', () => {
  const quarantine = new Quarantine({ clock: new FakeClock(0), kills: 1, ms: 1_000 });
  for (let i = 0; i <= 1_000; i++) quarantine.count(requestOf({ 'a.yaml': `bad ${i}` }));
  assert.equal(quarantine.refusal(requestOf({ 'a.yaml': 'bad 0' })), undefined);
  assert.ok(quarantine.refusal(requestOf({ 'a.yaml': 'bad 1' })));
  assert.ok(quarantine.refusal(requestOf({ 'a.yaml': 'bad 1000' })));
});
