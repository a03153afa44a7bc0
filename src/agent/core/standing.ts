import type { DesiredApplication } from '#api';
import { moveTo, start, type Context, type Transition } from './app.ts';
import { correct } from './corrections.ts';
import { hooksFirst } from './gates.ts';
import type { Outcome } from './messages.ts';
import type { AppState, ObjectKey, ObjectState, Standing } from './model.ts';

/*
 * While a release is on its way to a cluster (fetched, planned, waiting for another application or for its own hooks, refused
 * or failed before its first object) what was applied before it is in force, and is healed as at rest. It is so with the
 * settings under which it was applied; who acts, what the Project allows and `Alert` count as they are wanted now.
 */

/** What this process knows to stand when a new release begins. */
export function standingOf(app: AppState): Standing | undefined {
  const { plan, record, standing } = app;
  if (standing !== undefined) return standing;
  if (plan === undefined || record === undefined) return undefined;
  // Of a release that was applied only in part stands what was applied of it.
  const isWhole =
    record.applied?.release === plan.wanted.release && record.applied.bundle === plan.bundle && record.applying === undefined;
  const objects = new Map<ObjectKey, ObjectState>();
  for (const [key, one] of app.objects) {
    if (one.object.isCreateOnly || !record.inventory.has(key)) continue;
    if (one.status === 'applied' || isWhole) objects.set(key, one.status === 'pending' ? { ...one, status: 'applied' } : one);
  }
  return objects.size === 0 ? undefined : { wanted: plan.wanted, objects, isWatched: app.step.at !== 'entering' };
}

/** Whether what stands must be planned and watched first: it is known from the record only, or other limits hold now. */
export function mustBeLookedAt(app: AppState): boolean {
  const { standing, wanted, record } = app;
  if (wanted === undefined) return false;
  if (standing !== undefined) {
    return !standing.isWatched || JSON.stringify(standing.wanted.limits) !== JSON.stringify(wanted.limits);
  }
  const applied = record?.applied;
  // What is wanted itself is planned and applied anyway.
  return termsOf(app) !== undefined && (applied?.release !== wanted.release || applied.bundle !== wanted.bundle);
}

/** As what it is kept: as it was wanted, by the rights of now. */
function termsOf(app: AppState): DesiredApplication | undefined {
  const { wanted, standing, record } = app;
  if (wanted === undefined) return undefined;
  const { serviceAccount, limits } = wanted;
  const withRights = (terms: DesiredApplication): DesiredApplication => {
    const { serviceAccount: _before, ...rest } = terms;
    return { ...rest, limits, ...(serviceAccount === undefined ? {} : { serviceAccount }) };
  };
  if (standing !== undefined) return withRights(standing.wanted);
  const applied = record?.applied;
  if (applied?.settings === undefined || record?.applying !== undefined) return undefined;
  const { release, number, bundle, settings } = applied;
  return withRights({ ...wanted, release, number, bundle, settings });
}

/** Plans and watches what stands, and makes good what an earlier process had begun to put back. */
export function driveKeeping(app: AppState, context: Context): Transition {
  const { standing, step } = app;
  const terms = termsOf(app);
  if (step.at !== 'keeping' || terms === undefined) return { app: moveTo(app, { at: 'fetching' }) };
  if (!step.isPlanned) return start(app, { type: 'plan', app: app.key, wanted: terms, isStanding: true });
  if (standing === undefined) return { app: moveTo(app, { at: 'fetching' }) };
  if (!standing.isWatched) {
    const objects = [...standing.objects.values()].map((one) => one.object);
    return start(app, { type: 'watch', app: app.key, wanted: standing.wanted, objects, isStanding: true, tells: true });
  }
  const correction = correct(app, context);
  return correction.command === undefined ? { app: moveTo(app, { at: 'fetching' }) } : correction;
}

/** What stands, planned: what is not ours any more, or not allowed to us, is not among it. */
export function takeStanding(app: AppState, outcome: Extract<Outcome, { type: 'planned' }>): AppState {
  const terms = termsOf(app);
  const objects = new Map<ObjectKey, ObjectState>();
  for (const object of outcome.objects) {
    const { key, digest, isCreateOnly } = object;
    if (isCreateOnly || app.record?.inventory.has(key) !== true) continue;
    const known = app.standing?.objects.get(key);
    const isSame = known?.object.digest === digest;
    objects.set(key, isSame ? { ...known, object } : { object, status: 'applied', health: 'progressing', attempts: 0 });
  }
  const { standing: _before, ...rest } = app;
  const planned = moveTo(rest, { at: 'keeping', isPlanned: true });
  return terms === undefined || objects.size === 0
    ? planned
    : { ...planned, standing: { wanted: terms, objects, isWatched: false } };
}

/** Takes in that the watches compare with what was asked for. */
export function takeWatching(app: AppState): AppState {
  const { step, standing } = app;
  if (step.at === 'entering') return moveTo(app, { at: 'entering', isWatched: true });
  if (standing === undefined) return app;
  // A correction of the process before: whether it was made shows when it is made again.
  const objects = new Map(standing.objects);
  for (const [key, drift] of app.begun ?? []) {
    const one = objects.get(key);
    if (one !== undefined) objects.set(key, { ...one, drift });
  }
  return { ...app, standing: { ...standing, objects, isWatched: true } };
}

/** The moment when a release takes the place of what stands: hooks, watches, the durable word that it begins, then its objects. */
export function driveEntering(app: AppState, context: Context): Transition {
  const { wanted, plan, record, standing, step } = app;
  if (wanted === undefined || plan === undefined || record === undefined || step.at !== 'entering') return { app };
  if (!step.isWatched) {
    const gate = hooksFirst(app, context, 'pre', 'planning');
    if (gate !== undefined) return gate;
    const objects = [...app.objects.values()].filter((one) => one.reason?.code !== 'FL_CLAIM_CONFLICT').map((one) => one.object);
    const tells = isOnlyWatched(app);
    const looking = tells ? asApplied(app) : app;
    const unwatched = standing === undefined ? looking : { ...looking, standing: { ...standing, isWatched: false } };
    return start(unwatched, { type: 'watch', app: app.key, wanted, objects, isStanding: false, tells });
  }
  const isInForce = record.applied === undefined || (record.applied.bundle === plan.bundle && record.applying === undefined);
  if (!isInForce && record.applying !== plan.bundle) {
    const begun = { ...record, applying: plan.bundle };
    return start({ ...app, record: begun }, { type: 'store', app: app.key, record: begun, events: [] });
  }
  return { app: moveTo(inPlace(app), { at: 'applying', index: 0, isWaiting: false }) };
}

/**
 * `Alert` writes nothing but new content: what was applied in full is not applied again because the process is another one, or
 * the document says something else about it. A person may ask for it (`fairlead reconcile`).
 */
function isOnlyWatched({ wanted, record, plan }: AppState): boolean {
  const applied = record?.applied;
  if (wanted?.settings.drift?.mode !== 'Alert' || applied === undefined || record?.applying !== undefined) return false;
  return applied.bundle === plan?.bundle && record?.uid === wanted.uid && (applied.nudge ?? '') === (wanted.nudge ?? '');
}

/** How its objects are is for the watches to say. */
function asApplied(app: AppState): AppState {
  const objects = new Map(app.objects);
  for (const [key, one] of objects) {
    if (one.status !== 'pending' || one.object.isCreateOnly || app.record?.inventory.has(key) !== true) continue;
    objects.set(key, { ...one, status: 'applied', health: 'progressing' });
  }
  return { ...app, objects };
}

/** The release without what stood before it; what was learnt of objects that stay the same is kept. */
function inPlace(app: AppState): AppState {
  const { standing, ...rest } = app;
  if (standing === undefined) return app;
  const objects = new Map(app.objects);
  for (const [key, one] of objects) {
    const was = standing.objects.get(key);
    if (was === undefined || was.object.digest !== one.object.digest || one.status !== 'pending') continue;
    const { drift, corrections, fight } = was;
    objects.set(key, {
      ...one,
      ...(drift === undefined ? {} : { drift }),
      ...(corrections === undefined ? {} : { corrections }),
      ...(fight === undefined ? {} : { fight }),
    });
  }
  return { ...rest, objects };
}
