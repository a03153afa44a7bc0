import { sha256 } from '#base';
import type { Application, RenderOptions } from '#api';
import { expandVariables, type RenderCluster } from '#render';
import type { FleetCluster } from './fleet.ts';
import type { Targeting } from './targets.ts';

/** Clusters that are rendered from the same files in the same way; what they still may differ in are variables. */
export interface BaseGroup {
  /** sha256 over renderer version, path and options. */
  readonly base: string;
  readonly path: string;
  readonly recurse: boolean;
  readonly substitute: boolean;
  /** Clusters, or the plane alone. */
  readonly members: readonly Member[];
}

/** One receiver of a render: a cluster, or the plane itself. */
export interface Member {
  /** Absent: the plane itself, which is no cluster and has no variables. */
  readonly cluster?: FleetCluster;
}

export type Grouping =
  | { readonly ok: true; readonly groups: readonly BaseGroup[] }
  | { readonly ok: false; readonly message: string; readonly cluster: string };

/** Groups the joined clusters (and the plane, if it is a target) by path and options. Pure. */
export function baseGroups(application: Application, targeting: Targeting, rendererVersion: string): Grouping {
  const template = application.spec.source.path ?? '.';
  const groups = new Map<string, { group: BaseGroup; members: Member[] }>();
  const add = (member: Member, path: string, render: RenderOptions): void => {
    const recurse = render.manifests?.recurse ?? true;
    const substitute = render.manifests?.substitute ?? false;
    const base = sha256(
      JSON.stringify([
        'base 1',
        rendererVersion,
        member.cluster === undefined ? 'plane' : 'cluster',
        path,
        recurse,
        substitute,
        application.spec.defaultNamespace ?? null,
      ]),
    );
    const known = groups.get(base);
    if (known !== undefined) known.members.push(member);
    else {
      const members = [member];
      groups.set(base, { group: { base, path, recurse, substitute, members }, members });
    }
  };
  for (const { cluster, render } of targeting.clusters) {
    // Nothing can be sealed to a cluster whose agent has not joined.
    if (cluster.sealingKey === undefined) continue;
    const path = expandVariables(template, cluster, { allowFacts: false });
    if (!path.ok) return { ok: false, message: path.message, cluster: cluster.name };
    add({ cluster }, path.text, render);
  }
  if (targeting.plane !== undefined) {
    const path = expandVariables(template, planeVariables, { allowFacts: false });
    if (!path.ok) return { ok: false, message: path.message, cluster: planeVariables.name };
    add({}, path.text, targeting.plane.render);
  }
  return { ok: true, groups: [...groups.values()].map(({ group }) => group) };
}

/** What variables are on the plane itself: none. */
export const planeVariables: RenderCluster = { name: 'the plane', labels: {}, facts: {} };

export function variablesOf(member: Member): RenderCluster {
  return member.cluster ?? planeVariables;
}

/** Names of the variables that any of the files mentions: more than a render will ask for, never less. Pure. */
export function mentionedVariables(files: Iterable<Uint8Array>): readonly string[] {
  const found = new Set<string>();
  for (const bytes of files) {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = text.indexOf('${cluster.'); at >= 0; at = text.indexOf('${cluster.', at + 1)) {
      const end = text.indexOf('}', at);
      // Without an end it is an error of the render, the same for everybody.
      if (end < 0) break;
      found.add(text.toString('utf8', at + 2, end));
    }
  }
  return [...found].sort();
}

/** The cluster as a render may see it: only what its files mention, so that nothing else can have an influence. */
export function narrowed(cluster: RenderCluster, mentioned: readonly string[]): RenderCluster {
  const pick = (from: Readonly<Record<string, string>>, prefix: string): Record<string, string> => {
    const picked: Record<string, string> = {};
    for (const name of mentioned) {
      const key = name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
      const value = key !== undefined && Object.hasOwn(from, key) ? from[key] : undefined;
      if (key !== undefined && value !== undefined) picked[key] = value;
    }
    return picked;
  };
  return { name: cluster.name, labels: pick(cluster.labels, 'cluster.labels.'), facts: pick(cluster.facts, 'cluster.facts.') };
}

/** Equal for two clusters exactly when the mentioned variables have equal values on both. */
export function valuesKey(cluster: RenderCluster, mentioned: readonly string[]): string {
  const seen = narrowed(cluster, mentioned);
  const name = mentioned.includes('cluster.name') ? seen.name : '';
  const pairs = (record: Readonly<Record<string, string>>): (readonly [string, string])[] =>
    Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
  return sha256(JSON.stringify(['values 1', name, pairs(seen.labels), pairs(seen.facts)]));
}
