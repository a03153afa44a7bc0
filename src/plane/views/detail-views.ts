import {
  actorOf,
  Application,
  Bundle,
  Cluster,
  Delivery,
  deliveryName,
  Event,
  readSource,
  isReasonCode,
  nextStep,
  Release,
  say,
  type ActivityItem,
  type ActivityView,
  type ApplicationView,
  type ClusterView,
  type DeliveryReport,
  type DeliveryView,
  type ObjectIdentity,
  type ObjectRow,
  type ObjectView,
  type WireReason,
} from '#api';
import type { Store } from '#plane/store';
import { applicationSummary, cellOf, clusterSummary } from './fleet-view.ts';
import type { FleetIndex } from './fleet-index.ts';
import { compareStates } from './state.ts';

/** What a cluster's agent said last, from the agents room. */
export interface LastReports {
  delivery(cluster: string, project: string, application: string): DeliveryReport | undefined;
  cluster(cluster: string):
    | {
        readonly agent: readonly WireReason[];
        readonly orphaned: readonly { readonly project: string; readonly application: string; readonly objects: number }[];
      }
    | undefined;
  lastContact(cluster: string): string | undefined;
}

/** Every reason that holds for a delivery, in the fixed precedence, the verdict first; from the deliveries room. */
export type Explain = (delivery: Delivery) => Promise<readonly ExplainedReason[]>;

export interface ExplainedReason {
  readonly area: string;
  readonly code: string;
  readonly sentence: string;
  readonly actor: string;
  readonly since: string | undefined;
}

export interface DetailSources {
  readonly index: FleetIndex;
  readonly store: Store;
  readonly reports: LastReports;
  readonly explain: Explain;
  readonly now: () => string;
}

export async function applicationView(from: DetailSources, project: string, name: string): Promise<ApplicationView | undefined> {
  const indexed = from.index.applications.get(`${project}/${name}`);
  const application = await from.store.get(Application, { namespace: project, name });
  if (indexed === undefined || application === undefined) return undefined;
  const { sourceRef, path } = application.spec.source;
  const repository = await readSource(from.store, application);
  const releases = await from.store.list(Release, {
    namespace: project,
    fields: [{ path: 'spec.application', operator: '=', value: name }],
  });
  const newest = [...releases.items].sort((a, b) => b.spec.number - a.spec.number).slice(0, 20);
  return {
    ...applicationSummary(from.index, indexed),
    subject: newest[0]?.spec.source.subject,
    revision: from.index.revision,
    at: from.now(),
    source: { kind: sourceRef.kind, name: sourceRef.name, url: repository?.spec.url, path: path ?? '.' },
    problem: indexed.ready
      ? undefined
      : {
          sentence: indexed.message,
          actor: isReasonCode(indexed.code) ? actorOf(indexed.code) : 'platform team',
          since: indexed.since,
        },
    deliveries: from.index
      .deliveriesOfApplication(project, name)
      .sort((a, b) => compareStates(a.state, b.state) || a.cluster.localeCompare(b.cluster))
      .map(cellOf),
    releases: newest.map(({ metadata, spec }) => ({
      name: metadata.name,
      number: spec.number,
      commit: spec.source.commit,
      subject: spec.source.subject,
      author: spec.source.author,
      renderedAt: spec.renderedAt,
      clusters: spec.bundles.reduce((sum, bundle) => sum + bundle.clusters.length, 0),
      bundles: spec.bundles.length,
    })),
  };
}

export async function clusterView(from: DetailSources, name: string): Promise<ClusterView | undefined> {
  const indexed = from.index.clusters.get(name);
  const cluster = await from.store.get(Cluster, { namespace: '', name });
  if (indexed === undefined || cluster === undefined) return undefined;
  const last = from.reports.cluster(name);
  return {
    ...clusterSummary(from.index, indexed, from.reports.lastContact(name)),
    revision: from.index.revision,
    at: from.now(),
    facts: cluster.status?.facts ?? {},
    desired: cluster.status?.desired,
    held: cluster.status?.held,
    deliveries: from.index
      .deliveriesOfCluster(name)
      .sort((a, b) => compareStates(a.state, b.state) || a.application.localeCompare(b.application))
      .map(cellOf),
    orphaned: last?.orphaned ?? [],
    agentReasons: (last?.agent ?? []).map((reason) => ({ code: reason.code, sentence: say(reason), since: reason.since })),
  };
}

export async function deliveryView(
  from: DetailSources,
  project: string,
  application: string,
  cluster: string,
): Promise<DeliveryView | undefined> {
  const name = deliveryName(application, cluster);
  const indexed = from.index.deliveries.get(`${project}/${name}`);
  const delivery = await from.store.get(Delivery, { namespace: project, name });
  if (indexed === undefined || delivery === undefined) return undefined;
  const { wanted } = delivery.spec;
  const release = wanted === undefined ? undefined : await from.store.get(Release, { namespace: project, name: wanted.release });
  const report = from.reports.delivery(cluster, project, application);
  const why = await from.explain(delivery);
  const events = await activityView(from, { project, kind: 'Delivery', name, cluster: undefined, type: undefined, limit: 50 });
  return {
    ...cellOf(indexed),
    revision: from.index.revision,
    at: from.now(),
    actor: isReasonCode(indexed.code) ? actorOf(indexed.code) : 'platform team',
    next: nextStep(indexed),
    phase: delivery.status?.phase ?? 'Unknown',
    wanted:
      wanted === undefined
        ? undefined
        : {
            release: wanted.release,
            bundle: wanted.bundle,
            commit: release?.spec.source.commit,
            subject: release?.spec.source.subject,
          },
    applied: delivery.status?.applied,
    journey: delivery.status?.journey,
    why: why.map(({ area, code, sentence, actor, since }) => ({ area, code, sentence, actor, since })),
    counts: delivery.status?.objects,
    objects: wanted === undefined ? [] : await objectRows(from.store, wanted.bundle, wanted.release, report),
    events: events.items,
  };
}

/** The wanted objects in apply order, each with what the agent says about it. */
async function objectRows(
  store: Store,
  bundle: string,
  release: string,
  report: DeliveryReport | undefined,
): Promise<ObjectRow[]> {
  const bytes = (await store.blobs([bundle])).get(bundle);
  if (bytes === undefined) return [];
  const { entries } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle;
  const problems = new Map((report?.problems ?? []).map((problem) => [identity(problem.id), problem]));
  const isAbout = report?.release === release && report.bundle === bundle;
  return entries.map((entry) => {
    const problem = isAbout ? problems.get(identity(entry.id)) : undefined;
    const isSettled = isAbout && report.objects.applied === report.objects.total;
    return {
      id: entry.id,
      stage: entry.stage,
      wave: entry.wave,
      sealed: entry.sealed !== undefined,
      file: entry.source?.file,
      line: entry.source?.line,
      state: problem?.state ?? (isSettled ? 'ready' : 'unknown'),
      sentence: problem === undefined ? undefined : say(problem.reason),
    };
  });
}

function identity(id: ObjectIdentity): string {
  return `${id.group}/${id.kind}/${id.namespace}/${id.name}`;
}

/** One object of a delivery: where it stands, and its manifest as rendered. What is sealed to the cluster stays hidden. */
export async function objectView(
  from: DetailSources,
  ref: { readonly project: string; readonly application: string; readonly cluster: string },
  id: Pick<ObjectIdentity, 'group' | 'kind' | 'namespace' | 'name'>,
): Promise<ObjectView | undefined> {
  const delivery = await from.store.get(Delivery, { namespace: ref.project, name: deliveryName(ref.application, ref.cluster) });
  const wanted = delivery?.spec.wanted;
  if (wanted === undefined) return undefined;
  const report = from.reports.delivery(ref.cluster, ref.project, ref.application);
  const rows = await objectRows(from.store, wanted.bundle, wanted.release, report);
  const row = rows.find(
    (candidate) =>
      candidate.id.group === id.group &&
      candidate.id.kind === id.kind &&
      candidate.id.namespace === id.namespace &&
      candidate.id.name === id.name,
  );
  if (row === undefined) return undefined;
  const bundleBytes = (await from.store.blobs([wanted.bundle])).get(wanted.bundle);
  const bundle = bundleBytes === undefined ? undefined : (JSON.parse(Buffer.from(bundleBytes).toString('utf8')) as Bundle);
  const entry = bundle?.entries.find((candidate) => identity(candidate.id) === identity(row.id));
  if (entry === undefined || entry.sealed !== undefined) return { revision: from.index.revision, row, wanted: undefined };
  const body = (await from.store.blobs([entry.digest])).get(entry.digest);
  return { revision: from.index.revision, row, wanted: body === undefined ? undefined : Buffer.from(body).toString('utf8') };
}

export interface ActivityQuery {
  readonly project: string | undefined;
  readonly kind: string | undefined;
  readonly name: string | undefined;
  readonly cluster: string | undefined;
  readonly type: string | undefined;
  readonly limit: number;
}

/** What happened, newest first. */
export async function activityView(
  from: Pick<DetailSources, 'store' | 'index' | 'now'>,
  query: ActivityQuery,
): Promise<ActivityView> {
  const fields = [
    ...(query.name === undefined ? [] : [{ path: 'spec.involvedObject.name', operator: '=' as const, value: query.name }]),
    ...(query.kind === undefined ? [] : [{ path: 'spec.involvedObject.kind', operator: '=' as const, value: query.kind }]),
    ...(query.cluster === undefined ? [] : [{ path: 'spec.cluster', operator: '=' as const, value: query.cluster }]),
  ];
  const { items } = await from.store.list(Event, {
    fields,
    ...(query.project === undefined ? {} : { namespace: query.project }),
  });
  const shown = items
    .filter((event) => query.type === undefined || event.spec.type === query.type)
    .sort((a, b) => b.spec.lastAt.localeCompare(a.spec.lastAt))
    .slice(0, query.limit)
    .map(({ spec }): ActivityItem => ({
      at: spec.lastAt,
      type: spec.type,
      code: spec.code,
      sentence: spec.message,
      kind: spec.involvedObject.kind,
      namespace: spec.involvedObject.namespace,
      name: spec.involvedObject.name,
      cluster: spec.cluster,
      count: spec.count,
    }));
  return { revision: from.index.revision, at: from.now(), items: shown, next: undefined };
}
