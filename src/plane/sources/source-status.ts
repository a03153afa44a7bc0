import { isDeepStrictEqual } from 'node:util';
import { say, type Condition, type GitRepository, type ObjectMeta, type Snapshot, type UntimedReason } from '#api';

type StoredReason = NonNullable<NonNullable<GitRepository['status']>['reason']>;

/** What is read of a source of any kind. */
interface Source {
  readonly metadata: ObjectMeta;
  readonly status?: { readonly conditions?: readonly Condition[] };
}

/** What came of looking for one thing, such as a reference or a chart. */
export type Found = { readonly snapshot: Snapshot } | { readonly reason: UntimedReason };

/** What a status said of it before: the last Snapshot, and why there was none or none newer. */
interface Former {
  readonly snapshot?: Snapshot | undefined;
  readonly reason?: StoredReason | undefined;
}

/** What a status says of one thing after a look: its last Snapshot stays whatever happens now. Pure. */
export function foundAfter(
  former: Former | undefined,
  found: Found,
  now: string,
): { readonly snapshot?: Snapshot; readonly reason?: StoredReason } {
  const snapshot = snapshotAfter(former?.snapshot, found);
  return {
    ...(snapshot === undefined ? {} : { snapshot }),
    ...('reason' in found ? { reason: timed(found.reason, former?.reason, now) } : {}),
  };
}

/** The last Snapshot: the former where nothing else was found, so that `fetchedAt` stays while it does. Pure. */
export function snapshotAfter(former: Snapshot | undefined, found: Found | undefined): Snapshot | undefined {
  if (found === undefined || 'reason' in found) return former;
  const isSame = former !== undefined && isDeepStrictEqual(identityOf(former), identityOf(found.snapshot));
  return isSame ? former : found.snapshot;
}

function identityOf({ commit, ref, version, signature }: Snapshot): unknown {
  return [commit, ref, version, signature];
}

/** The reason with the time since when it stands. Pure. */
export function timed(reason: UntimedReason, former: StoredReason | undefined, now: string): StoredReason {
  const isSame = former !== undefined && former.code === reason.code && isDeepStrictEqual(former.args, reason.args);
  return isSame ? former : { code: reason.code, args: { ...reason.args }, since: now };
}

/** Ready, Reconciling and Stalled of a source after a look; transition times stay while a status does. Pure. */
export function sourceConditions(source: Source, isReady: boolean, verdict: UntimedReason, now: string): Condition[] {
  const isRetried = verdict.code === 'FL_SOURCE_UNREACHABLE';
  // A suspended source is as it was told to be.
  const isStalled = !isReady && !isRetried && verdict.code !== 'FL_SOURCE_SUSPENDED';
  const condition = (type: string, holds: boolean, message: string): Condition => {
    const status = holds ? 'True' : 'False';
    const before = source.status?.conditions?.find((one) => one.type === type);
    return {
      type,
      status,
      observedGeneration: source.metadata.generation,
      lastTransitionTime: before?.status === status ? before.lastTransitionTime : now,
      reason: verdict.code,
      message,
    };
  };
  const sentence = say(verdict);
  return [
    condition('Ready', isReady, sentence),
    condition('Reconciling', isRetried, isRetried ? sentence : ''),
    condition('Stalled', isStalled, isStalled ? sentence : ''),
  ];
}
