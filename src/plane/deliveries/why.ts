import {
  nextStep,
  say,
  type DeliveryPhase,
  type DeliveryReport,
  type Journey,
  type ObjectIdentity,
  type ReasonActor,
  type ReasonArea,
} from '#api';
import { actorOfCode, candidatesOf, fromAgent, isAbout } from './candidates.ts';
import { decide, readyCandidate } from './decide.ts';
import type { DeliveryFacts } from './facts.ts';

/** One link of the explanation, in the fixed precedence. */
export interface Because {
  readonly area: ReasonArea;
  readonly code: string;
  readonly sentence: string;
  readonly actor: ReasonActor;
  readonly next: string | undefined;
  /** Since when, where it is known: of the verdict, and of what the agent named. */
  readonly since: string | undefined;
  readonly object: ObjectIdentity | undefined;
}

export interface Explanation {
  readonly verdict: Because;
  /** Everything that holds, the verdict first. */
  readonly because: readonly Because[];
  readonly phase: DeliveryPhase;
  readonly journey: Journey | undefined;
  /** Per object, from the report on the wanted release; at most what an agent sends (50). */
  readonly objects: readonly {
    readonly id: ObjectIdentity;
    readonly state: DeliveryReport['problems'][number]['state'];
    readonly code: string;
    readonly sentence: string;
    readonly since: string;
  }[];
  readonly counts: DeliveryReport['objects'] | undefined;
}

/** Why a Delivery is as it is, whole: for the CLI, the console and pull-request comments. Pure; the facts are those of `decide`. */
export function why(facts: DeliveryFacts): Explanation {
  const status = decide(facts);
  const candidates = candidatesOf(facts);
  const all = candidates.length === 0 ? [readyCandidate(facts)] : candidates;
  const because = all.map((one, index): Because => ({
    area: one.area,
    code: one.code,
    sentence: say(one),
    actor: actorOfCode(one.code),
    next: nextStep(one),
    since: index === 0 ? status.reason?.since : sinceOf(one.code, one.object, facts.report),
    object: one.object,
  }));
  const report = facts.report !== undefined && isAbout(facts.report, facts.delivery) ? facts.report : undefined;
  const [verdict = because[0]] = because;
  return {
    // There is always one: what is ready says so itself.
    verdict: verdict as Because,
    because,
    phase: status.phase ?? 'Unknown',
    journey: status.journey,
    objects: (report?.problems ?? []).map((problem) => ({
      id: problem.id,
      state: problem.state,
      code: problem.reason.code,
      sentence: say(fromAgent(problem.reason, facts.delivery)),
      since: problem.reason.since,
    })),
    counts: status.objects,
  };
}

function sinceOf(code: string, object: ObjectIdentity | undefined, report: DeliveryReport | undefined): string | undefined {
  if (report === undefined) return undefined;
  if (object === undefined) return report.reason?.code === code ? report.reason.since : undefined;
  return report.problems.find((problem) => problem.id === object)?.reason.since;
}
