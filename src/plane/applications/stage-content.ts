import type { Reader } from '#plane/engine';
import type { Transaction } from '#plane/store';
import { digestsOf } from './bundle.ts';
import type { ReleaseBundle } from './plan-release.ts';
import type { Staged } from './staged.ts';

const chunk = { bytes: 4 << 20, blobs: 500, rows: 4_000 };

/** Everything a Release needs before it may exist, in transactions of bounded size; or which bundle is not there any more. */
export type ContentPlan = { readonly chunks: readonly Transaction[] } | { readonly missing: string };

/**
 * Blobs first, then who may fetch them: to each cluster what its bundle lists and its former bundle did not. Repeating it
 * changes nothing.
 */
export async function planContent(
  staged: Staged,
  bundles: readonly ReleaseBundle[],
  former: readonly ReleaseBundle[],
  read: Pick<Reader, 'blobs'>,
): Promise<ContentPlan> {
  const formerOf = new Map<string, string>();
  for (const { digest, clusters } of former) for (const cluster of clusters) formerOf.set(cluster, digest);
  const listed = new Map<string, readonly string[] | undefined>();
  const listOf = async (digest: string): Promise<readonly string[] | undefined> => {
    const made = staged.digests.get(digest);
    if (made !== undefined) return made;
    if (!listed.has(digest)) {
      const bytes = (await read.blobs([digest])).get(digest);
      listed.set(digest, bytes === undefined ? undefined : [digest, ...digestsOf(bytes)]);
    }
    return listed.get(digest);
  };
  const issues: { readonly cluster: string; readonly digests: readonly string[] }[] = [];
  for (const [index, { digest, clusters }] of bundles.entries()) {
    // With Secrets every cluster has a bundle of its own.
    if (index % 50 === 49) await new Promise((resolve) => setImmediate(resolve));
    const now = await listOf(digest);
    if (now === undefined) return { missing: digest };
    const newOver = new Map<string, readonly string[]>();
    for (const cluster of clusters) {
      const before = formerOf.get(cluster) ?? '';
      if (before === digest) continue;
      let digests = newOver.get(before);
      if (digests === undefined) {
        const had = new Set(before === '' ? [] : ((await listOf(before)) ?? []));
        digests = now.filter((one) => !had.has(one));
        newOver.set(before, digests);
      }
      issues.push({ cluster, digests });
    }
  }
  return { chunks: [...blobChunks(staged), ...rowChunks(staged.sealed, issues)] };
}

function* blobChunks(staged: Staged): Generator<Transaction> {
  let blobs: { readonly digest: string; readonly bytes: Uint8Array }[] = [];
  let bytes = 0;
  for (const blob of staged.blobs.values()) {
    if (blobs.length > 0 && (blobs.length >= chunk.blobs || bytes + blob.bytes.byteLength > chunk.bytes)) {
      yield { blobs };
      blobs = [];
      bytes = 0;
    }
    blobs.push(blob);
    bytes += blob.bytes.byteLength;
  }
  if (blobs.length > 0) yield { blobs };
}

function* rowChunks(
  sealed: Staged['sealed'],
  issues: readonly { readonly cluster: string; readonly digests: readonly string[] }[],
): Generator<Transaction> {
  for (let at = 0; at < sealed.length; at += chunk.rows) yield { sealed: sealed.slice(at, at + chunk.rows) };
  let issue: { readonly cluster: string; readonly digests: readonly string[] }[] = [];
  let rows = 0;
  for (const { cluster, digests } of issues) {
    // A bundle may list more objects than a chunk has rows.
    for (let at = 0; at < digests.length; at += chunk.rows) {
      const part = digests.slice(at, at + chunk.rows);
      if (issue.length > 0 && rows + part.length > chunk.rows) {
        yield { issue };
        issue = [];
        rows = 0;
      }
      issue.push({ cluster, digests: part });
      rows += part.length;
    }
  }
  if (issue.length > 0) yield { issue };
}

const small = { bytes: 1 << 20, rows: 2_000 };

/**
 * The chunks and what they are for: one transaction when all of it is small, as nearly always, because every commit waits for
 * the disk; else one after the other, content first.
 */
export function contentFirst(chunks: readonly Transaction[], last: Transaction): readonly Transaction[] {
  const blobs = chunks.flatMap((one) => one.blobs ?? []);
  const sealed = chunks.flatMap((one) => one.sealed ?? []);
  const issue = chunks.flatMap((one) => one.issue ?? []);
  const bytes = blobs.reduce((sum, blob) => sum + blob.bytes.byteLength, 0);
  const rows = blobs.length + sealed.length + issue.reduce((sum, one) => sum + one.digests.length, 0);
  return bytes > small.bytes || rows > small.rows ? [...chunks, last] : [{ ...last, blobs, sealed, issue }];
}
