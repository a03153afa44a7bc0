import {
  actionFor,
  Application,
  Cluster,
  Delivery,
  deliveryName,
  DesiredStateRow,
  journeyStops,
  namedFiles,
  readSource,
  snapshotFor,
  conditionOf,
  nextStep,
  Release,
  RenderRow,
  say,
  youngestCommit,
  type ApplicationView,
  type BundleEntry,
  type ClusterView,
  type DeliveryReport,
  type DeliveryView,
  type DriftRow,
  type FieldChange,
  type FilesView,
  type ObjectIdentity,
  type ObjectRow,
  type ObjectView,
  type WireReason,
  type YamlLine,
} from '#api';
import type { Store } from '#plane/store';
import { activityView } from './activity-view.ts';
import { identityOf, readBundles, statesOf } from './bundles.ts';
import { cellOf, ownState, whoCanAct } from './fleet-view.ts';
import { sentenceOf, type FleetIndex, type IndexedDelivery } from './fleet-index.ts';
import { applicationSummary, clusterSummary } from './list-views.ts';
import { compareStates } from './state.ts';

/** Deliveries on one page of a detail. */
const MAX_DELIVERIES = 1_000;
const MAX_DRIFT = 200;

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

/** How objects are written and compared; from the kube room. Bytes are canonical JSON. */
export interface Manifests {
  toYaml(bytes: Uint8Array): string;
  /** YAML line by line; which fields are Git's, and which count as drift, by JSON pointers. */
  marked(bytes: Uint8Array, git: readonly string[], drift: readonly string[]): readonly YamlLine[];
  changes(before: Uint8Array | undefined, after: Uint8Array | undefined): readonly FieldChange[];
}

export interface DetailSources {
  readonly index: FleetIndex;
  readonly store: Store;
  readonly reports: LastReports;
  readonly explain: Explain;
  readonly manifests: Manifests;
  readonly now: () => string;
}

/** Worst first, then by name; the first thousand. */
function cells(members: Iterable<IndexedDelivery>, nameOf: (one: IndexedDelivery) => string): ApplicationView['deliveries'] {
  return [...members]
    .sort((a, b) => compareStates(a.state, b.state) || (nameOf(a) < nameOf(b) ? -1 : 1))
    .slice(0, MAX_DELIVERIES)
    .map(cellOf);
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
    notices: (application.status?.notices ?? []).map(say),
    problem: indexed.ready
      ? undefined
      : {
          sentence: indexed.message,
          next: nextStep(indexed),
          actor: whoCanAct(indexed.code),
          since: indexed.since,
          action: actionFor({ code: indexed.code, args: indexed.args, project, application: name }),
        },
    deliveries: cells(from.index.ofApplication(project, name).members, (one) => one.cluster),
    releases: newest.map(({ metadata, spec }) => ({
      name: metadata.name,
      number: spec.number,
      commit: spec.source.commit,
      subject: spec.source.subject,
      author: spec.source.author,
      version: spec.source.version,
      files: filesOf(spec),
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
  const { desired, held } = cluster.status ?? {};
  return {
    ...clusterSummary(from.index, indexed, from.reports.lastContact(name)),
    revision: from.index.revision,
    at: from.now(),
    facts: cluster.status?.facts ?? {},
    desired,
    held,
    problem:
      ownState(indexed) === 'ready'
        ? undefined
        : {
            sentence: indexed.message,
            next: nextStep({ code: indexed.code, args: { cluster: name } }),
            actor: whoCanAct(indexed.code),
            since: conditionOf(cluster, 'Ready')?.lastTransitionTime,
            action: actionFor({ code: indexed.code, args: { cluster: name }, project: '', cluster: name }),
          },
    lag: await lagOf(from, name, desired, held),
    deliveries: cells(from.index.ofCluster(name).members, (one) => one.application),
    drift: driftOf(from, name),
    orphaned: last?.orphaned ?? [],
    agentReasons: (last?.agent ?? []).map((reason) => ({ code: reason.code, sentence: say(reason), since: reason.since })),
  };
}

/** How far the cluster is behind what was signed for it. Positions in status are written late, the newest row is not. */
async function lagOf(
  { store }: DetailSources,
  name: string,
  desired: ClusterView['desired'],
  held: ClusterView['held'],
): Promise<ClusterView['lag']> {
  const row = await store.get(DesiredStateRow, { namespace: '', name });
  const newest = row?.spec.position ?? desired;
  if (newest === undefined) return undefined;
  if (held === undefined) return { behind: newest.seq, sentence: 'it has not said yet what it holds' };
  if (held.epoch !== newest.epoch)
    return {
      behind: newest.seq,
      sentence: `it holds ${held.epoch}.${held.seq}, of another epoch than ${newest.epoch}.${newest.seq}`,
    };
  const behind = Math.max(0, newest.seq - held.seq);
  return {
    behind,
    sentence:
      behind === 0
        ? 'it holds the newest desired state'
        : `${behind} ${behind === 1 ? 'change' : 'changes'} of the desired state behind`,
  };
}

/** Everything that agents report to differ from Git in this cluster, and who changed it. */
function driftOf(from: DetailSources, cluster: string): readonly DriftRow[] {
  const rows: DriftRow[] = [];
  for (const { project, application } of from.index.ofCluster(cluster).members) {
    for (const problem of from.reports.delivery(cluster, project, application)?.problems ?? []) {
      if (problem.state !== 'drifted' || rows.length >= MAX_DRIFT) continue;
      rows.push({
        project,
        application,
        id: problem.id,
        sentence: say(problem.reason),
        ...driftNames(problem.reason),
        since: problem.reason.since,
      });
    }
  }
  return rows.sort((a, b) => (a.since < b.since ? -1 : 1));
}

/** Who changed which fields, from the arguments of a reason about drift. */
function driftNames({ args }: WireReason): { readonly manager: string | undefined; readonly fields: readonly string[] } {
  const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
  return { manager: text(args['manager']), fields: text(args['fields'])?.split(', ') ?? [] };
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
  const events = activityView(
    from.index,
    { project, application, cluster, kind: 'Delivery', type: undefined, limit: 50, before: undefined },
    from.now(),
  );
  return {
    ...cellOf(indexed),
    revision: from.index.revision,
    at: from.now(),
    actor: whoCanAct(indexed.code),
    next: nextStep(indexed),
    action: actionFor(indexed),
    phase: delivery.status?.phase ?? 'Unknown',
    wanted:
      wanted === undefined
        ? undefined
        : {
            release: wanted.release,
            bundle: wanted.bundle,
            commit: release?.spec.source.commit,
            subject: release?.spec.source.subject,
            version: release?.spec.source.version,
            files: filesOf(release?.spec),
          },
    notes: wanted === undefined ? undefined : await notesOf(from.store, project, application, cluster, wanted.bundle),
    applied: delivery.status?.applied,
    journeys: await journeysOf(from, delivery, release, indexed, why[0]?.area),
    why: why.map(({ area, code, sentence, actor, since }) => ({ area, code, sentence, actor, since })),
    counts: delivery.status?.objects,
    objects: wanted === undefined ? [] : await objectRows(from.store, wanted.bundle, wanted.release, report),
    events: events.items,
  };
}

function filesOf(spec: Release['spec'] | undefined): readonly FilesView[] {
  return (spec?.source.files ?? []).map(namedFiles);
}

/** Notes are of the newest render: they are shown where the cluster wants exactly what that made for it. */
async function notesOf(
  store: Store,
  project: string,
  application: string,
  cluster: string,
  bundle: string,
): Promise<string | undefined> {
  const row = await store.get(RenderRow, { namespace: project, name: application });
  const groups = (row?.spec.trees ?? []).flatMap((tree) => tree.groups);
  return groups.find((group) => group.bundles.some(({ digest, members }) => digest === bundle && Object.hasOwn(members, cluster)))
    ?.notes;
}

/** The way of the wanted release, and above it that of a newer commit that does not get as far as a release. */
async function journeysOf(
  { store }: DetailSources,
  delivery: Delivery,
  release: Release | undefined,
  indexed: IndexedDelivery,
  area: string | undefined,
): Promise<DeliveryView['journeys']> {
  const { project } = indexed;
  const application = await store.get(Application, { namespace: project, name: indexed.application });
  const journeys: DeliveryView['journeys'][number][] = [];
  const seen = application?.status?.commit;
  const isStuck = area === 'source' || area === 'render' || area === 'claim' || area === 'hold';
  if (seen !== undefined && seen !== release?.spec.source.commit && (isStuck || release === undefined)) {
    const source = application === undefined ? undefined : await readSource(store, application);
    const state = application === undefined || source === undefined ? undefined : snapshotFor(application, source).snapshot;
    const snapshot = state?.commit === seen ? state : undefined;
    journeys.push({
      release: undefined,
      commit: seen,
      subject: snapshot?.subject,
      files: [],
      // The commit was seen, even where nobody remembers its time.
      stops: journeyStops({ committedAt: snapshot?.committedAt ?? delivery.metadata.creationTimestamp }, sentenceOf(indexed)),
    });
  }
  const times = delivery.status?.journey;
  if (delivery.spec.wanted !== undefined) {
    journeys.push({
      release: delivery.spec.wanted.release,
      commit: release?.spec.source.commit,
      subject: release?.spec.source.subject,
      files: filesOf(release?.spec),
      stops: journeyStops(
        times?.release === delivery.spec.wanted.release
          ? times
          : {
              ...(release === undefined
                ? {}
                : { committedAt: youngestCommit(release).committedAt, renderedAt: release.spec.renderedAt }),
              releasedAt: delivery.spec.wanted.assignedAt,
            },
        sentenceOf(indexed),
      ),
    });
  }
  if (journeys.length === 0)
    journeys.push({
      release: undefined,
      commit: undefined,
      subject: undefined,
      files: [],
      stops: journeyStops({}, sentenceOf(indexed)),
    });
  return journeys;
}

/** The wanted objects in apply order, each with what the agent says about it. */
async function objectRows(
  store: Store,
  bundle: string,
  release: string,
  report: DeliveryReport | undefined,
): Promise<ObjectRow[]> {
  const entries = (await readBundles(store, [bundle])).get(bundle) ?? [];
  return entries.map((entry) => objectRow(entry, statesOf(report, release, bundle)));
}

function objectRow(entry: BundleEntry, { problems, otherwise }: ReturnType<typeof statesOf>): ObjectRow {
  const problem = problems.get(identityOf(entry.id));
  return {
    id: entry.id,
    stage: entry.stage,
    wave: entry.wave,
    sealed: entry.sealed !== undefined,
    file: entry.source?.file,
    line: entry.source?.line,
    state: problem?.state ?? otherwise,
    sentence: problem === undefined ? undefined : say(problem.reason),
  };
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
  const applied = delivery?.status?.applied;
  const key = identityOf(id);
  const bundles = await readBundles(from.store, [wanted.bundle, ...(applied === undefined ? [] : [applied.bundle])]);
  const entry = bundles.get(wanted.bundle)?.find((one) => identityOf(one.id) === key);
  if (entry === undefined) return undefined;
  const report = from.reports.delivery(ref.cluster, ref.project, ref.application);
  const states = statesOf(report, wanted.release, wanted.bundle);
  const problem = states.problems.get(key);
  const former = applied === undefined ? undefined : bundles.get(applied.bundle)?.find((one) => identityOf(one.id) === key);
  const isHidden = entry.sealed !== undefined || former?.sealed !== undefined;
  const bodies = isHidden
    ? new Map<string, Uint8Array>()
    : await from.store.blobs([entry.digest, ...(former === undefined ? [] : [former.digest])]);
  const body = bodies.get(entry.digest);
  const differs = problem?.state === 'drifted' ? driftNames(problem.reason) : { manager: undefined, fields: [] };
  return {
    revision: from.index.revision,
    at: from.now(),
    row: objectRow(entry, states),
    problem:
      problem === undefined
        ? undefined
        : {
            code: problem.reason.code,
            sentence: say(problem.reason),
            actor: whoCanAct(problem.reason.code),
            since: problem.reason.since,
          },
    release: wanted.release,
    wanted: body === undefined ? undefined : from.manifests.toYaml(body),
    applied:
      applied === undefined || applied.release === wanted.release || !bundles.has(applied.bundle)
        ? undefined
        : {
            release: applied.release,
            change: former === undefined ? 'added' : isEqual(former, entry) ? 'unchanged' : 'changed',
            fields:
              former === undefined || isHidden ? [] : from.manifests.changes(bodies.get(former.digest), bodies.get(entry.digest)),
          },
    live: { differs: differs.fields, manager: differs.manager, sentence: liveSentence(states.otherwise, problem) },
  };
}

function isEqual(a: BundleEntry, b: BundleEntry): boolean {
  return a.digest === b.digest || (a.sealed !== undefined && a.sealed === b.sealed);
}

/** What the last report says of the live object; its content is asked for by a look. */
function liveSentence(otherwise: ObjectRow['state'], problem: DeliveryReport['problems'][number] | undefined): string {
  switch (problem?.state) {
    case undefined:
      return otherwise === 'ready'
        ? 'every field that Git says is so in the cluster'
        : 'the agent has not reported on this object for the wanted release';
    case 'drifted':
      return 'it is not what Git says in the cluster';
    case 'failed':
      return 'the cluster refused it, so that what is live is older or nothing';
    default:
      return 'it was applied as wanted';
  }
}
