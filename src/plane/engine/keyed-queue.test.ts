import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KeyedQueue } from './keyed-queue.ts';

test('a key runs once at a time, and every wish is followed by a run that began after it', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('add' as const), key: fc.constantFrom('a', 'b', 'c') }),
    fc.record({ do: fc.constant('take' as const), key: fc.constant('') }),
    fc.record({ do: fc.constant('done' as const), key: fc.constantFrom('a', 'b', 'c') }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new KeyedQueue();
      const running = new Set<string>();
      // Wishes not yet followed by a run.
      const open = new Set<string>();
      const take = (): string | undefined => {
        const key = queue.take();
        if (key === undefined) return undefined;
        assert.equal(running.has(key), false, 'two runs of one key');
        assert.ok(open.has(key), 'a run that nobody asked for');
        running.add(key);
        open.delete(key);
        return key;
      };
      for (const one of steps) {
        if (one.do === 'add') {
          queue.add(one.key);
          open.add(one.key);
        } else if (one.do === 'take') take();
        else if (running.delete(one.key)) assert.equal(queue.done(one.key), open.has(one.key));
      }
      for (const key of running) queue.done(key);
      running.clear();
      for (let key = take(); key !== undefined; key = take()) {
        running.delete(key);
        queue.done(key);
      }
      assert.equal(open.size, 0, 'a wish was lost');
      assert.equal(queue.queued + queue.running, 0);
    }),
  );
});

test('keys wait in the order they were asked for', () => {
  const queue = new KeyedQueue();
  for (const key of ['b', 'a', 'b', 'c']) queue.add(key);
  assert.deepEqual([queue.take(), queue.take(), queue.take(), queue.take()], ['b', 'a', 'c', undefined]);
});
