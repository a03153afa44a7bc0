import { isDeepStrictEqual } from 'node:util';
import { Value } from 'typebox/value';
import { sha256 } from '#base';
import { DeliverySettings, type Application, type Delivery, type Release } from '#api';
import type { TreeRow } from './tree-context.ts';

export type ReleaseBundle = Release['spec']['bundles'][number];

/** What a Release would hold if it were made now; everything that is compared, nothing that is not. */
export interface ReleaseContent {
  readonly settings: DeliverySettings;
  readonly settingsDigest: string;
  readonly bundles: readonly ReleaseBundle[];
}

/** The settings of this moment, in the order of the schema, so that equal settings have equal digests. Pure. */
export function settingsOf(application: Application): { readonly settings: DeliverySettings; readonly settingsDigest: string } {
  // What the API fills in and what was left out mean the same: with defaults, they have the same digest.
  const spec = Value.Default(DeliverySettings, structuredClone(application.spec)) as Readonly<Record<string, unknown>>;
  const entries = Object.keys(DeliverySettings.properties)
    .sort()
    .filter((name) => spec[name] !== undefined)
    .map((name) => [name, spec[name]] as const);
  // Exactly the properties that the schema of DeliverySettings names, out of a spec that contains them.
  const settings = Object.fromEntries(entries) as DeliverySettings;
  return { settings, settingsDigest: sha256(canonical(settings)) };
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** One entry per digest, clusters and entries in order, so that equal content is deeply equal. Pure. */
export function bundlesOf(trees: readonly TreeRow[]): readonly ReleaseBundle[] {
  const byDigest = new Map<string, { objects: number; clusters: string[]; plane: boolean }>();
  for (const { digest, objects, members } of trees.flatMap((tree) => tree.groups.flatMap((group) => group.bundles))) {
    for (const name of Object.keys(members)) {
      // The plane's own is never shared with a cluster's: it is applied by other hands.
      const id = name === '' ? `plane ${digest}` : digest;
      const entry = byDigest.get(id) ?? { objects, clusters: [], plane: name === '' };
      if (name !== '') entry.clusters.push(name);
      byDigest.set(id, entry);
    }
  }
  return [...byDigest]
    .map(([id, { objects, clusters, plane }]): ReleaseBundle => ({
      digest: id.replace(/^plane /, ''),
      objects,
      clusters: clusters.sort(),
      ...(plane ? { plane } : {}),
    }))
    .sort((a, b) => (a.digest === b.digest ? Number(a.plane ?? false) - Number(b.plane ?? false) : a.digest < b.digest ? -1 : 1));
}

/** Whether a new Release would say anything new. The commit and the renderer do not count: only what clusters can tell apart. Pure. */
export function isNews(content: ReleaseContent, newest: Release | undefined): boolean {
  if (newest === undefined) return content.bundles.length > 0;
  return newest.spec.settingsDigest !== content.settingsDigest || !isDeepStrictEqual(newest.spec.bundles, content.bundles);
}

/**
 * The next number: above every number that was ever seen, also those that a restored plane learnt from its agents and whose
 * Release it does not have. Pure.
 */
export function nextNumber(application: Application, releases: Iterable<number>, deliveries: readonly Delivery[]): number {
  let highest = application.status?.release?.number ?? 0;
  for (const number of releases) highest = Math.max(highest, number);
  for (const { spec } of deliveries) highest = Math.max(highest, spec.wanted?.number ?? 0);
  return highest + 1;
}

/** A cluster for which everything would go, though it had something: never what a commit can mean. Pure. */
export function emptiedCluster(
  bundles: readonly ReleaseBundle[],
  newest: Release | undefined,
): { readonly cluster: string | undefined; readonly objects: number } | undefined {
  for (const empty of bundles.filter((bundle) => bundle.objects === 0)) {
    const concerned = new Set(empty.clusters);
    for (const former of newest?.spec.bundles ?? []) {
      if (former.objects === 0) continue;
      if (empty.plane === true && former.plane === true) return { cluster: undefined, objects: former.objects };
      const cluster = former.clusters.find((name) => concerned.has(name));
      if (cluster !== undefined) return { cluster, objects: former.objects };
    }
  }
  return undefined;
}

/** Releases that may go: beyond the newest `keep` and wanted or held nowhere. Pure. */
export function outdatedReleases(
  numbers: readonly number[],
  application: string,
  deliveries: readonly Delivery[],
  keep: number,
): readonly number[] {
  const used = new Set<string>();
  for (const { spec, status } of deliveries) {
    if (spec.wanted !== undefined) used.add(spec.wanted.release);
    if (status?.applied !== undefined) used.add(status.applied.release);
  }
  return numbers
    .toSorted((a, b) => b - a)
    .slice(keep)
    .filter((number) => !used.has(`${application}.${number}`));
}
