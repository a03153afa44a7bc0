import type { Clock } from '#base';
import { digestText } from '../encode.ts';
import { SWEEP_GRACE_MS, type RecentDigests } from '../recent-digests.ts';
import type { SqliteReader } from './reader.ts';
import type { WriterClient } from './writer-client.ts';

const PAGE = 500;

export interface Sweep {
  readonly isKept: (digest: string) => boolean;
  readonly signal: AbortSignal;
  readonly reader: SqliteReader;
  readonly writer: WriterClient;
  readonly asked: RecentDigests;
  readonly clock: Clock;
}

/** Goes through all blobs in pages; other commits run in between. */
export async function sweepBlobs({ isKept, signal, reader, writer, asked, clock }: Sweep): Promise<number> {
  let removed = 0;
  let after: Uint8Array = new Uint8Array();
  for (;;) {
    signal.throwIfAborted();
    const beforeMs = clock.now() - SWEEP_GRACE_MS;
    const rows = reader.sql('SELECT digest, at FROM blobs WHERE digest > ? ORDER BY digest LIMIT ?').all(after, PAGE);
    const digests: string[] = [];
    for (const row of rows) {
      // A BLOB column.
      after = row['digest'] as Uint8Array;
      const digest = digestText(after);
      if (Number(row['at']) < beforeMs && !asked.has(digest, clock.now()) && !isKept(digest)) digests.push(digest);
    }
    if (digests.length > 0) {
      const value = await writer.request({ op: 'sweep', digests, beforeMs });
      if (value !== undefined && 'removed' in value) removed += value.removed;
    } else await new Promise((resolve) => setImmediate(resolve));
    if (rows.length < PAGE) break;
  }
  if (removed > 0) await trim(reader, writer, signal);
  return removed;
}

async function trim(reader: SqliteReader, writer: WriterClient, signal: AbortSignal): Promise<void> {
  let cluster = '';
  for (;;) {
    signal.throwIfAborted();
    const row = reader
      .sql(
        'SELECT min(cluster) AS cluster FROM (SELECT min(cluster) AS cluster FROM issued WHERE cluster > ?' +
          ' UNION ALL SELECT min(cluster) AS cluster FROM sealed WHERE cluster > ?)',
      )
      .get(cluster, cluster);
    if (row === undefined || row['cluster'] === null) return;
    cluster = String(row['cluster']);
    await writer.request({ op: 'trim', cluster });
  }
}
