import type { AgentPhase, DeliveryReport, ObjectReport, Reason, WireReason } from '#api';
import { parseId } from '#kube';
import { describeKey, isHealthy, why, type Context } from './app.ts';
import { driftReason, keptObjects } from './corrections.ts';
import { runningHook } from './hooks.ts';
import type { AgentState, AppState, ObjectState } from './model.ts';

const MAX_PROBLEMS = 50;

/** What the plane is told of every application that a document names, at this moment. */
export function deliveryReports(state: AgentState, at: number): DeliveryReport[] {
  const reports: DeliveryReport[] = [];
  for (const app of state.apps.values()) {
    if (app.wanted !== undefined) reports.push(deliveryReport(app, { state, at, random: 0 }));
    else if (app.retire !== undefined && app.record?.applied !== undefined)
      reports.push(retiringReport(app, { state, at, random: 0 }));
  }
  return reports.sort((a, b) => (`${a.project}/${a.application}` < `${b.project}/${b.application}` ? -1 : 1));
}

/** Applications that are kept although no document names them. */
export function orphans(state: AgentState): { project: string; application: string; objects: number }[] {
  return [...state.apps.values()].flatMap((app) =>
    app.wanted === undefined && app.retire === undefined && app.record !== undefined && !app.isStale
      ? [{ project: app.project, application: app.name, objects: app.record.inventory.size }]
      : [],
  );
}

function deliveryReport(app: AppState, context: Context): DeliveryReport {
  const wanted = app.wanted;
  const objects = [...app.objects.values()];
  const total = (app.plan?.keys.size ?? 0) + (app.plan?.unresolved.length ?? 0);
  const problems = problemsOf(app, objects, context);
  const reason = reasonOf(app, problems, context);
  const applied = app.record?.applied;
  return {
    project: app.project,
    application: app.name,
    release: wanted?.release ?? '',
    number: wanted?.number ?? 0,
    bundle: wanted?.bundle ?? '',
    phase: phaseOf(app),
    ...(applied === undefined ? {} : { applied: { release: applied.release, bundle: applied.bundle, at: applied.at } }),
    health: healthOfApp(app, objects),
    objects: {
      total,
      applied: objects.filter((one) => one.status === 'applied').length,
      healthy: objects.filter((one) => one.status === 'applied' && one.health === 'healthy').length,
      failed: objects.filter((one) => one.status === 'failed').length + (app.plan?.unresolved.length ?? 0),
      drifted: [...keptObjects(app).values()].filter((one) => one.drift !== undefined).length,
    },
    problems,
    ...(reason === undefined ? {} : { reason: wireReason(reason) }),
    times: {
      ...(app.times.fetchedAt === undefined ? {} : { fetchedAt: app.times.fetchedAt }),
      ...(applied !== undefined && applied.release === wanted?.release && applied.bundle === wanted.bundle
        ? { appliedAt: applied.at }
        : {}),
      ...(app.times.healthyAt === undefined ? {} : { healthyAt: app.times.healthyAt }),
    },
  };
}

function retiringReport(app: AppState, context: Context): DeliveryReport {
  const applied = app.record?.applied;
  const total = app.record?.inventory.size ?? 0;
  const hook = runningHook(app);
  const reason =
    app.step.at === 'blocked'
      ? app.step.reason
      : hook !== undefined
        ? why(context, 'FL_HOOK_RUNNING', hook)
        : ([...app.removals.values()][0] ?? why(context, 'FL_RETIRING', { application: app.name, mode: app.retire?.mode ?? '' }));
  return {
    project: app.project,
    application: app.name,
    release: applied?.release ?? '',
    number: applied?.number ?? 0,
    bundle: applied?.bundle ?? '',
    phase: phaseOf(app),
    ...(applied === undefined ? {} : { applied: { release: applied.release, bundle: applied.bundle, at: applied.at } }),
    health: 'unknown',
    objects: { total, applied: 0, healthy: 0, failed: 0, drifted: 0 },
    problems: [],
    reason: wireReason(reason),
    times: {},
  };
}

export function phaseOf(app: AppState): AgentPhase {
  const { step } = app;
  if (app.isStale) return app.wanted === undefined ? 'retiring' : 'fetching';
  switch (step.at) {
    case 'keeping':
      return 'fetching';
    case 'recording':
      return 'planning';
    case 'entering':
      return 'applying';
    case 'finishing':
      return 'pruning';
    case 'forgetting':
      return 'retiring';
    case 'orphaned':
      return 'absent';
    // The last write of a release has begun, and is not durable yet.
    case 'settling':
      return isBecomingApplied(app) ? 'pruning' : 'settling';
    default:
      return step.at;
  }
}

/** The write that says so has begun. */
function isBecomingApplied({ busy, pendingEvents }: AppState): boolean {
  return busy === 'store' && pendingEvents?.some((event) => event.reason.code === 'FL_APPLIED') === true;
}

/** Only what is reported for the wanted release counts, and only when all of it is applied. */
function healthOfApp(app: AppState, objects: readonly ObjectState[]): DeliveryReport['health'] {
  if (isHealthy(app) && !isBecomingApplied(app)) return 'healthy';
  if (objects.some((one) => one.health === 'degraded')) return 'degraded';
  return app.plan === undefined ? 'unknown' : 'progressing';
}

function problemsOf(app: AppState, objects: readonly ObjectState[], context: Context): ObjectReport[] {
  const found: ObjectReport[] = [];
  const add = (id: ObjectReport['id'], state: ObjectReport['state'], reason: Reason): void => {
    if (found.length < MAX_PROBLEMS) found.push({ id, state, reason: wireReason(reason) });
  };
  for (const one of app.plan?.refused ?? []) add(one.id, 'failed', one.reason);
  for (const one of app.plan?.unresolved ?? []) add(one.id, 'failed', one.reason);
  for (const one of objects) if (one.status === 'failed' && one.reason !== undefined) add(one.object.id, 'failed', one.reason);
  for (const [key, reason] of app.removals) {
    add({ ...parseId(key), version: app.record?.inventory.get(key)?.version ?? '' }, 'deleting', reason);
  }
  for (const one of keptObjects(app).values()) {
    if (app.standing !== undefined && one.status === 'failed' && one.reason !== undefined)
      add(one.object.id, 'failed', one.reason);
    if (one.drift === undefined) continue;
    const reason =
      one.fight === undefined
        ? driftReason(context, one, one.drift)
        : why(context, 'FL_DRIFT_FIGHT', {
            object: describeKey(one.object.key),
            manager: one.drift.manager === '' ? 'somebody' : one.drift.manager,
            fields: one.drift.fields.join(', '),
            count: Math.max(...[...(one.corrections ?? [])].map(([, times]) => times.length), 0),
            retry: `${Math.max(0, Math.round((one.fight.until - context.at) / 1000))} s`,
          });
    // Both would say something else at every look: only what begins counts.
    add(one.object.id, 'drifted', { ...reason, since: one.drift.at === '' ? reason.since : one.drift.at });
  }
  for (const state of ['degraded', 'progressing'] as const) {
    for (const one of objects) {
      if (one.status === 'applied' && one.health === state && one.reason !== undefined) {
        add(one.object.id, state === 'degraded' ? 'unhealthy' : 'waiting', one.reason);
      }
    }
  }
  return found;
}

/** The one sentence about the application as a whole. */
function reasonOf(app: AppState, problems: readonly ObjectReport[], context: Context): Reason | undefined {
  const { step, wanted } = app;
  switch (step.at) {
    case 'blocked':
      return step.reason;
    case 'entering':
    case 'applying':
    case 'recording': {
      const hook = runningHook(app);
      if (hook !== undefined) return why(context, 'FL_HOOK_RUNNING', hook);
      const waiting = problems.find((one) => one.state === 'unhealthy' || one.state === 'waiting');
      if (step.at === 'applying' && step.isWaiting && waiting !== undefined) return reasonFrom(waiting.reason);
      const total = app.plan?.keys.size ?? 0;
      const applied = [...app.objects.values()].filter((one) => one.status === 'applied').length;
      return why(context, 'FL_APPLYING', { release: wanted?.release ?? '', applied, total });
    }
    case 'pruning':
    case 'finishing':
      return [...app.removals.values()][0] ?? why(context, 'FL_PRUNING', { release: wanted?.release ?? '' });
    default: {
      const first = problems[0];
      return first === undefined ? undefined : reasonFrom(first.reason);
    }
  }
}

function wireReason(reason: Reason): WireReason {
  return { code: reason.code, args: reason.args, since: reason.since };
}

/** Back from the wire's form, which only forgets that the code is one of ours. */
function reasonFrom(reason: WireReason): Reason {
  return reason as Reason;
}
