import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairleadError, TokenBuckets } from '#base';
import { Budgets } from './budgets.ts';
import { ContactBook } from './contact-book.ts';
import { boundReason } from './event-lane.ts';
import { ReplayCache } from './replay-cache.ts';

const codeOf = (run: () => void): string | undefined => {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof FairleadError ? error.code : 'other';
  }
};

test('a token id works once for as long as its token is valid', () => {
  const cache = new ReplayCache({ windowMs: 1000, perKey: 10, total: 100 });
  let now = 0;
  cache.use('key', 'id', now);
  for (; now <= 1000; now += 50)
    assert.equal(
      codeOf(() => cache.use('key', 'id', now)),
      'FL_AGENT_REPLAY',
    );
  cache.use('other', 'id', now);
});

test('a full replay cache refuses rather than forgets', () => {
  const cache = new ReplayCache({ windowMs: 1000, perKey: 3, total: 5 });
  for (let index = 0; index < 3; index++) cache.use('a', `${index}`, 0);
  assert.equal(
    codeOf(() => cache.use('a', '3', 0)),
    'FL_AGENT_BUSY',
  );
  cache.use('b', '0', 0);
  cache.use('b', '1', 0);
  assert.equal(
    codeOf(() => cache.use('c', '0', 0)),
    'FL_AGENT_BUSY',
  );
  assert.equal(
    codeOf(() => cache.use('a', '1', 999)),
    'FL_AGENT_REPLAY',
  );
  cache.use('c', '0', 2001);
  assert.equal(cache.size, 1);
});

test('a budget lets a burst through, then its rate, and says when', () => {
  const buckets = new TokenBuckets();
  const budget = { burst: 2, perSecond: 2 };
  assert.deepEqual([buckets.take('a', budget, 0), buckets.take('a', budget, 0)], [0, 0]);
  assert.equal(buckets.take('a', budget, 0), 500);
  assert.equal(buckets.take('b', budget, 0), 0);
  assert.equal(buckets.take('a', budget, 500), 0);
  const budgets = new Budgets({ join: { burst: 100, perSecond: 1 } }, { join: { burst: 2, perSecond: 1 } });
  budgets.spend('join', 'here', 0);
  budgets.spend('join', 'there', 0);
  assert.equal(
    codeOf(() => budgets.spend('join', 'elsewhere', 0)),
    'FL_AGENT_BUSY',
  );
});

test('contact: 90 s or three intervals; a restart of the plane gives everybody that time anew', () => {
  const book = new ContactBook(1_000_000);
  assert.equal(book.contact('never', 1_000_000).state, 'silent');
  assert.equal(book.contact('never', 1_091_000).state, 'lost');
  book.remember('old', 5);
  assert.deepEqual(book.contact('old', 1_000_001), { state: 'silent', lastMs: 5, twins: undefined });
  assert.equal(book.heard('old', 1_010_000, 60_000), true);
  assert.equal(book.heard('old', 1_011_000, 60_000), false);
  assert.deepEqual(book.sweep(1_190_000), []);
  assert.deepEqual(book.sweep(1_192_000), ['old']);
  assert.deepEqual(book.sweep(1_193_000), []);
  assert.equal(book.contact('old', 1_193_000).state, 'lost');
  assert.equal(book.heard('old', 1_200_000, 290_000), true);
  book.cut('old', 1_200_000);
  assert.equal(book.contact('old', 1_291_000).state, 'lost', 'a cut connection is due back soon');
});

test('twins: a restart is none; two that alternate are, until one stays away', () => {
  const book = new ContactBook(0);
  const hear = (boot: string, at: number, isReport = false) => book.heard('c', at, 0, { boot, version: 'v1', isReport });
  hear('a', 1000);
  hear('b', 2000);
  hear('b', 3000, true);
  assert.equal(book.contact('c', 3000).twins, undefined);
  assert.equal(hear('a', 4000), true);
  assert.deepEqual(book.contact('c', 4000).twins, { holder: 'b (v1)', other: 'a (v1)' });
  assert.equal(hear('b', 60_000), false);
  assert.equal(hear('a', 70_000), false);
  assert.ok(book.contact('c', 150_000).twins);
  for (let at = 80_000; at < 170_000; at += 10_000) hear('b', at);
  assert.deepEqual(book.sweep(250_000), ['c']);
  assert.equal(book.contact('c', 250_000).twins, undefined);
});

test('the words of an agent are kept within bounds', () => {
  const small = { code: 'FL_X', args: { a: 1 }, since: '' };
  assert.equal(boundReason(small), small);
  const args = { words: 'w'.repeat(100_000), list: Array.from({ length: 10_000 }, () => 'x'), object: 'ConfigMap a/b' };
  const bound = boundReason({ code: 'FL_X', args, since: '' });
  assert.ok(JSON.stringify(bound.args).length < 5_000);
  assert.equal(bound.args['object'], 'ConfigMap a/b');
});

test('an agent of 500 applications may fetch all of them, three times within a minute', () => {
  const budgets = new Budgets();
  const cache = new ReplayCache();
  for (let round = 0, id = 0; round < 3; round++) {
    for (let application = 0; application < 500; application++) {
      for (const verb of ['bundles', 'objects'] as const) {
        const nowMs = round * 20_000 + application;
        budgets.spend(verb, 'eu', nowMs);
        cache.use('key', String((id += 1)), nowMs);
      }
    }
  }
});
