import type { Blob } from '#plane/store';
import type { RenderResult } from '#render';
import { buildBundle, digestOf } from './bundle.ts';
import { nameOf, sealId, type MemberBundles } from './member-bundles.ts';
import type { TreeContext } from './tree-context.ts';
import type { Member } from './wanted-groups.ts';

type Rendered = Extract<RenderResult, { readonly ok: true }>;

/** What rendering made that is not stored yet. */
export interface Staged {
  readonly blobs: Map<string, Blob>;
  readonly sealed: { readonly cluster: string; readonly equality: string; readonly digest: string }[];
  /** Of bundles made now: what their receivers must be able to fetch. */
  readonly digests: Map<string, readonly string[]>;
  /** How many times the renderer was asked. */
  renders: number;
}

export function nothingStaged(): Staged {
  return { blobs: new Map(), sealed: [], digests: new Map(), renders: 0 };
}

/** Puts the objects of a render and the bundles of its members where the next commit takes them from. */
export async function stage(
  result: Rendered,
  members: readonly Member[],
  bundles: MemberBundles,
  context: TreeContext,
  staged: Staged,
): Promise<void> {
  const keep = (bytes: Uint8Array): string => {
    const digest = digestOf(bytes);
    if (!staged.blobs.has(digest)) staged.blobs.set(digest, { digest, bytes });
    return digest;
  };
  const all = [...result.objects, ...result.hooks];
  for (const object of all) if (!object.sensitive) keep(object.body);
  const isSealed = all.some((object) => object.sensitive);
  for (const [index, member] of members.entries()) {
    const known = isSealed ? await sealedFor(result, nameOf(member), context, staged, keep) : new Map<string, string>();
    const built = buildBundle(result.objects, member.cluster?.name, (equality) => known.get(equality) ?? '', result.hooks);
    staged.blobs.set(built.digest, { digest: built.digest, bytes: built.bytes });
    staged.digests.set(built.digest, built.digests);
    if (!isSealed) {
      bundles.share(built.digest, built.objects);
      return;
    }
    bundles.give(nameOf(member), sealId(member, context), built.digest, built.objects);
    // Bundles of a thousand clusters are a thousand JSON texts.
    if (index % 20 === 19) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Equality → digest of the sealed form that the cluster is to fetch: one made before, if there is one. */
async function sealedFor(
  result: Rendered,
  cluster: string,
  context: TreeContext,
  staged: Staged,
  keep: (bytes: Uint8Array) => string,
): Promise<ReadonlyMap<string, string>> {
  const made = new Map<string, Uint8Array>();
  for (const object of [...result.objects, ...result.hooks]) {
    const own = object.sensitive ? object.sealed.find((sealed) => sealed.cluster === cluster) : undefined;
    if (own !== undefined) made.set(own.equality, own.bytes);
  }
  const digests = new Map(await context.read.sealedDigests(cluster, [...made.keys()]));
  for (const [equality, bytes] of made) {
    if (digests.has(equality)) continue;
    const digest = keep(bytes);
    digests.set(equality, digest);
    staged.sealed.push({ cluster, equality, digest });
  }
  return digests;
}
