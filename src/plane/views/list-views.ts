import {
  deliveryStates,
  isReasonCode,
  matchesLabels,
  nextStep,
  type ApplicationSummary,
  type ApplicationsView,
  type ClusterSummary,
  type ClustersView,
  type DeliveriesView,
  type DeliveryState,
  type Requirement,
  type SearchView,
} from '#api';
import type { FleetIndex, IndexedApplication, IndexedCluster, IndexedDelivery } from './fleet-index.ts';
import { cellOf, ownState } from './fleet-view.ts';
import { rankOf, stateOf, worst } from './state.ts';

export interface PageQuery {
  readonly limit: number;
  /** Key after which the page begins. */
  readonly after: string | undefined;
  readonly project: string | undefined;
  readonly where: readonly Requirement[];
  /** `worst` puts what is not ready first; pages of it may shift while states change. */
  readonly sort: 'name' | 'worst';
}

export function applicationSummary(index: FleetIndex, application: IndexedApplication): ApplicationSummary {
  const tally = index.ofApplication(application.project, application.name);
  return {
    project: application.project,
    name: application.name,
    ready: tally.count('ready'),
    total: tally.total,
    state: applicationState(index, application),
    sentence: application.message,
    release: application.release,
    commit: application.commit,
    subject: undefined,
    suspended: application.suspended,
    labels: application.labels,
  };
}

function applicationState(index: FleetIndex, application: IndexedApplication): DeliveryState {
  const own = application.ready || !isReasonCode(application.code) ? 'ready' : stateOf(application.code);
  return worst([index.ofApplication(application.project, application.name).worst, own]);
}

export function applicationsView(index: FleetIndex, query: PageQuery, now: string): ApplicationsView {
  const { items, next, total } = page(
    [...index.applications.values()].filter(
      (a) => (query.project === undefined || a.project === query.project) && matchesLabels(query.where, a.labels),
    ),
    (a) => `${a.project}/${a.name}`,
    (a) => applicationState(index, a),
    query,
  );
  return { revision: index.revision, at: now, total, items: items.map((a) => applicationSummary(index, a)), next };
}

export function clusterSummary(index: FleetIndex, cluster: IndexedCluster, lastContact: string | undefined): ClusterSummary {
  const tally = index.ofCluster(cluster.name);
  return {
    name: cluster.name,
    labels: cluster.labels,
    state: clusterState(index, cluster),
    sentence: sentenceOfCluster(cluster),
    ready: tally.count('ready'),
    total: tally.total,
    joined: cluster.joined,
    inContact: cluster.joined && !cluster.code.startsWith('FL_CONTACT_'),
    lastContact,
    kubernetesVersion: cluster.kubernetesVersion,
    agentVersion: cluster.agentVersion,
  };
}

/** Beside its deliveries nobody needs to be told how to list them. */
function sentenceOfCluster({ name, code, message }: IndexedCluster): string {
  const ending = `; ${nextStep({ code, args: { cluster: name } }) ?? ''}`;
  return code === 'FL_CLUSTER_DELIVERIES' && message.endsWith(ending) ? message.slice(0, -ending.length) : message;
}

function clusterState(index: FleetIndex, cluster: IndexedCluster): DeliveryState {
  return worst([ownState(cluster), index.ofCluster(cluster.name).worst]);
}

export function clustersView(
  index: FleetIndex,
  query: PageQuery,
  lastContact: (cluster: string) => string | undefined,
  now: string,
): ClustersView {
  const { items, next, total } = page(
    [...index.clusters.values()].filter((cluster) => matchesLabels(query.where, cluster.labels)),
    (cluster) => cluster.name,
    (cluster) => clusterState(index, cluster),
    query,
  );
  return {
    revision: index.revision,
    at: now,
    total,
    items: items.map((cluster) => clusterSummary(index, cluster, lastContact(cluster.name))),
    next,
  };
}

export interface DeliveriesQuery {
  readonly code: string | undefined;
  readonly state: string | undefined;
  readonly project: string | undefined;
  readonly application: string | undefined;
  readonly cluster: string | undefined;
  readonly where: readonly Requirement[];
  readonly limit: number;
  readonly after: string | undefined;
}

/** Deliveries by what they have in common: worst first, then oldest first. */
export function deliveriesView(index: FleetIndex, query: DeliveriesQuery, now: string): DeliveriesView {
  const { code, state, project, application, cluster, where } = query;
  const names =
    where.length === 0
      ? undefined
      : new Set([...index.clusters.values()].filter((one) => matchesLabels(where, one.labels)).map((one) => one.name));
  const matches = (one: IndexedDelivery): boolean =>
    (code === undefined || one.code === code) &&
    (state === undefined || one.state === state) &&
    (project === undefined || one.project === project) &&
    (application === undefined || one.application === application) &&
    (cluster === undefined || one.cluster === cluster) &&
    (names === undefined || names.has(one.cluster));
  const found: IndexedDelivery[] = [];
  for (const one of candidates(index, query)) if (matches(one)) found.push(one);
  const { items, next, total } = pageAfter(found, positionOf, query);
  return { revision: index.revision, at: now, total, items: items.map(cellOf), next };
}

/** The smallest set that surely holds every match. */
function candidates(index: FleetIndex, query: DeliveriesQuery): Iterable<IndexedDelivery> {
  if (query.cluster !== undefined) return index.ofCluster(query.cluster).members;
  if (query.application !== undefined && query.project !== undefined)
    return index.ofApplication(query.project, query.application).members;
  if (query.state !== undefined && query.state !== 'ready') return index.unready;
  return index.deliveries.values();
}

function positionOf(one: IndexedDelivery): string {
  return `${rankOf(one.state)} ${one.since} ${one.project}/${one.application}.${one.cluster}`;
}

/** Names that contain every word of `text`: applications and clusters first, then deliveries. At most 30. */
export function searchView(
  index: FleetIndex,
  text: string,
  commits: readonly { readonly commit: string; readonly subject: string | undefined }[],
  now: string,
): SearchView {
  const words = text
    .toLowerCase()
    .split(/[\s/]+/)
    .filter((word) => word !== '' && word !== 'on')
    .slice(0, 6);
  const matches = (name: string): boolean => words.every((word) => name.includes(word));
  const items: SearchView['items'][number][] = [];
  if (words.length === 0) return { revision: index.revision, at: now, items };
  const applications = [...index.applications.values()]
    .filter((one) => matches(`${one.project}/${one.name}`))
    .sort((a, b) => nearness(a.name, words) - nearness(b.name, words) || (a.name < b.name ? -1 : 1))
    .slice(0, 10)
    .map((one) => ({ kind: 'application' as const, project: one.project, name: one.name, state: applicationState(index, one) }));
  const clusters = [...index.clusters.values()]
    .filter((one) => matches(one.name))
    .sort((a, b) => nearness(a.name, words) - nearness(b.name, words) || (a.name < b.name ? -1 : 1))
    .slice(0, 10)
    .map((one) => ({ kind: 'cluster' as const, name: one.name, state: clusterState(index, one) }));
  items.push(...applications, ...clusters);
  for (const { commit, subject } of commits) {
    if (items.length >= 24) break;
    if (commit.startsWith(words[0] ?? '') || matches((subject ?? '').toLowerCase()))
      items.push({ kind: 'commit', commit, subject });
  }
  for (const one of index.deliveries.values()) {
    if (items.length >= 30) break;
    if (!matches(`${one.project}/${one.application} ${one.cluster}`)) continue;
    items.push({
      kind: 'delivery',
      project: one.project,
      application: one.application,
      cluster: one.cluster,
      state: one.state,
    });
  }
  return { revision: index.revision, at: now, items };
}

/** The name itself, then what begins like it, then the rest. */
function nearness(name: string, words: readonly string[]): number {
  const [first = ''] = words;
  return name === first ? 0 : name.startsWith(first) ? 1 : 2;
}

function page<T>(
  all: readonly T[],
  nameOf: (item: T) => string,
  stateOfItem: (item: T) => DeliveryState,
  query: PageQuery,
): { readonly items: readonly T[]; readonly next: string | undefined; readonly total: number } {
  return pageAfter(all, query.sort === 'name' ? nameOf : (item) => `${rankOf(stateOfItem(item))} ${nameOf(item)}`, query);
}

/** The page that begins after the key `after`, in the order of keys. */
export function pageAfter<T>(
  all: readonly T[],
  keyOf: (item: T) => string,
  query: { readonly limit: number; readonly after: string | undefined },
): { readonly items: readonly T[]; readonly next: string | undefined; readonly total: number } {
  const { after, limit } = query;
  const keyed = all.map((item) => ({ item, key: keyOf(item) }));
  const rest = after === undefined ? keyed : keyed.filter(({ key }) => key > after);
  // One more than the page, to know whether there is another.
  const kept = smallest(rest, limit + 1);
  const items = kept.slice(0, limit);
  return {
    items: items.map(({ item }) => item),
    next: kept.length > limit ? items.at(-1)?.key : undefined,
    total: all.length,
  };
}

/** The `count` smallest by key, in order; sorts all only where that is cheap. */
function smallest<T extends { readonly key: string }>(items: readonly T[], count: number): readonly T[] {
  const byKey = (a: T, b: T): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
  if (items.length <= 4 * count) return items.toSorted(byKey).slice(0, count);
  let kept: T[] = [];
  let bound: string | undefined;
  for (const item of items) {
    if (bound !== undefined && item.key >= bound) continue;
    kept.push(item);
    if (kept.length < 2 * count) continue;
    kept = kept.sort(byKey).slice(0, count);
    bound = kept.at(-1)?.key;
  }
  return kept.sort(byKey).slice(0, count);
}

/** A state as a filter names it. */
export function isState(text: string): text is DeliveryState {
  return (deliveryStates as readonly string[]).includes(text);
}
