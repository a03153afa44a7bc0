import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairQueue } from './fair-queue.ts';

function drainInTurns(queue: FairQueue<string>): string[] {
  const order = [];
  for (;;) {
    const owner = queue.owners().next().value;
    const item = owner === undefined ? undefined : queue.take(owner);
    if (item === undefined) return order;
    order.push(item);
  }
}

test('an owner with many delays another by one', () => {
  const queue = new FairQueue<string>(10);
  for (const item of ['a1', 'a2', 'a3', 'a4']) queue.push('a', item);
  queue.push('b', 'b1');
  queue.push('c', 'c1');
  queue.push('b', 'b2');
  assert.deepEqual(drainInTurns(queue), ['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4']);
  assert.equal(queue.size, 0);
});

test('it is bounded over all owners', () => {
  const queue = new FairQueue<string>(2);
  assert.deepEqual([queue.push('a', '1'), queue.push('b', '2'), queue.push('c', '3')], [true, true, false]);
  queue.take('a');
  assert.ok(queue.push('c', '3'));
});

test('an item can be taken out of the middle once', () => {
  const queue = new FairQueue<string>(10);
  for (const item of ['1', '2', '3']) queue.push('a', item);
  assert.deepEqual([queue.remove('a', '2'), queue.remove('a', '2'), queue.remove('b', '1')], [true, false, false]);
  assert.deepEqual(queue.drain(), ['1', '3']);
  assert.equal(queue.size, 0);
});
