import { sayDuration, type HookEvent, type Reason } from '#api';
import { rfc3339, shortHash } from '#base';
import { describeKey, start, why, type Context, type Happening, type Transition } from './app.ts';
import type { Outcome } from './messages.ts';
import type { AppRecord, AppState, HookRun, PlannedHook } from './model.ts';

type Phase = 'pre' | 'post';

/** What the hooks of an application are about now: a content that comes, or its removal. */
interface Occasion {
  readonly hooks: readonly PlannedHook[];
  readonly action: HookRun['action'];
  readonly content: string;
  readonly serviceAccount: string | undefined;
  /** A failed hook is tried again when this changes: a person asked. */
  readonly nudge: string;
  /** A person lets the removal go on without the hooks that failed. */
  readonly isWaived: boolean;
}

/**
 * The gate that a release passes before its objects are applied and after, and a removal before and after its deletions:
 * `open` when every hook of the moment is done, `waiting` while one runs, else what to do next. Each hook runs once per
 * (content, event): it is in the durable record before it is made, and again when it has ended.
 */
export function passHooks(app: AppState, context: Context, phase: Phase): Transition | 'open' | 'waiting' | 'failed' {
  const { record } = app;
  const occasion = occasionOf(app);
  if (record === undefined || occasion === undefined) return 'open';
  const run = runOf(app, record, occasion, context);
  const event: HookEvent = `${phase}-${run.action}`;
  const due = occasion.hooks.filter((hook) => hook.events.includes(event));
  const { hook: progress } = app;
  // Which action it is, is settled once, also where this event has no hooks.
  if (occasion.hooks.length > 0 && record.hooks !== run) return save(app, { ...record, hooks: run }, []);
  if (due.length === 0) return 'open';
  if (progress?.unsaved !== undefined)
    return save({ ...app, hook: { ...progress, unsaved: undefined } }, record, progress.unsaved);

  const failed = run.failed?.name.startsWith(`${event} `) === true ? run.failed : undefined;
  if (failed !== undefined && occasion.isWaived) return 'open';
  if (failed !== undefined && failed.nudge !== occasion.nudge)
    return save(app, { ...record, hooks: anew(app, run, event, context) }, []);
  const isFailed = failed !== undefined;
  const next = due.find((hook) => !run.done.includes(hookName(event, hook)));
  if (next === undefined || isFailed) {
    const spent = due.filter((hook) => isSpent(hook, event, run));
    const cleared = progress?.cleared ?? [];
    if (spent.length === 0 || cleared.includes(event)) return isFailed ? 'failed' : 'open';
    const clearing = { ...app, hook: { ...progressOf(app), cleared: [...cleared, event] } };
    return start(clearing, {
      type: 'clearHooks',
      app: app.key,
      hooks: spent.map((hook) => ({ hook, mark: markOf(app, run, event, hook) })),
      serviceAccount: occasion.serviceAccount,
    });
  }

  const name = hookName(event, next);
  const { current } = run;
  if (current?.name !== name) {
    const begun = { ...record, hooks: { ...run, current: { name, since: context.at } } };
    return save({ ...app, hook: { ...progressOf(app), polls: 0, nextAt: 0 } }, begun, []);
  }
  if (context.at < (progress?.nextAt ?? 0)) return 'waiting';
  if ((progress?.polls ?? 0) > 0 && context.at - current.since > next.timeoutSeconds * 1000) {
    const words = `it is not complete after ${sayDuration(next.timeoutSeconds)}`;
    const reason = whyFailed(app, next, event, words, context);
    return {
      app: ended(app, { failed: { name, reason, nudge: occasion.nudge } }, [{ type: 'Warning', reason, object: next.id }]),
    };
  }
  return start(app, {
    type: 'hook',
    app: app.key,
    hook: next,
    event,
    mark: markOf(app, run, event, next),
    uid: current.uid,
    wanted: app.wanted,
    serviceAccount: occasion.serviceAccount,
  });
}

/** Takes in how far the running hook is. Nothing counts before it is durable: the gate saves it next. */
export function takeHook(app: AppState, outcome: Extract<Outcome, { type: 'hooked' }>, context: Context): AppState {
  const occasion = occasionOf(app);
  const run = app.record?.hooks;
  const hook = occasion?.hooks.find((one) => one.events.some((event) => hookName(event, one) === run?.current?.name));
  if (app.record === undefined || occasion === undefined || run?.current === undefined || hook === undefined) return app;
  const { current } = run;
  const event = current.name.slice(0, current.name.indexOf(' '));
  switch (outcome.state) {
    case 'running': {
      const polls = (app.hook?.polls ?? 0) + 1;
      const progress = { ...progressOf(app), polls, nextAt: context.at + pollDelayMs(polls) };
      if (outcome.uid === undefined || outcome.uid === current.uid) return { ...app, hook: progress };
      const record = { ...app.record, hooks: { ...run, current: { ...current, uid: outcome.uid } } };
      return { ...app, record, hook: { ...progress, unsaved: [] } };
    }
    case 'succeeded': {
      const reason = why(context, 'FL_HOOK_DONE', { object: describeKey(hook.key), event });
      return ended(app, { done: [...run.done, current.name] }, [{ type: 'Normal', reason, object: hook.id }]);
    }
    case 'failed': {
      const reason = whyFailed(app, hook, event, outcome.words, context);
      const failed = { name: current.name, reason, nudge: occasion.nudge };
      return ended(app, { failed }, [{ type: 'Warning', reason, object: hook.id }]);
    }
  }
}

/** The hook under way, for the report. */
export function runningHook(
  app: AppState,
): { readonly object: string; readonly event: string; readonly began: string; readonly limit: string } | undefined {
  const run = app.record?.hooks;
  const occasion = occasionOf(app);
  // Of a content that was superseded meanwhile nobody waits for the end.
  if (run?.current === undefined || run.content !== occasion?.content) return undefined;
  const { name, since } = run.current;
  const space = name.indexOf(' ');
  const key = name.slice(space + 1);
  const limit = sayDuration(occasion.hooks.find((hook) => hook.key === key)?.timeoutSeconds ?? 0);
  return { event: name.slice(0, space), object: describeKey(key), began: rfc3339(since), limit };
}

/** The hooks that a removal will need, from the content that was applied. */
export function deleteHooksOf(hooks: readonly PlannedHook[]): PlannedHook[] {
  return hooks.filter((hook) => hook.events.some((event) => event.endsWith('-delete')));
}

/** A removal can go on without its hooks, if a person says so; a release cannot. */
function whyFailed(app: AppState, hook: PlannedHook, event: string, words: string, context: Context): Reason {
  const args = { object: describeKey(hook.key), event, words, application: app.name };
  if (app.retire === undefined) return why(context, 'FL_HOOK_FAILED', args);
  const delivery = `${app.name}.${context.state.cluster}`;
  return why(context, 'FL_HOLD_HOOK', { ...args, delivery, project: app.project, waiver: app.retire.id });
}

function progressOf(app: AppState): NonNullable<AppState['hook']> {
  return app.hook ?? { polls: 0, nextAt: 0, cleared: [], unsaved: undefined };
}

function occasionOf(app: AppState): Occasion | undefined {
  const { wanted, retire, record, plan } = app;
  if (wanted !== undefined) {
    // Applied in full: whatever happens to its objects now is drift.
    const isWhole = record?.applied?.bundle === wanted.bundle && record.applying === undefined;
    if (plan === undefined || isWhole) return undefined;
    return {
      hooks: plan.hooks,
      action: record?.applied === undefined && !plan.isTakeover ? 'install' : 'upgrade',
      content: wanted.bundle,
      serviceAccount: wanted.serviceAccount,
      nudge: wanted.nudge ?? '',
      isWaived: false,
    };
  }
  if (retire?.mode !== 'Delete') return undefined;
  return {
    hooks: record?.deleteHooks ?? [],
    action: 'delete',
    content: retire.id,
    serviceAccount: retire.serviceAccount,
    nudge: '',
    isWaived: retire.waived,
  };
}

/** The run of before where it is about the same content, else a new one with an id that nothing in the cluster carries. */
function runOf(app: AppState, record: AppRecord, occasion: Occasion, context: Context): HookRun {
  if (record.hooks?.content === occasion.content) return record.hooks;
  const id = newRunId(app, occasion, context);
  return { content: occasion.content, action: occasion.action, id, done: [] };
}

/**
 * A person asked: every hook of the event runs again, since what one that succeeded had made for another may be deleted by now.
 * What is still there carries the mark of the run before.
 */
function anew(app: AppState, run: HookRun, event: HookEvent, context: Context): HookRun {
  const done = run.done.filter((name) => !name.startsWith(`${event} `));
  return { content: run.content, action: run.action, id: newRunId(app, run, context), done };
}

function newRunId(app: AppState, { content }: Pick<HookRun, 'content'>, context: Context): string {
  return shortHash(app.owner, context.state.boot, content, String(context.at));
}

function hookName(event: string, hook: PlannedHook): string {
  return `${event} ${hook.key}`;
}

function markOf(app: AppState, run: HookRun, event: HookEvent, hook: PlannedHook): string {
  return shortHash(app.owner, run.id, hookName(event, hook));
}

function isSpent(hook: PlannedHook, event: HookEvent, run: HookRun): boolean {
  const name = hookName(event, hook);
  if (run.done.includes(name)) return hook.deletePolicies.includes('hook-succeeded');
  return run.failed?.name === name && hook.deletePolicies.includes('hook-failed');
}

function save(app: AppState, record: AppRecord, events: readonly Happening[]): Transition {
  return start({ ...app, record }, { type: 'store', app: app.key, record, events: [] }, events);
}

function ended(app: AppState, result: Pick<HookRun, 'done'> | Pick<HookRun, 'failed'>, unsaved: readonly Happening[]): AppState {
  if (app.record?.hooks === undefined) return app;
  const { current: _over, ...run } = app.record.hooks;
  const hook = { ...progressOf(app), polls: 0, nextAt: 0, unsaved };
  return { ...app, record: { ...app.record, hooks: { ...run, ...result } }, hook };
}

function pollDelayMs(polls: number): number {
  return Math.min(200 * 2 ** Math.min(polls, 4), 2000);
}
