import type { Column } from '../define-kind.ts';
import type { Condition, PlaneObject } from '../objects.ts';

type WithConditions = PlaneObject<unknown, { readonly conditions?: readonly Condition[] | undefined }>;

export function conditionOf(object: WithConditions, type: string): Condition | undefined {
  return object.status?.conditions?.find((condition) => condition.type === type);
}

/** The columns Ready and Status, alike for every kind that has conditions; `description` says what Ready means here. */
export function readyColumns(description: string): readonly Column<WithConditions>[] {
  const column = (name: string, about: string, field: 'status' | 'message'): Column<WithConditions> => ({
    name,
    type: 'string',
    description: about,
    priority: 0,
    jsonPath: `.status.conditions[?(@.type=="Ready")].${field}`,
    value: (object) => conditionOf(object, 'Ready')?.[field],
  });
  return [column('Ready', description, 'status'), column('Status', 'The sentence that explains Ready.', 'message')];
}

/** The last column of most kinds. */
export const ageColumn: Column<PlaneObject> = {
  name: 'Age',
  type: 'date',
  description: 'Time since creation.',
  priority: 0,
  jsonPath: '.metadata.creationTimestamp',
  value: (object) => object.metadata.creationTimestamp,
};
