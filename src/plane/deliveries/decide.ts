import { isDeepStrictEqual } from 'node:util';
import { say, youngestCommit, type Condition, type Delivery, type DeliveryPhase, type Journey, type ReasonArgs } from '#api';
import { candidatesOf, isAbout, isResolving, type Candidate } from './candidates.ts';
import type { DeliveryFacts } from './facts.ts';

export type DeliveryStatus = NonNullable<Delivery['status']>;

/**
 * The verdict on one Delivery: total, deterministic, a function of the facts and the former verdict only. `since` stays
 * while code and arguments do; a condition's transition time stays while its status does. Counts that only tell how far
 * something has come are not part of what makes a reason another one.
 */
export function decide(facts: DeliveryFacts): DeliveryStatus {
  const { delivery } = facts;
  const former: DeliveryStatus = delivery.status ?? {};
  const top = candidatesOf(facts)[0] ?? readyCandidate(facts);
  const isReady = top.area === 'done';
  const now = latest(facts.now, former.reason?.since);
  const since = former.reason !== undefined && isSameReason(former.reason, top) ? former.reason.since : now;
  const sentence = say(top);
  const person = !isReady && !isResolving(top.code);
  const report = facts.report !== undefined && isAbout(facts.report, delivery) ? facts.report : undefined;
  const applied = appliedOf(facts, former);
  const objects = report?.objects ?? (facts.lane === undefined && isFormerAboutWanted(facts) ? former.objects : undefined);
  const journey = journeyOf(facts, former, isReady);

  const condition = (type: string, status: Condition['status'], message: string): Condition => {
    const before = former.conditions?.find((one) => one.type === type);
    return {
      type,
      status,
      observedGeneration: delivery.metadata.generation,
      lastTransitionTime: before?.status === status ? before.lastTransitionTime : latest(facts.now, before?.lastTransitionTime),
      reason: top.code,
      message,
    };
  };

  return {
    observedGeneration: delivery.metadata.generation,
    phase: phaseOf(facts, top),
    ...(applied === undefined ? {} : { applied }),
    ...(objects === undefined ? {} : { objects }),
    reason: { code: top.code, args: withoutUndefined(top.args), since },
    ...(journey === undefined ? {} : { journey }),
    conditions: [
      condition('Ready', isReady ? 'True' : top.code === 'FL_CONTACT_LOST' ? 'Unknown' : 'False', sentence),
      condition('Reconciling', !isReady && !person ? 'True' : 'False', !isReady && !person ? sentence : ''),
      condition('Stalled', person ? 'True' : 'False', person ? sentence : ''),
    ],
  };
}

export function readyCandidate({ delivery }: DeliveryFacts): Candidate {
  return { area: 'done', code: 'FL_READY', args: { release: delivery.spec.wanted?.release } };
}

/** Arguments that say how far something has come: they move without anything new being the matter. */
const progressArgs: ReadonlySet<string> = new Set(['applied', 'healthy']);

export function isSameReason(
  a: { readonly code: string; readonly args: ReasonArgs },
  b: { readonly code: string; readonly args: ReasonArgs },
): boolean {
  return a.code === b.code && isDeepStrictEqual(identityArgs(a), identityArgs(b));
}

function identityArgs({ code, args }: { readonly code: string; readonly args: ReasonArgs }): Record<string, unknown> {
  const isProgress = isResolving(code);
  return Object.fromEntries(
    Object.entries(args).filter(([name, value]) => value !== undefined && !(isProgress && progressArgs.has(name))),
  );
}

/** How a verdict differs from the stored one: not at all, only in how far it has come, or in what matters. */
export function differenceOf(before: DeliveryStatus | undefined, after: DeliveryStatus): 'none' | 'progress' | 'verdict' {
  if (before === undefined) return 'verdict';
  if (isDeepStrictEqual(comparable(before), comparable(after))) return 'none';
  const sameWords = before.reason !== undefined && after.reason !== undefined && isSameReason(before.reason, after.reason);
  const bothUnderWay = isUnderWay(before) && isUnderWay(after);
  const sameGround = before.observedGeneration === after.observedGeneration && isDeepStrictEqual(before.applied, after.applied);
  return sameGround && (bothUnderWay || (sameWords && before.phase === after.phase)) ? 'progress' : 'verdict';
}

function isUnderWay(status: DeliveryStatus): boolean {
  return status.conditions?.find((one) => one.type === 'Reconciling')?.status === 'True';
}

/** A status without its times, except those of the journey: they are worth a write with the next verdict only. */
function comparable(status: DeliveryStatus): unknown {
  return {
    ...status,
    journey: status.journey?.release,
    applied: status.applied === undefined ? undefined : { release: status.applied.release, bundle: status.applied.bundle },
    reason: status.reason === undefined ? undefined : { code: status.reason.code, args: status.reason.args },
    conditions: status.conditions?.map(({ type, status: value, reason, message, observedGeneration }) => ({
      type,
      value,
      reason,
      message,
      observedGeneration,
    })),
  };
}

function isFormerAboutWanted({ delivery }: DeliveryFacts): boolean {
  return delivery.status?.journey?.release === delivery.spec.wanted?.release;
}

function appliedOf({ report, lane }: DeliveryFacts, former: DeliveryStatus): DeliveryStatus['applied'] {
  if (lane === undefined || report === undefined) return former.applied;
  const { applied } = report;
  if (applied === undefined) return undefined;
  // The time stays the one first told for this (release, bundle).
  if (former.applied?.release === applied.release && former.applied.bundle === applied.bundle) return former.applied;
  return { release: applied.release, bundle: applied.bundle, at: instantOr(applied.at, '1970-01-01T00:00:00Z') };
}

/** Where it stands in the cluster; what ails the source or the render does not change that. */
function phaseOf(facts: DeliveryFacts, top: Candidate): DeliveryPhase {
  const { report, delivery, lane } = facts;
  if (delivery.spec.retire !== undefined)
    return isResolving(top.code) ? 'Retiring' : top.area === 'contact' ? 'Unknown' : 'Blocked';
  switch (top.area) {
    case 'source':
    case 'render':
      if (delivery.spec.wanted === undefined) return 'Waiting';
      if (facts.contact.state === 'lost') return 'Unknown';
      if (lane === undefined) return delivery.status?.phase ?? 'Unknown';
      return report !== undefined && isAbout(report, delivery) ? phaseOfReport(report) : 'Waiting';
    case 'claim':
    case 'hold':
      return isResolving(top.code) ? 'Waiting' : 'Blocked';
    case 'contact':
      if (top.code !== 'FL_CONTACT_PENDING') return top.code === 'FL_CONTACT_NEVER' ? 'Waiting' : 'Unknown';
      return report?.phase === 'fetching' && isAbout(report, delivery) ? 'Fetching' : 'Waiting';
    case 'apply':
      if (top.code === 'FL_PRUNING') return 'Pruning';
      return isResolving(top.code) ? 'Applying' : 'Blocked';
    case 'health':
      return isResolving(top.code) ? 'Settling' : 'Degraded';
    case 'drift':
      return 'Drifted';
    case 'agent':
      return 'Blocked';
    case 'done':
      return 'Healthy';
  }
}

function phaseOfReport(report: NonNullable<DeliveryFacts['report']>): DeliveryPhase {
  switch (report.phase) {
    case 'fetching':
      return 'Fetching';
    case 'planning':
    case 'applying':
      return 'Applying';
    case 'pruning':
      return 'Pruning';
    case 'settling':
      return 'Settling';
    case 'blocked':
      return 'Blocked';
    case 'retiring':
    case 'absent':
      return 'Retiring';
    case 'steady':
      if (report.health === 'healthy') return report.objects.drifted > 0 ? 'Drifted' : 'Healthy';
      return report.health === 'degraded' ? 'Degraded' : 'Settling';
  }
}

/** When each station of the way was reached; never before the station before it, never after now. */
function journeyOf(facts: DeliveryFacts, former: DeliveryStatus, isReady: boolean): Journey | undefined {
  const { delivery, release, report, signedAt, now } = facts;
  const { wanted } = delivery.spec;
  if (wanted === undefined) return undefined;
  const before = former.journey?.release === wanted.release ? former.journey : undefined;
  const told = report !== undefined && isAbout(report, delivery) ? report.times : undefined;
  const isHeld = report?.applied?.release === wanted.release && report.applied.bundle === wanted.bundle;
  const stations = [
    ['committedAt', before?.committedAt ?? (release === undefined ? undefined : youngestCommit(release).committedAt)],
    ['renderedAt', before?.renderedAt ?? release?.spec.renderedAt],
    ['releasedAt', before?.releasedAt ?? wanted.assignedAt],
    ['signedAt', before?.signedAt ?? signedAt],
    ['fetchedAt', before?.fetchedAt ?? told?.fetchedAt],
    ['appliedAt', before?.appliedAt ?? (isHeld ? (told?.appliedAt ?? report?.applied?.at) : undefined)],
    ['healthyAt', before?.healthyAt ?? (isReady ? (told?.healthyAt ?? now) : undefined)],
  ] as const;
  const journey: Record<string, string> = { release: wanted.release };
  let floor = 0;
  for (const [station, at] of stations) {
    const ms = at === undefined ? Number.NaN : Date.parse(at);
    if (Number.isNaN(ms)) continue;
    floor = Math.max(floor, Math.min(ms, Date.parse(now)));
    journey[station] = floor === ms && at !== undefined ? at : new Date(floor).toISOString();
  }
  // Built from the stations named above, which are the fields of Journey.
  return journey as Journey;
}

function instantOr(text: string, fallback: string): string {
  return Number.isNaN(Date.parse(text)) ? fallback : text;
}

function latest(a: string, b: string | undefined): string {
  return b !== undefined && Date.parse(b) > Date.parse(a) ? b : a;
}

function withoutUndefined(args: ReasonArgs): Record<string, unknown> {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined));
}
