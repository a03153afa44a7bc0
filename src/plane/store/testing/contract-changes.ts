import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf, FakeClock, seededRng, waitFor } from '#base';
import type { Change, Store } from '../types.ts';
import { commit, Gadget, key, memoryFloor, put, remove, Widget, type CreateDatabase } from './contract-kit.ts';
import { withStore } from './with-store.ts';

/** Order and completeness of the change log, compaction, the revision gap. */
export function changeContract(name: string, create: CreateDatabase): void {
  test(`${name}: changes carry their images in revision order`, () =>
    withStore(create, async (store) => {
      await commit(store, { write: [put('a', { labels: { env: 'x' } })] });
      await commit(store, { write: [put('a', { labels: { env: 'y' } }), remove('a')] });
      const [added, modified, deleted] = await take(store, 0, 3);
      assert.ok(added && modified && deleted);
      assert.deepEqual([added.type, modified.type, deleted.type], ['added', 'modified', 'deleted']);
      assert.equal(added.before, undefined);
      assert.equal(modified.before, added.after);
      assert.equal(deleted.before, modified.after);
      const images = [added, modified, deleted].map((change) => JSON.parse(change.after) as Gone);
      assert.deepEqual(
        images.map((image) => [image.metadata.resourceVersion, image.metadata.labels.env]),
        [
          ['1', 'x'],
          ['2', 'y'],
          ['3', 'y'],
        ],
      );
      assert.deepEqual(added.key, key('a'));
    }));

  test(`${name}: with 16 concurrent writers a watcher sees every change once, in order, in whole commits`, () =>
    withStore(create, async (store) => {
      const writers = 16;
      const commits = 40;
      const seen: Change[] = [];
      const batches: (readonly Change[])[] = [];
      const stop = new AbortController();
      const watching = (async () => {
        for await (const batch of store.changes(0, [Widget], stop.signal)) {
          batches.push(batch);
          seen.push(...batch);
          if (seen.length >= writers * commits * 3) stop.abort();
        }
      })();
      await Promise.all(
        Array.from({ length: writers }, async (_, writer) => {
          for (let n = 0; n < commits; n++) {
            const spec = { text: `${writer}/${n}` };
            await commit(store, { write: [0, 1, 2].map((part) => put(`w${writer}-${part}`, { spec })) });
          }
        }),
      );
      await watching;
      assert.deepEqual(
        seen.map((change) => change.revision),
        Array.from({ length: writers * commits * 3 }, (_, n) => n + 1),
      );
      for (const batch of batches) {
        assert.equal(batch.length % 3, 0, 'a commit was torn');
      }
      for (let n = 0; n < seen.length; n += 3) {
        const texts = seen.slice(n, n + 3).map((change) => (JSON.parse(change.after) as { spec: { text: string } }).spec.text);
        assert.equal(new Set(texts).size, 1, 'another commit came in between');
      }
    }));

  test(`${name}: other kinds are left out, and do not hold a watcher back`, () =>
    withStore(
      create,
      async (store) => {
        const stop = new AbortController();
        const seen: Change[] = [];
        const watching = (async () => {
          for await (const batch of store.changes(0, [Gadget], stop.signal)) seen.push(...batch);
        })();
        // Far more of another kind than the log keeps: an idle watcher must not be told to list again.
        for (let n = 0; n < 30; n++) await commit(store, { write: [put('a', { spec: { text: `${n}`.repeat(2_000) } })] });
        await waitFor('compaction', () => store.oldestRevision() > 10, { timeoutMs: 5_000 });
        const object = { ...widgetOf(Gadget.kind), metadata: { ...widgetOf(Gadget.kind).metadata, name: 'g' } };
        await commit(store, { write: [{ op: 'put', kind: Gadget, object }] });
        await waitFor('the change', () => seen.length === 1, { timeoutMs: 5_000 });
        stop.abort();
        await watching;
        assert.equal(seen[0]?.kind, 'Gadget');
      },
      { logMaxBytes: 20_000 },
    ));

  test(`${name}: watchers that start anywhere and read at any speed see the same changes`, () =>
    withStore(create, async (store) => {
      const total = 300;
      const stop = new AbortController();
      const watch = async (after: number, pause: () => Promise<unknown>, kinds = [Widget]): Promise<number[]> => {
        const seen: number[] = [];
        for await (const batch of store.changes(after, kinds, stop.signal)) {
          seen.push(...batch.map((change) => change.revision));
          await pause();
          if (seen.at(-1) === total) break;
        }
        return seen;
      };
      const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
      const random = seededRng(7);
      const dawdle = async (): Promise<void> => {
        for (let turns = Math.floor(random() * 40); turns > 0; turns--) await turn();
      };
      const starts: number[] = [];
      const watches: Promise<number[]>[] = [];
      for (let n = 0; n < total; n++) {
        if (n % 20 === 0) {
          const after = n % 40 === 0 ? n : Math.floor(n / 2);
          starts.push(after);
          watches.push(watch(after, n % 60 === 0 ? turn : dawdle, n % 80 === 0 ? [Widget, Gadget] : [Widget]));
        }
        await commit(store, { write: [put(`w${n % 7}`, { spec: { size: n } })] });
      }
      for (const [index, seen] of (await Promise.all(watches)).entries()) {
        const after = starts[index] ?? 0;
        assert.deepEqual(
          seen,
          Array.from({ length: total - after }, (_, n) => after + n + 1),
        );
      }
    }));

  test(`${name}: a slow reader gets bounded batches of whole commits`, () =>
    withStore(create, async (store) => {
      for (let n = 0; n < 12; n++) {
        await commit(store, { write: [1, 2].map((part) => put(`a${part}`, { spec: { text: `${n}`.padEnd(1_000_000, 'x') } })) });
      }
      const stop = new AbortController();
      let previous = 0;
      for await (const batch of store.changes(0, [Widget], stop.signal)) {
        assert.ok(batch.reduce((bytes, change) => bytes + change.after.length, 0) < 8_000_000);
        assert.equal(batch[0]?.revision, previous + 1);
        assert.equal((batch.at(-1)?.revision ?? 1) % 2, 0);
        previous = batch.at(-1)?.revision ?? 0;
        if (previous === 24) stop.abort();
      }
    }));

  test(`${name}: what the log has dropped by size is refused, what it holds is served`, () =>
    withStore(
      create,
      async (store) => {
        for (let n = 0; n < 50; n++) await commit(store, { write: [put('a', { spec: { text: `${n}`.repeat(1_000) } })] });
        await waitFor('compaction', () => store.oldestRevision() > 10, { timeoutMs: 5_000 });
        await assert.rejects(take(store, 1, 1), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
        // It may go on meanwhile: then what was asked for is refused, and asked for again.
        await waitFor(
          'the rest',
          async () => {
            const oldest = store.oldestRevision();
            const rest = await take(store, oldest, store.revision() - oldest);
            return rest[0]?.revision === oldest + 1;
          },
          { timeoutMs: 5_000 },
        );
      },
      { logMaxBytes: 20_000 },
    ));

  test(`${name}: what the log has dropped by age is refused, also to a reader under way`, async () => {
    const clock = new FakeClock();
    await withStore(
      create,
      async (store) => {
        for (let n = 0; n < 5; n++) await commit(store, { write: [put('a', { spec: { size: n } })] });
        const stop = new AbortController();
        const reader = store.changes(0, [Widget], stop.signal)[Symbol.asyncIterator]();
        assert.equal((await reader.next()).value?.length, 5);
        await commit(store, { write: [put('a', { spec: { size: 9 } })] });
        await clock.advance(11_000);
        await commit(store, { write: [put('b')] });
        await waitFor('compaction', () => store.oldestRevision() === 6, { timeoutMs: 5_000 });
        await assert.rejects(reader.next(), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
        await assert.rejects(take(store, 5, 1), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
        assert.equal((await take(store, 6, 1))[0]?.revision, 7);
      },
      { clock, logMaxAgeMs: 10_000 },
    );
  });

  test(`${name}: a watcher ends with its signal and with the store`, () =>
    withStore(create, async (store) => {
      const stop = new AbortController();
      const ended = (async () => {
        for await (const _ of store.changes(0, [Widget], stop.signal)) assert.fail('nothing changes');
      })();
      stop.abort();
      await ended;
      const other = (async () => {
        for await (const _ of store.changes(0, [Widget], new AbortController().signal)) assert.fail('nothing changes');
      })();
      await store.close();
      await other;
    }));

  test(`${name}: revisions that another history gave out are refused`, async () => {
    const database = await create();
    const floor = memoryFloor();
    try {
      const first = await database.open({ revisionFloor: floor });
      assert.equal(first.revisionGap, undefined);
      const held = await commit(first, { write: [put('a')] });
      await first.close();
      assert.ok(floor.at() > held, 'revisions are reserved before they are used');
      // As after restoring a backup: the key directory remembers more than the database.
      floor.reserve(floor.at() + 1_000_000);
      const second = await database.open({ revisionFloor: floor });
      assert.equal(second.revisionGap?.from, held);
      assert.equal(second.revision(), second.revisionGap?.to);
      await assert.rejects(take(second, held + 1, 1), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
      await assert.rejects(take(second, second.revision() + 1, 1), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
      const next = await commit(second, { write: [put('b')] });
      assert.equal(next, (second.revisionGap?.to ?? 0) + 1);
      assert.equal((await take(second, held, 1))[0]?.revision, next);
      await second.close();
      const third = await database.open({ revisionFloor: floor });
      await assert.rejects(take(third, held + 1, 1), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
      assert.equal((await take(third, held, 1))[0]?.revision, next);
      await third.close();
    } finally {
      await database.destroy();
    }
  });

  test(`${name}: without reserved revisions nothing is written`, () =>
    withStore(
      create,
      async (store) => {
        await assert.rejects(store.commit({ write: [put('a')] }), (error) => codeOf(error) === 'FL_STORE_REVISIONS');
        assert.equal(await store.get(Widget, key('a')), undefined);
        assert.equal(store.revision(), 0);
      },
      {
        revisionFloor: {
          read: () => 0,
          reserve: () => {
            throw new Error('the key directory is gone');
          },
        },
      },
    ));
}

interface Gone {
  readonly metadata: { readonly resourceVersion: string; readonly labels: { readonly env: string } };
}

function widgetOf(kind: string) {
  return {
    apiVersion: 'fairlead.dev/v1alpha1',
    kind,
    metadata: { name: 'x', namespace: 'default', uid: 'u', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {},
  };
}

/** The first `count` changes after a revision. */
async function take(store: Store, after: number, count: number): Promise<Change[]> {
  const seen: Change[] = [];
  const stop = new AbortController();
  for await (const batch of store.changes(after, [Widget, Gadget], stop.signal)) {
    seen.push(...batch);
    if (seen.length >= count) stop.abort();
  }
  return seen.slice(0, count);
}
