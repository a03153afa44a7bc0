import { isDeepStrictEqual } from 'node:util';
import { say, type Condition, type ObjectMeta, type GitRepository, type UntimedReason } from '#api';

type StoredReason = NonNullable<NonNullable<GitRepository['status']>['reason']>;

/** What is read of a source of any kind. */
interface Source {
  readonly metadata: ObjectMeta;
  readonly status?: { readonly conditions?: readonly Condition[] };
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
