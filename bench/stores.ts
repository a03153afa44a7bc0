/** SQLite beside PostgreSQL on the same disk, both waiting for it: what the store does, and what one commit by hand costs. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Delivery } from '../src/api/index.ts';
import { openPostgresStore, openSqliteStore, type Store } from '../src/plane/store/index.ts';
import { delivery } from '../src/plane/store/testing/bench-delivery.ts';
import { postgresPrograms, startPostgres } from '../src/plane/store/testing/postgres-server.ts';
import type { Measured } from './main.ts';
import type { Row } from './report.ts';

const ROUNDS = 3;
const COMMITS = 400;
const FLEET = 10_000;

async function rate(stores: readonly Store[], writers: number): Promise<number> {
  const round = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: writers }, async (_, writer) => {
      const store = stores[writer % stores.length];
      if (store === undefined) return;
      while (next < COMMITS) {
        const n = next++;
        await store.commit({ write: [{ op: 'put', kind: Delivery, object: delivery(n, round) }] });
      }
    }),
  );
  return COMMITS / ((performance.now() - round) / 1_000);
}

async function timed(task: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await task();
  return performance.now() - started;
}

async function rounds(measure: () => Promise<number>): Promise<number[]> {
  const values: number[] = [];
  for (let round = 0; round < ROUNDS; round++) values.push(await measure());
  return values;
}

/** From the acknowledgement in one process to the watcher in another one (or the same). */
async function wake(writer: Store, watcher: Store): Promise<number> {
  const stop = new AbortController();
  let seen: (() => void) | undefined;
  const watching = (async () => {
    for await (const _ of watcher.changes(watcher.revision(), [Delivery], stop.signal)) seen?.();
  })();
  const times: number[] = [];
  for (let n = 0; n < 50; n++) {
    const heard = new Promise<void>((resolve) => (seen = resolve));
    await writer.commit({ write: [{ op: 'put', kind: Delivery, object: delivery(n, performance.now()) }] });
    const acknowledged = performance.now();
    await heard;
    times.push(performance.now() - acknowledged);
  }
  stop.abort();
  await watching;
  return times.sort((a, b) => a - b)[25] ?? 0;
}

async function measure(name: string, stores: readonly [Store, ...Store[]], floor: () => number): Promise<Row[]> {
  const [store] = stores;
  const rows: Row[] = [];
  const row = async (what: string, unit: string, task: () => Promise<number>): Promise<void> => {
    rows.push({ what: `${name}: ${what}`, target: '-', values: await rounds(task), unit });
  };
  const alone = await rounds(() => rate([store], 1));
  rows.push({
    what: `${name}: commits of 1 KB, 1 at a time`,
    target: '-',
    values: alone,
    unit: 'commits/s',
    floor: { what: 'bare INSERTs', values: await rounds(async () => floor()) },
  });
  for (const writers of [16, 64]) await row(`commits of 1 KB, ${writers} at a time`, 'commits/s', () => rate([store], writers));
  if (stores.length > 1) await row(`the same, 64 in ${stores.length} processes' stores`, 'commits/s', () => rate(stores, 64));
  for (let from = 0; from < FLEET; from += 500) {
    const write = Array.from({ length: 500 }, (_, n) => ({ op: 'put' as const, kind: Delivery, object: delivery(from + n, 0) }));
    await store.commit({ write });
  }
  await row('500 changed objects in one commit', 'ms', () => {
    const round = performance.now();
    const write = Array.from({ length: 500 }, (_, n) => ({ op: 'put' as const, kind: Delivery, object: delivery(n, round) }));
    return timed(() => store.commit({ write }));
  });
  await row('get', 'ms', () => timed(() => store.get(Delivery, { namespace: 'default', name: 'app-3.cluster-5' })));
  await row('page of 500 as text', 'ms', () => timed(() => store.listText(Delivery, { limit: 500 })));
  await row('10,000 objects as text', 'ms', () => timed(() => store.listText(Delivery)));
  await row('10 of 10,000 by field', 'ms', () =>
    timed(() => store.listText(Delivery, { fields: [{ path: 'spec.cluster', operator: '=', value: 'cluster-77' }] })),
  );
  await row('1,000 of 10,000 by label', 'ms', () =>
    timed(() => store.listText(Delivery, { labels: [{ key: 'env', operator: 'In', values: ['prod'] }] })),
  );
  await row('acknowledged to watcher, same store', 'ms', () => wake(store, store));
  const other = stores[1];
  if (other !== undefined) await row('acknowledged to watcher, another store', 'ms', () => wake(store, other));
  return rows;
}

export async function stores(): Promise<Measured> {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
  const rows: Row[] = [];
  const notes = [
    'Both databases wait for the disk at each commit; PostgreSQL is a server of its own on the loopback, sharing the cores with the store',
  ];
  try {
    const sqlite = await openSqliteStore({ dir: join(dir, 'store') });
    rows.push(...(await measure('SQLite', [sqlite], () => sqliteFloor(dir))));
    await sqlite.close();
    if (postgresPrograms() === undefined) return { rows, notes: [...notes, 'PostgreSQL is not installed here'] };
    const server = await startPostgres({ fsync: true });
    try {
      const url = await server.createDatabase();
      const both = [await openPostgresStore({ url }), await openPostgresStore({ url })] as const;
      const floor = (): number => {
        const line = `INSERT INTO bare VALUES ('${JSON.stringify(delivery(1, 0))}');`;
        server.sql(url, 'CREATE TABLE IF NOT EXISTS bare (text text)');
        const started = performance.now();
        server.sql(url, Array.from({ length: COMMITS }, () => line).join('\n'));
        return COMMITS / ((performance.now() - started) / 1_000);
      };
      rows.push(...(await measure('PostgreSQL', both, floor)));
      await Promise.all(both.map((store) => store.close()));
      notes.push(execFileSync(join(postgresPrograms() ?? '', 'postgres'), ['--version'], { encoding: 'utf8' }).trim());
    } finally {
      await server.destroy();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return { rows, notes };
}

function sqliteFloor(dir: string): number {
  const database = new DatabaseSync(join(dir, 'bare.db'));
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS rows (text TEXT)');
  const insert = database.prepare('INSERT INTO rows (text) VALUES (?)');
  const started = performance.now();
  for (let n = 0; n < COMMITS; n++) insert.run(JSON.stringify(delivery(n, 0)));
  const result = COMMITS / ((performance.now() - started) / 1_000);
  database.close();
  return result;
}
