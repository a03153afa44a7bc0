import type { Condition, PlaneObject } from '../objects.ts';

type WithConditions = PlaneObject<unknown, { readonly conditions?: readonly Condition[] | undefined }>;

export function conditionOf(object: WithConditions, type: string): Condition | undefined {
  return object.status?.conditions?.find((condition) => condition.type === type);
}

/** Values of the columns Ready and Status, alike for every kind that has conditions. */
export function readyStatus(object: WithConditions): string | undefined {
  return conditionOf(object, 'Ready')?.status;
}

export function readyMessage(object: WithConditions): string | undefined {
  return conditionOf(object, 'Ready')?.message;
}
