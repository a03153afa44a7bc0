import { appKey } from './app.ts';
import type { AgentState, AppState, ObjectKey } from './model.ts';

/**
 * Which other application of this plane has a better right to the object: it holds it and still lists it, or we cannot
 * know yet whether it does. What another one holds and no longer lists passes over without a deletion.
 */
export function rivalFor(state: AgentState, app: AppState, key: ObjectKey): AppState | undefined {
  for (const other of state.apps.values()) {
    if (other.key === app.key || other.record?.inventory.has(key) !== true) continue;
    // An apply of before is being cancelled, or a correction of what stands is on its way: its last request may come after ours.
    if (other.busy === 'apply' && (other.isStale || other.standing !== undefined)) return other;
    if (other.wanted === undefined) continue;
    if (other.plan?.bundle !== other.wanted.bundle || other.plan.keys.has(key)) return other;
  }
  return undefined;
}

/** Whether what stands of an application is still its own to keep: nobody else holds it, or is about to. */
export function mayKeep(state: AgentState, app: AppState, key: ObjectKey): boolean {
  return rivalFor(state, app, key) === undefined && !isListedElsewhere(state, app, key);
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
