import { rfc3339 } from '#base';
import { formatReference, isAccepted, reasonOf, type GitRepository, type Snapshot, type UntimedReason } from '#api';
import type { Finding } from './look.ts';
import { foundAfter, snapshotAfter, sourceConditions, timed } from './source-status.ts';

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
      const known = { snapshot: held(before?.snapshot), reason: before?.reason };
      return { ref: finding.ref, ...foundAfter(known, finding, now) };
    });
  return {
    observedGeneration: repository.metadata.generation,
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(refs.length === 0 ? {} : { refs }),
    ...(isReady ? {} : { reason: timed(verdict, former.reason, now) }),
    conditions: sourceConditions(repository, isReady, verdict, now),
  };
}
