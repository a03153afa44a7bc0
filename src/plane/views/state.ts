import { areaOf, isReasonCode, type DeliveryState } from '#api';

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

const rank: Readonly<Record<DeliveryState, number>> = {
  failed: 0,
  blocked: 1,
  drifted: 2,
  unknown: 3,
  waiting: 4,
  progressing: 5,
  ready: 6,
};

/** Worst first. */
export function compareStates(a: DeliveryState, b: DeliveryState): number {
  return rank[a] - rank[b];
}

export function worst(states: Iterable<DeliveryState>): DeliveryState {
  let found: DeliveryState = 'ready';
  for (const state of states) if (rank[state] < rank[found]) found = state;
  return found;
}
