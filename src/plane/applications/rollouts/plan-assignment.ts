import { rfc3339, type NewId } from '#base';
import { type Application, type Delivery, type Project, type Release, type Retirement, type Wanted } from '#api';
import type { FleetCluster } from '../fleet.ts';
import { isTargeted, targetsOf } from '../targets.ts';
import { mayRelease } from './may-release.ts';

export interface AssignmentInput {
  readonly application: Application;
  /** Absent: nothing is assigned and nothing retired. */
  readonly project: Project | undefined;
  /** The newest Release, if there is one. */
  readonly release: Release | undefined;
  readonly fleet: readonly FleetCluster[];
  readonly deliveries: readonly Delivery[];
  readonly nowMs: number;
  readonly newId: NewId;
  readonly actor: string;
}

export type Assignment =
  | { readonly do: 'create'; readonly cluster: string; readonly wanted: Wanted | undefined }
  /** `retire` undefined: none, or withdrawn. */
  | {
      readonly do: 'update';
      readonly delivery: Delivery;
      readonly wanted: Wanted | undefined;
      readonly retire: Retirement | undefined;
    }
  /** The Delivery never had anything, or its cluster is no more. */
  | { readonly do: 'drop'; readonly delivery: Delivery; readonly because: 'never-had-anything' | 'cluster-gone' };

/**
 * What the newest Release and the targets of this moment mean for each Delivery. Three rules hold whatever the sequence of
 * events: the number of a Delivery never goes back; a cluster is told to let go only when the Application's own targets do not
 * name it any more (not because an agent has not joined, a Project is gone or narrower, a render failed or a row is missing);
 * what is equal is not written. Pure.
 */
export function planAssignment(input: AssignmentInput): readonly Assignment[] {
  const { application, project, release, fleet } = input;
  // Absence is never an instruction: without its Project, an Application stands still.
  if (project === undefined || application.metadata.deletionTimestamp !== undefined) return dropped(input);
  const byCluster = new Map(input.deliveries.map((delivery) => [delivery.spec.cluster, delivery]));
  const bundles = new Map<string, string>();
  for (const { digest, clusters } of release?.spec.bundles ?? []) for (const cluster of clusters) bundles.set(cluster, digest);
  const plan: Assignment[] = [];
  for (const { cluster } of targetsOf(application, project, fleet).clusters) {
    const delivery = byCluster.get(cluster.name);
    const may = mayRelease(application, release, cluster).go;
    const bundle = bundles.get(cluster.name);
    const next = may && release !== undefined && bundle !== undefined ? wantedFor(release, bundle, input.nowMs) : undefined;
    const one =
      delivery === undefined ? { do: 'create' as const, cluster: cluster.name, wanted: next } : updated(delivery, next, may);
    if (one !== undefined) plan.push(one);
  }
  const clusters = new Map(fleet.map((cluster) => [cluster.name, cluster]));
  for (const delivery of input.deliveries) {
    const cluster = clusters.get(delivery.spec.cluster);
    if (cluster === undefined) plan.push({ do: 'drop', delivery, because: 'cluster-gone' });
    else if (!isTargeted(application, cluster.labels) && mayRelease(application, release, cluster).go) {
      const one = exited(delivery, input);
      if (one !== undefined) plan.push(one);
    }
  }
  return plan;
}

function wantedFor(release: Release, bundle: string, nowMs: number): Wanted {
  const { number, settingsDigest } = release.spec;
  return { release: release.metadata.name, number, bundle, settings: settingsDigest, assignedAt: rfc3339(nowMs) };
}

/** A targeted cluster that has a Delivery already. */
function updated(delivery: Delivery, next: Wanted | undefined, may: boolean): Assignment | undefined {
  const { wanted, retire } = delivery.spec;
  const isNewer = next !== undefined && (wanted === undefined || next.number > wanted.number);
  const isOther = next !== undefined && (wanted?.bundle !== next.bundle || wanted.settings !== next.settings);
  // Withdrawn as soon as it is targeted again, but only together with something to want.
  const isBack = retire !== undefined && may && (wanted !== undefined || next !== undefined);
  if (!isBack && (retire !== undefined || !(isNewer && isOther))) return undefined;
  return { do: 'update', delivery, wanted: isNewer && isOther ? next : wanted, retire: undefined };
}

/** A cluster that the targets do not name. */
function exited(delivery: Delivery, { application, newId, actor, nowMs }: AssignmentInput): Assignment | undefined {
  const { wanted, retire } = delivery.spec;
  if (retire !== undefined) return undefined;
  if (wanted === undefined) return { do: 'drop', delivery, because: 'never-had-anything' };
  const mode = application.spec.onTargetExit ?? 'Orphan';
  return { do: 'update', delivery, wanted, retire: { id: newId(), mode, reason: 'TargetExit', actor, at: rfc3339(nowMs) } };
}

/** Deliveries whose cluster is no more: deleting a Cluster detaches it, whatever else is the matter. */
function dropped({ fleet, deliveries }: AssignmentInput): readonly Assignment[] {
  const names = new Set(fleet.map(({ name }) => name));
  return deliveries
    .filter(({ spec }) => !names.has(spec.cluster))
    .map((delivery) => ({ do: 'drop', delivery, because: 'cluster-gone' }));
}
