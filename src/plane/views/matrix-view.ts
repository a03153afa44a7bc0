import { Release, type MatrixView, type ObjectIdentity, type ObjectState } from '#api';
import { identityOf, readBundles, statesOf } from './bundles.ts';
import type { DetailSources } from './detail-views.ts';
import { sentenceOf, type IndexedDelivery } from './fleet-index.ts';
import { compareStates } from './state.ts';

const MAX_COLUMNS = 12;
const MAX_ROWS = 500;
const MAX_NAMES = 100;
/** Releases that deliveries of one application may be at, at the same moment. */
const MAX_RELEASES = 12;

/** Clusters × objects of an application, with equal columns folded into one and equal rows left out. */
export async function matrixView(from: DetailSources, project: string, name: string): Promise<MatrixView | undefined> {
  if (!from.index.applications.has(`${project}/${name}`)) return undefined;
  const deliveries = [...from.index.ofApplication(project, name).members].sort((a, b) => (a.cluster < b.cluster ? -1 : 1));
  const bundleOf = await wantedBundles(from, project, deliveries);
  const entries = await readBundles(from.store, bundleOf.values());
  const ids = new Map<string, ObjectIdentity>();
  const columns = new Map<string, { members: IndexedDelivery[]; states: Map<string, ObjectState> }>();
  for (const delivery of deliveries) {
    const digest = bundleOf.get(delivery);
    const report = from.reports.delivery(delivery.cluster, project, name);
    const { problems, otherwise } = statesOf(report, delivery.release ?? '', digest ?? '');
    const states = new Map<string, ObjectState>();
    for (const { id } of (digest === undefined ? undefined : entries.get(digest)) ?? []) {
      const key = identityOf(id);
      ids.set(key, id);
      states.set(key, problems.get(key)?.state ?? otherwise);
    }
    // Clusters may hold different content (values of their own) in the same state: that is alike.
    const signature = JSON.stringify([delivery.release, delivery.state, delivery.code, [...states]]);
    const column = columns.get(signature);
    if (column === undefined) columns.set(signature, { members: [delivery], states });
    else column.members.push(delivery);
  }
  const ordered = [...columns.values()].sort(
    (a, b) => b.members.length - a.members.length || compareFirst(a.members[0], b.members[0]),
  );
  const shown = ordered.slice(0, MAX_COLUMNS);
  // A cluster without a release holds nothing that could differ.
  const holding = ordered.filter(({ states }) => states.size > 0);
  const rows = [...ids].filter(([key]) => holding.some(({ states }) => states.get(key) !== 'ready'));
  return {
    revision: from.index.revision,
    at: from.now(),
    sentence: sentence(ordered.map(({ members }) => members.length)),
    columns: shown.map(({ members, states }) => {
      const [first] = members;
      return {
        count: members.length,
        clusters: members.slice(0, MAX_NAMES).map(({ cluster }) => cluster),
        state: first?.state ?? 'unknown',
        release: first?.release,
        sentence: first === undefined || first.state === 'ready' ? undefined : sentenceOf(first),
        states: rows.slice(0, MAX_ROWS).map(([key]) => states.get(key) ?? null),
      };
    }),
    rows: rows.slice(0, MAX_ROWS).map(([, id]) => id),
    alikeRows: ids.size - rows.length,
    moreClusters: ordered.slice(MAX_COLUMNS).reduce((sum, { members }) => sum + members.length, 0),
  };
}

function compareFirst(a: IndexedDelivery | undefined, b: IndexedDelivery | undefined): number {
  return a === undefined || b === undefined ? 0 : compareStates(a.state, b.state) || (a.cluster < b.cluster ? -1 : 1);
}

/** "94 alike, 3 differ": the largest column, and everything that is not in it. */
function sentence(counts: readonly number[]): string {
  const [most = 0, ...others] = counts;
  const differ = others.reduce((sum, count) => sum + count, 0);
  if (most === 0) return 'no cluster';
  if (differ === 0) return most === 1 ? 'one cluster' : `all ${most} alike`;
  if (most === 1) return `${differ + 1} clusters, each different`;
  return `${most} alike, ${differ} ${differ === 1 ? 'differs' : 'differ'}`;
}

async function wantedBundles(
  from: DetailSources,
  project: string,
  deliveries: readonly IndexedDelivery[],
): Promise<ReadonlyMap<IndexedDelivery, string>> {
  const names = [...new Set(deliveries.flatMap(({ release }) => release ?? []))].slice(0, MAX_RELEASES);
  const digests = new Map<string, string>();
  for (const release of names) {
    const found = await from.store.get(Release, { namespace: project, name: release });
    for (const { digest, clusters } of found?.spec.bundles ?? [])
      for (const cluster of clusters) digests.set(`${release} ${cluster}`, digest);
  }
  return new Map(
    deliveries.flatMap((delivery) => {
      const digest = digests.get(`${delivery.release} ${delivery.cluster}`);
      return digest === undefined ? [] : [[delivery, digest] as const];
    }),
  );
}
