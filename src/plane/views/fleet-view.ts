import {
  actorOf,
  areaOf,
  isReasonCode,
  matchesLabels,
  nextStep,
  reasonAreas,
  type ApplicationSummary,
  type ApplicationsView,
  type ClusterSummary,
  type ClustersView,
  type DeliveryCell,
  type FleetView,
  type ProblemGroup,
  type Requirement,
} from '#api';
import type { FleetIndex, IndexedApplication, IndexedCluster, IndexedDelivery } from './fleet-index.ts';
import { compareStates, stateOf, worst } from './state.ts';

export interface FleetQuery {
  /** Label to group clusters by; '' groups by nothing. */
  readonly group: string;
  readonly where: readonly Requirement[];
  readonly project: string | undefined;
  /** Cells per answer. */
  readonly limit: number;
}

export function cellOf(delivery: IndexedDelivery): DeliveryCell {
  const { project, application, cluster, state, code, message, since, release } = delivery;
  return { project, application, cluster, state, code, sentence: message, since, release };
}

/** The first screen: a verdict, what is not what Git says, and the grid, worst first. */
export function fleetView(index: FleetIndex, query: FleetQuery, now: string, frozen: boolean): FleetView {
  const clusters = [...index.clusters.values()].filter((cluster) => matchesLabels(query.where, cluster.labels));
  const names = new Set(clusters.map((cluster) => cluster.name));
  const deliveries = [...index.deliveries.values()].filter(
    (delivery) => names.has(delivery.cluster) && (query.project === undefined || delivery.project === query.project),
  );
  const broken = brokenApplications(index, deliveries, query.project);
  const ready = deliveries.filter((delivery) => delivery.state === 'ready').length;
  const counts = {
    clusters: clusters.length,
    contact: clusters.filter((cluster) => !cluster.code.startsWith('FL_CONTACT_')).length,
    applications: [...index.applications.values()].filter((a) => query.project === undefined || a.project === query.project)
      .length,
    deliveries: deliveries.length,
    ready,
  };
  return {
    revision: index.revision,
    at: now,
    sentence: frozen
      ? `this plane is frozen: its database and its keys do not belong together; ${verdict(counts)}`
      : verdict(counts),
    counts,
    problems: [...problemsOf(deliveries), ...broken].sort((a, b) => a.since.localeCompare(b.since)),
    groups: groupsOf(clusters, deliveries, query),
    labels: [...new Set(clusters.flatMap((cluster) => Object.keys(cluster.labels)))].sort(),
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

function problemsOf(deliveries: readonly IndexedDelivery[]): ProblemGroup[] {
  const byCode = new Map<string, IndexedDelivery[]>();
  for (const delivery of deliveries) {
    if (delivery.state === 'ready') continue;
    const alike = byCode.get(delivery.code);
    if (alike === undefined) byCode.set(delivery.code, [delivery]);
    else alike.push(delivery);
  }
  return [...byCode].flatMap(([code, alike]) => {
    alike.sort((a, b) => a.since.localeCompare(b.since));
    const oldest = alike[0];
    if (oldest === undefined) return [];
    return [
      {
        code,
        count: alike.length,
        sentence: oldest.message,
        since: oldest.since,
        actor: isReasonCode(code) ? actorOf(code) : 'platform team',
        next: nextStep(oldest),
        deliveries: alike.slice(0, 20).map(cellOf),
      },
    ];
  });
}

/** Applications that are stuck before any delivery exists (no source, no render) would otherwise be invisible here. */
function brokenApplications(
  index: FleetIndex,
  deliveries: readonly IndexedDelivery[],
  project: string | undefined,
): ProblemGroup[] {
  const shown = new Set(
    deliveries.filter((delivery) => delivery.state !== 'ready').map((delivery) => `${delivery.project}/${delivery.application}`),
  );
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
      count: 0,
      sentence: `${application.name}: ${application.message}`,
      since: application.since,
      actor: isReasonCode(application.code) ? actorOf(application.code) : 'platform team',
      next: undefined,
      deliveries: [],
    }));
}

function isBeforeDelivery(code: string): boolean {
  return isReasonCode(code) && reasonAreas.indexOf(areaOf(code)) <= reasonAreas.indexOf('hold');
}

function groupsOf(
  clusters: readonly IndexedCluster[],
  deliveries: readonly IndexedDelivery[],
  query: FleetQuery,
): FleetView['groups'] {
  const valueOf = new Map(
    clusters.map((cluster) => [cluster.name, query.group === '' ? '' : (cluster.labels[query.group] ?? '(none)')]),
  );
  const members = new Map<string, { clusters: number; cells: IndexedDelivery[] }>();
  for (const value of valueOf.values()) {
    const group = members.get(value);
    if (group === undefined) members.set(value, { clusters: 1, cells: [] });
    else group.clusters += 1;
  }
  for (const delivery of deliveries) members.get(valueOf.get(delivery.cluster) ?? '')?.cells.push(delivery);
  let room = query.limit;
  return [...members]
    .map(([value, group]) => ({ value, group, worst: worst(group.cells.map((cell) => cell.state)) }))
    .sort((a, b) => compareStates(a.worst, b.worst) || a.value.localeCompare(b.value))
    .map(({ value, group }) => {
      group.cells.sort(
        (a, b) =>
          compareStates(a.state, b.state) || a.cluster.localeCompare(b.cluster) || a.application.localeCompare(b.application),
      );
      const cells = group.cells.slice(0, Math.max(0, room)).map(cellOf);
      room -= cells.length;
      return {
        value,
        clusters: group.clusters,
        ready: group.cells.filter((cell) => cell.state === 'ready').length,
        total: group.cells.length,
        cells,
      };
    });
}

export interface PageQuery {
  readonly limit: number;
  /** Key after which the page begins. */
  readonly after: string | undefined;
  readonly project: string | undefined;
  readonly where: readonly Requirement[];
}

export function applicationSummary(index: FleetIndex, application: IndexedApplication): ApplicationSummary {
  const deliveries = index.deliveriesOfApplication(application.project, application.name);
  const own = application.ready || !isReasonCode(application.code) ? undefined : stateOf(application.code);
  const state = worst([...deliveries.map((delivery) => delivery.state), ...(own === undefined ? [] : [own])]);
  return {
    project: application.project,
    name: application.name,
    ready: deliveries.filter((delivery) => delivery.state === 'ready').length,
    total: deliveries.length,
    state,
    sentence: application.message,
    release: application.release,
    commit: application.commit,
    subject: undefined,
    suspended: application.suspended,
  };
}

/** Applications, worst first within the page's order by project and name. */
export function applicationsView(index: FleetIndex, query: PageQuery, now: string): ApplicationsView {
  const { items, next } = page(
    [...index.applications.values()].filter((a) => query.project === undefined || a.project === query.project),
    (a) => `${a.project}/${a.name}`,
    query,
  );
  return { revision: index.revision, at: now, items: items.map((a) => applicationSummary(index, a)), next };
}

export function clusterSummary(index: FleetIndex, cluster: IndexedCluster, lastContact: string | undefined): ClusterSummary {
  const deliveries = index.deliveriesOfCluster(cluster.name);
  const ready = deliveries.filter((delivery) => delivery.state === 'ready').length;
  return {
    name: cluster.name,
    labels: cluster.labels,
    state: cluster.ready ? 'ready' : worst([stateOf(cluster.code), ...deliveries.map((delivery) => delivery.state)]),
    sentence: cluster.message,
    ready,
    total: deliveries.length,
    joined: cluster.joined,
    inContact: cluster.joined && !cluster.code.startsWith('FL_CONTACT_'),
    lastContact,
    kubernetesVersion: cluster.kubernetesVersion,
    agentVersion: cluster.agentVersion,
  };
}

export function clustersView(
  index: FleetIndex,
  query: PageQuery,
  lastContact: (cluster: string) => string | undefined,
  now: string,
): ClustersView {
  const { items, next } = page(
    [...index.clusters.values()].filter((cluster) => matchesLabels(query.where, cluster.labels)),
    (cluster) => cluster.name,
    query,
  );
  return {
    revision: index.revision,
    at: now,
    items: items.map((cluster) => clusterSummary(index, cluster, lastContact(cluster.name))),
    next,
  };
}

function page<T>(
  all: readonly T[],
  keyOf: (item: T) => string,
  query: PageQuery,
): { readonly items: readonly T[]; readonly next: string | undefined } {
  const { after } = query;
  const sorted = all.map((item) => ({ item, key: keyOf(item) })).sort((a, b) => (a.key < b.key ? -1 : 1));
  const rest = after === undefined ? sorted : sorted.filter(({ key }) => key > after);
  const items = rest.slice(0, query.limit);
  return { items: items.map(({ item }) => item), next: rest.length > items.length ? items.at(-1)?.key : undefined };
}
