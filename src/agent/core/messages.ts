import type { AgentEvent, DesiredApplication, DesiredPosition, DesiredState, Envelope, HookEvent, Reason } from '#api';
import type {
  AgentState,
  AppKey,
  AppRecord,
  Drift,
  Inventory,
  ObjectHealth,
  ObjectKey,
  Plan,
  PlannedHook,
  PlannedObject,
  RetiredRecord,
} from './model.ts';

/*
 * What goes into the reducer and what comes out of it. The state it keeps is in model.ts.
 */

/** Everything that happens to the agent. `at` is ms since the epoch, `random` in [0, 1). */
export type Signal = { readonly at: number; readonly random: number } & (
  | {
      readonly type: 'document';
      readonly document: DesiredState;
      readonly position: DesiredPosition;
      readonly envelope: Envelope;
    }
  /** `found`: objects with our owner marks, where the state knew nothing before (by owner hash). */
  | { readonly type: 'documentStored'; readonly found?: ReadonlyMap<string, Inventory> }
  | { readonly type: 'outcome'; readonly app: AppKey; readonly outcome: Outcome }
  | { readonly type: 'observed'; readonly app: AppKey; readonly changes: readonly Observation[] }
  | { readonly type: 'kindsChanged' }
  | { readonly type: 'tick' }
  /** A condition of the agent itself began (reason) or ended (undefined). */
  | { readonly type: 'agentReason'; readonly code: Reason['code']; readonly reason: Reason | undefined }
  /** The plane has taken these. */
  | { readonly type: 'reported'; readonly events: readonly string[]; readonly gap: number }
);

/** What a watch saw of one object that this application wants. */
export interface Observation {
  readonly key: ObjectKey;
  /** Digest of the wanted object it was compared with. */
  readonly digest: string;
  readonly drift: Drift | undefined;
  readonly health: ObjectHealth;
  readonly reason?: Reason;
}

/** What became of a Helm release whose objects this application holds. */
export interface WoundUp {
  /** `namespace/name`. */
  readonly release: string;
  /** Objects of it that are not held: it stays a release. */
  readonly left?: { readonly count: number; readonly object: ObjectKey };
  /** Why its records could not be changed. */
  readonly words?: string;
}

/** How one object of an apply ended. */
export type ObjectOutcome =
  | {
      readonly key: ObjectKey;
      readonly result: 'created' | 'configured' | 'unchanged';
      readonly health: ObjectHealth;
      readonly reason?: Reason;
      /** The manager it was taken over from, on first contact. */
      readonly adoptedFrom?: string;
      /** How it differed from what is wanted, where it was looked at before. */
      readonly found?: Drift;
    }
  /** `kind`: as soon as discovery changes. */
  | { readonly key: ObjectKey; readonly result: 'failed'; readonly reason: Reason; readonly retry: 'soon' | 'late' | 'kind' }
  /** Not tried: the command was cancelled before. */
  | { readonly key: ObjectKey; readonly result: 'skipped' };

export type RemovalOutcome =
  /** `gone`: no longer there, or never ours. `kept`: there, and stays. `released`: there, without our marks. */
  | { readonly key: ObjectKey; readonly result: 'deleted' | 'gone' | 'kept' | 'released' | 'skipped' }
  | { readonly key: ObjectKey; readonly result: 'waiting' | 'failed'; readonly reason: Reason };

export type Outcome =
  | { readonly type: 'fetched' }
  | {
      readonly type: 'planned';
      readonly objects: readonly PlannedObject[];
      readonly hooks: readonly PlannedHook[];
      readonly isTakeover: boolean;
      readonly unresolved: Plan['unresolved'];
      readonly refused: Plan['refused'];
    }
  | { readonly type: 'watching' }
  | { readonly type: 'stored' }
  | { readonly type: 'applied'; readonly results: readonly ObjectOutcome[] }
  | { readonly type: 'removed'; readonly results: readonly RemovalOutcome[] }
  | { readonly type: 'hooked'; readonly state: 'running'; /** Once it is there. */ readonly uid: string | undefined }
  | { readonly type: 'hooked'; readonly state: 'succeeded' }
  | { readonly type: 'hooked'; readonly state: 'failed'; readonly words: string }
  | { readonly type: 'cleared' }
  | { readonly type: 'woundUp'; readonly releases: readonly WoundUp[] }
  /** The command as a whole did not succeed. */
  | { readonly type: 'failed'; readonly reason: Reason; readonly retryAfterMs?: number };

export type Command =
  | { readonly type: 'storeDocument'; readonly envelope: Envelope; readonly document: DesiredState; readonly isFirst: boolean }
  /** Everything that is to happen to one application is one of these; at most one at a time, always answered by an outcome. */
  | AppCommand
  /** Let the running command of this application end early. */
  | { readonly type: 'cancel'; readonly app: AppKey };

export type AppCommand = { readonly app: AppKey } & (
  | { readonly type: 'fetch'; readonly wanted: DesiredApplication }
  /** `isStanding`: it was applied before. Only what is still here counts, and that it is not is no failure. */
  | { readonly type: 'plan'; readonly wanted: DesiredApplication; readonly isStanding: boolean }
  /** Compares these from now on, and no others of this application; `tells`: what differs already is told. */
  | {
      readonly type: 'watch';
      readonly wanted: DesiredApplication;
      readonly objects: readonly PlannedObject[];
      readonly isStanding: boolean;
      readonly tells: boolean;
    }
  | {
      readonly type: 'store';
      /** Undefined: forget it. */
      readonly record: AppRecord | undefined;
      readonly retired?: { readonly id: string; readonly record: RetiredRecord };
      /** Become part of the outbox with this write. */
      readonly events: readonly AgentEvent[];
    }
  | {
      readonly type: 'apply';
      readonly wanted: DesiredApplication;
      readonly objects: readonly PlannedObject[];
      /** Objects of the inventory are ours, whatever became of their marks. */
      readonly inventory: Inventory;
      readonly isCorrection: boolean;
    }
  | {
      readonly type: 'remove';
      readonly mode: 'prune' | 'delete' | 'orphan';
      readonly serviceAccount: string | undefined;
      readonly objects: readonly { readonly key: ObjectKey; readonly version: string }[];
    }
  /** Makes the hook if it is not there, and looks how far it is. */
  | {
      readonly type: 'hook';
      readonly hook: PlannedHook;
      readonly event: HookEvent;
      /** What the object of exactly this run, event and hook carries. */
      readonly mark: string;
      /** Of the object that was made; undefined before. */
      readonly uid: string | undefined;
      readonly wanted: DesiredApplication | undefined;
      readonly serviceAccount: string | undefined;
    }
  /** Makes Helm forget the releases whose objects this application holds. */
  | {
      readonly type: 'windUpHelm';
      readonly keys: readonly ObjectKey[];
      readonly namespaces: readonly string[];
      readonly serviceAccount: string | undefined;
    }
  /** Deletes what hooks have left, by their delete policies. */
  | {
      readonly type: 'clearHooks';
      readonly hooks: readonly { readonly hook: PlannedHook; readonly mark: string }[];
      readonly serviceAccount: string | undefined;
    }
);

export interface Reduction {
  readonly state: AgentState;
  readonly commands: readonly Command[];
}
