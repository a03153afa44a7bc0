import {
  ChartRepository,
  commitsOf,
  GitRepository,
  Release,
  releaseName,
  type BundleEntry,
  type ChangeRelease,
  type ChangesView,
  type CommitView,
  type ObjectIdentity,
  type ReleasedCommit,
} from '#api';
import type { Store } from '#plane/store';
import { identityOf, readBundles } from './bundles.ts';
import { cellOf } from './fleet-view.ts';
import type { DetailSources } from './detail-views.ts';
import type { FleetIndex } from './fleet-index.ts';
import { compareStates, worst } from './state.ts';

const MAX_HEADS = 10_000;
/** Releases looked at for one page. */
const MAX_LOOKS = 2_000;
const MAX_OBJECTS = 200;
const MAX_NAMED = 20;
/** Pairs of bundles compared for one application of one commit. */
const MAX_PAIRS = 50;

/** Of a Release, what lists show. */
export interface ReleaseHead {
  readonly project: string;
  readonly application: string;
  readonly name: string;
  readonly number: number;
  /** Everything that it was rendered from, its own source's first. */
  readonly commits: readonly ReleasedCommit[];
  readonly renderedAt: string;
  readonly clusters: number;
}

/** Releases are immutable: their heads are read once, and the oldest memory goes first. */
export class ReleaseHeadCache {
  readonly #store: Store;
  readonly #heads = new Map<string, ReleaseHead>();

  constructor(store: Store) {
    this.#store = store;
  }

  async get(project: string, application: string, number: number): Promise<ReleaseHead | undefined> {
    const name = releaseName(application, number);
    const known = this.#heads.get(`${project}/${name}`);
    if (known !== undefined) return known;
    const found = await this.#store.get(Release, { namespace: project, name });
    return found === undefined ? undefined : this.take(found);
  }

  take(release: Release): ReleaseHead {
    const head = headOf(release);
    this.#heads.set(`${head.project}/${head.name}`, head);
    if (this.#heads.size > MAX_HEADS) {
      const [oldest] = this.#heads.keys();
      if (oldest !== undefined) this.#heads.delete(oldest);
    }
    return head;
  }

  /** Commits of the releases seen so far, newest first, each once. */
  commits(): readonly { readonly commit: string; readonly subject: string | undefined }[] {
    const newest = [...this.#heads.values()].sort((a, b) => (a.renderedAt < b.renderedAt ? 1 : -1));
    const commits = newest.flatMap((head) => head.commits);
    return [...new Map(commits.map(({ commit, subject }) => [commit, { commit, subject }])).values()];
  }
}

function headOf({ metadata, spec }: Release): ReleaseHead {
  return {
    project: metadata.namespace ?? '',
    application: spec.application,
    name: metadata.name,
    number: spec.number,
    commits: commitsOf({ spec }),
    renderedAt: spec.renderedAt,
    clusters: spec.bundles.reduce((sum, { clusters }) => sum + clusters.length, 0),
  };
}

/**
 * Of what a release was rendered from, what the release before it was not: the commits that made it. Where none is new (another
 * label, another setting), that of its own source.
 */
async function newCommits(heads: ReleaseHeadCache, head: ReleaseHead): Promise<readonly ReleasedCommit[]> {
  const [own] = head.commits;
  if (own === undefined || head.commits.length === 1) return head.commits;
  const before = await heads.get(head.project, head.application, head.number - 1);
  const found = head.commits.filter(({ commit }) => before?.commits.some((one) => one.commit === commit) !== true);
  return found.length === 0 ? [own] : found;
}

export interface ChangesQuery {
  readonly project: string | undefined;
  readonly limit: number;
  /** Only releases rendered before this moment. */
  readonly before: string | undefined;
}

/** Commits that became releases, newest first: the newest releases of all applications, merged. */
export async function changesView(
  from: Pick<DetailSources, 'index' | 'now'> & { readonly heads: ReleaseHeadCache },
  { project, limit, before }: ChangesQuery,
): Promise<ChangesView> {
  const tips: ReleaseHead[] = [];
  let looks = 0;
  const older = async (owner: { readonly project: string; readonly name: string }, below: number): Promise<void> => {
    for (let number = below - 1; number > 0 && looks < MAX_LOOKS; number -= 1) {
      looks += 1;
      const head = await from.heads.get(owner.project, owner.name, number);
      if (head === undefined) return;
      if (before !== undefined && head.renderedAt >= before) continue;
      tips.push(head);
      return;
    }
  };
  for (const application of from.index.applications.values()) {
    if (project !== undefined && application.project !== project) continue;
    const newest = Number(application.release?.slice(application.name.length + 1));
    if (Number.isInteger(newest)) await older(application, newest + 1);
  }
  const commits = new Map<string, { readonly made: ReleasedCommit; readonly heads: ReleaseHead[] }>();
  let last: string | undefined;
  for (;;) {
    const next = newestOf(tips);
    if (next === undefined) break;
    const made = await newCommits(from.heads, next);
    if (commits.size >= limit && !made.every(({ commit }) => commits.has(commit))) break;
    tips.splice(tips.indexOf(next), 1);
    for (const one of made) {
      const heads = commits.get(one.commit)?.heads ?? [];
      heads.push(next);
      commits.set(one.commit, { made: one, heads });
    }
    last = next.renderedAt;
    await older({ project: next.project, name: next.application }, next.number);
  }
  return {
    revision: from.index.revision,
    at: from.now(),
    items: [...commits.values()].flatMap(({ made, heads }) => {
      const [first] = heads;
      if (first === undefined) return [];
      return {
        commit: made.commit,
        subject: made.subject,
        author: made.author,
        committedAt: made.committedAt,
        at: first.renderedAt,
        releases: heads.map((head) => changeRelease(from.index, head)),
      };
    }),
    next: tips.length > 0 ? last : undefined,
  };
}

function newestOf(tips: readonly ReleaseHead[]): ReleaseHead | undefined {
  let found: ReleaseHead | undefined;
  for (const tip of tips) if (found === undefined || tip.renderedAt > found.renderedAt) found = tip;
  return found;
}

function changeRelease(index: FleetIndex, head: ReleaseHead): ChangeRelease {
  const wanting = [...index.ofApplication(head.project, head.application).members].filter(({ release }) => release === head.name);
  return {
    project: head.project,
    application: head.application,
    release: head.name,
    renderedAt: head.renderedAt,
    clusters: head.clusters,
    wanted: wanting.length,
    ready: wanting.filter(({ state }) => state === 'ready').length,
    state: wanting.length === 0 ? 'replaced' : worst(wanting.map(({ state }) => state)),
  };
}

/** Everything that one commit touched. */
export async function commitView(
  from: DetailSources & { readonly heads: ReleaseHeadCache },
  commit: string,
): Promise<CommitView | undefined> {
  const items = await madeBy(from, commit);
  const repositories = (await from.store.list(GitRepository, {})).items;
  const charts = (await from.store.list(ChartRepository, {})).items;
  const current = repositories.filter(({ status }) => status?.snapshot?.commit === commit);
  if (items.length === 0 && current.length === 0) return undefined;
  const named = new Map<string, CommitView['sources'][number]>();
  const addSource = (project: string, name: string): void => {
    const url = [...repositories, ...charts].find(({ metadata }) => metadata.namespace === project && metadata.name === name)
      ?.spec.url;
    named.set(`${project}/${name}`, { project, name, url });
  };
  const madeOf = (release: Release): ReleasedCommit | undefined => commitsOf(release).find((one) => one.commit === commit);
  for (const release of items) addSource(release.metadata.namespace ?? '', madeOf(release)?.name ?? release.spec.source.name);
  for (const { metadata } of current) addSource(metadata.namespace ?? '', metadata.name);
  const releases: CommitView['releases'][number][] = [];
  for (const release of items) releases.push({ ...(await touched(from, release)), diff: diffArguments(release, commit) });
  const snapshot = current[0]?.status?.snapshot;
  const [newest] = items;
  const source = newest === undefined ? undefined : madeOf(newest);
  return {
    revision: from.index.revision,
    at: from.now(),
    commit,
    subject: source?.subject ?? snapshot?.subject,
    author: source?.author ?? snapshot?.author,
    committedAt: source?.committedAt ?? snapshot?.committedAt,
    sources: [...named.values()],
    sentence: sentence(releases),
    releases: releases.sort((a, b) => (a.application < b.application ? -1 : a.application > b.application ? 1 : 0)),
  };
}

/** Releases that the commit made: that were rendered from it, and the ones before them were not. */
async function madeBy(from: DetailSources & { readonly heads: ReleaseHeadCache }, commit: string): Promise<readonly Release[]> {
  const { items } = await from.store.list(Release, {
    fields: [{ path: 'spec.source.commit', operator: '=', value: commit }],
    limit: 1000,
  });
  const found = new Map(items.map((release) => [release.metadata.uid, release]));
  // No field selects what is beside the own source of an Application; few have anything there.
  for (const { project, name, hasFiles } of from.index.applications.values()) {
    if (!hasFiles || found.size >= 1000) continue;
    const fields = [{ path: 'spec.application', operator: '=' as const, value: name }];
    for (const release of (await from.store.list(Release, { namespace: project, fields, limit: 200 })).items)
      if (commitsOf(release).some((one) => one.commit === commit)) found.set(release.metadata.uid, release);
  }
  const made: Release[] = [];
  for (const release of found.values()) {
    const commits = await newCommits(from.heads, from.heads.take(release));
    if (commits.some((one) => one.commit === commit)) made.push(release);
  }
  return made;
}

/** What `fairlead diff` takes to show the same once more. */
function diffArguments({ spec: { source } }: Release, commit: string): string {
  const files = source.files?.find((one) => one.commit === commit);
  if (files !== undefined && source.commit !== commit) return `--files ${files.at}=${commit}`;
  return `--commit ${source.version ?? commit}`;
}

function sentence(releases: CommitView['releases']): string {
  const changed = releases.filter(({ changedClusters }) => changedClusters > 0);
  const applications = new Set(changed.map(({ project, application }) => `${project}/${application}`)).size;
  const places = changed.reduce((sum, { changedClusters }) => sum + changedClusters, 0);
  if (applications === 0) return 'it changes nothing of what any application delivers';
  return `it changes ${applications} ${applications === 1 ? 'application' : 'applications'} in ${places} ${places === 1 ? 'place' : 'places'} (application × cluster)`;
}

async function touched(
  from: DetailSources & { readonly heads: ReleaseHeadCache },
  release: Release,
): Promise<Omit<CommitView['releases'][number], 'diff'>> {
  const head = from.heads.take(release);
  const before = await from.store.get(Release, {
    namespace: head.project,
    name: releaseName(head.application, head.number - 1),
  });
  const was = new Map((before?.spec.bundles ?? []).flatMap(({ digest, clusters }) => clusters.map((name) => [name, digest])));
  // Clusters that go from the same bundle to the same bundle are compared once.
  const pairs = new Map<string, { from: string | undefined; to: string; clusters: string[] }>();
  for (const { digest, clusters } of release.spec.bundles) {
    for (const cluster of clusters) {
      const old = was.get(cluster);
      if (old === digest) continue;
      const pair = pairs.get(`${old} ${digest}`);
      if (pair === undefined) pairs.set(`${old} ${digest}`, { from: old, to: digest, clusters: [cluster] });
      else pair.clusters.push(cluster);
    }
  }
  const objects = await changedObjects(from.store, [...pairs.values()]);
  const wanting = [...from.index.ofApplication(head.project, head.application).members].filter(
    (one) => one.release === head.name && one.state !== 'ready',
  );
  return {
    ...changeRelease(from.index, head),
    against: before?.metadata.name,
    changedClusters: [...pairs.values()].reduce((sum, { clusters }) => sum + clusters.length, 0),
    objects: objects.slice(0, MAX_OBJECTS),
    moreObjects: Math.max(0, objects.length - MAX_OBJECTS),
    deliveries: wanting
      .sort((a, b) => compareStates(a.state, b.state) || (a.since < b.since ? -1 : 1))
      .slice(0, MAX_NAMED)
      .map(cellOf),
  };
}

type ChangedObject = CommitView['releases'][number]['objects'][number];

async function changedObjects(
  store: Store,
  pairs: readonly { readonly from: string | undefined; readonly to: string; readonly clusters: readonly string[] }[],
): Promise<readonly ChangedObject[]> {
  const compared = pairs.slice(0, MAX_PAIRS);
  const bundles = await readBundles(
    store,
    compared.flatMap((pair) => (pair.from === undefined ? [pair.to] : [pair.from, pair.to])),
  );
  const found = new Map<string, { id: ObjectIdentity; change: ChangedObject['change']; clusters: number; cluster: string }>();
  for (const { from, to, clusters } of compared) {
    const cluster = clusters[0] ?? '';
    const note = (entry: BundleEntry, change: ChangedObject['change']): void => {
      const key = `${change} ${identityOf(entry.id)}`;
      const known = found.get(key);
      if (known === undefined) found.set(key, { id: entry.id, change, clusters: clusters.length, cluster });
      else known.clusters += clusters.length;
    };
    const before = new Map((from === undefined ? [] : (bundles.get(from) ?? [])).map((entry) => [identityOf(entry.id), entry]));
    for (const entry of bundles.get(to) ?? []) {
      const old = before.get(identityOf(entry.id));
      before.delete(identityOf(entry.id));
      if (old === undefined) note(entry, 'added');
      else if (old.digest !== entry.digest && (old.sealed === undefined || old.sealed !== entry.sealed)) note(entry, 'changed');
    }
    for (const entry of before.values()) note(entry, 'removed');
  }
  return [...found.values()];
}
