import {
  isChartRepository,
  plainDirectory,
  readFileSources,
  readSource,
  reasonOf,
  snapshotAt,
  snapshotFor,
  type Application,
  type FileSource,
  type GitRepository,
  type Release,
  type Snapshot,
  type Source,
  type SourceReader,
  type SourceState,
  type UntimedReason,
} from '#api';
import { mountFiles } from './mounted-files.ts';
import type { OpenSnapshot, SnapshotFiles } from './snapshot-files.ts';

/** Snapshots of everything that an Application is rendered from. */
export interface FoundSource {
  readonly source: Source;
  readonly snapshot: Snapshot;
  readonly files: readonly FoundFiles[];
  /** Why one of them may not be the newest; what was found holds all the same. */
  readonly reason: UntimedReason | undefined;
}

export interface FoundFiles {
  readonly file: FileSource;
  readonly source: GitRepository;
  readonly snapshot: Snapshot;
}

/** What is read of a source: what its status says, or, for a preview, what somebody asks for. */
export interface Lookup {
  own(source: Source): SourceState | Promise<SourceState>;
  files(file: FileSource, source: GitRepository): SourceState | Promise<SourceState>;
}

/** What the sources say by themselves. */
export function byStatus(application: Application): Lookup {
  return {
    own: (source) => snapshotFor(application, source),
    files: (file, source) => snapshotAt(source, file.ref),
  };
}

/**
 * The Snapshots that an Application is rendered from. One that is missing keeps all of it from being rendered, and the reason is
 * that source's; what is known of its own source by then is given too.
 */
export async function findSource(
  read: SourceReader,
  application: Application,
  lookup: Lookup,
): Promise<{ readonly found: FoundSource } | { readonly reason: UntimedReason; readonly snapshot?: Snapshot }> {
  const { sourceRef } = application.spec.source;
  const source = await readSource(read, application);
  if (source === undefined) return { reason: reasonOf('FL_SOURCE_MISSING', { kind: sourceRef.kind, source: sourceRef.name }) };
  const own = await lookup.own(source);
  if (own.snapshot === undefined) return { reason: own.reason ?? pending(sourceRef) };
  const { snapshot } = own;
  const files: FoundFiles[] = [];
  let { reason } = own;
  for (const { file, source: other } of await readFileSources(read, application)) {
    const { kind, name } = file.sourceRef;
    if (other === undefined) return { snapshot, reason: reasonOf('FL_SOURCE_MISSING', { kind, source: name }) };
    const state = await lookup.files(file, other);
    if (state.snapshot === undefined) return { snapshot, reason: state.reason ?? pending(file.sourceRef) };
    files.push({ file, source: other, snapshot: state.snapshot });
    reason ??= state.reason;
  }
  return { found: { source, snapshot, files, reason } };
}

function pending({ kind, name }: { readonly kind: string; readonly name: string }): UntimedReason {
  return reasonOf('FL_SOURCE_PENDING', { source: `${kind} ${name}` });
}

/** Opens them as one. Errors: as `mountFiles`. */
export async function openSource(application: Application, found: FoundSource, open: OpenSnapshot): Promise<SnapshotFiles> {
  const { source, snapshot, files } = found;
  const shown = (one: Source): string => `${one.kind} ${one.metadata.name}`;
  const own = open(source.metadata.uid, snapshot.commit, source.kind);
  return await mountFiles(
    {
      at: ownDirectory(application),
      snapshot: own,
      path: '.',
      shown: isChartRepository(source) ? `the chart ${snapshot.subject ?? ''}` : shown(source),
    },
    files.map(({ file, source: other, snapshot: at }) => ({
      at: plainDirectory(file.at),
      snapshot: open(other.metadata.uid, at.commit, other.kind),
      path: file.path ?? '.',
      shown: shown(other),
    })),
  );
}

/**
 * Where the files of its own source are in what is rendered: a chart that has files of other sources beside it is in a directory
 * of its name, so that they are no part of it. Pure.
 */
export function ownDirectory({ spec: { source } }: Application): string {
  const isBeside = source.sourceRef.kind === 'ChartRepository' && (source.files ?? []).length > 0;
  return isBeside ? (source.chart ?? '') : '';
}

/** The part of `spec.source.files` that a Release keeps. Pure. */
export function releasedFiles(files: readonly FoundFiles[]): NonNullable<Release['spec']['source']['files']> {
  return files.map(({ file, source, snapshot: { commit, committedAt, author, subject } }) => ({
    kind: source.kind,
    name: source.metadata.name,
    path: plainDirectory(file.path ?? '.') || '.',
    at: plainDirectory(file.at),
    commit,
    committedAt,
    ...(author === undefined ? {} : { author }),
    ...(subject === undefined ? {} : { subject }),
  }));
}

/** The same for an Application's status. Pure. */
export function lookedAtFiles(files: readonly FoundFiles[]): { readonly at: string; readonly commit: string }[] {
  return files.map(({ file, snapshot }) => ({ at: plainDirectory(file.at), commit: snapshot.commit }));
}
