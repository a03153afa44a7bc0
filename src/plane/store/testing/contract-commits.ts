import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf, sha256 } from '#base';
import { commit, Gadget, key, put, remove, Widget, widget, type CreateDatabase } from './contract-kit.ts';
import { withStore } from './with-store.ts';

/** Atomicity, preconditions, no-op writes, revisions, limits. */
export function commitContract(name: string, create: CreateDatabase): void {
  test(`${name}: every write of a commit has its own consecutive revision`, () =>
    withStore(create, async (store) => {
      const start = store.revision();
      const revision = await commit(store, { write: [put('a'), put('b'), put('c')] });
      assert.equal(revision, start + 3);
      assert.equal(store.revision(), start + 3);
      const versions = (await store.list(Widget)).items.map((item) => item.metadata.resourceVersion);
      assert.deepEqual(
        versions,
        [1, 2, 3].map((n) => String(start + n)),
      );
    }));

  test(`${name}: what was committed can be read at once, as it was written`, () =>
    withStore(create, async (store) => {
      const object = widget('a', { labels: { env: 'prod' }, spec: { text: 'ünïcödé \u2028 "quoted" \ud83d\ude80', size: 3 } });
      const revision = await commit(store, { write: [{ op: 'put', kind: Widget, object }] });
      const stored = await store.get(Widget, key('a'));
      assert.deepEqual(stored, { ...object, metadata: { ...object.metadata, resourceVersion: String(revision) } });
    }));

  test(`${name}: kinds and namespaces do not mix`, () =>
    withStore(create, async (store) => {
      await commit(store, { write: [put('a', { namespace: 'one' })] });
      assert.equal(await store.get(Widget, key('a', 'two')), undefined);
      assert.equal(await store.get(Gadget, key('a', 'one')), undefined);
      assert.equal((await store.list(Gadget)).items.length, 0);
    }));

  test(`${name}: a put of what is stored costs no revision, whatever the order of its keys`, () =>
    withStore(create, async (store) => {
      const revision = await commit(store, { write: [put('a', { labels: { x: '1', y: '2' }, spec: { size: 1, text: 'q' } })] });
      const stored = await store.get(Widget, key('a'));
      assert.ok(stored);
      const again = await store.commit({ write: [{ op: 'put', kind: Widget, object: stored }] });
      assert.deepEqual(again, { ok: true, revision, changed: false });
      const turned = widget('a', { labels: { y: '2', x: '1' }, spec: { text: 'q', size: 1 } });
      assert.deepEqual(await store.commit({ write: [{ op: 'put', kind: Widget, object: turned }] }), {
        ok: true,
        revision,
        changed: false,
      });
      const other = await store.commit({ write: [put('a', { labels: { x: '2', y: '1' }, spec: { size: 1, text: 'q' } })] });
      assert.deepEqual(other, { ok: true, revision: revision + 1, changed: true });
    }));

  test(`${name}: deleting what is not there changes nothing`, () =>
    withStore(create, async (store) => {
      const revision = await commit(store, { write: [put('a')] });
      assert.deepEqual(await store.commit({ write: [remove('b')] }), { ok: true, revision, changed: false });
      assert.deepEqual(await store.commit({ write: [remove('a')] }), { ok: true, revision: revision + 1, changed: true });
      assert.equal(await store.get(Widget, key('a')), undefined);
    }));

  test(`${name}: a commit happens wholly or not at all`, () =>
    withStore(create, async (store) => {
      const revision = await commit(store, { write: [put('a')] });
      const refused = await store.commit({
        expect: [{ kind: Widget, key: key('b'), revision: 'present' }],
        write: [put('a', { spec: { size: 2 } }), put('c')],
        audit: { actor: 'me', verb: 'update', object: 'Widget/default/a', at: '2026-01-01T00:00:00Z' },
        effects: [{ type: 't', key: 'k', payload: {} }],
      });
      assert.deepEqual(refused, { ok: false, conflict: { kind: 'Widget', key: key('b'), found: undefined } });
      // Wrong bytes are found after the writes were made: they must be undone.
      const wrong = store.commit({ write: [put('c')], blobs: [{ digest: sha256('x'), bytes: Buffer.from('y') }] });
      await assert.rejects(wrong, (error) => codeOf(error) === 'FL_STORE_DIGEST');
      assert.equal(store.revision(), revision);
      assert.equal(await store.get(Widget, key('c')), undefined);
      assert.deepEqual((await store.get(Widget, key('a')))?.spec, {});
      assert.deepEqual(await store.dueEffects(Number.MAX_SAFE_INTEGER, 10), []);
      assert.deepEqual(await store.verifyAudit(), { leaves: 0 });
      assert.equal(await commit(store, { write: [put('d')] }), revision + 1);
    }));

  test(`${name}: expectations name the version found`, () =>
    withStore(create, async (store) => {
      const revision = await commit(store, { write: [put('a')] });
      const expecting = (expected: number | 'absent' | 'present') =>
        store.commit({
          expect: [{ kind: Widget, key: key('a'), revision: expected }],
          write: [put('a', { spec: { size: store.revision() } })],
        });
      const conflict = { ok: false, conflict: { kind: 'Widget', key: key('a'), found: revision } };
      assert.deepEqual(await expecting('absent'), conflict);
      assert.deepEqual(await expecting(revision - 1), conflict);
      assert.equal((await expecting(revision)).ok, true);
      assert.equal((await expecting('present')).ok, true);
    }));

  test(`${name}: of many writers that expect the same version one wins`, () =>
    withStore(create, async (store) => {
      const revision = await commit(store, { write: [put('a')] });
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          store.commit({ expect: [{ kind: Widget, key: key('a'), revision }], write: [put('a', { spec: { size: n } })] }),
        ),
      );
      assert.equal(results.filter((result) => result.ok).length, 1);
    }));

  test(`${name}: one writer's failure leaves its neighbours in the same group alone`, () =>
    withStore(create, async (store) => {
      const outcomes = await Promise.allSettled(
        Array.from({ length: 30 }, (_, n) =>
          store.commit({
            write: [put(`n${n}`)],
            blobs: n % 3 === 0 ? [{ digest: sha256('x'), bytes: Buffer.from('y') }] : [],
          }),
        ),
      );
      assert.equal(outcomes.filter((outcome) => outcome.status === 'rejected').length, 10);
      const { items } = await store.list(Widget);
      assert.equal(items.length, 20);
      assert.equal(store.revision(), 20);
    }));

  test(`${name}: a transaction beyond its limits is refused with the limit's name`, () =>
    withStore(create, async (store) => {
      const write = Array.from({ length: 1_001 }, (_, n) => put(`n${n}`));
      await assert.rejects(store.commit({ write }), /1001 writes, more than the 1000 writes .* in chunks/);
      const text = 'x'.repeat(33 * 1024 * 1024);
      await assert.rejects(
        store.commit({ write: [put('a', { spec: { text } }), put('b', { spec: { text } })] }),
        (error) => codeOf(error) === 'FL_STORE_TOO_LARGE',
      );
      assert.equal(store.revision(), 0);
    }));

  test(`${name}: identity and contents outlive the process's handle`, async () => {
    const database = await create();
    try {
      const first = await database.open();
      const revision = await commit(first, { write: [put('a', { labels: { env: 'x' } }), put('b')] });
      await first.close();
      const second = await database.open();
      assert.equal(second.instanceId, first.instanceId);
      assert.equal(second.revision(), revision);
      assert.equal((await second.list(Widget, { labels: [{ key: 'env', operator: 'In', values: ['x'] }] })).items.length, 1);
      await assert.rejects(first.commit({ write: [put('c')] }), (error) => codeOf(error) === 'FL_STORE_CLOSED');
      await second.close();
    } finally {
      await database.destroy();
    }
  });
}
