import { isDeepStrictEqual } from 'node:util';
import { rfc3339 } from '#base';
import {
  formatReference,
  isAccepted,
  reasonOf,
  say,
  type Condition,
  type GitRepository,
  type Snapshot,
  type UntimedReason,
} from '#api';
import type { Finding } from './look.ts';

export type RepositoryStatus = NonNullable<GitRepository['status']>;

/**
 * The status after a look. The last Snapshot stays whatever happens now, unless spec.verify says otherwise; `fetchedAt` and transition times stay while what
 * they are about does, so that a look that finds nothing new gives an equal status. Pure.
 */
export function statusAfter(repository: GitRepository, findings: readonly Finding[], nowMs: number): RepositoryStatus {
  const former: RepositoryStatus = repository.status ?? {};
  const now = rfc3339(nowMs);
  const ownRef = formatReference(repository.spec.ref);
  const own = findings.find((finding) => finding.ref === ownRef);
  const { verify } = repository.spec;
  // What another policy let in is not what this one lets in.
  const held = (before: Snapshot | undefined): Snapshot | undefined =>
    before !== undefined && isAccepted(before, verify) ? before : undefined;
  const snapshot = snapshotAfter(held(former.snapshot), own);
  const verdict: UntimedReason =
    own !== undefined && 'reason' in own
      ? own.reason
      : reasonOf('FL_SOURCE_READY', { ref: snapshot?.ref, commit: snapshot?.commit.slice(0, 12) });
  const isReady = own !== undefined && 'snapshot' in own;
  const refs = findings
    .filter((finding) => finding.ref !== ownRef)
    .map((finding) => {
      const before = former.refs?.find((entry) => entry.ref === finding.ref);
      const kept = snapshotAfter(held(before?.snapshot), finding);
      return {
        ref: finding.ref,
        ...(kept === undefined ? {} : { snapshot: kept }),
        ...('reason' in finding ? { reason: timed(finding.reason, before?.reason, now) } : {}),
      };
    });
  return {
    observedGeneration: repository.metadata.generation,
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(refs.length === 0 ? {} : { refs }),
    ...(isReady ? {} : { reason: timed(verdict, former.reason, now) }),
    conditions: conditionsAfter(repository, isReady, verdict, now),
  };
}

function snapshotAfter(former: Snapshot | undefined, finding: Finding | undefined): Snapshot | undefined {
  if (finding === undefined || 'reason' in finding) return former;
  const isSame =
    former !== undefined &&
    former.commit === finding.snapshot.commit &&
    former.ref === finding.snapshot.ref &&
    isDeepStrictEqual(former.signature, finding.snapshot.signature);
  return isSame ? former : finding.snapshot;
}

type Timed = NonNullable<RepositoryStatus['reason']>;

function timed(reason: UntimedReason, former: Timed | undefined, now: string): Timed {
  const isSame = former !== undefined && former.code === reason.code && isDeepStrictEqual(former.args, reason.args);
  return isSame ? former : { code: reason.code, args: { ...reason.args }, since: now };
}

function conditionsAfter(repository: GitRepository, isReady: boolean, verdict: UntimedReason, now: string): Condition[] {
  // A suspended repository is as it was told to be.
  const isStalled = !isReady && verdict.code !== 'FL_SOURCE_UNREACHABLE' && verdict.code !== 'FL_SOURCE_SUSPENDED';
  const condition = (type: string, holds: boolean, message: string): Condition => {
    const status = holds ? 'True' : 'False';
    const before = repository.status?.conditions?.find((one) => one.type === type);
    return {
      type,
      status,
      observedGeneration: repository.metadata.generation,
      lastTransitionTime: before?.status === status ? before.lastTransitionTime : now,
      reason: verdict.code,
      message,
    };
  };
  const sentence = say(verdict);
  return [
    condition('Ready', isReady, sentence),
    condition('Reconciling', verdict.code === 'FL_SOURCE_UNREACHABLE', verdict.code === 'FL_SOURCE_UNREACHABLE' ? sentence : ''),
    condition('Stalled', isStalled, isStalled ? sentence : ''),
  ];
}
