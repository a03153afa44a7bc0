import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LookAnswer, LookTarget } from '#api';
import { FakeClock, silentLog } from '#base';
import type { AgentsContext } from './context.ts';
import type { LiveBook } from './live-book.ts';
import { LookBook } from './look-book.ts';

const object = { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'shop', name: 'settings' };
const target: LookTarget = { project: 'shop', application: 'web', object };
const answerTo = (id: string): LookAnswer => ({ id, object, seenAt: '2026-01-01T00:00:00Z', is: 'absent' });

test('an agent that answers what nobody asked does not keep the early answers of others out', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const context = { store: { replicas: { post: () => undefined } }, clock: new FakeClock(), log: silentLog };
  // All of it that taking an answer uses.
  const book = new LookBook(context as unknown as AgentsContext, {} as unknown as LiveBook, () => undefined);
  const invented = Promise.allSettled(Array.from({ length: 60 }, (_, n) => book.take('hostile', answerTo(`invented-${n}`))));
  const early = book.take('eu', answerTo('asked'));
  await new Promise((resolve) => setImmediate(resolve));
  const ask = { ...target, id: 'asked', by: 'admin/ada', atMs: context.clock.now() };
  book.adopt({ topic: 'look', key: 'eu asked', value: JSON.stringify(ask) });
  t.mock.timers.tick(1_000);
  await early;
  for (const one of await invented) assert.equal(one.status, 'rejected');
});
