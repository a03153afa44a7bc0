import { appKey, block, FOREVER, isHealthy, why, type Context, type Transition } from './app.ts';
import { correct } from './corrections.ts';
import { passHooks } from './hooks.ts';
import type { AppState } from './model.ts';

/** Applications of the same cluster that must be healthy first; only before a release that is not held yet. */
export function dependencyHold(app: AppState, context: Context): ReturnType<typeof why> | undefined {
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

/** What hooks ask for before anything else may happen; undefined: nothing. */
export function hooksFirst(
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
      return correct(app, context);
    case 'failed': {
      const reason = app.record?.hooks?.failed?.reason;
      return reason === undefined ? { app } : { app: block(app, reason, FOREVER, resume) };
    }
    default:
      return gate;
  }
}
