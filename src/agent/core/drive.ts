import { compareForPrune, parseId } from '#kube';
import { rfc3339, unreachable } from '#base';
import {
  appKey,
  block,
  isHealthy,
  moveTo,
  retryAfterMs,
  start,
  why,
  type Context,
  type Happening,
  type Transition,
} from './app.ts';
import { withinBudget } from './budget.ts';
import { isAbout } from './retirement.ts';
import { areAllPlanned, isListedElsewhere, isTakenElsewhere } from './claims.ts';
import { dueCorrections } from './corrections.ts';
import { deleteHooksOf, passHooks } from './hooks.ts';
import type { AppRecord, AppState, InventoryItem, ObjectKey, ObjectState } from './model.ts';

// A release that never becomes healthy must not keep what it replaces for ever: both may need the same port or quota.
export const PRUNE_ANYWAY_AFTER_MS = 300_000;
const FOREVER = Number.POSITIVE_INFINITY;

/** What an application does next, if it can do anything now. Called again until it changes nothing. */
export function drive(app: AppState, context: Context): Transition {
  if (app.busy !== undefined) return { app };
  if (app.isStale) return { app: begin(app, context) };
  const { wanted, step } = app;
  switch (step.at) {
    case 'absent':
    case 'orphaned':
      return { app };
    case 'retiring':
      return driveRetiring(app, context);
    case 'forgetting':
      return forget(app, context);
    case 'blocked':
      return driveBlocked(app, context);
    default:
  }
  if (wanted === undefined) return { app };
  switch (step.at) {
    case 'fetching':
      return start(app, { type: 'fetch', app: app.key, wanted });
    case 'planning':
      return start(app, { type: 'plan', app: app.key, wanted });
    case 'recording':
      return driveRecording(app, context);
    case 'applying':
      return driveApplying(app, context);
    case 'pruning':
      return drivePruning(app, context);
    case 'finishing':
      return driveFinishing(app, context);
    case 'settling':
    case 'steady':
      return driveHeld(app, context);
    default:
      return unreachable(step);
  }
}

/** Starts over for what is wanted now. Earlier results of the same objects are kept where they still count. */
function begin(app: AppState, context: Context): AppState {
  // Whatever was applied is compared anew: settings may have changed what it should be.
  const objects = new Map([...app.objects].map(([key, one]): [ObjectKey, ObjectState] => [key, pendingAgain(one)]));
  const { hook: _progress, ...withoutHook } = app;
  const fresh: AppState = {
    ...withoutHook,
    objects,
    isStale: false,
    attempts: 0,
    removals: new Map(),
    kept: new Set(),
    counts: { created: 0, configured: 0, unchanged: 0, deleted: 0 },
    times: {},
  };
  if (app.wanted !== undefined) {
    const isSameBundle = app.plan?.bundle === app.wanted.bundle;
    const { plan: _old, ...withoutPlan } = fresh;
    return moveTo(isSameBundle ? fresh : withoutPlan, { at: 'fetching' });
  }
  const { plan: _plan, ...rest } = fresh;
  const idle: AppState = { ...rest, objects: new Map() };
  if (app.retire !== undefined) {
    const isKnown = context.state.retired.has(app.retire.id);
    return moveTo(
      idle,
      isKnown ? { at: 'absent' } : app.record === undefined ? { at: 'forgetting' } : { at: 'retiring', polls: 0, nextAt: 0 },
    );
  }
  return moveTo(idle, { at: app.record === undefined ? 'absent' : 'orphaned' });
}

function pendingAgain(one: ObjectState): ObjectState {
  const { reason, retryAt: _r, awaitsKind: _a, correcting: _c, ...rest } = one;
  return { ...rest, ...(one.status === 'failed' || reason === undefined ? {} : { reason }), status: 'pending' };
}

/** Before the first write: whatever may come to exist is in the inventory. */
function driveRecording(app: AppState, context: Context): Transition {
  const { wanted, plan } = app;
  if (wanted === undefined || plan === undefined) return { app: moveTo(app, { at: 'planning' }) };
  const hold = dependencyHold(app, context);
  if (hold !== undefined) return { app: block(app, hold, FOREVER, 'planning') };
  const inventory = new Map<ObjectKey, InventoryItem>(app.record?.inventory);
  let isNew = app.record === undefined || app.record.uid !== wanted.uid;
  for (const one of app.objects.values()) {
    // An object that another application holds must not become deletable by us.
    if (one.status === 'failed' && one.reason?.code === 'FL_CLAIM_CONFLICT') continue;
    // What is only made where it is missing is never ours.
    if (one.object.isCreateOnly) continue;
    const { isKept, id } = one.object;
    const known = inventory.get(one.object.key);
    if (known?.version === id.version && (known.isKept === true) === isKept) continue;
    inventory.set(one.object.key, { version: id.version, ...(isKept ? { isKept } : {}) });
    isNew = true;
  }
  const applying = moveTo(app, { at: 'applying', index: 0, isWaiting: false });
  if (!isNew) return { app: applying };
  const record: AppRecord = {
    ...app.record,
    project: app.project,
    name: app.name,
    uid: wanted.uid,
    inventory,
  };
  return start({ ...applying, record }, { type: 'store', app: app.key, record, events: [] });
}

/** Applications of the same cluster that must be healthy first; only before a release that is not held yet. */
function dependencyHold(app: AppState, context: Context): ReturnType<typeof why> | undefined {
  const { wanted } = app;
  if (wanted === undefined) return undefined;
  const applied = app.record?.applied;
  if (applied?.release === wanted.release && applied.bundle === wanted.bundle) return undefined;
  for (const { name } of wanted.settings.dependsOn ?? []) {
    const other = context.state.apps.get(appKey(app.project, name));
    if (other !== undefined && other.wanted !== undefined && !other.isStale && isHealthy(other)) continue;
    const because =
      other?.wanted === undefined
        ? 'it is not delivered to this cluster'
        : other.step.at === 'blocked'
          ? 'it is blocked itself'
          : other.step.at === 'settling' || other.step.at === 'steady'
            ? 'it is not healthy'
            : `release ${other.wanted.release} is not applied yet`;
    return why(context, 'FL_HOLD_DEPENDENCY', { dependency: name, why: because });
  }
  return undefined;
}

function driveApplying(app: AppState, context: Context): Transition {
  const { wanted, plan, record, step } = app;
  if (wanted === undefined || plan === undefined || record === undefined || step.at !== 'applying') return { app };
  const gate = step.index === 0 ? hooksFirst(app, context, 'pre', 'planning') : undefined;
  if (gate !== undefined) return gate;
  for (let index = step.index; index < plan.batches.length; index += 1) {
    const batch = plan.batches[index];
    if (batch === undefined) break;
    const pending = batch.keys.flatMap((key) => {
      const one = app.objects.get(key);
      return one?.status === 'pending' ? [one.object] : [];
    });
    if (pending.length === 0) continue;
    if (batch.needsHealth) {
      const earlier = plan.batches.slice(0, index).flatMap((before) => before.keys.map((key) => app.objects.get(key)));
      if (earlier.some((one) => one?.status === 'failed')) break;
      if (earlier.some((one) => one?.health !== 'healthy')) {
        const waiting = moveTo(app, { at: 'applying', index, isWaiting: true });
        return correcting(step.isWaiting && step.index === index ? app : waiting, context);
      }
    }
    return start(moveTo(app, { at: 'applying', index, isWaiting: false }), {
      type: 'apply',
      app: app.key,
      wanted,
      objects: pending,
      inventory: record.inventory,
      isCorrection: false,
    });
  }
  const done = afterApplying(app, context);
  return (done.step.at === 'pruning' ? hooksFirst(app, context, 'post', 'planning') : undefined) ?? { app: done };
}

/** What hooks ask for before anything else may happen; undefined: nothing. */
function hooksFirst(
  app: AppState,
  context: Context,
  phase: 'pre' | 'post',
  resume: 'planning' | 'retiring',
): Transition | undefined {
  const gate = passHooks(app, context, phase);
  switch (gate) {
    case 'open':
      return undefined;
    case 'waiting':
      return correcting(app, context);
    case 'failed': {
      const reason = app.record?.hooks?.failed?.reason;
      return reason === undefined ? { app } : { app: block(app, reason, FOREVER, resume) };
    }
    default:
      return gate;
  }
}

function afterApplying(app: AppState, context: Context): AppState {
  const failed = [...app.objects.values()].filter((one) => one.status === 'failed');
  const unresolved = app.plan?.unresolved[0];
  const first = firstFailure(app);
  if (first !== undefined) {
    return block(app, first, Math.min(...failed.map((one) => one.retryAt ?? FOREVER)), 'planning');
  }
  if (unresolved !== undefined) {
    return block(app, unresolved.reason, context.at + retryAfterMs('kind', app.attempts, context.random), 'planning');
  }
  return moveTo({ ...app, attempts: 0 }, { at: 'pruning', since: context.at, polls: 0, nextAt: 0 });
}

/** The first failure in the order of application: what comes later often follows from it. */
function firstFailure(app: AppState): ReturnType<typeof why> | undefined {
  for (const batch of app.plan?.batches ?? []) {
    for (const key of batch.keys) {
      const one = app.objects.get(key);
      if (one?.status === 'failed' && one.reason !== undefined) return one.reason;
    }
  }
  return undefined;
}

function drivePruning(app: AppState, context: Context): Transition {
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
  if (!areAllPlanned(context.state)) return correcting(app, context);
  const doomed = leftover.filter((key) => !isListedElsewhere(context.state, app, key));
  if (doomed.length === 0) return { app: moveTo(app, { at: 'finishing' }) };
  const spared = doomed.filter((key) => record.inventory.get(key)?.isKept === true);
  if (spared.length > 0) return letGo(app, record, spared, wanted.serviceAccount);
  const isSettled = [...app.objects.values()].every((one) => one.health === 'healthy');
  if (!isSettled && context.at - step.since < PRUNE_ANYWAY_AFTER_MS) return correcting(app, context);
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
  if (context.at < step.nextAt) return correcting(app, context);
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

/** Everything is applied and removed: inventory = new, and only then it counts as applied. */
function driveFinishing(app: AppState, context: Context): Transition {
  const { wanted, plan, record } = app;
  if (wanted === undefined || plan === undefined || record === undefined) return { app };
  const inventory = new Map(
    [...record.inventory].filter(([key]) => plan.keys.has(key) || app.kept.has(key) || isMoving(app, key, context)),
  );
  const held = record.applied;
  const isHeld = held !== undefined && held.release === wanted.release && held.bundle === wanted.bundle;
  const applied = isHeld
    ? held
    : { release: wanted.release, number: wanted.number, bundle: wanted.bundle, at: rfc3339(context.at) };
  const settling = moveTo(app, { at: 'settling' });
  if (isHeld && inventory.size === record.inventory.size && record.hooks === undefined) return { app: settling };
  const { hooks: _done, deleteHooks: _old, ...rest } = record;
  const deleteHooks = deleteHooksOf(plan.hooks);
  const mayBeFromHelm = !isHeld && (held === undefined || app.isFromHelm === true);
  const next: AppRecord = {
    ...rest,
    inventory,
    applied,
    ...(deleteHooks.length === 0 ? {} : { deleteHooks }),
    ...(mayBeFromHelm ? { helm: 'unchecked' } : {}),
  };
  const events: Happening[] = isHeld
    ? []
    : [{ type: 'Normal', reason: why(context, 'FL_APPLIED', { release: wanted.release, ...app.counts }) }];
  const { isFromHelm: _noted, ...settled } = settling;
  return start({ ...settled, record: next }, { type: 'store', app: app.key, record: next, events: [] }, events);
}

/** It passes over to another application, which does not have it yet: until then it is in our inventory. */
function isMoving(app: AppState, key: ObjectKey, { state }: Context): boolean {
  return isListedElsewhere(state, app, key) && !isTakenElsewhere(state, app, key);
}

/** Whether something that was to pass over was taken, or is not wanted there any more. */
function hasMovedOn(app: AppState, context: Context): boolean {
  const { plan, record } = app;
  if (plan === undefined || record === undefined || record.inventory.size <= plan.keys.size + app.kept.size) return false;
  if (!areAllPlanned(context.state)) return false;
  return [...record.inventory.keys()].some((key) => !plan.keys.has(key) && !app.kept.has(key) && !isMoving(app, key, context));
}

function driveHeld(app: AppState, context: Context): Transition {
  const failed = firstFailure(app);
  if (failed !== undefined) return { app: afterApplying(app, context) };
  if (hasMovedOn(app, context)) return { app: moveTo(app, { at: 'pruning', since: context.at, polls: 0, nextAt: 0 }) };
  const helm = windUpHelm(app);
  if (helm !== undefined) return helm;
  if (app.step.at === 'settling' && isHealthy(app)) {
    return { app: moveTo({ ...app, times: { ...app.times, healthyAt: rfc3339(context.at) } }, { at: 'steady' }) };
  }
  return correcting(app, context);
}

/** Applied in full for the first time, or after a takeover: a Helm release of the same objects must not be able to delete them. */
function windUpHelm(app: AppState): Transition | undefined {
  const { record, woundUp, wanted } = app;
  if (record?.helm === undefined) return undefined;
  if (woundUp !== undefined) {
    const { helm: _done, ...rest } = record;
    const { woundUp: _said, ...told } = app;
    return start({ ...told, record: rest }, { type: 'store', app: app.key, record: rest, events: [] }, woundUp);
  }
  const keys = [...record.inventory.keys()];
  const namespaces = [...new Set(keys.map((key) => parseId(key).namespace).filter((namespace) => namespace !== ''))];
  return start(app, { type: 'windUpHelm', app: app.key, keys, namespaces, serviceAccount: wanted?.serviceAccount });
}

/** Repairs what drifted, if there is something to repair now. */
function correcting(app: AppState, context: Context): Transition {
  const { wanted, record } = app;
  if (wanted === undefined || record === undefined) return { app };
  const due = dueCorrections(app, context.at);
  if (due.length === 0) return { app };
  const objects = new Map(app.objects);
  for (const one of due) if (one.drift !== undefined) objects.set(one.object.key, { ...one, correcting: one.drift });
  return start(
    { ...app, objects },
    {
      type: 'apply',
      app: app.key,
      wanted,
      objects: due.map((one) => one.object),
      inventory: record.inventory,
      isCorrection: true,
    },
  );
}

function driveBlocked(app: AppState, context: Context): Transition {
  const { step } = app;
  if (step.at !== 'blocked') return { app };
  if (step.reason.code === 'FL_HOLD_DEPENDENCY') {
    const hold = dependencyHold(app, context);
    if (hold === undefined) return { app: moveTo(app, { at: 'planning' }) };
    if (hold.args['why'] === step.reason.args['why']) return { app };
    return { app: block(app, { ...hold, since: step.reason.since }, FOREVER, 'planning') };
  }
  if (context.at < step.retryAt) return step.resume === 'retiring' ? { app } : correcting(app, context);
  const next = { ...app, attempts: app.attempts + 1 };
  if (step.resume === 'pruning') return { app: moveTo(next, { at: 'pruning', since: context.at, polls: 0, nextAt: 0 }) };
  if (step.resume === 'retiring') return { app: moveTo(next, { at: 'retiring', polls: 0, nextAt: 0 }) };
  return { app: moveTo(next, { at: step.resume }) };
}

function driveRetiring(app: AppState, context: Context): Transition {
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
function forget(app: AppState, context: Context): Transition {
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
