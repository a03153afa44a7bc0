import { FairleadError } from '#base';
import { agentRefusals } from '#api';
import type { HttpResponse } from '#plane/http';
import type { Store } from '#plane/store';

const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** Read at once while streaming: bounds what one request holds in memory. */
const BATCH = 100;
/** A client that takes longer reads too slowly to be waited for. */
const STREAM_MS = 300_000;
const MAX_STREAMS = 200;
const MAX_STREAMS_PER_CLUSTER = 4;
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

/** How many objects are being streamed to whom: what they hold in memory stays bounded. */
export class Streams {
  readonly #clusters = new Map<string, number>();
  #total = 0;

  /** Takes a place and gives the way to leave it. Errors: FL_AGENT_BUSY. */
  enter(cluster: string): () => void {
    const mine = this.#clusters.get(cluster) ?? 0;
    if (mine >= MAX_STREAMS_PER_CLUSTER || this.#total >= MAX_STREAMS) {
      throw new FairleadError(agentRefusals.busy, 'too many objects are being fetched at the same time; try again in a second', {
        kind: 'unavailable',
        retryAfterMs: 1000,
      });
    }
    this.#clusters.set(cluster, mine + 1);
    this.#total += 1;
    let hasLeft = false;
    return () => {
      if (hasLeft) return;
      hasLeft = true;
      const left = (this.#clusters.get(cluster) ?? 1) - 1;
      if (left === 0) this.#clusters.delete(cluster);
      else this.#clusters.set(cluster, left);
      this.#total -= 1;
    };
  }
}

/** Frames `<digest> <size>\n<bytes>`, in the order asked. All of them, or 404. `gone`: the client is. `onSent`: for each object, its bytes. */
export async function objects(
  store: Store,
  streams: Streams,
  cluster: string,
  digests: readonly string[],
  gone: AbortSignal,
  onSent: (bytes: number) => void,
): Promise<HttpResponse> {
  if (!digests.every((digest) => DIGEST.test(digest))) throw notThere();
  const batches: string[][] = [];
  for (let at = 0; at < digests.length; at += BATCH) batches.push(digests.slice(at, at + BATCH));
  const leave = streams.enter(cluster);
  gone.addEventListener('abort', leave, { once: true });
  try {
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
        const over = AbortSignal.any([out.closed, AbortSignal.timeout(STREAM_MS)]);
        const ended = new Promise<void>((resolve) => over.addEventListener('abort', () => resolve(), { once: true }));
        try {
          for (const [index, batch] of batches.entries()) {
            const found = index === 0 ? first : await store.blobs(batch, cluster);
            for (const digest of batch) {
              const bytes = found.get(digest);
              // Blobs are immutable and were there a moment ago: only a broken store comes here, and the answer is short.
              if (bytes === undefined || over.aborted) return;
              out.write(Buffer.concat([Buffer.from(`${digest} ${bytes.length}\n`), bytes]));
              onSent(bytes.length);
              await Promise.race([out.drained(), ended]);
            }
          }
        } finally {
          leave();
        }
      },
    };
  } catch (error) {
    leave();
    throw error;
  }
}
