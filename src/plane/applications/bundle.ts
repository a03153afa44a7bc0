import { sha256 } from '#base';
import type { Bundle, BundleEntry } from '#api';
import type { RenderedObject } from '#render';

/** A bundle as it is stored and signed: exact bytes and their digest. */
export interface BuiltBundle {
  readonly digest: string;
  readonly bytes: Uint8Array;
  readonly objects: number;
  /** Digests that its receiver must be able to fetch, its own included. */
  readonly digests: readonly string[];
}

/**
 * The bundle of one receiver, with files named as the repository calls them: `path` is what was rendered. `sealedDigest`
 * gives the digest of the sealed form of an object for that receiver; a sealed form is as long as any other of the same
 * clear bytes, so that an older one can stand in its place. Pure.
 */
export function buildBundle(
  objects: readonly RenderedObject[],
  cluster: string | undefined,
  sealedDigest: (equality: string) => string,
  path = '.',
): BuiltBundle {
  const entries = objects.map((object): BundleEntry => {
    const { id, stage, wave, scope, source } = object;
    const common = { id, stage, wave, scope, source: { file: fileIn(path, source.file), line: source.line } };
    if (!object.sensitive) return { ...common, digest: digestOf(object.body), size: object.body.byteLength };
    const own = object.sealed.find((sealed) => sealed.cluster === cluster);
    if (own === undefined) throw new Error(`broken guarantee: ${id.kind} ${id.name} is not sealed for ${cluster ?? 'the plane'}`);
    return { ...common, digest: sealedDigest(own.equality), size: own.bytes.byteLength, sealed: own.equality };
  });
  const bundle: Bundle = { version: 1, entries };
  const bytes = Buffer.from(JSON.stringify(bundle));
  const digest = sha256(bytes);
  return { digest, bytes, objects: entries.length, digests: [digest, ...new Set(entries.map((entry) => entry.digest))] };
}

/** A file of a rendered directory as the repository calls it. */
export function fileIn(path: string, file: string): string {
  return path === '.' || path === '' ? file : `${path.replace(/\/+$/, '')}/${file}`;
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
  return [...new Set(bundle.entries.map((entry) => entry.digest))];
}
