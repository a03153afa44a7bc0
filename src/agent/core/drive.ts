import { parseId } from '#kube';
import { rfc3339, unreachable } from '#base';
import {
  block,
  FOREVER,
  isHealthy,
  moveTo,
  retryAfterMs,
  start,
  why,
  type Context,
  type Happening,
  type Transition,
} from './app.ts';
import { areAllPlanned, isListedElsewhere, isTakenElsewhere } from './claims.ts';
import { correct } from './corrections.ts';
import { dependencyHold, hooksFirst } from './gates.ts';
import { deleteHooksOf } from './hooks.ts';
import { drivePruning, driveRetiring, forget } from './removal.ts';
import { driveEntering, driveKeeping, mustBeLookedAt, standingOf } from './standing.ts';
import type { AppliedRecord, AppRecord, AppState, InventoryItem, ObjectKey, ObjectState } from './model.ts';

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
    case 'keeping':
      return driveKeeping(app, context);
    case 'fetching':
      return start(app, { type: 'fetch', app: app.key, wanted });
    case 'planning':
      return start(app, { type: 'plan', app: app.key, wanted, isStanding: false });
    case 'recording':
      return driveRecording(app, context);
    case 'entering':
      return driveEntering(app, context);
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
  const { hook: _progress, standing: _before, ...withoutHook } = app;
  const standing = app.wanted === undefined ? undefined : standingOf(app);
  // Whatever was applied is compared anew: settings may have changed what it should be.
  const objects = new Map([...app.objects].map(([key, one]): [ObjectKey, ObjectState] => [key, pendingAgain(one)]));
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
    const next = { ...(isSameBundle ? fresh : withoutPlan), ...(standing === undefined ? {} : { standing }) };
    return moveTo(next, mustBeLookedAt(next) ? { at: 'keeping', isPlanned: false } : { at: 'fetching' });
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

/** What is known of its drift stands where it is kept. */
function pendingAgain(one: ObjectState): ObjectState {
  const { reason, retryAt: _r, awaitsKind: _a, correcting: _c, drift: _d, ...rest } = one;
  if (reason === undefined) return { ...rest, status: 'pending' };
  if (one.status !== 'failed') return { ...rest, reason, status: 'pending' };
  return { ...rest, failedAs: { code: reason.code, since: reason.since }, status: 'pending' };
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
  const entering = moveTo(app, { at: 'entering', isWatched: false });
  if (!isNew) return { app: entering };
  const record: AppRecord = {
    ...app.record,
    project: app.project,
    name: app.name,
    uid: wanted.uid,
    inventory,
  };
  return start({ ...entering, record }, { type: 'store', app: app.key, record, events: [] });
}

function driveApplying(app: AppState, context: Context): Transition {
  const { wanted, plan, record, step } = app;
  if (wanted === undefined || plan === undefined || record === undefined || step.at !== 'applying') return { app };
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
        return correct(step.isWaiting && step.index === index ? app : waiting, context);
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

/** Everything is applied and removed: inventory = new, and only then it counts as applied. */
function driveFinishing(app: AppState, context: Context): Transition {
  const { wanted, plan, record } = app;
  if (wanted === undefined || plan === undefined || record === undefined) return { app };
  const inventory = new Map(
    [...record.inventory].filter(([key]) => plan.keys.has(key) || app.kept.has(key) || isMoving(app, key, context)),
  );
  const held = record.applied;
  const isHeld = held !== undefined && held.release === wanted.release && held.bundle === wanted.bundle;
  const { release, number, bundle, settings } = wanted;
  const nudge = wanted.nudge ?? '';
  const first: AppliedRecord = { release, number, bundle, at: rfc3339(context.at) };
  const { nudge: _before, ...kept } = isHeld ? held : first;
  const applied: AppliedRecord = { ...kept, settings, ...(nudge === '' ? {} : { nudge }) };
  const settling = moveTo(app, { at: 'settling' });
  const isSame = JSON.stringify([held?.settings, held?.nudge ?? '']) === JSON.stringify([settings, nudge]);
  const isKnown = isHeld && isSame && record.applying === undefined;
  if (isKnown && inventory.size === record.inventory.size && record.hooks === undefined) return { app: settling };
  const { hooks: _done, deleteHooks: _old, applying: _whole, ...rest } = record;
  const deleteHooks = deleteHooksOf(plan.hooks);
  const mayBeFromHelm = !isHeld && (held === undefined || app.isFromHelm === true);
  const next: AppRecord = {
    ...rest,
    inventory,
    applied,
    ...(deleteHooks.length === 0 ? {} : { deleteHooks }),
    ...(mayBeFromHelm ? { helm: 'unchecked' } : {}),
  };
  const events: Happening[] = isHeld ? [] : [{ type: 'Normal', reason: why(context, 'FL_APPLIED', { release, ...app.counts }) }];
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
  return correct(app, context);
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

function driveBlocked(app: AppState, context: Context): Transition {
  const { step } = app;
  if (step.at !== 'blocked') return { app };
  if (step.reason.code === 'FL_HOLD_DEPENDENCY') {
    const hold = dependencyHold(app, context);
    if (hold === undefined) return { app: moveTo(app, { at: 'planning' }) };
    if (hold.args['why'] === step.reason.args['why']) return correct(app, context);
    return { app: block(app, { ...hold, since: step.reason.since }, FOREVER, 'planning') };
  }
  if (context.at < step.retryAt) return step.resume === 'retiring' ? { app } : correct(app, context);
  const next = { ...app, attempts: app.attempts + 1 };
  if (step.resume === 'pruning') return { app: moveTo(next, { at: 'pruning', since: context.at, polls: 0, nextAt: 0 }) };
  if (step.resume === 'retiring') return { app: moveTo(next, { at: 'retiring', polls: 0, nextAt: 0 }) };
  if (step.resume === 'keeping') return { app: moveTo(next, { at: 'keeping', isPlanned: false }) };
  return { app: moveTo(next, { at: step.resume }) };
}
