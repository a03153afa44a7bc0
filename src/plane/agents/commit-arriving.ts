import {
  Application,
  followedCommits,
  sourceKeys,
  type Bundle,
  type Cluster,
  type Delivery,
  type DesiredState,
  type FollowedCommits,
  type Release,
} from '#api';
import type { Reader } from '#plane/engine';
import type { ReleaseCache } from './compose-inputs.ts';
import type { DesiredContent } from './desired-state.ts';

/** A document waits at most this long for the rest of a commit. */
export const ARRIVING_MS = 10_000;

/** Of one application that is delivered to the cluster: what tells whether the newest commit has reached its Delivery. */
export interface Sibling {
  readonly application: Application;
  /** Newest commits of its sources for the references it follows. */
  readonly followed: FollowedCommits;
  readonly delivery: Delivery;
  /** Its newest Release, if that is not the wanted one. */
  readonly newest: Release | undefined;
}

/**
 * Whether the newest commit of its source has not come to this Delivery yet, though it will: it was not looked at, or its
 * Release is not assigned. Pure.
 */
export function isBehind({ application, followed, delivery, newest }: Sibling): boolean {
  const { metadata, spec, status } = application;
  if (metadata.deletionTimestamp !== undefined || spec.suspend === true || delivery.spec.retire !== undefined) return false;
  if (followed.commit === undefined) return false;
  if (status?.commit !== followed.commit) return true;
  if (followed.files.some(({ at, commit }) => status.files?.find((one) => one.at === at)?.commit !== commit)) return true;
  if (newest === undefined || newest.spec.applicationUid !== metadata.uid) return false;
  const bundle = newest.spec.bundles.find((one) => one.clusters.includes(delivery.spec.cluster))?.digest;
  return bundle !== undefined && bundle !== delivery.spec.wanted?.bundle;
}

/** Names of the applications of which `content` drops an object that `before` has. */
export async function droppingObjects(
  read: Pick<Reader, 'blobs'>,
  content: DesiredContent,
  before: DesiredState,
): Promise<readonly { readonly project: string; readonly name: string }[]> {
  const changed = content.applications.flatMap((now) => {
    const former = before.applications.find((one) => one.project === now.project && one.name === now.name);
    return former === undefined || former.bundle === now.bundle ? [] : [{ now, former }];
  });
  if (changed.length === 0) return [];
  const blobs = await read.blobs([...new Set(changed.flatMap(({ now, former }) => [now.bundle, former.bundle]))]);
  const idsOf = (digest: string): ReadonlySet<string> => {
    const bytes = blobs.get(digest);
    if (bytes === undefined) return new Set();
    // Written by the applications room, in exactly this shape.
    const { entries } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle;
    return new Set(entries.map(({ id }) => `${id.group}/${id.kind}/${id.namespace}/${id.name}`));
  };
  return changed.flatMap(({ now, former }) => {
    const kept = idsOf(now.bundle);
    return [...idsOf(former.bundle)].some((id) => !kept.has(id)) ? [{ project: now.project, name: now.name }] : [];
  });
}

/**
 * Whether a document would drop an object that the same commit may give to another application of the source: signed now,
 * the cluster would delete what a moment later it is to have again. A move between applications is a transfer only if both
 * sides of it come in one document.
 */
export async function isCommitArriving(
  read: Reader,
  releases: ReleaseCache,
  given: {
    readonly cluster: Cluster;
    readonly content: DesiredContent;
    readonly before: DesiredState | undefined;
    readonly deliveries: readonly Delivery[];
  },
): Promise<boolean> {
  const { cluster, content, before, deliveries } = given;
  if (before === undefined || cluster.spec.suspend === true) return false;
  for (const dropping of await droppingObjects(read, content, before)) {
    const own = await read.get(Application, { namespace: dropping.project, name: dropping.name });
    if (own === undefined) continue;
    for (const delivery of deliveries) {
      const { namespace = '' } = delivery.metadata;
      const { application: name, wanted } = delivery.spec;
      if (namespace !== dropping.project || name === dropping.name) continue;
      const application = await read.get(Application, { namespace, name });
      if (application === undefined || !sourceKeys(application).some((one) => sourceKeys(own).includes(one))) continue;
      const followed = await followedCommits(read, application);
      const release = application.status?.release?.name;
      const newest =
        release === undefined || release === wanted?.release
          ? undefined
          : await releases.get(read, namespace, release, undefined);
      if (isBehind({ application, followed, delivery, newest })) return true;
    }
  }
  return false;
}
