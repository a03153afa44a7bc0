import { isDeepStrictEqual } from 'node:util';
import {
  actorOf,
  areaOf,
  conditionOf,
  isReasonCode,
  reasonOf,
  say,
  type Application,
  type Condition,
  type Delivery,
  type Release,
  type UntimedReason,
} from '#api';

export type ApplicationStatus = NonNullable<Application['status']>;

/** What an Application's Deliveries come to. */
export interface DeliverySummary {
  readonly total: number;
  readonly ready: number;
  /** The first that is not ready, by name. */
  readonly example?: { readonly code: string; readonly message: string };
}

/** Counts the Deliveries that hold what the newest Release says for their cluster, as far as they know by now. Pure. */
export function summarise(deliveries: readonly Delivery[], newest: Release | undefined): DeliverySummary {
  const bundleOf = new Map<string, string>();
  for (const { digest, clusters } of newest?.spec.bundles ?? []) for (const cluster of clusters) bundleOf.set(cluster, digest);
  let total = 0;
  let ready = 0;
  let example: { readonly name: string; readonly code: string; readonly message: string } | undefined;
  for (const delivery of deliveries) {
    // What is on its way out is not delivered to any more.
    if (delivery.spec.retire !== undefined) continue;
    total += 1;
    const { name, generation } = delivery.metadata;
    const condition = conditionOf(delivery, 'Ready');
    const bundle = bundleOf.get(delivery.spec.cluster);
    const { wanted } = delivery.spec;
    const isNewest = bundle === undefined || (wanted?.bundle === bundle && wanted.settings === newest?.spec.settingsDigest);
    const isCurrent = delivery.status?.observedGeneration === generation;
    if (condition?.status === 'True' && isNewest && isCurrent) {
      ready += 1;
      continue;
    }
    if (example !== undefined && example.name < name) continue;
    const pending = reasonOf('FL_CONTACT_PENDING', { cluster: delivery.spec.cluster, release: newest?.metadata.name });
    const isTold = condition !== undefined && condition.status !== 'True' && isCurrent;
    example = isTold
      ? { name, code: condition.reason, message: condition.message }
      : { name, code: pending.code, message: say(pending) };
  }
  return { total, ready, ...(example === undefined ? {} : { example: { code: example.code, message: example.message } }) };
}

export interface Standing {
  /** Why no newer Release is made. */
  readonly reason: UntimedReason | undefined;
  /** Absent while nothing is known of the Deliveries of the newest Release. */
  readonly summary: DeliverySummary | undefined;
  readonly now: string;
}

/**
 * `base` with the conditions, reason and counts that follow. Transition times and `since` stay while what they are about
 * does, so that nothing new gives an equal status. Pure.
 */
export function withStanding(
  application: Application,
  base: ApplicationStatus,
  { reason, summary, now }: Standing,
): ApplicationStatus {
  const former = application.status;
  const { reason: _reason, conditions: _conditions, deliveries: _deliveries, ...kept } = base;
  const verdict = verdictOf(base, reason, summary);
  const sentence = verdict.message;
  const condition = (type: string, status: Condition['status'], message: string): Condition => {
    const before = former?.conditions?.find((one) => one.type === type);
    return {
      type,
      status,
      observedGeneration: application.metadata.generation,
      lastTransitionTime: before?.status === status ? before.lastTransitionTime : now,
      reason: verdict.code,
      message,
    };
  };
  const flag = (holds: boolean): Condition['status'] => (holds ? 'True' : 'False');
  const isResolving = !verdict.isReady && (!isReasonCode(verdict.code) || actorOf(verdict.code) === 'nobody: it resolves itself');
  const isStalled = !verdict.isReady && !isResolving;
  const isSame =
    reason !== undefined && former?.reason?.code === reason.code && isDeepStrictEqual(former.reason.args, reason.args);
  return {
    ...kept,
    observedGeneration: application.metadata.generation,
    ...(summary === undefined ? {} : { deliveries: { total: summary.total, ready: summary.ready } }),
    ...(reason === undefined
      ? {}
      : {
          reason:
            isSame && former?.reason !== undefined ? former.reason : { code: reason.code, args: { ...reason.args }, since: now },
        }),
    conditions: [
      condition('Ready', flag(verdict.isReady), sentence),
      condition('Reconciling', flag(isResolving), isResolving ? sentence : ''),
      condition('Stalled', flag(isStalled), isStalled ? sentence : ''),
    ],
  };
}

interface Verdict {
  readonly isReady: boolean;
  readonly code: string;
  readonly message: string;
}

function verdictOf(status: ApplicationStatus, reason: UntimedReason | undefined, summary: DeliverySummary | undefined): Verdict {
  const not = (because: UntimedReason): Verdict => ({ isReady: false, code: because.code, message: say(because) });
  if (reason !== undefined && isOwn(reason)) return not(reason);
  const planeReason = status.plane?.reason;
  if (planeReason !== undefined) return { isReady: false, code: planeReason.code, message: say(planeReason) };
  if (summary === undefined) {
    const release = status.release?.name;
    return not(
      release === undefined
        ? reasonOf('FL_RENDER_PENDING', { commit: status.commit?.slice(0, 12) })
        : reasonOf('FL_RELEASING', { release }),
    );
  }
  if (summary.example !== undefined) {
    const count = `${summary.ready} of ${summary.total} deliveries are ready`;
    return { isReady: false, code: summary.example.code, message: `${count}; ${summary.example.message}` };
  }
  if (status.plane !== undefined && status.release !== undefined && status.plane.release !== status.release.name) {
    return not(reasonOf('FL_RELEASING', { release: status.release.name }));
  }
  const ready = reasonOf('FL_APPLICATION_READY', { total: summary.total, commit: status.commit?.slice(0, 12) });
  return { isReady: true, code: ready.code, message: say(ready) };
}

/** Suspending is what somebody wanted: it does not unsettle what is delivered. */
function isOwn(reason: UntimedReason): boolean {
  return reason.code !== 'FL_HOLD_SUSPENDED' && reason.code !== 'FL_SOURCE_SUSPENDED' && areaOf(reason.code) !== 'done';
}
