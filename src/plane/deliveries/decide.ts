import { isDeepStrictEqual } from 'node:util';
import { shortHash } from '#base';
import { say, youngestCommit, type Condition, type Delivery, type DeliveryPhase, type Journey, type ReasonArgs } from '#api';
import { areaOfCode, candidatesOf, isAbout, isResolving, isRetry, type Candidate } from './candidates.ts';
import type { DeliveryFacts } from './facts.ts';

export type DeliveryStatus = NonNullable<Delivery['status']>;

/**
 * The verdict on one Delivery: total, deterministic, a function of the facts and the former verdict only. `since` stays
 * while the reason does; a condition's transition time stays while its status does. Neither counts that tell how far
 * something has come nor other words of the same refusal make a reason another one.
 *
 * What somebody must mend in the cluster keeps its `since` for as long as the cluster should hold the same, whatever is
 * tried or lost from sight meanwhile: it ends with becoming ready, or with something else to mend there.
 */
export function decide(facts: DeliveryFacts): DeliveryStatus {
  const { delivery } = facts;
  const former: DeliveryStatus = delivery.status ?? {};
  const top = candidatesOf(facts)[0] ?? readyCandidate(facts);
  const isReady = top.area === 'done';
  const sentence = say(top);
  const person = !isReady && !isResolving(top.code);
  const since = sinceOf(facts, top);
  const problem = problemAfter(former.problem, top, delivery, since);
  const report = facts.report !== undefined && isAbout(facts.report, delivery) ? facts.report : undefined;
  const applied = appliedOf(facts, former);
  // A retry that has come no further than the attempt before it is no news.
  const objects = isRetry(facts)
    ? former.objects
    : (report?.objects ?? (facts.lane === undefined && isFormerAboutWanted(facts) ? former.objects : undefined));
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
    ...(problem === undefined ? {} : { problem }),
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

/** Since when this is the reason. */
function sinceOf({ delivery, now }: DeliveryFacts, top: Candidate): string {
  const { reason, problem } = delivery.status ?? {};
  const about = problemIn(top, delivery);
  if (about !== undefined && about === problem?.about) return problem.since;
  // Verdicts of earlier versions remember nothing.
  const isSame = (about === undefined || problem === undefined) && reason !== undefined && isSameReason(reason, top);
  return isSame ? reason.since : latest(now, reason?.since);
}

/** What is remembered beyond this verdict: until it is ready, the last that was to be mended in the cluster, or else elsewhere. */
function problemAfter(
  former: DeliveryStatus['problem'],
  top: Candidate,
  delivery: Delivery,
  since: string,
): DeliveryStatus['problem'] {
  if (top.area === 'done') return undefined;
  const about = problemIn(top, delivery);
  if (about !== undefined) return { about, since };
  return former ?? (isResolving(top.code) ? undefined : { about: top.code, since });
}

/**
 * Names what somebody must mend in the cluster: the same for every attempt at the same content. undefined: the reason is
 * about where that comes from or how it gets there, or nobody has to do anything.
 */
export function problemIn(
  { code, args }: { readonly code: string; readonly args: ReasonArgs },
  { spec }: Delivery,
): string | undefined {
  const isElsewhere = ['source', 'render', 'contact', 'done'].includes(areaOfCode(code)) || code === 'FL_HOLD_FROZEN';
  if (isElsewhere || isResolving(code)) return undefined;
  const content = spec.retire?.id ?? `${spec.wanted?.bundle ?? ''} ${spec.wanted?.settings ?? ''}`;
  const known = Object.entries(identityArgs({ code, args })).sort(([a], [b]) => (a < b ? -1 : 1));
  return shortHash(code, JSON.stringify(known), content);
}

/** Arguments that may say something else at every attempt, though nothing new is the matter. */
const voluble: ReadonlySet<string> = new Set(['words', 'retry', 'count', 'since', 'at', 'commit', 'kills', 'waiver']);

/** Arguments that say how far something has come: they move without anything new being the matter. */
const progressArgs: ReadonlySet<string> = new Set(['applied', 'healthy']);

export function isSameReason(
  a: { readonly code: string; readonly args: ReasonArgs },
  b: { readonly code: string; readonly args: ReasonArgs },
): boolean {
  return a.code === b.code && isDeepStrictEqual(identityArgs(a), identityArgs(b));
}

function identityArgs({ code, args }: { readonly code: string; readonly args: ReasonArgs }): Record<string, unknown> {
  const idle = isResolving(code) ? progressArgs : voluble;
  return Object.fromEntries(Object.entries(args).filter(([name, value]) => value !== undefined && !idle.has(name)));
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
    problem: status.problem?.about,
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
