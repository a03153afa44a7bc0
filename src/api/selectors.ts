import type { Static } from 'typebox';
import type { LabelSelectorSchema } from './define-kind.ts';

export type LabelSelector = Static<typeof LabelSelectorSchema>;
export type Labels = Readonly<Record<string, string>>;

/** One requirement of a selector, as both selector forms come down to it. */
export interface Requirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}

/** Requirements of a `metav1.LabelSelector`; none for `{}`, which selects everything. */
export function requirementsOf(selector: LabelSelector): readonly Requirement[] {
  return [
    ...Object.entries(selector.matchLabels ?? {}).map(([key, value]): Requirement => ({ key, operator: 'In', values: [value] })),
    ...(selector.matchExpressions ?? []).map((e): Requirement => ({ key: e.key, operator: e.operator, values: e.values ?? [] })),
  ];
}

/** As Kubernetes does it: NotIn also holds where the label is absent. */
export function matchesLabels(requirements: readonly Requirement[], labels: Labels): boolean {
  return requirements.every(({ key, operator, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
    }
  });
}

/** Absent selects nothing, `{}` everything. */
export function selects(selector: LabelSelector | undefined, labels: Labels): boolean {
  return selector !== undefined && matchesLabels(requirementsOf(selector), labels);
}
