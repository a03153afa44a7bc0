import { compareForPrune, parseId } from '#kube';
import { block, FOREVER, moveTo, start, why, type Context, type Happening, type Transition } from './app.ts';
import { withinBudget } from './budget.ts';
import { areAllPlanned, isListedElsewhere, isTakenElsewhere } from './claims.ts';
import { correct } from './corrections.ts';
import { hooksFirst } from './gates.ts';
import { isAbout } from './retirement.ts';
import type { AppRecord, AppState, ObjectKey } from './model.ts';

// A release that never becomes healthy must not keep what it replaces for ever: both may need the same port or quota.
export const PRUNE_ANYWAY_AFTER_MS = 300_000;

/** Objects that the release does not hold any more go: when what replaces them works, and within the budget. */
export function drivePruning(app: AppState, context: Context): Transition {
  const { wanted, plan, record, step } = app;
  if (wanted === undefined || plan === undefined || record === undefined || step.at !== 'pruning') return { app };
  const leftover = [...record.inventory.keys()].filter((key) => !plan.keys.has(key) && !app.kept.has(key));
  if (leftover.length === 0) return { app: moveTo(app, { at: 'finishing' }) };
  if (wanted.settings.prune === false) {
    return { app: moveTo({ ...app, kept: new Set([...app.kept, ...leftover]) }, { at: 'finishing' }) };
  }
  if (context.state.document?.deletionsPaused === true) {
    const { position } = context.state;
    const hold = why(context, 'FL_HOLD_RECOVERY', { position: `${position?.epoch ?? 0}.${position?.seq ?? 0}` });
    return { app: block(app, hold, FOREVER, 'pruning') };
  }
  if (!areAllPlanned(context.state)) return correct(app, context);
  const doomed = leftover.filter((key) => !isListedElsewhere(context.state, app, key));
  if (doomed.length === 0) return { app: moveTo(app, { at: 'finishing' }) };
  const spared = doomed.filter((key) => record.inventory.get(key)?.isKept === true);
  if (spared.length > 0) return letGo(app, record, spared, wanted.serviceAccount);
  const isSettled = [...app.objects.values()].every((one) => one.health === 'healthy');
  if (!isSettled && context.at - step.since < PRUNE_ANYWAY_AFTER_MS) return correct(app, context);
  const verdict = withinBudget(context, app, {
    candidates: doomed,
    total: record.inventory.size,
    maxDeletions: wanted.limits.maxDeletions,
    maxDeletionPercent: wanted.limits.maxDeletionPercent,
    isWaived: wanted.waiver?.bundle === wanted.bundle,
    waiver: wanted.bundle,
  });
  if (verdict.allowed.length === 0 && verdict.hold !== undefined) return { app: block(app, verdict.hold, FOREVER, 'pruning') };
  // A poll of what is still being deleted waits its turn.
  if (context.at < step.nextAt) return correct(app, context);
  return start(app, {
    type: 'remove',
    app: app.key,
    mode: 'prune',
    serviceAccount: wanted.serviceAccount,
    objects: inPruneOrder(verdict.allowed, record),
  });
}

/** What is to be kept is not deleted but let go of: it stays as it is, and nobody holds it. */
function letGo(app: AppState, record: AppRecord, keys: readonly ObjectKey[], serviceAccount: string | undefined): Transition {
  const objects = inPruneOrder(keys, record);
  return start(app, { type: 'remove', app: app.key, mode: 'orphan', serviceAccount, objects });
}

function inPruneOrder(keys: readonly ObjectKey[], record: AppRecord): { readonly key: ObjectKey; readonly version: string }[] {
  return [...keys]
    .sort((a, b) => compareForPrune(parseId(a), parseId(b)))
    .map((key) => ({ key, version: record.inventory.get(key)?.version ?? '' }));
}

/** A signed entry ends the application on this cluster: its objects are deleted or let go of. */
export function driveRetiring(app: AppState, context: Context): Transition {
  const { retire, record, step } = app;
  if (retire === undefined || step.at !== 'retiring') return { app };
  if (record === undefined || !isAbout(retire, record)) return { app: moveTo(app, { at: 'forgetting' }) };
  const left = [...record.inventory.keys()].filter((key) => !app.kept.has(key));
  if (left.length === 0) {
    return hooksFirst(app, context, 'post', 'retiring') ?? { app: moveTo(app, { at: 'forgetting' }) };
  }
  const remove = (mode: 'delete' | 'orphan', keys: readonly ObjectKey[]): Transition =>
    start(app, {
      type: 'remove',
      app: app.key,
      mode,
      serviceAccount: retire.serviceAccount,
      objects: inPruneOrder(keys, record),
    });
  if (retire.mode === 'Orphan') return remove('orphan', left);
  if (context.state.document?.deletionsPaused === true) {
    const { position } = context.state;
    return {
      app: block(
        app,
        why(context, 'FL_HOLD_RECOVERY', { position: `${position?.epoch ?? 0}.${position?.seq ?? 0}` }),
        FOREVER,
        'retiring',
      ),
    };
  }
  if (!areAllPlanned(context.state)) return { app };
  const doomed = left.filter((key) => !isListedElsewhere(context.state, app, key));
  if (doomed.length === 0) {
    // Wanted by another application that has not taken it yet: let go of, so that it finds it free.
    const moving = left.filter((key) => !isTakenElsewhere(context.state, app, key));
    return moving.length === 0 ? { app: moveTo(app, { at: 'forgetting' }) } : remove('orphan', moving);
  }
  const spared = doomed.filter((key) => record.inventory.get(key)?.isKept === true);
  if (spared.length > 0 && spared.length === doomed.length) return letGo(app, record, spared, retire.serviceAccount);
  const verdict = withinBudget(context, app, {
    candidates: doomed.filter((key) => !spared.includes(key)),
    total: record.inventory.size,
    maxDeletions: retire.maxDeletions,
    maxDeletionPercent: retire.maxDeletionPercent,
    maxObjects: retire.maxObjects,
    isWaived: retire.waived,
    waiver: retire.id,
  });
  if (verdict.allowed.length === 0 && verdict.hold !== undefined) return { app: block(app, verdict.hold, FOREVER, 'retiring') };
  const gate = hooksFirst(app, context, 'pre', 'retiring');
  if (gate !== undefined) return gate;
  return context.at < step.nextAt ? { app } : remove('delete', verdict.allowed);
}

/** Nothing of it is left in our hands: forget it and acknowledge, in one write. */
export function forget(app: AppState, context: Context): Transition {
  const { retire } = app;
  if (retire === undefined) return { app: moveTo(app, { at: 'absent' }) };
  const result = retire.mode === 'Orphan' ? ('orphaned' as const) : ('deleted' as const);
  const objects = app.counts.deleted;
  const isOurs = app.record === undefined || isAbout(retire, app.record);
  const events: Happening[] =
    app.record === undefined
      ? []
      : [{ type: 'Normal', reason: why(context, 'FL_RETIRED', { application: app.name, objects, result }) }];
  const retired = { id: retire.id, record: { result, objects } };
  return start(
    moveTo(app, { at: 'forgetting', writing: { ...retired, isOurs } }),
    { type: 'store', app: app.key, record: isOurs ? undefined : app.record, retired, events: [] },
    events,
  );
}
