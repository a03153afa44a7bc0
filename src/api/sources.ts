import type { Kind } from './define-kind.ts';
import { plainDirectory, type Application, type FileSource } from './kinds/application.ts';
import { ChartRepository, formatChart } from './kinds/chart-repository.ts';
import { formatReference, GitRepository, isAccepted, type GitReference } from './kinds/git-repository.ts';
import type { Snapshot } from './kinds/repository.ts';
import type { Key, PlaneObject } from './objects.ts';
import { isReasonCode, reasonOf, type UntimedReason } from './reasons.ts';

/** Where an Application's files come from. */
export type Source = GitRepository | ChartRepository;

/** Something that reads single objects: the store, or what a controller is given. */
export interface SourceReader {
  get<S, T>(kind: Kind<S, T>, key: Key): Promise<PlaneObject<S, T> | undefined>;
}

/** The source object that an Application names; undefined: it does not exist. */
export function readSource(read: SourceReader, application: Application): Promise<Source | undefined> {
  const { kind, name } = application.spec.source.sourceRef;
  const key = { namespace: application.metadata.namespace ?? '', name };
  return kind === 'ChartRepository' ? read.get(ChartRepository, key) : read.get(GitRepository, key);
}

/** One of `spec.source.files`, with the source that it names. */
export interface FilesOfSource {
  readonly file: FileSource;
  /** Undefined: it does not exist. */
  readonly source: GitRepository | undefined;
}

export async function readFileSources(read: SourceReader, application: Application): Promise<readonly FilesOfSource[]> {
  const found: FilesOfSource[] = [];
  const { namespace = '' } = application.metadata;
  for (const file of application.spec.source.files ?? [])
    found.push({ file, source: await read.get(GitRepository, { namespace, name: file.sourceRef.name }) });
  return found;
}

export interface SourceState {
  readonly snapshot: Snapshot | undefined;
  /** Why there is none, or none newer. */
  readonly reason: UntimedReason | undefined;
}

/** What its source says to an Application: the Snapshot of the reference or chart that it names. Pure. */
export function snapshotFor(application: Application, source: Source): SourceState {
  const { ref, chart, version } = application.spec.source;
  if (isChartRepository(source)) {
    const wanted = formatChart(chart ?? '', version);
    const entry = source.status?.charts?.find((one) => one.chart === wanted);
    return { snapshot: entry?.snapshot, reason: known(entry?.reason ?? source.status?.reason) };
  }
  return snapshotAt(source, ref);
}

/** What a repository says of one reference; undefined is its own. Pure. */
export function snapshotAt(source: GitRepository, ref: GitReference | undefined): SourceState {
  const isOwn = ref === undefined || formatReference(ref) === formatReference(source.spec.ref);
  const entry = isOwn ? source.status : source.status?.refs?.find((one) => one.ref === formatReference(ref));
  // Until the next look has checked it against the policy of now, it is as if it had not been fetched.
  const isGood = entry?.snapshot !== undefined && isAccepted(entry.snapshot, source.spec.verify);
  return { snapshot: isGood ? entry.snapshot : undefined, reason: known(entry?.reason) };
}

/** The Snapshots that an Application follows; two Applications that share one may be changed by the same commit. Pure. */
export function sourceKeys({ spec: { source } }: Application): readonly string[] {
  const named = (ref: GitReference | undefined): string => (ref === undefined ? '' : formatReference(ref));
  const which = source.sourceRef.kind === 'ChartRepository' ? formatChart(source.chart ?? '', source.version) : named(source.ref);
  return [
    JSON.stringify([source.sourceRef.kind, source.sourceRef.name, which]),
    ...(source.files ?? []).map(({ sourceRef, ref }) => JSON.stringify([sourceRef.kind, sourceRef.name, named(ref)])),
  ];
}

/** The newest commits that an Application follows, for `status.commit` and `status.files`. */
export interface FollowedCommits {
  /** Undefined: there is none. */
  readonly commit: string | undefined;
  readonly files: readonly { readonly at: string; readonly commit: string }[];
}

export async function followedCommits(read: SourceReader, application: Application): Promise<FollowedCommits> {
  const source = await readSource(read, application);
  const files = (await readFileSources(read, application)).flatMap(({ file, source: other }) => {
    const commit = other === undefined ? undefined : snapshotAt(other, file.ref).snapshot?.commit;
    return commit === undefined ? [] : [{ at: plainDirectory(file.at), commit }];
  });
  return { commit: source === undefined ? undefined : snapshotFor(application, source).snapshot?.commit, files };
}

export function isChartRepository(source: Source): source is ChartRepository {
  return source.kind === ChartRepository.kind;
}

function known(
  reason: { readonly code: string; readonly args: Readonly<Record<string, unknown>> } | undefined,
): UntimedReason | undefined {
  return reason !== undefined && isReasonCode(reason.code) ? reasonOf(reason.code, reason.args) : undefined;
}
