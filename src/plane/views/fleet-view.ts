import {
  actionFor,
  actorOf,
  areaOf,
  isReasonCode,
  matchesLabels,
  nextStep,
  reasonAreas,
  type DeliveryCell,
  type FleetCell,
  type FleetGroup,
  type FleetView,
  type ProblemGroup,
  type Requirement,
} from '#api';
import { sentenceOf, type FleetIndex, type IndexedCluster, type IndexedDelivery, type Tally } from './fleet-index.ts';
import { compareStates, rankOf, stateOf, worst } from './state.ts';

export interface FleetQuery {
  /** Label to group clusters by; '' groups by nothing. */
  readonly group: string;
  readonly where: readonly Requirement[];
  readonly project: string | undefined;
  /** Cells per answer. */
  readonly limit: number;
}

/** Deliveries of one reason that are named on the first screen. */
const NAMED_PROBLEMS = 20;
/** Up to so many clusters the grid names what they hold. */
const NAMED_CLUSTERS = 40;
const NAMED_DELIVERIES = 12;
const MAX_GROUPS = 200;
const MAX_LABELS = 200;

export function cellOf(delivery: IndexedDelivery): DeliveryCell {
  const { project, application, cluster, state, code, since, release } = delivery;
  return { project, application, cluster, state, code, sentence: sentenceOf(delivery), since, release };
}

/** Who can act on a reason. */
export function whoCanAct(code: string): string {
  return isReasonCode(code) ? actorOf(code) : 'platform team';
}

/**
 * The first screen: a verdict, what is not what Git says, and the grid, worst first. Reads tallies of clusters and the
 * deliveries that are not ready, so that its cost is that of what is wrong, not of the fleet.
 */
export function fleetView(index: FleetIndex, query: FleetQuery, now: string, frozen: boolean): FleetView {
  const { project } = query;
  const clusters = [...index.clusters.values()].filter((cluster) => matchesLabels(query.where, cluster.labels));
  const names = query.where.length === 0 ? undefined : new Set(clusters.map((cluster) => cluster.name));
  const unready = [...index.unready].filter(
    (delivery) => (project === undefined || delivery.project === project) && (names === undefined || names.has(delivery.cluster)),
  );
  const worstOf = worstByCluster(unready);
  const counted = clusters.map((cluster) => countedCluster(cluster, index.ofCluster(cluster.name), worstOf, project));
  const counts = {
    clusters: clusters.length,
    contact: clusters.filter((cluster) => !cluster.code.startsWith('FL_CONTACT_')).length,
    applications: [...index.applications.values()].filter((a) => project === undefined || a.project === project).length,
    deliveries: counted.reduce((sum, one) => sum + one.total, 0),
    ready: counted.reduce((sum, one) => sum + one.ready, 0),
  };
  const groups = groupsOf(counted, query);
  return {
    revision: index.revision,
    at: now,
    sentence: frozen
      ? `this plane is frozen: its database and its keys do not belong together; ${verdict(counts)}`
      : verdict(counts),
    counts,
    problems: [...problemsOf(unready), ...brokenApplications(index, unready, project)].sort((a, b) =>
      a.since < b.since ? -1 : a.since > b.since ? 1 : 0,
    ),
    groups: groups.slice(0, MAX_GROUPS),
    groupCount: groups.length,
    labels: [...new Set([...index.clusters.values()].flatMap((cluster) => Object.keys(cluster.labels)))]
      .sort()
      .slice(0, MAX_LABELS),
    frozen,
  };
}

/** "312 clusters, 4,180 deliveries: 4,163 are what Git says, 17 are not". */
export function verdict(counts: { readonly clusters: number; readonly deliveries: number; readonly ready: number }): string {
  const n = (value: number): string => value.toLocaleString('en-US');
  const fleet = `${n(counts.clusters)} ${counts.clusters === 1 ? 'cluster' : 'clusters'}, ${n(counts.deliveries)} ${counts.deliveries === 1 ? 'delivery' : 'deliveries'}`;
  if (counts.clusters === 0) return 'no clusters yet; fairlead enroll NAME makes the first';
  if (counts.deliveries === 0) return `${fleet}: nothing is delivered yet`;
  const not = counts.deliveries - counts.ready;
  if (not === 0) return `${fleet}: ${counts.deliveries === 1 ? 'it is' : 'all are'} what Git says`;
  return `${fleet}: ${n(counts.ready)} ${counts.ready === 1 ? 'is' : 'are'} what Git says, ${n(not)} ${not === 1 ? 'is' : 'are'} not`;
}

function problemsOf(unready: readonly IndexedDelivery[]): ProblemGroup[] {
  const byCode = new Map<string, { count: number; oldest: IndexedDelivery[] }>();
  for (const delivery of unready) {
    let alike = byCode.get(delivery.code);
    if (alike === undefined) byCode.set(delivery.code, (alike = { count: 0, oldest: [] }));
    alike.count += 1;
    keepOldest(alike.oldest, delivery, NAMED_PROBLEMS);
  }
  return [...byCode].flatMap(([code, { count, oldest: named }]) => {
    const oldest = named[0];
    if (oldest === undefined) return [];
    return [
      {
        code,
        state: oldest.state,
        count,
        sentence: sentenceOf(oldest),
        since: oldest.since,
        actor: whoCanAct(code),
        next: nextStep(oldest),
        action: actionFor(oldest),
        application: undefined,
        deliveries: named.map(cellOf),
      },
    ];
  });
}

/** Keeps the `most` oldest, oldest first, without sorting all there are. */
function keepOldest(kept: IndexedDelivery[], candidate: IndexedDelivery, most: number): void {
  const last = kept.at(-1);
  if (kept.length === most && last !== undefined && !isOlder(candidate, last)) return;
  let at = kept.length;
  for (let before = kept[at - 1]; before !== undefined && isOlder(candidate, before); before = kept[at - 1]) at -= 1;
  kept.splice(at, 0, candidate);
  if (kept.length > most) kept.pop();
}

/** By time, then by name, so that the order of equals does not change from one answer to the next. */
function isOlder(a: IndexedDelivery, b: IndexedDelivery): boolean {
  if (a.since !== b.since) return a.since < b.since;
  return a.cluster === b.cluster ? a.application < b.application : a.cluster < b.cluster;
}

/** Applications that are stuck before any delivery exists (no source, no render) would otherwise be invisible here. */
function brokenApplications(index: FleetIndex, unready: readonly IndexedDelivery[], project: string | undefined): ProblemGroup[] {
  const shown = new Set(unready.map((delivery) => `${delivery.project}/${delivery.application}`));
  return [...index.applications.values()]
    .filter(
      (application) =>
        !application.ready &&
        (project === undefined || application.project === project) &&
        !shown.has(`${application.project}/${application.name}`) &&
        isBeforeDelivery(application.code),
    )
    .map((application) => ({
      code: application.code,
      state: stateOf(application.code),
      count: 0,
      sentence: `${application.name}: ${application.message}`,
      since: application.since,
      actor: whoCanAct(application.code),
      next: nextStep(application),
      action: actionFor({
        code: application.code,
        args: application.args,
        project: application.project,
        application: application.name,
      }),
      application: { project: application.project, name: application.name },
      deliveries: [],
    }));
}

function isBeforeDelivery(code: string): boolean {
  return isReasonCode(code) && reasonAreas.indexOf(areaOf(code)) <= reasonAreas.indexOf('hold');
}

/** Of each cluster, what is worst with it, the oldest of that. */
function worstByCluster(unready: readonly IndexedDelivery[]): ReadonlyMap<string, IndexedDelivery> {
  const found = new Map<string, IndexedDelivery>();
  for (const delivery of unready) {
    const known = found.get(delivery.cluster);
    const order = known === undefined ? -1 : compareStates(delivery.state, known.state);
    if (known === undefined || order < 0 || (order === 0 && isOlder(delivery, known))) found.set(delivery.cluster, delivery);
  }
  return found;
}

interface CountedCluster {
  readonly cluster: IndexedCluster;
  readonly tally: Tally;
  readonly state: FleetCell['state'];
  readonly ready: number;
  readonly total: number;
  readonly sentence: string | undefined;
}

function countedCluster(
  cluster: IndexedCluster,
  tally: Tally,
  worstOf: ReadonlyMap<string, IndexedDelivery>,
  project: string | undefined,
): CountedCluster {
  const own = project === undefined ? undefined : [...tally.members].filter((delivery) => delivery.project === project);
  const bad = worstOf.get(cluster.name);
  const ofItself = ownState(cluster);
  const state = worst([ofItself, bad?.state ?? 'ready']);
  const isOfItself = ofItself !== 'ready' && (bad === undefined || compareStates(ofItself, bad.state) < 0);
  return {
    cluster,
    tally,
    state,
    ready: own === undefined ? tally.count('ready') : own.filter((delivery) => delivery.state === 'ready').length,
    total: own?.length ?? tally.total,
    sentence: isOfItself ? cluster.message : bad === undefined ? undefined : `${bad.application}: ${sentenceOf(bad)}`,
  };
}

/** What is the matter with a cluster itself; that its deliveries are not ready is no matter of its own. */
export function ownState(cluster: IndexedCluster): FleetCell['state'] {
  return cluster.ready || cluster.code === 'FL_CLUSTER_DELIVERIES' ? 'ready' : stateOf(cluster.code);
}

function groupsOf(counted: readonly CountedCluster[], query: FleetQuery): FleetGroup[] {
  const groups = new Map<string, CountedCluster[]>();
  for (const one of counted) {
    const value = query.group === '' ? '' : (one.cluster.labels[query.group] ?? '(none)');
    const members = groups.get(value);
    if (members === undefined) groups.set(value, [one]);
    else members.push(one);
  }
  const isNamed = counted.length <= NAMED_CLUSTERS;
  let room = query.limit;
  return [...groups]
    .map(([value, members]) => ({ value, members, worst: worst(members.map(({ state }) => state)) }))
    .sort((a, b) => compareStates(a.worst, b.worst) || compareText(a.value, b.value))
    .map(({ value, members }, place) => {
      const shown = place < MAX_GROUPS ? room : 0;
      const cells = members.sort(byWorst).slice(0, shown);
      room -= cells.length;
      return {
        value,
        clusters: members.length,
        ready: members.reduce((sum, one) => sum + one.ready, 0),
        total: members.reduce((sum, one) => sum + one.total, 0),
        cells: cells.map((one) => fleetCell(one, isNamed, query.project)),
      };
    });
}

/** By state, then by how much is not ready, then by name. */
function byWorst(a: CountedCluster, b: CountedCluster): number {
  return (
    compareStates(a.state, b.state) || b.total - b.ready - (a.total - a.ready) || compareText(a.cluster.name, b.cluster.name)
  );
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function fleetCell(
  { cluster, tally, state, ready, total, sentence }: CountedCluster,
  isNamed: boolean,
  project: string | undefined,
): FleetCell {
  return {
    cluster: cluster.name,
    state,
    ready,
    total,
    ...(sentence === undefined ? {} : { sentence }),
    ...(isNamed
      ? {
          deliveries: [...tally.members]
            .filter((delivery) => project === undefined || delivery.project === project)
            // What does not fit is the good news.
            .filter((delivery, _, all) => delivery.state !== 'ready' || all.length <= NAMED_DELIVERIES)
            .sort((a, b) => rankOf(a.state) - rankOf(b.state) || compareText(a.application, b.application))
            .slice(0, NAMED_DELIVERIES)
            .map((delivery) => ({ project: delivery.project, application: delivery.application, state: delivery.state })),
        }
      : {}),
  };
}
