import { appKey } from './app.ts';
import type { AgentState, AppState, ObjectKey } from './model.ts';

/**
 * Which other application of this plane has a better right to the object: it holds it and still lists it, or we cannot
 * know yet whether it does. What another one holds and no longer lists passes over without a deletion.
 */
export function rivalFor(state: AgentState, app: AppState, key: ObjectKey): AppState | undefined {
  for (const other of state.apps.values()) {
    if (other.key === app.key || other.record?.inventory.has(key) !== true) continue;
    // An apply of before is being cancelled: its last request may still come after ours.
    if (other.isStale && other.busy === 'apply') return other;
    if (other.wanted === undefined) continue;
    if (other.plan?.bundle !== other.wanted.bundle || other.plan.keys.has(key)) return other;
  }
  return undefined;
}

/** Whether another application lists the object, so that removing it here is a transfer and no deletion. */
export function isListedElsewhere(state: AgentState, app: AppState, key: ObjectKey): boolean {
  for (const other of state.apps.values()) {
    if (other.key !== app.key && other.wanted !== undefined && other.plan?.keys.has(key) === true) return true;
  }
  return false;
}

/** Whether another application that lists the object has applied it: then it carries that one's marks. */
export function isTakenElsewhere(state: AgentState, app: AppState, key: ObjectKey): boolean {
  for (const other of state.apps.values()) {
    if (other.key !== app.key && other.wanted !== undefined && other.objects.get(key)?.status === 'applied') return true;
  }
  return false;
}

/** Whether the content of every wanted application is known: before that nothing is deleted. */
export function areAllPlanned(state: AgentState): boolean {
  return (state.document?.applications ?? []).every((wanted) => {
    const app = state.apps.get(appKey(wanted.project, wanted.name));
    return app?.plan !== undefined && app.plan.bundle === wanted.bundle;
  });
}
