import { rfc3339, unreachable } from '#base';
import { block, describeKey, identityOf, moveTo, retryAfterMs, why, type Context, type Happening } from './app.ts';
import { rivalFor } from './claims.ts';
import { corrected, keptObjects, withKeptObjects } from './corrections.ts';
import { takeHook } from './hooks.ts';
import { planBatches } from './plan-batches.ts';
import { takeStanding, takeWatching } from './standing.ts';
import type { ObjectOutcome, Outcome, RemovalOutcome, WoundUp } from './messages.ts';
import type { AppState, Drift, InventoryItem, ObjectKey, ObjectState, PlannedObject } from './model.ts';

export interface Taken {
  readonly app: AppState;
  readonly events: readonly Happening[];
}

const MAX_ADOPTION_EVENTS = 10;

/** Takes in how the running command ended. */
export function takeOutcome(app: AppState, outcome: Outcome, context: Context): Taken {
  const { busy, ...rest } = app;
  const idle: AppState = rest;
  // What is wanted has changed meanwhile: an answer about what was wanted before must not pass for one about what is now.
  // What a hook of before has done shows when it is looked at again.
  if (app.isStale && isAboutContent(outcome)) return plain(idle);
  switch (outcome.type) {
    case 'fetched':
      return plain(
        moveTo({ ...idle, attempts: 0, times: { ...idle.times, fetchedAt: rfc3339(context.at) } }, { at: 'planning' }),
      );
    case 'planned':
      return plain(idle.step.at === 'keeping' ? takeStanding(idle, outcome) : takePlan(idle, outcome, context));
    case 'watching':
      return plain(takeWatching(idle));
    case 'stored':
      if (idle.step.at !== 'forgetting') return plain(idle);
      return plain(forgotten(idle));
    case 'applied':
      return takeApplied(idle, outcome.results, context);
    case 'removed':
      return takeRemoved(idle, outcome.results, context);
    case 'hooked':
      return plain(takeHook(idle, outcome, context));
    case 'cleared':
      return plain(idle);
    case 'woundUp':
      return plain({ ...idle, woundUp: outcome.releases.map((one) => aboutRelease(one, context)) });
    case 'failed':
      return plain(takeFailure(idle, busy, outcome, context));
    default:
      return unreachable(outcome);
  }
}

function isAboutContent({ type }: Outcome): boolean {
  return ['fetched', 'planned', 'watching', 'hooked', 'woundUp', 'failed'].includes(type);
}

function plain(app: AppState): Taken {
  return { app, events: [] };
}

function aboutRelease({ release, left, words }: WoundUp, context: Context): Happening {
  if (left !== undefined) {
    const args = { release, count: left.count, object: describeKey(left.object) };
    return { type: 'Warning', reason: why(context, 'FL_HELM_SHARED', args) };
  }
  if (words !== undefined) return { type: 'Warning', reason: why(context, 'FL_HELM_KEPT', { release, words }) };
  return { type: 'Normal', reason: why(context, 'FL_HELM_WOUND_UP', { release }) };
}

function forgotten(app: AppState): AppState {
  if (app.step.at === 'forgetting' && app.step.writing?.isOurs === false && app.record !== undefined)
    return moveTo(app, { at: 'orphaned' });
  const { record: _gone, ...rest } = app;
  return moveTo(rest, { at: 'absent' });
}

function takePlan(app: AppState, outcome: Extract<Outcome, { type: 'planned' }>, context: Context): AppState {
  const { wanted } = app;
  if (wanted === undefined) return app;
  const objects = new Map<ObjectKey, ObjectState>();
  for (const object of outcome.objects) objects.set(object.key, stateOf(app.objects.get(object.key), object, context));
  const refusal = outcome.refused[0];
  const planned: AppState = {
    ...app,
    objects,
    // Of what is not wanted any more nothing will be learnt.
    ...(app.begun === undefined
      ? {}
      : { begun: new Map([...app.begun].filter(([key]) => objects.has(key) || app.standing?.objects.has(key) === true)) }),
    plan: {
      bundle: wanted.bundle,
      wanted,
      keys: new Set(objects.keys()),
      batches: planBatches(outcome.objects),
      hooks: outcome.hooks,
      isTakeover: outcome.isTakeover,
      unresolved: outcome.unresolved,
      refused: outcome.refused,
    },
  };
  if (refusal !== undefined) {
    return block(planned, refusal.reason, context.at + retryAfterMs('late', app.attempts, context.random), 'planning');
  }
  for (const one of objects.values()) {
    const rival = rivalFor(context.state, app, one.object.key);
    if (rival === undefined) continue;
    const conflict = why(context, 'FL_CLAIM_CONFLICT', { object: describeKey(one.object.key), owner: rival.key });
    objects.set(one.object.key, failure(one, conflict, 'soon', context));
  }
  return moveTo(planned, { at: 'recording' });
}

/** What is already known of an object, where it is still the same object. */
function stateOf(known: ObjectState | undefined, object: PlannedObject, context: Context): ObjectState {
  if (known === undefined || known.object.digest !== object.digest) {
    return { object, status: 'pending', health: 'progressing', attempts: 0 };
  }
  if (known.status !== 'failed') return { ...known, object };
  if ((known.retryAt ?? 0) > context.at) return { ...known, object };
  const { retryAt: _r, reason, awaitsKind: _a, ...rest } = known;
  const failedAs = reason === undefined ? {} : { failedAs: { code: reason.code, since: reason.since } };
  return { ...rest, ...failedAs, object, status: 'pending' };
}

function failure(
  one: ObjectState,
  reason: NonNullable<ObjectState['reason']>,
  retry: 'soon' | 'late' | 'kind',
  context: Context,
): ObjectState {
  const { failedAs, ...rest } = one;
  const before = one.reason ?? failedAs;
  const since = before?.code === reason.code ? before.since : reason.since;
  return {
    ...rest,
    status: 'failed',
    health: 'degraded',
    reason: { ...reason, since },
    retryAt: context.at + retryAfterMs(retry, one.attempts, context.random),
    awaitsKind: retry === 'kind',
    attempts: one.attempts + 1,
  };
}

function takeApplied(app: AppState, results: readonly ObjectOutcome[], context: Context): Taken {
  // Until its first object is applied, everything that is applied corrects what stands.
  const isStanding = app.standing !== undefined;
  const objects = new Map(keptObjects(app));
  const events: Happening[] = [];
  const counts = { ...app.counts };
  const isRun = !isStanding && app.step.at === 'applying';
  const begun = new Map(app.begun);
  let adoptions = 0;
  for (const result of results) {
    const found = objects.get(result.key);
    if (found === undefined) continue;
    const { correcting, ...one } = found;
    if (result.result === 'skipped') {
      objects.set(result.key, one);
      continue;
    }
    if (result.result === 'failed') {
      objects.set(result.key, failure(one, result.reason, result.retry, context));
      continue;
    }
    if (isRun && one.status === 'pending') counts[result.result] += 1;
    // Gone before we came: nothing was put back by us.
    const undone = begun.get(result.key);
    const isGone = one.drift === undefined && result.result === 'unchanged' && !(isStanding && undone !== undefined);
    const wasDrift = isGone ? undefined : (correcting ?? one.drift);
    const repaired =
      wasDrift !== undefined && (isStanding || one.status === 'applied')
        ? corrected(context, one, wasDrift)
        : { next: one, events: [] };
    events.push(...repaired.events);
    const missed = result.result === 'created' ? GONE : (result.found ?? undone);
    if (isRun && one.status === 'pending' && missed !== undefined && (undone !== undefined || isMissed(app, result.key)))
      events.push(...corrected(context, one, missed).events);
    begun.delete(result.key);
    const { reason: _r, failedAs: _f, retryAt: _t, awaitsKind: _a, drift: _d, ...rest } = repaired.next;
    objects.set(result.key, {
      ...rest,
      status: 'applied',
      attempts: 0,
      health: result.health,
      ...(result.reason === undefined ? {} : { reason: result.reason }),
    });
    if (result.adoptedFrom !== undefined && adoptions < MAX_ADOPTION_EVENTS) {
      adoptions += 1;
      const words = why(context, 'FL_ADOPTED', { object: describeKey(result.key), manager: result.adoptedFrom });
      events.push({ type: 'Normal', reason: words, object: one.object.id });
    }
  }
  const isFromHelm =
    app.isFromHelm === true || results.some((one) => 'adoptedFrom' in one && (one.adoptedFrom ?? '').startsWith('Helm '));
  return {
    app: {
      ...withKeptObjects(app, objects),
      counts,
      ...(isFromHelm ? { isFromHelm } : {}),
      ...(app.begun === undefined ? {} : { begun }),
    },
    events,
  };
}

const GONE: Drift = { kind: 'deleted', fields: [], manager: '', at: '' };

/** Whether what is found of an object happened while no process ran: this very bundle had been applied whole, with it. */
function isMissed({ record, wanted }: AppState, key: ObjectKey): boolean {
  const isWhole = record?.applied?.bundle === wanted?.bundle && record?.applying === undefined;
  return isWhole && record?.applied !== undefined && record.inventory.has(key);
}

function takeRemoved(app: AppState, results: readonly RemovalOutcome[], context: Context): Taken {
  const inventory = new Map<ObjectKey, InventoryItem>(app.record?.inventory);
  const removals = new Map(app.removals);
  const kept = new Set(app.kept);
  let { deleted } = app.counts;
  let problem: ReturnType<typeof why> | undefined;
  let isWaiting = false;
  const spared: ObjectKey[] = [];
  for (const result of results) {
    switch (result.result) {
      case 'skipped':
        break;
      case 'kept':
        kept.add(result.key);
        break;
      case 'deleted':
      case 'released':
      case 'gone':
        if (result.result === 'released' && isSpared(app, result.key)) spared.push(result.key);
        else if (result.result !== 'gone') deleted += removals.has(result.key) ? 0 : 1;
        inventory.delete(result.key);
        removals.delete(result.key);
        break;
      case 'waiting':
        // Counted once, when its deletion began.
        if (!removals.has(result.key)) deleted += 1;
        removals.set(result.key, result.reason);
        isWaiting = true;
        break;
      case 'failed':
        problem ??= result.reason;
        break;
      default:
        unreachable(result);
    }
  }
  const next: AppState = {
    ...app,
    removals,
    kept,
    counts: { ...app.counts, deleted },
    ...(app.record === undefined ? {} : { record: { ...app.record, inventory } }),
  };
  const events = sparedEvents(app, spared, context);
  const { step } = app;
  if (step.at !== 'pruning' && step.at !== 'retiring') return { app: next, events };
  if (problem !== undefined) {
    const retryAt = context.at + retryAfterMs('soon', app.attempts, context.random);
    return { app: block(next, problem, retryAt, step.at), events };
  }
  if (!isWaiting) return { app: { ...next, attempts: 0 }, events };
  const nextAt = context.at + pollDelayMs(step.polls);
  return { app: moveTo(next, { ...step, polls: step.polls + 1, nextAt }), events };
}

/** Let go of because it says so itself, where everything else goes. */
function isSpared({ record, wanted, retire }: AppState, key: ObjectKey): boolean {
  return record?.inventory.get(key)?.isKept === true && (wanted !== undefined || retire?.mode === 'Delete');
}

function sparedEvents(app: AppState, spared: readonly ObjectKey[], context: Context): readonly Happening[] {
  const [first] = spared;
  if (first === undefined) return [];
  const reason = why(context, 'FL_KEPT', { object: describeKey(first), more: spared.length - 1 });
  return [{ type: 'Normal', reason, object: identityOf(first, app.record?.inventory.get(first)?.version ?? '') }];
}

function pollDelayMs(polls: number): number {
  return Math.min(250 * 2 ** Math.min(polls, 5), 5000);
}

function takeFailure(
  app: AppState,
  busy: AppState['busy'],
  outcome: Extract<Outcome, { type: 'failed' }>,
  context: Context,
): AppState {
  const retryAt = context.at + retryAfterMs('soon', app.attempts, context.random, outcome.retryAfterMs);
  const next = { ...app, attempts: app.attempts + 1 };
  switch (busy) {
    case 'fetch':
      return block(next, outcome.reason, retryAt, 'fetching');
    case 'remove':
      return block(next, outcome.reason, retryAt, app.step.at === 'retiring' ? 'retiring' : 'pruning');
    default: {
      const { at } = app.step;
      return block(next, outcome.reason, retryAt, at === 'retiring' || at === 'keeping' ? at : 'planning');
    }
  }
}

/** Objects by whose kind we wait are tried again now. */
export function kindsChanged(app: AppState, at: number): AppState {
  const objects = new Map(app.objects);
  let found = (app.plan?.unresolved.length ?? 0) > 0;
  for (const [key, one] of objects) {
    if (one.status !== 'failed' || one.awaitsKind !== true) continue;
    objects.set(key, { ...one, retryAt: at });
    found = true;
  }
  if (!found) return app;
  const { step } = app;
  return { ...app, objects, step: step.at === 'blocked' && step.resume === 'planning' ? { ...step, retryAt: at } : step };
}
