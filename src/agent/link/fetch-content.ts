import type { Bundle } from '#api';
import { FairleadError, sha256 } from '#base';
import type { AgentStore } from '../state/agent-store.ts';
import type { Credentials, PlaneClient } from './plane-client.ts';

const MAX_BUNDLE_BYTES = 16 * 1024 * 1024;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
// Of one answer, by the sizes the bundle names; and the most digests one request may name.
const TARGET_BYTES = 8 * 1024 * 1024;
const MAX_DIGESTS = 2000;
const TIMEOUT_MS = 60_000;

export interface FetchOptions {
  readonly plane: PlaneClient;
  readonly credentials: Credentials;
  readonly store: AgentStore;
  readonly signal: AbortSignal;
}

/**
 * Makes the bundle and every object of it durable here; only what is missing is fetched, and every digest is verified.
 * Errors: those of the plane, `FL_CONTENT_DIGEST` (what came is not what was asked for), `FL_CONTENT_MISSING`.
 */
export async function fetchContent(digest: string, options: FetchOptions): Promise<Bundle> {
  const { store } = options;
  let bundle = store.bundle(digest);
  let bytes: Buffer | undefined;
  if (bundle === undefined) {
    bytes = await options.plane.call({
      method: 'GET',
      path: `/agent/v1/bundles/${digest}`,
      credentials: options.credentials,
      timeoutMs: TIMEOUT_MS,
      maxResponseBytes: MAX_BUNDLE_BYTES,
      signal: options.signal,
    });
    if (sha256(bytes) !== digest) throw wrongDigest(digest);
    bundle = parseBundle(bytes, digest);
  }
  const missing = new Map<string, number>();
  for (const entry of [...bundle.entries, ...(bundle.hooks ?? [])])
    if (!store.hasObject(entry.digest)) missing.set(entry.digest, entry.size);
  for (const group of groupBySize([...missing])) await fetchObjects(group, options);
  // Last, so that a bundle that is here is here with all its objects.
  if (bytes !== undefined) await store.addContent({ bundles: new Map([[digest, bytes]]), objects: new Map() });
  return bundle;
}

function parseBundle(bytes: Buffer, digest: string): Bundle {
  const bundle = JSON.parse(bytes.toString('utf8')) as Bundle; // named by a signed document, and checked for what we rely on
  const isWhole =
    bundle.version === 1 &&
    Array.isArray(bundle.entries) &&
    [...bundle.entries, ...(bundle.hooks ?? [])].every((entry) => /^sha256:[0-9a-f]{64}$/.test(entry.digest));
  if (!isWhole) {
    throw new FairleadError('FL_CONTENT_FORM', `bundle ${digest} is of a form this agent does not know; upgrade the agent`, {
      kind: 'invalid',
    });
  }
  return bundle;
}

function groupBySize(missing: readonly (readonly [digest: string, size: number])[]): string[][] {
  const groups: string[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const [digest, size] of missing) {
    const last = groups.at(-1);
    if (last === undefined || bytes + size > TARGET_BYTES || last.length >= MAX_DIGESTS) {
      groups.push([digest]);
      bytes = size;
    } else {
      last.push(digest);
      bytes += size;
    }
  }
  return groups;
}

async function fetchObjects(digests: readonly string[], options: FetchOptions): Promise<void> {
  const answer = await options.plane.call({
    method: 'POST',
    path: '/agent/v1/objects',
    body: { digests },
    credentials: options.credentials,
    timeoutMs: TIMEOUT_MS,
    maxResponseBytes: MAX_ANSWER_BYTES,
    signal: options.signal,
  });
  const objects = parseFrames(answer);
  const asked = new Set(digests);
  for (const [digest, bytes] of objects) if (!asked.has(digest) || sha256(bytes) !== digest) throw wrongDigest(digest);
  // What did come is kept, so that the next attempt asks for less.
  await options.store.addContent({ bundles: new Map(), objects });
  const absent = digests.find((digest) => !objects.has(digest));
  if (absent !== undefined) {
    throw new FairleadError('FL_CONTENT_MISSING', `the plane did not send object ${absent}`, { kind: 'unavailable' });
  }
}

/** Frames `<digest> <size>\n<bytes>`, one after another. */
export function parseFrames(answer: Buffer): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  let at = 0;
  while (at < answer.length) {
    const end = answer.indexOf(0x0a, at);
    const match =
      end < 0 || end - at > 200 ? null : /^(sha256:[0-9a-f]{64}) (\d{1,10})$/.exec(answer.toString('latin1', at, end));
    const size = Number(match?.[2]);
    if (match === null || end + 1 + size > answer.length) {
      throw new FairleadError('FL_CONTENT_FORM', 'the plane sent objects in a form this agent does not know', {
        kind: 'unavailable',
      });
    }
    found.set(match[1] ?? '', Buffer.from(answer.subarray(end + 1, end + 1 + size)));
    at = end + 1 + size;
  }
  return found;
}

function wrongDigest(wanted: string): FairleadError {
  return new FairleadError('FL_CONTENT_DIGEST', `content whose digest should be ${wanted} has another one`, {
    kind: 'unavailable',
    details: { wanted },
  });
}
