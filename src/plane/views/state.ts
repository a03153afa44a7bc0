import { areaOf, deliveryStates, isReasonCode, type DeliveryState } from '#api';

/** How a delivery looks from afar, from the reason that explains it. */
export function stateOf(code: string): DeliveryState {
  switch (code) {
    case 'FL_READY':
    case 'FL_APPLICATION_READY':
    case 'FL_CLUSTER_READY':
      return 'ready';
    case 'FL_CONTACT_PENDING':
    case 'FL_SOURCE_PENDING':
    case 'FL_RENDER_PENDING':
    case 'FL_HOLD_DEPENDENCY':
      return 'waiting';
    case 'FL_APPLYING':
    case 'FL_PRUNING':
    case 'FL_RETIRING':
    case 'FL_HEALTH_PROGRESSING':
    case 'FL_APPLY_TERMINATING':
    case 'FL_APPLY_UNAVAILABLE':
    case 'FL_APPLY_CONTENT':
      return 'progressing';
    default:
  }
  if (!isReasonCode(code)) return 'unknown';
  switch (areaOf(code)) {
    case 'source':
    case 'render':
    case 'claim':
    case 'apply':
    case 'health':
      return 'failed';
    case 'hold':
      return 'blocked';
    case 'contact':
      return 'unknown';
    case 'drift':
      return 'drifted';
    case 'agent':
      return 'blocked';
    case 'done':
      return 'ready';
  }
}

const rank = new Map<DeliveryState, number>(deliveryStates.map((state, index) => [state, index]));

/** Place in the order of badness; 0 is the worst. */
export function rankOf(state: DeliveryState): number {
  return rank.get(state) ?? deliveryStates.length;
}

/** Worst first. */
export function compareStates(a: DeliveryState, b: DeliveryState): number {
  return rankOf(a) - rankOf(b);
}

export function worst(states: Iterable<DeliveryState>): DeliveryState {
  let found: DeliveryState = 'ready';
  for (const state of states) if (rankOf(state) < rankOf(found)) found = state;
  return found;
}
