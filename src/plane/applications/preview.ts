import { FairleadError } from '#base';
import {
  Application,
  isChartRepository,
  plainDirectory,
  Project,
  RenderRow,
  say,
  type Bundle,
  type BundleEntry,
  type GitReference,
  type HookEntry,
  type Release,
  type Snapshot,
  type Source,
  type SourceState,
  type UntimedReason,
} from '#api';
import type { Reader } from '#plane/engine';
import type { Renderer } from '#render';
import { findSource, openSource, releasedFiles, type FoundSource, type Lookup } from './application-source.ts';
import { Fleet } from './fleet.ts';
import { Pins } from './pins.ts';
import { bundlesOf } from './plan-release.ts';
import { reasonOfError } from './render-reason.ts';
import { renderTree } from './render-tree.ts';
import { newestRelease } from './release-subject.ts';
import type { ResolveReferences } from './remote-references.ts';
import type { OpenSnapshot, SnapshotFiles } from './snapshot-files.ts';
import { nothingStaged, type Staged } from './staged.ts';
import { targetsOf } from './targets.ts';
import type { Derive, TreeRow } from './tree-context.ts';
import { baseGroups } from './wanted-groups.ts';

export interface PreviewOptions {
  readonly read: Reader;
  readonly renderer: Pick<Renderer, 'render' | 'version'>;
  readonly openSnapshot: OpenSnapshot;
  /** Fetches what an application needs from other places; absent: it says what that is. */
  readonly resolveReferences?: ResolveReferences;
  readonly derive: Derive;
  /** Fetches what a reference or the version of a chart stands for; nothing follows from it. */
  readonly resolve: (
    source: Source,
    wanted: { readonly ref: GitReference | undefined; readonly chart: string; readonly version: string },
    signal: AbortSignal,
  ) => Promise<{ readonly snapshot: Snapshot } | { readonly reason: UntimedReason }>;
}

/** What to render in place of what the Application follows. */
export interface PreviewQuery {
  /** Branch or commit; version of a chart. */
  readonly ref?: string | undefined;
  /** Directory of spec.source.files → branch or commit. */
  readonly files?: ReadonlyMap<string, string>;
  /** Whether what is fetched from elsewhere is resolved anew, as by `fairlead reconcile --refresh`. */
  readonly refresh?: boolean;
}

export interface PreviewedObject {
  readonly entry: BundleEntry;
  readonly change: 'added' | 'changed' | 'removed';
  /** Canonical JSON; undefined where there is none, or it is sealed to the cluster. */
  readonly before: Uint8Array | undefined;
  readonly after: Uint8Array | undefined;
}

/** What a commit would change; clusters that would change alike share an entry. */
export interface Preview {
  readonly commit: string;
  readonly subject: string | undefined;
  /** Commits of spec.source.files. */
  readonly files: NonNullable<Release['spec']['source']['files']>;
  readonly against: string | undefined;
  readonly groups: readonly {
    readonly clusters: readonly string[];
    readonly changes: readonly PreviewedObject[];
    readonly unchanged: number;
    /** Hooks that would run, where the bundle is another one: as an install without a former one, else as an upgrade. */
    readonly hooks: readonly HookEntry[];
  }[];
  /** Sentences; with any of them there are no groups. */
  readonly errors: readonly string[];
}

/**
 * Renders an Application at a commit as a Release would be made of it, and compares with the newest Release. Writes nothing,
 * and is seen by no cluster. Undefined: there is no such Application.
 */
export async function previewCommit(
  options: PreviewOptions,
  key: { readonly namespace: string; readonly name: string },
  query: PreviewQuery,
  signal: AbortSignal,
): Promise<Preview | undefined> {
  const { read } = options;
  const application = await read.get(Application, key);
  if (application === undefined) return undefined;
  const project = await read.get(Project, { namespace: '', name: key.namespace });
  const newest = await newestRelease(application, read);
  const refuse = (reason: UntimedReason, found?: FoundSource): Preview => ({
    ...namesOf(found),
    against: newest?.metadata.name,
    groups: [],
    errors: [say(reason)],
  });
  if (project === undefined) return refuse({ code: 'FL_CLAIM_PROJECT', args: { project: key.namespace } });
  for (const at of query.files?.keys() ?? []) {
    if (application.spec.source.files?.some((file) => plainDirectory(file.at) === at) === true) continue;
    throw new FairleadError('FL_PREVIEW_FILES', `${key.name} has no ${at} in spec.source.files`, { kind: 'invalid' });
  }
  const given = await findSource(read, application, asked(options, application, query, signal));
  if ('reason' in given) return refuse(given.reason);
  const { found } = given;
  const { snapshot } = found;
  const targeting = targetsOf(application, project, await new Fleet().clusters(read));
  const grouping = baseGroups(application, targeting, options.renderer.version);
  if (!grouping.ok)
    return refuse({ code: 'FL_RENDER_PATH', args: { message: `${grouping.message} (cluster ${grouping.cluster})` } }, found);
  let files: SnapshotFiles;
  try {
    files = await openSource(application, found, options.openSnapshot);
  } catch (error) {
    const reason = reasonOfError(error);
    if (reason === undefined) throw error;
    return refuse(reason, found);
  }
  const row = await read.get(RenderRow, key);
  const pins = new Pins(row?.spec.trees ?? [], query.refresh === true ? 'preview' : undefined, undefined);
  const staged = nothingStaged();
  const trees: TreeRow[] = [];
  const errors: string[] = [];
  for (const group of grouping.groups) {
    try {
      const outcome = await renderTree(
        group,
        undefined,
        {
          project: key.namespace,
          application: key.name,
          defaultNamespace: application.spec.defaultNamespace,
          snapshot: files,
          pins,
          nowMs: Date.parse(snapshot.committedAt),
          commitTimeMs: Date.parse(snapshot.committedAt),
          renderer: options.renderer,
          derive: options.derive,
          read,
          signal,
          verdicts: new Map(),
          resolveReferences: options.resolveReferences,
          isOneOfMany: grouping.groups.length > 1,
        },
        staged,
      );
      if ('reason' in outcome) errors.push(say(outcome.reason));
      else trees.push(outcome.row);
    } catch (error) {
      const reason = reasonOfError(error);
      if (reason === undefined) throw error;
      errors.push(say(reason));
    }
  }
  if (errors.length > 0) return { ...namesOf(found), against: newest?.metadata.name, groups: [], errors: [...new Set(errors)] };
  return {
    ...namesOf(found),
    against: newest?.metadata.name,
    groups: await compare(read, staged, newest, bundlesOf(trees)),
    errors: [],
  };
}

function namesOf(found: FoundSource | undefined): Pick<Preview, 'commit' | 'subject' | 'files'> {
  return {
    commit: found?.snapshot.commit ?? '',
    subject: found?.snapshot.subject,
    files: found === undefined ? [] : releasedFiles(found.files),
  };
}

/** Fetches what is asked for, and what the Application follows where nothing else is. */
function asked(
  { resolve }: PreviewOptions,
  { spec: { source } }: Application,
  { ref, files }: PreviewQuery,
  signal: AbortSignal,
): Lookup {
  const { chart = '', version = '*' } = source;
  const stateOf = (found: Awaited<ReturnType<typeof resolve>>): SourceState =>
    'snapshot' in found ? { snapshot: found.snapshot, reason: undefined } : { snapshot: undefined, reason: found.reason };
  return {
    async own(repository) {
      if (isChartRepository(repository))
        return stateOf(await resolve(repository, { ref: undefined, chart, version: ref ?? version }, signal));
      const wanted = ref === undefined ? (source.ref ?? repository.spec.ref) : refOf(ref);
      return stateOf(await resolve(repository, { ref: wanted, chart, version }, signal));
    },
    async files(file, repository) {
      const name = files?.get(plainDirectory(file.at));
      const wanted = name === undefined ? (file.ref ?? repository.spec.ref) : refOf(name);
      return stateOf(await resolve(repository, { ref: wanted, chart, version }, signal));
    },
  };
}

/** Per pair of former and new bundle, so that a thousand clusters that change alike are compared once. */
async function compare(
  read: Reader,
  staged: Staged,
  newest: Release | undefined,
  wanted: readonly Release['spec']['bundles'][number][],
): Promise<Preview['groups']> {
  const former = new Map<string, string>();
  for (const { digest, clusters, plane } of newest?.spec.bundles ?? [])
    for (const cluster of plane === true ? [''] : clusters) former.set(cluster, digest);
  const pairs = new Map<string, { before: string | undefined; after: string; clusters: string[] }>();
  for (const { digest, clusters, plane } of wanted) {
    for (const cluster of plane === true ? [''] : clusters) {
      const before = former.get(cluster);
      const id = `${before ?? ''} ${digest}`;
      const pair = pairs.get(id) ?? { before, after: digest, clusters: [] };
      pair.clusters.push(cluster === '' ? 'the plane' : cluster);
      pairs.set(id, pair);
    }
  }
  const bytesOf = async (digests: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> => {
    const own = digests.flatMap((digest) => {
      const blob = staged.blobs.get(digest);
      return blob === undefined ? [] : [[digest, blob.bytes] as const];
    });
    const stored = await read.blobs(digests.filter((digest) => !staged.blobs.has(digest)));
    return new Map([...own, ...stored]);
  };
  const groups: Preview['groups'][number][] = [];
  for (const { before, after, clusters } of pairs.values()) {
    const bundles = await bytesOf(before === undefined ? [after] : [before, after]);
    const old = entriesOf(before === undefined ? undefined : bundles.get(before));
    const next = entriesOf(bundles.get(after));
    const changed = [...next.values()].filter((entry) => !isSame(old.get(idOf(entry)), entry));
    const removed = [...old.values()].filter((entry) => !next.has(idOf(entry)));
    const bodies = await bytesOf(
      [...changed, ...changed.flatMap((entry) => old.get(idOf(entry)) ?? []), ...removed]
        .filter((entry) => entry.sealed === undefined)
        .map((entry) => entry.digest),
    );
    const body = (entry: BundleEntry | undefined): Uint8Array | undefined =>
      entry === undefined ? undefined : bodies.get(entry.digest);
    const changes = [
      ...changed.map((entry): PreviewedObject => {
        const former = old.get(idOf(entry));
        return { entry, change: former === undefined ? 'added' : 'changed', before: body(former), after: body(entry) };
      }),
      ...removed.map((entry): PreviewedObject => ({ entry, change: 'removed', before: body(entry), after: undefined })),
    ];
    const action = before === undefined ? 'install' : 'upgrade';
    const hooks =
      before === after ? [] : hooksOf(bundles.get(after)).filter(({ events }) => events.some((one) => one.endsWith(action)));
    groups.push({ clusters, changes, unchanged: next.size - changed.length, hooks });
  }
  return groups.sort((a, b) => b.changes.length - a.changes.length || (a.clusters[0] ?? '').localeCompare(b.clusters[0] ?? ''));
}

function bundleOf(bytes: Uint8Array | undefined): Pick<Bundle, 'entries' | 'hooks'> {
  // Our own bytes, found by their digest.
  return bytes === undefined ? { entries: [] } : (JSON.parse(Buffer.from(bytes).toString('utf8')) as Bundle);
}

function entriesOf(bytes: Uint8Array | undefined): ReadonlyMap<string, BundleEntry> {
  return new Map(bundleOf(bytes).entries.map((entry) => [idOf(entry), entry]));
}

function hooksOf(bytes: Uint8Array | undefined): readonly HookEntry[] {
  return bundleOf(bytes).hooks ?? [];
}

function idOf({ id }: BundleEntry): string {
  return `${id.group}/${id.kind}/${id.namespace}/${id.name}`;
}

/** Sealed forms differ by chance; what they hold is compared by its HMAC. */
function isSame(a: BundleEntry | undefined, b: BundleEntry): boolean {
  return a !== undefined && (a.sealed === undefined || b.sealed === undefined ? a.digest === b.digest : a.sealed === b.sealed);
}

/** For those who only have a name: a commit id, or a branch. */
export function refOf(text: string): { readonly commit: string } | { readonly branch: string } {
  if (/^[0-9a-f]{40}$/.test(text)) return { commit: text };
  if (text === '')
    throw new FairleadError('FL_PREVIEW_REF', 'an empty name is no commit; write a branch or a whole commit id', {
      kind: 'invalid',
    });
  return { branch: text };
}
