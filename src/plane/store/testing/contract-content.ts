import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf, FakeClock, sha256, waitFor } from '#base';
import { commit, key, put, remove, Widget, type CreateDatabase } from './contract-kit.ts';
import { withStore } from './with-store.ts';

/** Blobs, sealed forms, outbox, audit, leases and pulses. */
export function contentContract(name: string, create: CreateDatabase): void {
  test(`${name}: blobs are served to those they were issued to`, () =>
    withStore(create, async (store) => {
      const [one, two] = [Buffer.from('one'), Buffer.from([0, 255, 10])];
      const [d1, d2, d3] = [sha256(one), sha256(two), sha256('three')];
      await commit(store, {
        blobs: [
          { digest: d1, bytes: one },
          { digest: d2, bytes: two },
        ],
        issue: [{ cluster: 'c1', digests: [d1] }],
      });
      assert.deepEqual(await store.missingBlobs([d1, d2, d3]), [d3]);
      assert.deepEqual([...(await store.blobs([d1, d2, d3])).keys()], [d1, d2]);
      assert.deepEqual(Buffer.from((await store.blobs([d2])).get(d2) ?? []), two);
      assert.deepEqual([...(await store.blobs([d1, d2], 'c1')).keys()], [d1]);
      assert.equal((await store.blobs([d1], 'c2')).size, 0);
      await commit(store, { issue: [{ cluster: 'c2', digests: [d1, d2] }] });
      assert.equal((await store.blobs([d1, d2], 'c2')).size, 2);
      assert.equal(store.revision(), 0, 'content has no revision');
    }));

  test(`${name}: a digest that is none, or not of these bytes, is refused`, () =>
    withStore(create, async (store) => {
      const isDigestError = (error: unknown): boolean => codeOf(error) === 'FL_STORE_DIGEST';
      await assert.rejects(store.commit({ blobs: [{ digest: sha256('a'), bytes: Buffer.from('b') }] }), isDigestError);
      await assert.rejects(store.blobs(['../etc/passwd']), isDigestError);
      await assert.rejects(store.commit({ issue: [{ cluster: 'c', digests: ['sha256:00'] }] }), isDigestError);
      assert.deepEqual(await store.missingBlobs([sha256('a')]), [sha256('a')]);
    }));

  test(`${name}: a sweep forgets what nobody keeps, but nothing that a commit may count on`, async () => {
    const clock = new FakeClock();
    const hour = 3_600_000;
    await withStore(
      create,
      async (store) => {
        const blob = (text: string) => ({ digest: sha256(text), bytes: Buffer.from(text) });
        const [kept, gone, asked, sealed] = [blob('kept'), blob('gone'), blob('asked'), blob('sealed')];
        const digests = [kept, gone, asked, sealed].map((one) => one.digest);
        await commit(store, {
          blobs: [kept, gone, asked, sealed],
          issue: [{ cluster: 'c1', digests }],
          sealed: [{ cluster: 'c1', equality: 'e', digest: sealed.digest }],
        });
        const sweep = () => store.sweepBlobs((digest) => digest === kept.digest, new AbortController().signal);
        assert.equal(await sweep(), 0, 'put a moment ago');
        await clock.advance(2 * hour);
        assert.deepEqual(await store.missingBlobs([asked.digest]), []);
        await clock.advance(hour / 2);
        await commit(store, { blobs: [blob('young')] });
        assert.equal(await sweep(), 2);
        assert.deepEqual(await store.missingBlobs([...digests, sha256('young')]), [gone.digest, sealed.digest]);
        assert.equal((await store.sealedDigests('c1', ['e'])).size, 0);
        // What was swept is not issued any more when it comes back.
        await commit(store, { blobs: [gone] });
        assert.deepEqual([...(await store.blobs(digests, 'c1')).keys()], [kept.digest, asked.digest]);
        await clock.advance(3 * hour);
        assert.equal(await sweep(), 3);
      },
      { clock },
    );
  });

  test(`${name}: nothing stays issued or sealed to the name of a cluster that is gone`, () =>
    withStore(create, async (store) => {
      const bytes = Buffer.from('x');
      const digest = sha256(bytes);
      const issue = ['c1', 'c2'].map((cluster) => ({ cluster, digests: [digest] }));
      await commit(store, { blobs: [{ digest, bytes }], issue, sealed: [{ cluster: 'c1', equality: 'e', digest }] });
      await commit(store, { forget: ['c1'] });
      assert.equal((await store.blobs([digest], 'c1')).size, 0);
      assert.equal((await store.sealedDigests('c1', ['e'])).size, 0);
      assert.equal((await store.blobs([digest], 'c2')).size, 1);
    }));

  test(`${name}: sealed forms are found by cluster and equality`, () =>
    withStore(create, async (store) => {
      const bytes = Buffer.from('sealed');
      const digest = sha256(bytes);
      await commit(store, { blobs: [{ digest, bytes }], sealed: [{ cluster: 'c1', equality: 'e1', digest }] });
      assert.deepEqual(await store.sealedDigests('c1', ['e0', 'e1']), new Map([['e1', digest]]));
      assert.equal((await store.sealedDigests('c2', ['e1'])).size, 0);
    }));

  test(`${name}: a newer effect replaces one of the same key that has not run`, () =>
    withStore(create, async (store) => {
      const effect = (at: string, payload: unknown) => ({ effects: [{ type: 'push', key: at, payload }] });
      await commit(store, effect('k1', { n: 1 }));
      await commit(store, effect('k2', null));
      const [stale] = await store.dueEffects(Number.MAX_SAFE_INTEGER, 10);
      await commit(store, effect('k1', { n: 2 }));
      const due = await store.dueEffects(Number.MAX_SAFE_INTEGER, 10);
      assert.deepEqual(
        due.map(({ key, payload, attempts }) => ({ key, payload, attempts })).sort((a, b) => (a.key < b.key ? -1 : 1)),
        [
          { key: 'k1', payload: { n: 2 }, attempts: 0 },
          { key: 'k2', payload: null, attempts: 0 },
        ],
      );
      // The old one was under way when it was replaced: its end does not take the new one along.
      assert.ok(stale);
      await store.effectDone(stale.id);
      assert.equal((await store.dueEffects(Number.MAX_SAFE_INTEGER, 10)).length, 2);
    }));

  test(`${name}: a failed effect comes back when it is due, with its attempts counted`, async () => {
    const clock = new FakeClock();
    await withStore(
      create,
      async (store) => {
        await commit(store, { effects: [{ type: 't', key: 'k', payload: 1 }] });
        const [first] = await store.dueEffects(clock.now(), 10);
        assert.ok(first);
        await store.effectFailed(first.id, clock.now() + 500, 'no route');
        assert.deepEqual(await store.dueEffects(clock.now() + 499, 10), []);
        const [again] = await store.dueEffects(clock.now() + 500, 10);
        assert.equal(again?.attempts, 1);
        await store.effectDone(first.id);
        assert.deepEqual(await store.dueEffects(Number.MAX_SAFE_INTEGER, 10), []);
      },
      { clock },
    );
  });

  const tampering: readonly [string, string, number][] = [
    ['changed', `UPDATE audit SET leaf = replace(leaf, 'alice', 'mallory') WHERE seq = 3`, 3],
    ['removed', 'DELETE FROM audit WHERE seq = 2', 2],
    ['cut off', 'DELETE FROM audit WHERE seq >= 5', 5],
    [
      'exchanged',
      'UPDATE audit SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE seq IN (2, 3); UPDATE audit SET seq = -seq WHERE seq < 0',
      2,
    ],
  ];
  for (const [what, sql, brokenAt] of tampering) {
    test(`${name}: an audit leaf that was ${what} is found`, async () => {
      const database = await create();
      try {
        const store = await database.open();
        for (let n = 0; n < 5; n++) {
          const audit = {
            actor: 'alice',
            verb: 'update',
            object: 'Widget/default/a',
            at: '2026-01-01T00:00:00Z',
            details: { n },
          };
          await commit(store, { write: [put('a', { spec: { size: n } })], audit });
        }
        assert.deepEqual(await store.verifyAudit(), { leaves: 5 });
        await store.close();
        await database.meddle(sql);
        const again = await database.open();
        const verdict = await again.verifyAudit();
        await again.close();
        assert.equal(verdict.brokenAt, brokenAt);
      } finally {
        await database.destroy();
      }
    });
  }

  test(`${name}: a lease has one holder, and its token grows`, async () => {
    const clock = new FakeClock();
    await withStore(
      create,
      async (store) => {
        const signal = new AbortController().signal;
        const first = await store.lease('engine', 9_000, signal);
        let second: number | undefined;
        const waiting = store.lease('engine', 9_000, signal).then((lease) => {
          second = lease.token;
          return lease;
        });
        // Renewed at a third of its life: far beyond its life it is still held.
        for (let n = 0; n < 20; n++) {
          await clock.advance(1_000);
          await store.effectDone(0);
        }
        assert.equal(second, undefined);
        assert.equal(first.lost.aborted, false);
        assert.equal((await store.commit({ write: [put('a')] }, first)).ok, true);
        await first.release();
        assert.equal(first.lost.aborted, true);
        await waitFor(
          'the second holder',
          async () => {
            await clock.advance(250);
            return second !== undefined;
          },
          { timeoutMs: 5_000, intervalMs: 1 },
        );
        const lease = await waiting;
        assert.ok(lease.token > first.token);
        assert.deepEqual(await store.commit({ write: [put('b')] }, first), { ok: false, fenced: 'engine' });
        assert.equal(await store.get(Widget, key('b')), undefined);
        assert.equal((await store.commit({ write: [put('b')] }, lease)).ok, true);
      },
      { clock },
    );
  });

  test(`${name}: a lease that could not be renewed in time is lost, and its commits are refused`, async () => {
    // The holder's clock stands still, as in a process that was stopped.
    const clock = new FakeClock();
    await withStore(
      create,
      async (store) => {
        const signal = new AbortController().signal;
        const first = await store.lease('engine', 3_000, signal);
        await clock.advance(0);
        // One jump over its whole life: the renewal comes too late.
        jump(clock, 10_000);
        const second = await store.lease('engine', 3_000, signal);
        assert.ok(second.token > first.token);
        await waitFor(
          'the loss to be noticed',
          async () => {
            await clock.advance(1_000);
            await store.effectDone(0);
            return first.lost.aborted;
          },
          { timeoutMs: 5_000, intervalMs: 1 },
        );
        assert.deepEqual(await store.commit({ write: [put('x')] }, first), { ok: false, fenced: 'engine' });
      },
      { clock },
    );
  });

  test(`${name}: pulses touch no revision, survive a restart and go with their object`, async () => {
    const clock = new FakeClock();
    const database = await create();
    try {
      const store = await database.open({ clock });
      const revision = await commit(store, { write: [put('a'), put('b')] });
      store.pulse(Widget, key('a'), { at: 1 });
      store.pulse(Widget, key('b'), { at: 1 });
      store.pulse(Widget, key('a'), { at: 2 });
      assert.deepEqual((await store.pulses(Widget)).get('default/a'), { at: 2 });
      await clock.advance(1_000);
      await commit(store, { write: [remove('b')] });
      assert.deepEqual([...(await store.pulses(Widget)).keys()], ['default/a']);
      assert.equal(store.revision(), revision + 1);
      store.pulse(Widget, key('a'), { at: 3 });
      await store.close();
      const again = await database.open({ clock });
      assert.deepEqual(await again.pulses(Widget), new Map([['default/a', { at: 3 }]]));
      await again.close();
    } finally {
      await database.destroy();
    }
  });
}

/** Moves a FakeClock without waking anyone on the way, as a process that was stopped sees it. */
function jump(clock: FakeClock, ms: number): void {
  const now = clock.now.bind(clock);
  clock.now = () => now() + ms;
}
