import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FakeClock, waitFor } from '#base';
import { DueKeys } from './due-keys.ts';

test('keys come up in the order of their newest times', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c', 'd', 'e'), fc.option(fc.nat(1_000), { nil: undefined })), {
        maxLength: 60,
      }),
      async (wishes) => {
        const clock = new FakeClock(0);
        const due = new DueKeys();
        const model = new Map<string, number>();
        for (const [key, atMs] of wishes) {
          if (atMs === undefined) {
            due.delete(key);
            model.delete(key);
          } else {
            due.set(key, atMs);
            model.set(key, atMs);
          }
        }
        assert.equal(due.size, model.size);
        assert.equal(due.next(), model.size === 0 ? undefined : Math.min(...model.values()));
        const seen: [string, number][] = [];
        const stop = new AbortController();
        const running = due.run(clock, stop.signal, (key) => seen.push([key, clock.now()]));
        await clock.advance(1_001);
        await clock.advance(0);
        stop.abort();
        await running;
        assert.deepEqual(new Map(seen), model);
        const times = seen.map(([, atMs]) => atMs);
        assert.deepEqual(
          times,
          [...times].sort((a, b) => a - b),
        );
      },
    ),
  );
});

test('an earlier time set while asleep is kept', async () => {
  const clock = new FakeClock(0);
  const due = new DueKeys();
  const seen: string[] = [];
  const stop = new AbortController();
  const running = due.run(clock, stop.signal, (key) => seen.push(key));
  due.set('late', 5_000);
  await waitFor('the sleeper', () => clock.sleeping === 1, { timeoutMs: 1_000, intervalMs: 1 });
  due.set('early', 100);
  await waitFor('the sleeper', () => clock.sleeping === 1, { timeoutMs: 1_000, intervalMs: 1 });
  await clock.advance(100);
  assert.deepEqual(seen, ['early']);
  await clock.advance(5_000);
  assert.deepEqual(seen, ['early', 'late']);
  stop.abort();
  await running;
});

test('a key that is put off for ever takes no room', () => {
  const due = new DueKeys();
  due.set('other', 10_000_000);
  for (let n = 0; n < 100_000; n++) due.set('key', 1_000_000 + n);
  assert.equal(due.size, 2);
  assert.equal(due.next(), 1_099_999);
});
