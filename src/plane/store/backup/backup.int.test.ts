import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { codeOf, sha256, silentLog, systemClock } from '#base';
import { openStore } from '../open-store.ts';
import { commit, key, memoryFloor, put, remove, Widget, widget } from '../testing/contract-kit.ts';
import { POSTGRES_MISSING, postgresPrograms, startPostgres, type PostgresServer } from '../testing/postgres-server.ts';
import type { RevisionFloor, Store } from '../types.ts';
import { backupStore, type DatabasePlace } from './backup-store.ts';
import { restoreStore } from './restore-store.ts';

const scratch = await mkdtemp(join(tmpdir(), 'fairlead-backup-'));
let server: PostgresServer | undefined;
if (postgresPrograms() !== undefined) server = await startPostgres();
after(async () => {
  await server?.destroy();
  await rm(scratch, { recursive: true, force: true });
});

let places = 0;
async function place(of: 'sqlite' | 'postgres'): Promise<DatabasePlace> {
  places += 1;
  if (of === 'sqlite') return { dir: join(scratch, `db-${places}`) };
  assert.ok(server);
  return { url: await server.createDatabase() };
}

const open = (at: DatabasePlace, revisionFloor: RevisionFloor): Promise<Store> =>
  openStore({ ...at, kinds: [Widget], log: silentLog, clock: systemClock, revisionFloor });

for (const from of ['sqlite', 'postgres'] as const) {
  for (const to of ['sqlite', 'postgres'] as const) {
    const isMissing = (from === 'postgres' || to === 'postgres') && server === undefined;
    test(
      `a backup of ${from} becomes a whole database on ${to}, with its revisions above all that were given out`,
      { skip: isMissing && POSTGRES_MISSING },
      async () => {
        const floor = memoryFloor();
        const source = await place(from);
        const first = await open(source, floor);
        const bytes = Buffer.from([0, 1, 255]);
        const digest = sha256(bytes);
        const text = 'ünïcödé \\ "quoted" {a,b} NULL';
        const saved = await commit(first, {
          write: [put('a', { labels: { env: 'prod' }, spec: { cluster: 'c1', text } }), put('b')],
          blobs: [{ digest, bytes }],
          issue: [{ cluster: 'c1', digests: [digest] }],
          sealed: [{ cluster: 'c1', equality: 'e', digest }],
          effects: [{ type: 'push', key: 'k', payload: { n: 1 } }],
          audit: { actor: 'me', verb: 'create', object: 'Widget/default/a', at: '2026-01-01T00:00:00Z' },
        });
        const out = join(scratch, `${from}-${to}.backup`);
        // The plane goes on meanwhile.
        const writing = Array.from({ length: 20 }, (_, n) => commit(first, { write: [put(`later-${n}`)] }));
        const info = await backupStore(source, out, systemClock);
        await Promise.all(writing);
        assert.equal((await stat(out)).mode & 0o777, 0o600);
        assert.ok(info.revision >= saved && info.instanceId === first.instanceId);
        const lost = await commit(first, { write: [remove('b'), put('a', { spec: { text: 'newer' } })] });
        await first.close();

        const target = from === to ? source : await place(to);
        if (from === to) {
          const refusal = restoreStore(target, out, { replace: false, floor, log: silentLog });
          await assert.rejects(refusal, (error) => codeOf(error) === 'FL_RESTORE_EXISTS');
        }
        await restoreStore(target, out, { replace: true, floor, log: silentLog });
        const restored = await open(target, floor);
        assert.equal(restored.instanceId, info.instanceId);
        assert.deepEqual((await restored.get(Widget, key('a')))?.spec, { cluster: 'c1', text });
        assert.ok(await restored.get(Widget, key('b')));
        const byLabel = await restored.list(Widget, { labels: [{ key: 'env', operator: 'In', values: ['prod'] }] });
        const byField = await restored.list(Widget, { fields: [{ path: 'spec.cluster', operator: '=', value: 'c1' }] });
        assert.deepEqual([byLabel.items.length, byField.items.length], [1, 1]);
        assert.deepEqual(Buffer.from((await restored.blobs([digest], 'c1')).get(digest) ?? []), bytes);
        assert.deepEqual(await restored.sealedDigests('c1', ['e']), new Map([['e', digest]]));
        assert.deepEqual(
          (await restored.dueEffects(Number.MAX_SAFE_INTEGER, 9)).map((one) => one.payload),
          [{ n: 1 }],
        );
        assert.deepEqual(await restored.verifyAudit(), { leaves: 1 });
        const next = await commit(restored, {
          write: [put('c')],
          effects: [{ type: 'push', key: 'k2', payload: null }],
          audit: { actor: 'me', verb: 'create', object: 'Widget/default/c', at: '2026-01-01T00:00:00Z' },
        });
        assert.ok(next > lost, 'a revision would be given out a second time');
        assert.deepEqual(await restored.verifyAudit(), { leaves: 2 });
        // Whoever has seen the lost history lists again.
        const watching = restored.changes(lost, [Widget], AbortSignal.timeout(5_000))[Symbol.asyncIterator]();
        await assert.rejects(watching.next(), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
        await restored.close();
      },
    );
  }
}

test(
  'a restore under a running process on PostgreSQL: it goes on from what was restored, and its watchers are told',
  { skip: server === undefined && POSTGRES_MISSING },
  async () => {
    const at = await place('postgres');
    const floor = memoryFloor();
    const store = await open(at, floor);
    const saved = await commit(store, { write: [put('a')] });
    const out = join(scratch, 'running.backup');
    await backupStore(at, out, systemClock);
    const lost = await commit(store, { write: [{ op: 'put', kind: Widget, object: widget('b') }] });
    const watching = store.changes(saved, [Widget], AbortSignal.timeout(20_000))[Symbol.asyncIterator]();
    assert.equal((await watching.next()).value?.[0]?.revision, lost);
    const told = assert.rejects(watching.next(), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
    await restoreStore(at, out, { replace: true, floor, log: silentLog });
    await told;
    assert.equal(await store.get(Widget, key('b')), undefined);
    assert.ok((await commit(store, { write: [put('c')] })) > lost);
    await store.close();
  },
);

test('what is no backup is refused, and a backup overwrites nothing', async () => {
  const at = await place('sqlite');
  const store = await open(at, memoryFloor());
  await commit(store, { write: [put('a')] });
  const out = join(scratch, 'once.backup');
  await backupStore(at, out, systemClock);
  await assert.rejects(backupStore(at, out, systemClock), (error) => codeOf(error) === 'FL_BACKUP_FILE');
  await store.close();
  const noise = join(scratch, 'noise');
  await writeFile(noise, (await readFile(out)).subarray(0, 3_000));
  for (const file of [noise, join(scratch, 'nothing')]) {
    const refusal = restoreStore(at, file, { replace: true, floor: undefined, log: silentLog });
    await assert.rejects(refusal, (error) => codeOf(error) === 'FL_BACKUP_DAMAGED');
  }
  await assert.rejects(
    backupStore({ dir: join(scratch, 'no-such') }, join(scratch, 'x'), systemClock),
    (error) => codeOf(error) === 'FL_BACKUP_NOTHING',
  );
});
