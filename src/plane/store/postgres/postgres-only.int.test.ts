import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { codeOf, messageOf, seededRng, Sensitive, systemClock, waitFor } from '#base';
import { makeAuthority, makeServerCertificate } from '../../keys/certificates.ts';
import { commit, Gadget, key, memoryFloor, put, remove, Widget, widget } from '../testing/contract-kit.ts';
import { startCuttingProxy } from '../testing/cutting-proxy.ts';
import { POSTGRES_MISSING, postgresPrograms, startPostgres, type PostgresServer } from '../testing/postgres-server.ts';
import type { Change, Store } from '../types.ts';
import { parseDatabaseUrl } from './connect-options.ts';
import { Connection } from './connection.ts';
import { migrate, migrations } from './migrations.ts';
import { openPostgresStore } from './postgres-store.ts';

const bin = postgresPrograms();

if (bin === undefined) test('PostgreSQL: several processes, lost connections, TLS', { skip: POSTGRES_MISSING }, () => undefined);
else await tests(bin);

async function tests(programs: string): Promise<void> {
  const authority = await makeAuthority('test', systemClock.now());
  const pair = await makeServerCertificate(authority, ['127.0.0.1', 'localhost'], systemClock.now());
  const server = await startPostgres({
    settings: ['ssl=on'],
    files: { 'server.crt': pair.cert, 'server.key': pair.key },
  });
  after(() => server.destroy());
  const open = (url: Sensitive<string>): Promise<Store> => openPostgresStore({ url, kinds: [Widget, Gadget] });

  test('changes of two processes with 16 writers reach a watcher of each once, in order, in whole commits', async () => {
    const url = await server.createDatabase();
    const stores = [await open(url), await open(url)];
    const [writers, commits] = [16, 25];
    const total = writers * commits * 2;
    const stop = new AbortController();
    const watching = stores.map(async (store) => {
      const seen: number[] = [];
      for await (const batch of store.changes(0, [Widget], stop.signal)) {
        assert.equal(batch.length % 2, 0, 'a commit was torn');
        seen.push(...batch.map((change) => change.revision));
        if (seen.length >= total) break;
      }
      return seen;
    });
    await Promise.all(
      Array.from({ length: writers }, async (_, writer) => {
        for (let n = 0; n < commits; n++) {
          const write = ['left', 'right'].map((side) => put(`w${writer}-${side}`, { spec: { size: n } }));
          await commit(storeOf(stores, writer + n), { write });
        }
      }),
    );
    const expected = Array.from({ length: total }, (_, n) => n + 1);
    for (const seen of await Promise.all(watching)) assert.deepEqual(seen, expected);
    await Promise.all(stores.map((store) => store.close()));
  });

  test('of two processes one holds a lease; after its death the other takes it, and what the first still sends is refused', async () => {
    const url = await server.createDatabase();
    const [first, second] = [await open(url), await open(url)];
    const signal = new AbortController().signal;
    const lease = await first.lease('engine', 1_000, signal);
    let taken: number | undefined;
    const waiting = second.lease('engine', 1_000, signal).then((got) => {
      taken = got.token;
      return got;
    });
    await commit(first, { write: [put('a')] });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(taken, undefined, 'a lease that is renewed is not taken');
    await lease.release();
    const next = await waiting;
    assert.ok(next.token > lease.token);
    assert.deepEqual(await first.commit({ write: [put('b')] }, lease), { ok: false, fenced: 'engine' });
    assert.equal((await second.commit({ write: [put('b')] }, next)).ok, true);
    await Promise.all([first.close(), second.close()]);
  });

  test('with connections cut before and after COMMIT every commit happens once or is refused', { timeout: 120_000 }, async () => {
    const url = await server.createDatabase();
    const random = seededRng(20260815);
    let isCutting = false;
    const proxy = await startCuttingProxy(server.port, () => {
      if (!isCutting) return undefined;
      const draw = random();
      return draw < 0.12 ? 'after' : draw < 0.2 ? 'before' : undefined;
    });
    const direct = await open(url);
    const store = await open(new Sensitive(url.reveal().replace(`:${server.port}/`, `:${proxy.port}/`)));
    isCutting = true;
    const fates = new Map<string, 'done' | 'refused' | 'unknown'>();
    await Promise.all(
      Array.from({ length: 6 }, async (_, writer) => {
        for (let n = 0; n < 30; n++) {
          const name = `w${writer}-${n}`;
          const transaction = {
            expect: [{ kind: Widget, key: key(name), revision: 'absent' as const }],
            write: [put(name)],
            audit: { actor: name, verb: 'create', object: 'Widget', at: '2026-01-01T00:00:00Z' },
          };
          try {
            const result = await store.commit(transaction);
            // A commit that was blindly repeated would meet its own object.
            assert.equal(result.ok, true, `${name} was in its own way`);
            fates.set(name, 'done');
          } catch (error) {
            fates.set(name, codeOf(error) === 'FL_STORE_UNKNOWN' ? 'unknown' : 'refused');
          }
        }
      }),
    );
    await store.close();
    const { items } = await direct.list(Widget);
    const there = new Set(items.map((item) => item.metadata.name));
    for (const [name, fate] of fates) if (fate !== 'unknown') assert.equal(there.has(name), fate === 'done', `${name}: ${fate}`);
    assert.equal((await direct.verifyAudit()).leaves, there.size);
    const changes = await take(direct, 0, there.size);
    assert.equal(new Set(changes.map((change) => change.key.name)).size, there.size);
    assert.ok(proxy.cuts > 10, `only ${proxy.cuts} connections were cut`);
    await direct.close();
    await proxy.close();
  });

  test(
    'a server that restarts or crashes costs a moment; no commit is lost or doubled, and watchers go on',
    { timeout: 120_000 },
    async () => {
      const url = await server.createDatabase();
      const store = await open(url);
      const stop = new AbortController();
      const seen: Change[] = [];
      const watching = (async () => {
        for await (const batch of store.changes(0, [Widget], stop.signal)) seen.push(...batch);
      })();
      const done: string[] = [];
      const over = new AbortController();
      const writing = Array.from({ length: 4 }, async (_, writer) => {
        for (let n = 0; !over.signal.aborted; n++) {
          const name = `w${writer}-${n}`;
          const result = await store.commit({
            expect: [{ kind: Widget, key: key(name), revision: 'absent' }],
            write: [put(name)],
          });
          assert.equal(result.ok, true);
          done.push(name);
        }
      });
      for (const how of ['fast', 'immediate'] as const) {
        const before = done.length;
        await waitFor('commits', () => done.length > before + 50, { timeoutMs: 20_000 });
        await server.stop(how);
        await waitFor('the trouble to be told', () => store.trouble() !== undefined, { timeoutMs: 10_000 });
        assert.match(store.trouble() ?? '', /the database cannot be reached/);
        await server.start();
        const after = done.length;
        await waitFor('commits after the restart', () => done.length > after + 50, { timeoutMs: 20_000 });
      }
      over.abort();
      await Promise.all(writing);
      await waitFor('the watcher', () => seen.length === done.length, { timeoutMs: 10_000 });
      stop.abort();
      await watching;
      assert.deepEqual(
        seen.map((change) => change.revision),
        Array.from({ length: done.length }, (_, n) => n + 1),
      );
      assert.deepEqual(new Set(seen.map((change) => change.key.name)), new Set(done));
      // Told by the connection that listens, which comes back by its own back-off.
      await waitFor('the trouble to be over', () => store.trouble() === undefined, { timeoutMs: 20_000 });
      await store.close();
    },
  );

  test('a restored dump gives out no revision a second time: the floor in the key directory knows', async () => {
    const url = await server.createDatabase();
    const floor = memoryFloor();
    const reopen = (at: Sensitive<string>) => openPostgresStore({ url: at, kinds: [Widget], revisionFloor: floor });
    const first = await reopen(url);
    const saved = await commit(first, { write: [put('a')] });
    const dump = dumpOf(programs, server, url);
    const lost = await commit(first, { write: [put('b')] });
    await first.close();
    const copy = await server.createDatabase();
    server.sql(copy, dump);
    const restored = await reopen(copy);
    assert.ok(restored.revision() > lost);
    assert.deepEqual(restored.revisionGap, { from: saved, to: restored.revision() });
    await assert.rejects(take(restored, lost, 1), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
    const next = await commit(restored, { write: [put('c')] });
    assert.equal((await take(restored, saved, 1))[0]?.revision, next);
    await restored.close();
    // Opened once more it is no news.
    const again = await reopen(copy);
    assert.equal(again.revision(), next);
    await again.close();
  });

  test('without a floor a copy is known by its server and database, and a watcher under way is told', async () => {
    const url = await server.createDatabase();
    const first = await open(url);
    const saved = await commit(first, { write: [put('a')] });
    const dump = dumpOf(programs, server, url);
    const lost = await commit(first, { write: [put('b')] });
    const watched = first.changes(saved, [Widget], AbortSignal.timeout(30_000))[Symbol.asyncIterator]();
    assert.equal((await watched.next()).value?.[0]?.revision, lost);
    const told = assert.rejects(watched.next(), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
    // The same process meets the older copy under the same address, as after a restore in place.
    const name = new URL(url.reveal()).pathname.slice(1);
    const root = new Sensitive(url.reveal().replace(/\/[^/]*$/, '/postgres'));
    server.sql(
      root,
      `ALTER DATABASE ${name} ALLOW_CONNECTIONS false; SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '${name}'`,
    );
    server.sql(root, `ALTER DATABASE ${name} RENAME TO ${name}_lost`);
    server.sql(root, `CREATE DATABASE ${name} TEMPLATE template0`);
    server.sql(url, dump);
    await told;
    assert.ok((await commit(first, { write: [put('c')] })) > lost + 1_000_000);
    assert.equal(await first.get(Widget, key('b')), undefined);
    await first.close();
  });

  test('TLS is verified against the given authority, and a password that is wrong is named without being shown', async () => {
    const url = await server.createDatabase();
    const ca = join(server.dir, 'ca.pem');
    writeFileSync(ca, authority.cert);
    const other = join(server.dir, 'other.pem');
    writeFileSync(other, (await makeAuthority('other', systemClock.now())).cert);
    const secured = (query: string): Sensitive<string> => new Sensitive(`${url.reveal()}?${query}`);
    const store = await open(secured(`sslmode=verify-full&sslrootcert=${ca}`));
    await commit(store, { write: [put('a')] });
    assert.equal(
      server.sql(
        url,
        `SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'fairlead%' AND datname = current_database()`,
      ),
      't',
    );
    await store.close();
    await assert.rejects(open(secured(`sslmode=verify-full&sslrootcert=${other}`)));
    const wrong = new Sensitive(url.reveal().replace(/:[^:@]+@/, ':not-the-secret@'));
    await assert.rejects(open(wrong), (error) => {
      assert.equal(codeOf(error), 'FL_STORE_LOGIN');
      assert.doesNotMatch(messageOf(error), /not-the-secret/);
      return true;
    });
  });

  test('a database of a newer version is refused and left alone', async () => {
    const url = await server.createDatabase();
    await (await open(url)).close();
    server.sql(url, 'UPDATE schema_version SET version = 999');
    await assert.rejects(open(url), (error) => codeOf(error) === 'FL_STORE_NEWER');
  });

  test('beside a newer version that only added to the schema, a process of this one goes on', async () => {
    const url = await server.createDatabase();
    const old = await open(url);
    const connection = await Connection.open(parseDatabaseUrl(url.reveal()), 'newer');
    await migrate(connection, [...migrations, { sql: 'ALTER TABLE objects ADD COLUMN more text' }]);
    await connection.close();
    await commit(old, { write: [put('a')] });
    assert.ok(await old.get(Widget, key('a')));
    assert.equal(old.trouble(), undefined);
    await old.close();
    await assert.rejects(open(url), (error) => codeOf(error) === 'FL_STORE_NEWER', 'but it is not started again');
  });

  test('beside a newer version that stops it, it writes nothing more, says so, and goes on reading', async () => {
    const url = await server.createDatabase();
    const old = await open(url);
    await commit(old, { write: [put('a')] });
    const lease = await old.lease('leader', 60_000, new AbortController().signal);
    const connection = await Connection.open(parseDatabaseUrl(url.reveal()), 'newer');
    await migrate(connection, [...migrations, { sql: '', stopsOlder: true }]);
    const newer = await connection.rows('SELECT expires FROM leases');
    await connection.close();
    assert.deepEqual(
      newer.map((row) => Number(row['expires'])),
      [0],
      'the newer one need not wait for the lease',
    );
    for (const fence of [undefined, lease]) {
      await assert.rejects(
        old.commit({ write: [put('b')] }, fence),
        (error) => codeOf(error) === 'FL_STORE_SUPERSEDED' && /newer version/.test(messageOf(error)),
      );
    }
    await waitFor('it to say so', () => old.trouble()?.includes('newer version') === true, { timeoutMs: 10_000 });
    assert.ok(await old.get(Widget, key('a')));
    assert.equal(await old.get(Widget, key('b')), undefined);
    await old.close();
  });

  test('a database of the first schema is brought to this one', async () => {
    const url = await server.createDatabase();
    const connection = await Connection.open(parseDatabaseUrl(url.reveal()), 'older');
    await migrate(connection, migrations.slice(0, 1));
    await connection.close();
    const stores = await Promise.all([open(url), open(url)]);
    for (const [n, store] of stores.entries()) await commit(store, { write: [put(`a${n}`)] });
    await Promise.all(stores.map((store) => store.close()));
    assert.equal(server.sql(url, 'SELECT version FROM schema_version'), String(migrations.length));
    assert.equal(server.sql(url, 'SELECT writers_from FROM head'), '0');
  });

  test('processes that start together migrate once', async () => {
    const url = await server.createDatabase();
    const stores = await Promise.all([1, 2, 3].map(() => open(url)));
    assert.equal(new Set(stores.map((store) => store.instanceId)).size, 1);
    await Promise.all(stores.map((store) => store.close()));
  });

  test('a field that becomes selectable is found in objects stored before', async () => {
    const url = await server.createDatabase();
    const before = { ...Widget, selectable: [] };
    const first = await openPostgresStore({ url, kinds: [before] });
    for (let n = 0; n < 3; n++) {
      await commit(first, { write: [{ op: 'put', kind: before, object: widget(`a${n}`, { spec: { cluster: `c${n}` } }) }] });
    }
    await first.close();
    const second = await open(url);
    const found = await second.list(Widget, { fields: [{ path: 'spec.cluster', operator: '=', value: 'c1' }] });
    assert.deepEqual(
      found.items.map((item) => item.metadata.name),
      ['a1'],
    );
    await second.close();
  });

  test('values that PostgreSQL cannot hold as they are do not fail a commit or its neighbours', async () => {
    const url = await server.createDatabase();
    const store = await open(url);
    const text = 'a\0b\ud800';
    const write = [{ op: 'put' as const, kind: Widget, object: widget('odd', { spec: { cluster: text, text } }) }];
    await Promise.all([commit(store, { write }), commit(store, { write: [put('b')] })]);
    assert.equal((await store.get(Widget, key('odd')))?.spec.text, text);
    assert.equal(await store.get(Widget, key('no\0pe')), undefined);
    await commit(store, { write: [remove('odd')] });
    await store.close();
  });

  test('posts reach the other processes with their newest value, those that come later too', async () => {
    const url = await server.createDatabase();
    const [first, second] = [await open(url), await open(url)];
    const follow = (
      store: Store,
    ): { readonly seen: Map<string, string | undefined>; readonly stop: AbortController; readonly ended: Promise<void> } => {
      const seen = new Map<string, string | undefined>();
      const stop = new AbortController();
      const ended = store.replicas?.follow(
        (posts) => posts.forEach((post) => seen.set(`${post.topic} ${post.key}`, post.value)),
        stop.signal,
      );
      return { seen, stop, ended: ended ?? Promise.resolve() };
    };
    const follower = follow(second);
    for (let n = 0; n < 100; n++) first.replicas?.post('lane', `c${n % 10}`, String(n));
    await waitFor('the posts', () => follower.seen.size === 10, { timeoutMs: 5_000 });
    assert.equal(follower.seen.get('lane c3'), '93');
    first.replicas?.post('lane', 'c3', undefined);
    await waitFor('the value to go', () => follower.seen.get('lane c3') === undefined, { timeoutMs: 5_000 });
    const third = await open(url);
    const late = follow(third);
    await waitFor('what was there', () => late.seen.size === 10 && late.seen.get('lane c9') === '99', { timeoutMs: 5_000 });
    const own = follow(first);
    second.replicas?.post('lane', 'c0', 'from the second');
    await waitFor('the answer', () => own.seen.get('lane c0') === 'from the second', { timeoutMs: 5_000 });
    assert.equal(own.seen.size, 1, 'own posts are not told');
    for (const one of [follower, late, own]) {
      one.stop.abort();
      await one.ended;
    }
    await Promise.all([first.close(), second.close(), third.close()]);
  });
}

function storeOf(stores: readonly Store[], n: number): Store {
  const store = stores[n % stores.length];
  assert.ok(store);
  return store;
}

function dumpOf(programs: string, server: PostgresServer, url: Sensitive<string>): string {
  const { password, pathname } = new URL(url.reveal());
  return execFileSync(
    join(programs, 'pg_dump'),
    ['-h', '127.0.0.1', '-p', String(server.port), '-U', 'owner', '--no-owner', pathname.slice(1)],
    { encoding: 'utf8', env: { ...process.env, PGPASSWORD: decodeURIComponent(password) } },
  );
}

/** The first `count` changes after a revision. */
async function take(store: Store, from: number, count: number): Promise<Change[]> {
  const seen: Change[] = [];
  const stop = new AbortController();
  for await (const batch of store.changes(from, [Widget, Gadget], stop.signal)) {
    seen.push(...batch);
    if (seen.length >= count) stop.abort();
  }
  return seen.slice(0, count);
}
