import type { Reason } from '#api';
import { rfc3339 } from '#base';
import { describeKey, start, why, type Context, type Happening, type Transition } from './app.ts';
import { mayKeep } from './claims.ts';
import type { AgentState, AppState, Drift, ObjectKey, ObjectState } from './model.ts';

/** More corrections of one field than this within a minute are a fight. */
export const FIGHT_OVER = 5;
const WINDOW_MS = 60_000;
const FIGHT_BASE_MS = 60_000;
const FIGHT_MAX_MS = 600_000;
const MAX_FIELDS = 20;

/** Somebody who asks for `Alert` gets it at once, also for what stands until the release that says so is applied. */
export function driftMode({ wanted, standing }: AppState): 'Correct' | 'Alert' {
  return [wanted, standing?.wanted].some((one) => one?.settings.drift?.mode === 'Alert') ? 'Alert' : 'Correct';
}

/** The objects that are kept as they are: of what stands, where a release has not begun to take its place. */
export function keptObjects({ objects, standing }: AppState): ReadonlyMap<ObjectKey, ObjectState> {
  if (standing === undefined) return objects;
  return standing.isWatched ? standing.objects : NOTHING;
}

const NOTHING: ReadonlyMap<ObjectKey, ObjectState> = new Map();

export function withKeptObjects(app: AppState, objects: ReadonlyMap<ObjectKey, ObjectState>): AppState {
  return app.standing === undefined ? { ...app, objects } : { ...app, standing: { ...app.standing, objects } };
}

/** What is to be put back now. */
function dueCorrections(app: AppState, { state, at }: Context): ObjectState[] {
  if (driftMode(app) !== 'Correct') return [];
  return [...keptObjects(app).values()].filter((one) => {
    const dueAt = correctionAt(state, app, one);
    return dueAt !== undefined && dueAt <= at;
  });
}

/** When the next correction that is being put off is due, ms. */
export function nextCorrectionAt(state: AgentState, app: AppState): number | undefined {
  if (driftMode(app) !== 'Correct') return undefined;
  let next: number | undefined;
  for (const one of keptObjects(app).values()) {
    const dueAt = correctionAt(state, app, one);
    if (dueAt !== undefined && dueAt > 0 && (next === undefined || dueAt < next)) next = dueAt;
  }
  return next;
}

/** When the object is to be put back, ms (0: at once); undefined: there is nothing to put back, or another run does it. */
function correctionAt(state: AgentState, app: AppState, one: ObjectState): number | undefined {
  if (app.standing === undefined)
    return one.status === 'applied' && one.drift !== undefined ? (one.fight?.until ?? 0) : undefined;
  // At rest a correction that failed makes the whole release be applied again.
  const dueAt = one.status === 'failed' ? (one.retryAt ?? 0) : one.drift === undefined ? undefined : (one.fight?.until ?? 0);
  return dueAt === undefined || !mayKeep(state, app, one.object.key) ? undefined : dueAt;
}

function fieldsOf(drift: Drift): readonly string[] {
  return drift.kind === 'changed' || drift.kind === 'unowned' ? drift.fields.slice(0, MAX_FIELDS) : [drift.kind];
}

function textOfFields(drift: Drift): string {
  return drift.fields.length === 0 ? 'its owner marks' : drift.fields.slice(0, MAX_FIELDS).join(', ');
}

/** The sentence about drift that was found and stays for now. */
export function driftReason(context: Context, one: ObjectState, drift: Drift): Reason {
  const object = describeKey(one.object.key);
  if (drift.kind === 'deleted') return why(context, 'FL_DRIFT_MISSING', { object });
  return why(context, 'FL_DRIFT_FOUND', { object, fields: textOfFields(drift), manager: drift.manager, at: drift.at });
}

/** After a correction of `drift`: the event that names who, what and when, and whether it has become a fight. */
export function corrected(
  context: Context,
  one: ObjectState,
  drift: Drift,
): { readonly next: ObjectState; readonly events: readonly Happening[] } {
  const object = describeKey(one.object.key);
  const corrections = new Map<string, readonly number[]>();
  for (const [field, times] of one.corrections ?? []) {
    const recent = times.filter((time) => context.at - time < WINDOW_MS);
    if (recent.length > 0) corrections.set(field, recent);
  }
  for (const field of fieldsOf(drift))
    corrections.set(field, [...(corrections.get(field) ?? []), context.at].slice(-(FIGHT_OVER + 2)));
  const { drift: _drift, fight, ...rest } = one;
  const count = Math.max(0, ...[...corrections.values()].map((times) => times.length));
  const done: Reason =
    drift.kind === 'deleted'
      ? why(context, 'FL_DRIFT_DELETED', { object })
      : why(context, 'FL_DRIFT_CORRECTED', {
          object,
          fields: textOfFields(drift),
          manager: drift.manager,
          at: drift.at || rfc3339(context.at),
        });
  const event: Happening = { type: 'Warning', reason: done, object: one.object.id };
  // A fight that was put off and begins again at once goes on; an hour of peace forgets it.
  const isStillFighting = fight !== undefined && context.at - fight.until < FIGHT_MAX_MS;
  if (count <= FIGHT_OVER && !isStillFighting) return { next: { ...rest, corrections }, events: [event] };
  const rounds = isStillFighting ? fight.rounds + 1 : 0;
  const waitMs = Math.min(FIGHT_BASE_MS * 2 ** rounds, FIGHT_MAX_MS);
  const words = why(context, 'FL_DRIFT_FIGHT', {
    object,
    manager: drift.manager === '' ? 'somebody' : drift.manager,
    fields: textOfFields(drift),
    count,
    retry: `${waitMs / 1000} s`,
  });
  return {
    next: { ...rest, corrections, fight: { until: context.at + waitMs, rounds } },
    events: rounds === 0 ? [event, { type: 'Warning', reason: words, object: one.object.id }] : [event],
  };
}

/** Repairs what drifted, if there is something to repair now. */
export function correct(app: AppState, context: Context): Transition {
  const { wanted, record, standing } = app;
  if (wanted === undefined || record === undefined) return { app };
  const due = dueCorrections(app, context);
  if (due.length === 0) return { app };
  const objects = new Map(keptObjects(app));
  for (const one of due) if (one.drift !== undefined) objects.set(one.object.key, { ...one, correcting: one.drift });
  return start(withKeptObjects(app, objects), {
    type: 'apply',
    app: app.key,
    wanted: standing?.wanted ?? wanted,
    objects: due.map((one) => one.object),
    inventory: record.inventory,
    isCorrection: true,
  });
}
