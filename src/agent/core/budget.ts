import type { Reason } from '#api';
import { isProtected, parseId } from '#kube';
import { describeKey, why, type Context } from './app.ts';
import type { AppState, ObjectKey } from './model.ts';

export interface BudgetTerms {
  /** Every object that would go. */
  readonly candidates: readonly ObjectKey[];
  /** Objects held before anything goes. */
  readonly total: number;
  readonly maxDeletions: number;
  readonly maxDeletionPercent: number;
  /** Hard limit of a retirement: what the plane believes is there. */
  readonly maxObjects?: number;
  readonly isWaived: boolean;
  /** What a waiver has to name. */
  readonly waiver: string;
}

export interface BudgetVerdict {
  /** May go now. */
  readonly allowed: readonly ObjectKey[];
  /** Why some or all of the candidates may not. */
  readonly hold?: Reason;
}

/** How much of a removal a person need not confirm. Over budget nothing goes; of the rest protected kinds stay. Pure. */
export function withinBudget(context: Context, app: AppState, terms: BudgetTerms): BudgetVerdict {
  const { candidates, total } = terms;
  const delivery = { delivery: `${app.name}.${context.state.cluster}`, project: app.project, waiver: terms.waiver };
  if (terms.maxObjects !== undefined && candidates.length > terms.maxObjects && !terms.isWaived) {
    return {
      allowed: [],
      hold: why(context, 'FL_HOLD_BUDGET', { count: candidates.length, total, limit: terms.maxObjects, ...delivery }),
    };
  }
  if (terms.isWaived) return { allowed: candidates };
  const limit = Math.max(terms.maxDeletions, Math.floor((total * terms.maxDeletionPercent) / 100));
  if (candidates.length > limit) {
    return { allowed: [], hold: why(context, 'FL_HOLD_BUDGET', { count: candidates.length, total, limit, ...delivery }) };
  }
  const held = candidates.filter((key) => isProtected(parseId(key)));
  const first = held[0];
  return {
    allowed: candidates.filter((key) => !held.includes(key)),
    ...(first === undefined ? {} : { hold: why(context, 'FL_HOLD_PROTECTED', { object: describeKey(first), ...delivery }) }),
  };
}
