import type { Reason } from '#api';
import { rfc3339 } from '#base';
import { describeKey, why, type Context, type Happening } from './app.ts';
import type { AppState, Drift, ObjectState } from './model.ts';

/** More corrections of one field than this within a minute are a fight. */
export const FIGHT_OVER = 5;
const WINDOW_MS = 60_000;
const FIGHT_BASE_MS = 60_000;
const FIGHT_MAX_MS = 600_000;
const MAX_FIELDS = 20;

export function driftMode(app: AppState): 'Correct' | 'Alert' {
  return app.wanted?.settings.drift?.mode ?? 'Correct';
}

/** What is to be put back now. */
export function dueCorrections(app: AppState, at: number): ObjectState[] {
  if (driftMode(app) !== 'Correct') return [];
  return [...app.objects.values()].filter(
    (one) => one.drift !== undefined && one.status === 'applied' && (one.fight === undefined || one.fight.until <= at),
  );
}

/** When the next correction that is being put off is due, ms. */
export function nextCorrectionAt(app: AppState): number | undefined {
  if (driftMode(app) !== 'Correct') return undefined;
  let next: number | undefined;
  for (const one of app.objects.values()) {
    if (one.drift === undefined || one.status !== 'applied' || one.fight === undefined) continue;
    if (next === undefined || one.fight.until < next) next = one.fight.until;
  }
  return next;
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
