import type { AgentEvent, DesiredApplication, DesiredState, RetireEntry } from '#api';
import { unreachable } from '#base';
import { appKey, eventOf, newApp, sameWanted, why, type Context, type Happening } from './app.ts';
import { driftMode, driftReason, keptObjects, nextCorrectionAt, withKeptObjects } from './corrections.ts';
import { drive } from './drive.ts';
import { PRUNE_ANYWAY_AFTER_MS } from './removal.ts';
import type { Command, Observation, Reduction, Signal } from './messages.ts';
import type { AgentState, AppKey, AppRecord, AppState, Drift, Inventory, ObjectKey, RetiredRecord } from './model.ts';
import { kindsChanged, takeOutcome } from './outcomes.ts';
import { isAbout } from './retirement.ts';

export const MAX_OUTBOX = 1000;

/** What was durable when the process started. */
export interface Restored {
  readonly planeId: string;
  readonly cluster: string;
  /** Random per start. */
  readonly boot: string;
  readonly held?: { readonly document: DesiredState; readonly position: NonNullable<AgentState['position']> };
  readonly records: readonly AppRecord[];
  /** Corrections that were under way. */
  readonly begun?: ReadonlyMap<AppKey, ReadonlyMap<ObjectKey, Drift>>;
  readonly retired: ReadonlyMap<string, RetiredRecord>;
  readonly outbox: readonly AgentEvent[];
  readonly gap: number;
}

/** The state after a start. The first signal, whatever it is, sets everything in motion. */
export function restore(from: Restored): AgentState {
  const apps = new Map<AppKey, AppState>();
  for (const record of from.records) {
    const begun = from.begun?.get(appKey(record.project, record.name));
    const app = newApp(from.planeId, record.project, record.name, record, begun);
    apps.set(app.key, app);
  }
  const state: AgentState = {
    planeId: from.planeId,
    cluster: from.cluster,
    boot: from.boot,
    apps,
    retired: from.retired,
    outbox: from.outbox,
    gap: from.gap,
    nextEvent: 0,
    agent: new Map(),
  };
  if (from.held === undefined) return state;
  return assign({ ...state, position: from.held.position, document: from.held.document }, from.held.document, undefined).state;
}

/** The whole behaviour of the agent: pure, total, and the only place where it decides anything. */
export function reduce(before: AgentState, signal: Signal): Reduction {
  const commands: Command[] = [];
  let state = before;
  const update = (app: AppState, happenings: readonly Happening[] = []): void => {
    const apps = new Map(state.apps);
    apps.set(app.key, app);
    state = withEvents({ ...state, apps }, app, happenings);
  };
  const contextNow = (): Context => ({ state, at: signal.at, random: signal.random });

  switch (signal.type) {
    case 'document':
      // One at a time: the next is asked for when this one is durable.
      if (state.incoming !== undefined) break;
      state = { ...state, incoming: { document: signal.document, position: signal.position } };
      commands.push({
        type: 'storeDocument',
        envelope: signal.envelope,
        document: signal.document,
        isFirst: state.position === undefined,
      });
      break;
    case 'documentStored': {
      const { incoming, ...rest } = state;
      if (incoming === undefined) break;
      const assigned = assign({ ...rest, ...incoming }, incoming.document, state.document, signal.found);
      state = assigned.state;
      commands.push(...assigned.commands);
      break;
    }
    case 'outcome': {
      const app = state.apps.get(signal.app);
      if (app === undefined || app.busy === undefined) break;
      const command = app.busy;
      const taken = takeOutcome(app, signal.outcome, contextNow());
      if (command === 'store' && signal.outcome.type === 'stored') {
        state = appendEvents(withRetired(state, app), app.pendingEvents ?? []);
        const { pendingEvents: _said, ...rest } = taken.app;
        update(rest, taken.events);
      } else update(taken.app, taken.events);
      break;
    }
    case 'observed': {
      const app = state.apps.get(signal.app);
      if (app === undefined) break;
      const seen = observe(app, signal.changes, contextNow());
      update(seen.app, seen.events);
      break;
    }
    case 'kindsChanged':
      for (const app of state.apps.values()) {
        const next = kindsChanged(app, signal.at);
        if (next !== app) update(next);
      }
      break;
    case 'tick':
      break;
    case 'agentReason': {
      const agent = new Map(state.agent);
      if (signal.reason === undefined) agent.delete(signal.code);
      else agent.set(signal.code, { ...signal.reason, since: agent.get(signal.code)?.since ?? signal.reason.since });
      state = { ...state, agent };
      break;
    }
    case 'reported': {
      const sent = new Set(signal.events);
      state = { ...state, outbox: state.outbox.filter((event) => !sent.has(event.id)), gap: Math.max(0, state.gap - signal.gap) };
      break;
    }
    default:
      unreachable(signal);
  }

  // What one application does may free another: until nothing moves. Every pass but the last starts something.
  for (let isMoving = true, passes = 0; isMoving && passes < 10_000; passes += 1) {
    isMoving = false;
    for (const app of state.apps.values()) {
      const next = drive(app, contextNow());
      if (next.app === app) continue;
      isMoving = true;
      if (next.command !== undefined) {
        // Events of a write become part of the outbox with it, so that nothing is said before it is so.
        if (next.command.type === 'store') {
          const events = named(state, next.app, next.events ?? []);
          commands.push({ ...next.command, events });
          state = { ...state, nextEvent: state.nextEvent + events.length };
          update({ ...next.app, pendingEvents: events });
          continue;
        }
        commands.push(next.command);
      }
      update(next.app, next.events);
    }
  }
  state = withoutAbsent(state);
  return { state, commands };
}

/** Moves every application to what the document says of it. */
function assign(
  before: AgentState,
  document: DesiredState,
  previous: DesiredState | undefined,
  found?: ReadonlyMap<string, Inventory>,
): Reduction {
  const commands: Command[] = [];
  const apps = new Map(before.apps);
  const wanted = new Map<AppKey, DesiredApplication>(document.applications.map((one) => [appKey(one.project, one.name), one]));
  const retire = new Map<AppKey, RetireEntry>();
  for (const one of document.retire) {
    const key = appKey(one.project, one.application);
    // Of several for one name the one about what we hold counts first; the others follow when it is done.
    const held = apps.get(key)?.record;
    const holds = held !== undefined && isAbout(one, held);
    if (!before.retired.has(one.id) && (holds || !retire.has(key))) retire.set(key, one);
  }
  for (const one of [...document.applications, ...document.retire.map((r) => ({ project: r.project, name: r.application }))]) {
    const key = appKey(one.project, one.name);
    if (!apps.has(key)) apps.set(key, newApp(before.planeId, one.project, one.name));
  }
  const isPausedChanged = (previous?.deletionsPaused ?? false) !== document.deletionsPaused;
  for (const app of apps.values()) {
    const nextWanted = wanted.get(app.key);
    // An application that is wanted again is not retired: its objects pass to the new one of the same name.
    const nextRetire = nextWanted === undefined ? retire.get(app.key) : undefined;
    const { wanted: _w, retire: _r, ...rest } = app;
    const record = app.record ?? rebuilt(app, nextWanted, found);
    const isSame =
      sameWanted(app.wanted, nextWanted) &&
      app.retire?.id === nextRetire?.id &&
      app.retire?.waived === nextRetire?.waived &&
      !isPausedChanged;
    const next: AppState = {
      ...rest,
      ...(nextWanted === undefined ? {} : { wanted: nextWanted }),
      ...(nextRetire === undefined ? {} : { retire: nextRetire }),
      ...(record === undefined ? {} : { record }),
      isStale: app.isStale || !isSame,
    };
    apps.set(app.key, next);
    if (!isSame && app.busy !== undefined && app.busy !== 'store') commands.push({ type: 'cancel', app: app.key });
  }
  // An acknowledgement is kept as long as the plane asks for it. What needs no act of ours is acknowledged at once.
  const retired = new Map<string, RetiredRecord>();
  for (const one of document.retire) {
    const known = before.retired.get(one.id);
    const app = apps.get(appKey(one.project, one.application));
    if (known !== undefined) retired.set(one.id, known);
    else if (app?.retire?.id !== one.id && (app?.record === undefined || !isAbout(one, app.record)))
      retired.set(one.id, { result: 'orphaned', objects: 0 });
    else if (app.wanted !== undefined) retired.set(one.id, { result: 'orphaned', objects: 0 });
  }
  return { state: { ...before, apps, retired }, commands };
}

/** What the marks in the cluster say of an application of which nothing else is known. Nothing of it is deleted before a bundle was applied. */
function rebuilt(
  app: AppState,
  wanted: DesiredApplication | undefined,
  found: ReadonlyMap<string, Inventory> | undefined,
): AppRecord | undefined {
  const inventory = found?.get(app.owner);
  if (inventory === undefined || inventory.size === 0) return undefined;
  return { project: app.project, name: app.name, uid: wanted?.uid ?? app.retire?.uid ?? '', inventory };
}

function withRetired(state: AgentState, app: AppState): AgentState {
  const writing = app.step.at === 'forgetting' ? app.step.writing : undefined;
  return writing === undefined ? state : { ...state, retired: new Map(state.retired).set(writing.id, writing.record) };
}

/** Takes in what the watches saw of objects that are kept; of others an apply is on its way anyway. */
function observe(
  app: AppState,
  changes: readonly Observation[],
  context: Context,
): { app: AppState; events: readonly Happening[] } {
  const objects = new Map(keptObjects(app));
  // The watches are about to compare with something else.
  if (app.standing?.isWatched === false) return { app, events: [] };
  const events: Happening[] = [];
  for (const change of changes) {
    const one = objects.get(change.key);
    if (one === undefined || one.object.digest !== change.digest || one.status !== 'applied') continue;
    const { drift: before, reason: _old, ...rest } = one;
    const { reason } = change;
    // What only changed hands is nothing to tell anybody about.
    const drift = change.drift?.kind === 'unowned' && driftMode(app) === 'Alert' ? undefined : change.drift;
    objects.set(change.key, {
      ...rest,
      health: change.health,
      ...(drift === undefined ? {} : { drift }),
      ...(reason === undefined
        ? {}
        : { reason: { ...reason, since: one.reason?.code === reason.code ? one.reason.since : reason.since } }),
    });
    const isNew = drift !== undefined && (before === undefined || JSON.stringify(before) !== JSON.stringify(drift));
    if (isNew && driftMode(app) === 'Alert') {
      events.push({ type: 'Warning', reason: driftReason(context, one, drift), object: one.object.id });
    }
  }
  return { app: withKeptObjects(app, objects), events };
}

function named(state: AgentState, app: AppState, happenings: readonly Happening[]): AgentEvent[] {
  return happenings.map((one, index) => eventOf(app, one, `${state.boot}-${state.nextEvent + index}`));
}

function withEvents(state: AgentState, app: AppState, happenings: readonly Happening[]): AgentState {
  if (happenings.length === 0) return state;
  const next = appendEvents(state, named(state, app, happenings));
  return { ...next, nextEvent: state.nextEvent + happenings.length };
}

/** The oldest go first when there is no room; how many is said to the plane. */
function appendEvents(state: AgentState, events: readonly AgentEvent[]): AgentState {
  if (events.length === 0) return state;
  const all = [...state.outbox, ...events];
  const dropped = Math.max(0, all.length - MAX_OUTBOX);
  return { ...state, outbox: all.slice(dropped), gap: state.gap + dropped };
}

/** Applications of which nothing is left, in the cluster or in the document. */
function withoutAbsent(state: AgentState): AgentState {
  const gone = [...state.apps.values()].filter(
    (app) =>
      app.step.at === 'absent' && !app.isStale && app.wanted === undefined && app.retire === undefined && app.busy === undefined,
  );
  if (gone.length === 0) return state;
  const apps = new Map(state.apps);
  for (const app of gone) apps.delete(app.key);
  return { ...state, apps };
}

/** Whether a correction that was made durable as begun is still to be told, or to be learnt about. */
export function isCorrecting(state: AgentState, key: AppKey): boolean {
  const app = state.apps.get(key);
  return app !== undefined && (app.busy === 'apply' || (app.begun?.size ?? 0) > 0);
}

/** When the passing of time alone changes something, ms since the epoch. */
export function nextWakeAt(state: AgentState): number | undefined {
  let next = Number.POSITIVE_INFINITY;
  for (const app of state.apps.values()) {
    if (app.busy !== undefined) continue;
    const { step } = app;
    if (step.at === 'blocked') next = Math.min(next, step.retryAt);
    if (step.at === 'pruning') next = Math.min(next, step.nextAt > 0 ? step.nextAt : step.since + PRUNE_ANYWAY_AFTER_MS);
    if (step.at === 'retiring') next = Math.min(next, step.nextAt > 0 ? step.nextAt : next);
    if ((step.at === 'entering' || step.at === 'applying' || step.at === 'retiring') && (app.hook?.nextAt ?? 0) > 0)
      next = Math.min(next, app.hook?.nextAt ?? next);
    next = Math.min(next, nextCorrectionAt(state, app) ?? next);
  }
  return Number.isFinite(next) ? next : undefined;
}

/** A reason about the agent itself. */
export function agentReason(
  state: AgentState,
  at: number,
  ...[code, args]: [Parameters<typeof why>[1], Parameters<typeof why>[2]]
): ReturnType<typeof why> {
  return why({ state, at, random: 0 }, code, args);
}
