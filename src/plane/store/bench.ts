/**
 * `node src/plane/store/bench.ts [--quick]`: what the store does on this machine, beside a bare INSERT loop with the same fsync.
 * It prints figures and asserts none.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Delivery } from '#api';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import { delivery } from './testing/bench-delivery.ts';
import type { Store } from './types.ts';

const isQuick = process.argv.includes('--quick');
const ROUNDS = isQuick ? 2 : 5;
const COMMITS = isQuick ? 300 : 1_500;
const FLEET = 10_000;
const WATCHERS = 50;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function report(what: string, unit: string, values: readonly number[]): void {
  const sorted = [...values].sort((a, b) => a - b);
  const digits = (n: number | undefined): string =>
    (n ?? 0).toLocaleString('en', { maximumFractionDigits: (n ?? 0) < 100 ? 2 : 0 });
  const median = sorted[Math.floor(sorted.length / 2)];
  print(`${what.padEnd(64)}${digits(median).padStart(9)} ${unit.padEnd(10)} (${digits(sorted[0])} to ${digits(sorted.at(-1))})`);
}

async function rounds(what: string, unit: string, measure: () => Promise<number> | number): Promise<void> {
  const values: number[] = [];
  for (let round = 0; round < ROUNDS; round++) values.push(await measure());
  report(what, unit, values);
}

async function commitsPerSecond(store: Store, writers: number): Promise<number> {
  const started = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: writers }, async () => {
      while (next < COMMITS) {
        const n = next++;
        await store.commit({ write: [{ op: 'put', kind: Delivery, object: delivery(n, started) }] });
      }
    }),
  );
  return COMMITS / ((performance.now() - started) / 1_000);
}

function bareInserts(dir: string): number {
  const database = new DatabaseSync(join(dir, 'bare.db'));
  database.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, text TEXT)',
  );
  const insert = database.prepare('INSERT INTO rows (text) VALUES (?)');
  const started = performance.now();
  for (let n = 0; n < COMMITS; n++) insert.run(JSON.stringify(delivery(n, 0)));
  const rate = COMMITS / ((performance.now() - started) / 1_000);
  database.close();
  return rate;
}

async function fanOut(store: Store): Promise<number> {
  const stop = new AbortController();
  const commits = isQuick ? 100 : 400;
  const target = store.revision() + commits;
  const watchers = Array.from({ length: WATCHERS }, async () => {
    for await (const batch of store.changes(store.revision(), [Delivery], stop.signal)) {
      if ((batch.at(-1)?.revision ?? 0) >= target) return;
    }
  });
  const started = performance.now();
  for (let n = 0; n < commits; n++) {
    await store.commit({ write: [{ op: 'put', kind: Delivery, object: delivery(n, started) }] });
  }
  await Promise.all(watchers);
  stop.abort();
  return (commits * WATCHERS) / ((performance.now() - started) / 1_000);
}

async function wakeLatency(store: Store): Promise<number> {
  const stop = new AbortController();
  let seen: (() => void) | undefined;
  const watching = (async () => {
    for await (const _ of store.changes(store.revision(), [Delivery], stop.signal)) seen?.();
  })();
  const times: number[] = [];
  for (let n = 0; n < 100; n++) {
    const heard = new Promise<void>((resolve) => (seen = resolve));
    const started = performance.now();
    await store.commit({ write: [{ op: 'put', kind: Delivery, object: delivery(n, started) }] });
    const acknowledged = performance.now();
    await heard;
    times.push(performance.now() - acknowledged);
  }
  stop.abort();
  await watching;
  return times.sort((a, b) => a - b)[50] ?? 0;
}

async function timed(task: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await task();
  return performance.now() - started;
}

const dir = mkdtempSync(join(tmpdir(), 'fairlead-bench-'));
print(
  `${cpus()[0]?.model ?? 'unknown CPU'}, ${cpus().length} CPUs, load ${loadavg()[0]?.toFixed(1)}, Node ${process.version}, ${ROUNDS} rounds: median (spread)`,
);
try {
  await openSqliteStore({ dir: join(dir, 'warm') }).then((store) => store.close());
  await rounds('open and close a new database', 'ms', () =>
    timed(async () => (await openSqliteStore({ dir: mkdtempSync(join(dir, 'open-')) })).close()),
  );
  await rounds('floor: bare INSERT with the same fsync, one by one', 'commits/s', () => bareInserts(dir));
  const store = await openSqliteStore({ dir: join(dir, 'store') });
  for (const writers of [1, 8, 64]) {
    await rounds(`commits of one 1 KB object, ${writers} at a time`, 'commits/s', () => commitsPerSecond(store, writers));
  }
  for (let from = 0; from < FLEET; from += 500) {
    await store.commit({
      write: Array.from({ length: 500 }, (_, n) => ({ op: 'put' as const, kind: Delivery, object: delivery(from + n, 0) })),
    });
  }
  await rounds('500 changed objects in one commit', 'ms', () => {
    const round = performance.now();
    return timed(() =>
      store.commit({
        write: Array.from({ length: 500 }, (_, n) => ({ op: 'put' as const, kind: Delivery, object: delivery(n, round) })),
      }),
    );
  });
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await rounds('list of 10,000 objects as text', 'ms', () => timed(() => store.listText(Delivery)));
  await rounds('list of 10,000 objects parsed', 'ms', () => timed(() => store.list(Delivery)));
  delay.disable();
  print(`${'  event-loop delay meanwhile, p99'.padEnd(64)}${(delay.percentile(99) / 1e6).toFixed(1).padStart(9)} ms`);
  await rounds('page of 500 as text', 'ms', () => timed(() => store.listText(Delivery, { limit: 500 })));
  await rounds('10 of 10,000 by field (spec.cluster=…)', 'ms', () =>
    timed(() => store.listText(Delivery, { fields: [{ path: 'spec.cluster', operator: '=', value: 'cluster-77' }] })),
  );
  await rounds('1,000 of 10,000 by label (env=prod)', 'ms', () =>
    timed(() => store.listText(Delivery, { labels: [{ key: 'env', operator: 'In', values: ['prod'] }] })),
  );
  await rounds('get of one object', 'ms', () =>
    timed(() => store.get(Delivery, { namespace: 'default', name: 'app-3.cluster-5' })),
  );
  await rounds('from acknowledged to watcher, median of 100', 'ms', () => wakeLatency(store));
  await rounds(`changes delivered to ${WATCHERS} watchers while one writer commits`, 'changes/s', () => fanOut(store));
  await store.close();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
