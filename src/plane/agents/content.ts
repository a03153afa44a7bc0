import { FairleadError } from '#base';
import type { HttpResponse, ResponseStream } from '#plane/http';
import type { Store } from '#plane/store';

const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** Read at once while streaming: bounds what one request holds in memory. */
const BATCH = 100;
const headers = { 'cache-control': 'private, no-store' } as const;

/** One answer for what does not exist and for what was issued to others only: they cannot be told apart. */
function notThere(): FairleadError {
  return new FairleadError('FL_CONTENT_UNKNOWN', 'nothing of that digest was issued to this cluster; sync again', {
    kind: 'not-found',
  });
}

export async function bundle(store: Store, cluster: string, digest: string): Promise<HttpResponse> {
  const found = DIGEST.test(digest) ? (await store.blobs([digest], cluster)).get(digest) : undefined;
  if (found === undefined) throw notThere();
  return { status: 200, headers: { ...headers, 'content-type': 'application/json' }, body: found };
}

/** Frames `<digest> <size>\n<bytes>`, in the order asked. All of them, or 404. */
export async function objects(store: Store, cluster: string, digests: readonly string[]): Promise<HttpResponse> {
  if (!digests.every((digest) => DIGEST.test(digest))) throw notThere();
  const batches: string[][] = [];
  for (let at = 0; at < digests.length; at += BATCH) batches.push(digests.slice(at, at + BATCH));
  // Before the first byte is sent it is known that all are there; bytes of more than one batch are read twice, not kept.
  let first: ReadonlyMap<string, Uint8Array> = new Map();
  for (const [index, batch] of batches.entries()) {
    const found = await store.blobs(batch, cluster);
    if (batch.some((digest) => !found.has(digest))) throw notThere();
    if (index === 0) first = found;
  }
  return {
    status: 200,
    headers: { ...headers, 'content-type': 'application/vnd.fairlead.objects' },
    async stream(out) {
      for (const [index, batch] of batches.entries()) {
        if (out.closed.aborted) return;
        await writeFrames(out, batch, index === 0 ? first : await store.blobs(batch, cluster));
      }
    },
  };
}

async function writeFrames(
  out: ResponseStream,
  digests: readonly string[],
  found: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  for (const digest of digests) {
    const bytes = found.get(digest);
    // Blobs are immutable and were there a moment ago: only a broken store comes here, and the agent sees a short answer.
    if (bytes === undefined || out.closed.aborted) return;
    out.write(Buffer.concat([Buffer.from(`${digest} ${bytes.length}\n`), bytes]));
    await out.drained();
  }
}
