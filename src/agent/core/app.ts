import {
  reason,
  type AgentEvent,
  type DesiredApplication,
  type ObjectIdentity,
  type Reason,
  type ReasonArgs,
  type ReasonCode,
} from '#api';
import { retryDelay, rfc3339, shortHash } from '#base';
import { describeId, parseId } from '#kube';
import type { AppCommand } from './messages.ts';
import type { AgentState, AppKey, AppRecord, AppState, Happening, ObjectKey, ObjectState, Step } from './model.ts';

export type { Happening };

/** What a transition may know besides the application itself. */
export interface Context {
  readonly state: AgentState;
  readonly at: number;
  readonly random: number;
}

/** An application after a transition, with what is to be done. */
export interface Transition {
  readonly app: AppState;
  readonly command?: AppCommand;
  readonly events?: readonly Happening[];
}

export function appKey(project: string, name: string): AppKey {
  return `${project}/${name}`;
}

/** Value of the label `fairlead.dev/owner`: 80 bits over plane, project and application. */
export function ownerOf(planeId: string, project: string, name: string): string {
  return shortHash(planeId, project, name);
}

export function newApp(planeId: string, project: string, name: string, record?: AppRecord, begun?: AppState['begun']): AppState {
  return {
    key: appKey(project, name),
    project,
    name,
    owner: ownerOf(planeId, project, name),
    ...(record === undefined ? {} : { record }),
    ...(begun === undefined ? {} : { begun }),
    step: { at: record === undefined ? 'absent' : 'orphaned' },
    isStale: true,
    objects: new Map(),
    counts: { created: 0, configured: 0, unchanged: 0, deleted: 0 },
    attempts: 0,
    removals: new Map(),
    kept: new Set(),
    times: {},
  };
}

export function why(context: Context, code: ReasonCode, args: ReasonArgs): Reason {
  return reason(code, { cluster: context.state.cluster, ...args }, rfc3339(context.at));
}

export function describeKey(key: ObjectKey): string {
  return describeId(parseId(key));
}

export function identityOf(key: ObjectKey, version: string): ObjectIdentity {
  return { ...parseId(key), version };
}

export function moveTo(app: AppState, step: Step): AppState {
  return { ...app, step };
}

/** Starts the one command of an application. */
export function start(app: AppState, command: AppCommand, events?: readonly Happening[]): Transition {
  return { app: { ...app, busy: command.type }, command, ...(events === undefined ? {} : { events }) };
}

const backoffs = {
  soon: { baseMs: 1000, maxMs: 120_000 },
  late: { baseMs: 5000, maxMs: 300_000 },
  kind: { baseMs: 5000, maxMs: 60_000 },
} as const;

export function retryAfterMs(kind: keyof typeof backoffs, attempts: number, random: number, askedMs = 0): number {
  return Math.round(retryDelay(attempts, askedMs, backoffs[kind], () => random));
}

/** Nobody but another signal ends it. */
export const FOREVER = Number.POSITIVE_INFINITY;

/** Stands as a whole: nothing goes on until `retryAt` (Infinity: until something else changes). */
export function block(
  app: AppState,
  reason: Reason,
  retryAt: number,
  resume: Extract<Step, { at: 'blocked' }>['resume'],
): AppState {
  return { ...app, step: { at: 'blocked', reason, retryAt, resume } };
}

export function withObject(app: AppState, state: ObjectState): AppState {
  return { ...app, objects: new Map(app.objects).set(state.object.key, state) };
}

/** Whether two assignments ask for the very same. */
export function sameWanted(a: DesiredApplication | undefined, b: DesiredApplication | undefined): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b);
}

/** Applied in full, and every object healthy. */
export function isHealthy(app: AppState): boolean {
  if (app.wanted === undefined || app.plan?.bundle !== app.wanted.bundle) return false;
  if (app.step.at !== 'steady' && app.step.at !== 'settling') return false;
  for (const one of app.objects.values()) if (one.status !== 'applied' || one.health !== 'healthy') return false;
  return true;
}

export function eventOf(app: AppState, happening: Happening, id: string): AgentEvent {
  return {
    id,
    at: happening.reason.since,
    project: app.project,
    application: app.name,
    type: happening.type,
    reason: happening.reason,
    ...(happening.object === undefined ? {} : { object: happening.object }),
  };
}
