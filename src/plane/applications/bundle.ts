import { sha256 } from '#base';
import type { Bundle, BundleEntry, HookEntry } from '#api';
import type { RenderedHook, RenderedObject } from '#render';

/** A bundle as it is stored and signed: exact bytes and their digest. */
export interface BuiltBundle {
  readonly digest: string;
  readonly bytes: Uint8Array;
  readonly objects: number;
  /** Digests that its receiver must be able to fetch, its own included. */
  readonly digests: readonly string[];
}

/**
 * The bundle of one receiver. `sealedDigest` gives the digest of the sealed form of an object for that receiver; a sealed form
 * is as long as any other of the same clear bytes, so that an older one can stand in its place. Pure.
 */
export function buildBundle(
  objects: readonly RenderedObject[],
  cluster: string | undefined,
  sealedDigest: (equality: string) => string,
  hooks: readonly RenderedHook[] = [],
): BuiltBundle {
  const entryOf = (object: RenderedObject): BundleEntry => {
    const { id, stage, wave, scope, source, keep, createOnly } = object;
    const common = {
      id,
      stage,
      wave,
      scope,
      source,
      ...(keep === true ? { keep } : {}),
      ...(createOnly === true ? { createOnly } : {}),
    };
    if (!object.sensitive) return { ...common, digest: digestOf(object.body), size: object.body.byteLength };
    const own = object.sealed.find((sealed) => sealed.cluster === cluster);
    if (own === undefined) throw new Error(`broken guarantee: ${id.kind} ${id.name} is not sealed for ${cluster ?? 'the plane'}`);
    return { ...common, digest: sealedDigest(own.equality), size: own.bytes.byteLength, sealed: own.equality };
  };
  const entries = objects.map(entryOf);
  const hookEntries = hooks.map((object): HookEntry => {
    const { events, weight, deletePolicies, timeoutSeconds } = object.hook;
    return { ...entryOf(object), events: [...events], weight, deletePolicies: [...deletePolicies], timeoutSeconds };
  });
  const bundle: Bundle = { version: 1, entries, ...(hookEntries.length === 0 ? {} : { hooks: hookEntries }) };
  const bytes = Buffer.from(JSON.stringify(bundle));
  const digest = sha256(bytes);
  const digests = new Set([...entries, ...hookEntries].map((entry) => entry.digest));
  return { digest, bytes, objects: entries.length, digests: [digest, ...digests] };
}

/** A thousand clusters share a render: its bytes are hashed once. */
const known = new WeakMap<Uint8Array, string>();

export function digestOf(bytes: Uint8Array): string {
  const digest = known.get(bytes) ?? sha256(bytes);
  known.set(bytes, digest);
  return digest;
}

/** Digests of everything a stored bundle lists. */
export function digestsOf(bytes: Uint8Array): readonly string[] {
  // Our own bytes, found by their digest.
  const bundle = JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle;
  return [...new Set([...bundle.entries, ...(bundle.hooks ?? [])].map((entry) => entry.digest))];
}
