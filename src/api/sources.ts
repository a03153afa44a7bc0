import type { Kind } from './define-kind.ts';
import type { Application } from './kinds/application.ts';
import { ChartRepository, formatChart } from './kinds/chart-repository.ts';
import { formatReference, GitRepository, isAccepted, type Snapshot } from './kinds/git-repository.ts';
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
  const isOwn = ref === undefined || formatReference(ref) === formatReference(source.spec.ref);
  const entry = isOwn ? source.status : source.status?.refs?.find((one) => one.ref === formatReference(ref));
  // Until the next look has checked it against the policy of now, it is as if it had not been fetched.
  const isGood = entry?.snapshot !== undefined && isAccepted(entry.snapshot, source.spec.verify);
  return { snapshot: isGood ? entry.snapshot : undefined, reason: known(entry?.reason) };
}

/** The part of an Application that says which Snapshot it follows; equal for two exactly when they follow the same. */
export function sourceKey({ spec: { source } }: Application): string {
  const which =
    source.sourceRef.kind === 'ChartRepository'
      ? formatChart(source.chart ?? '', source.version)
      : source.ref === undefined
        ? ''
        : formatReference(source.ref);
  return JSON.stringify([source.sourceRef.kind, source.sourceRef.name, which]);
}

export function isChartRepository(source: Source): source is ChartRepository {
  return source.kind === ChartRepository.kind;
}

function known(
  reason: { readonly code: string; readonly args: Readonly<Record<string, unknown>> } | undefined,
): UntimedReason | undefined {
  return reason !== undefined && isReasonCode(reason.code) ? reasonOf(reason.code, reason.args) : undefined;
}
