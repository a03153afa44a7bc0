import type { DeliveryState, ObjectState } from '#api';
import { objectMarks, objectWords } from '../objects.ts';

export const stateWords: Readonly<Record<DeliveryState, string>> = {
  ready: 'what Git says',
  progressing: 'on its way',
  waiting: 'waiting',
  drifted: 'drifted',
  blocked: 'held',
  failed: 'failed',
  unknown: 'no contact',
};

/** A state as shape and colour, drawn by the style sheet: readable without colour, in one glance, one element each. */
export function StateMark({
  state,
  className = '',
}: {
  readonly state: DeliveryState;
  readonly className?: string;
}): React.ReactNode {
  return <span className={`mark mark-${state} ${className}`} aria-hidden="true" />;
}

export function StateBadge({ state, words }: { readonly state: DeliveryState; readonly words?: string }): React.ReactNode {
  return (
    <span className={`badge badge-${state}`}>
      <StateMark state={state} />
      {words ?? stateWords[state]}
    </span>
  );
}

export function ObjectBadge({ state }: { readonly state: ObjectState }): React.ReactNode {
  return <StateBadge state={objectMarks[state]} words={objectWords[state]} />;
}
