import type {
  AgentEvent,
  DeliverySettings,
  DesiredApplication,
  DesiredPosition,
  DesiredState,
  HookDeletePolicy,
  HookEvent,
  ObjectIdentity,
  Reason,
  RetireEntry,
  Stage,
} from '#api';
import type { AppCommand } from './messages.ts';

/** `project/application`. */
export type AppKey = string;
/** `group/kind/namespace/name` (`formatId` of #kube), with the namespace as it is in the cluster. */
export type ObjectKey = string;

/** An object of a bundle, with everything resolved that only the cluster knows. */
export interface PlannedObject {
  readonly key: ObjectKey;
  readonly id: ObjectIdentity;
  readonly digest: string;
  readonly stage: Stage;
  readonly wave: number;
  readonly isSealed: boolean;
  /** Never deleted by us: let go of instead. */
  readonly isKept: boolean;
  /** Made where it is missing, and then left alone: never marked, compared or removed. */
  readonly isCreateOnly: boolean;
  readonly source?: { readonly file: string; readonly line: number };
}

/** An object that runs once per (content, event). Where its name is generated, `id.name` is '' and the key ends otherwise. */
export interface PlannedHook extends PlannedObject {
  readonly events: readonly HookEvent[];
  readonly deletePolicies: readonly HookDeletePolicy[];
  readonly timeoutSeconds: number;
}

/** What is known of the hooks of one content: written before a hook is made and after it has ended. */
export interface HookRun {
  /** Digest of the bundle, or id of the retirement. */
  readonly content: string;
  readonly action: 'install' | 'upgrade' | 'delete';
  /** Marks what belongs to this run. */
  readonly id: string;
  /** `<event> <key>` of those that succeeded. */
  readonly done: readonly string[];
  /** The one that runs, since when (ms), and its uid once it is made. */
  readonly current?: { readonly name: string; readonly since: number; readonly uid?: string };
  /** `nudge`: of the document under which it failed. */
  readonly failed?: { readonly name: string; readonly reason: Reason; readonly nudge: string };
}

/** What we have put, or are about to put, into the cluster: only what is in here can ever be deleted. */
export interface InventoryItem {
  /** API version in which it was applied. */
  readonly version: string;
  /** Let go of instead of deleted. */
  readonly isKept?: boolean;
}
export type Inventory = ReadonlyMap<ObjectKey, InventoryItem>;

/** The durable memory of one application. */
export interface AppRecord {
  readonly project: string;
  readonly name: string;
  readonly uid: string;
  readonly inventory: Inventory;
  /** The (release, bundle) held completely, and when that became so (RFC 3339). */
  readonly applied?: AppliedRecord;
  /** The bundle of which something may have been applied since: `applied` is not whole any more. */
  readonly applying?: string;
  /** Of the content that is on its way. */
  readonly hooks?: HookRun;
  /** Of the content that is applied: its removal will run them. */
  readonly deleteHooks?: readonly PlannedHook[];
  /** Objects may have come from Helm releases, whose records are still to be looked for. */
  readonly helm?: 'unchecked';
}

export interface AppliedRecord {
  readonly release: string;
  readonly number: number;
  readonly bundle: string;
  readonly at: string;
  /** Under which it was applied; absent in records of earlier versions. */
  readonly settings?: DeliverySettings;
  /** That of the document under which it was applied last: what a person asked for once is not done again. */
  readonly nudge?: string;
}

export type ObjectHealth = 'healthy' | 'progressing' | 'degraded';

export interface Drift {
  /** `deleted`: not there. `stripped`: there without our marks. */
  /** `unowned`: every value is as wanted, but somebody wrote it (away and back): ours again after the next apply. */
  readonly kind: 'changed' | 'unowned' | 'deleted' | 'stripped';
  readonly fields: readonly string[];
  /** '' when the API server does not say. */
  readonly manager: string;
  /** RFC 3339, or ''. */
  readonly at: string;
}

export interface ObjectState {
  readonly object: PlannedObject;
  readonly status: 'pending' | 'applied' | 'failed';
  readonly health: ObjectHealth;
  /** Why it failed, or why it is not healthy. */
  readonly reason?: Reason;
  /** As what it failed before it is tried again: the same failure stands since then. */
  readonly failedAs?: Pick<Reason, 'code' | 'since'>;
  /** When a failed one is tried again, ms. */
  readonly retryAt?: number;
  /** Its kind is missing: tried again as soon as discovery changes. */
  readonly awaitsKind?: boolean;
  readonly attempts: number;
  readonly drift?: Drift;
  /** What the correction under way puts back: its watch may say that all is well before its answer comes. */
  readonly correcting?: Drift;
  /** ms of our corrections by field, of the last minute. */
  readonly corrections?: ReadonlyMap<string, readonly number[]>;
  /** Set during a fight: not corrected before, ms; and how often it was put off. */
  readonly fight?: { readonly until: number; readonly rounds: number };
}

/**
 * What a release that comes finds in place: the objects that were applied last, and as what they were wanted. Until the
 * first object of the new one is applied it is these that are kept.
 */
export interface Standing {
  readonly wanted: DesiredApplication;
  /** Of these nothing is `pending`. */
  readonly objects: ReadonlyMap<ObjectKey, ObjectState>;
  /** The watches compare with it. */
  readonly isWatched: boolean;
}

/** Where the machine of one application stands. */
export type Step =
  /** Looks at what stands, where this process has not applied it itself. */
  | { readonly at: 'keeping'; readonly isPlanned: boolean }
  | { readonly at: 'fetching' }
  | { readonly at: 'planning' }
  | { readonly at: 'recording' }
  /** Behind its hooks it takes the place of what stands. */
  | { readonly at: 'entering'; readonly isWatched: boolean }
  /** Before a step that waits for what came before it, `isWaiting`. */
  | { readonly at: 'applying'; readonly index: number; readonly isWaiting: boolean }
  | { readonly at: 'pruning'; readonly since: number; readonly polls: number; readonly nextAt: number }
  | { readonly at: 'finishing' }
  | { readonly at: 'settling' }
  | { readonly at: 'steady' }
  | { readonly at: 'blocked'; readonly reason: Reason; readonly retryAt: number; readonly resume: Resume }
  | { readonly at: 'retiring'; readonly polls: number; readonly nextAt: number }
  /** `writing`: what the write under way says, whatever is asked for meanwhile. */
  | {
      readonly at: 'forgetting';
      readonly writing?: { readonly id: string; readonly record: RetiredRecord; readonly isOurs: boolean };
    }
  | { readonly at: 'absent' }
  /** No document names it and none retires it: kept. */
  | { readonly at: 'orphaned' };

export type Resume = 'keeping' | 'fetching' | 'planning' | 'pruning' | 'retiring';

/** Objects that are applied together; one is done before the next begins. */
export interface Batch {
  readonly stage: Stage;
  readonly wave: number;
  readonly keys: readonly ObjectKey[];
  /** Nothing of it is applied before everything earlier is healthy. */
  readonly needsHealth: boolean;
}

export interface Plan {
  readonly bundle: string;
  readonly wanted: DesiredApplication;
  readonly keys: ReadonlySet<ObjectKey>;
  readonly batches: readonly Batch[];
  /** In the order in which they run. */
  readonly hooks: readonly PlannedHook[];
  /** A Helm release, or another application, holds some of it: what comes is an upgrade. */
  readonly isTakeover: boolean;
  /** Objects whose place in the cluster is not known yet: their kind is missing. */
  readonly unresolved: readonly { readonly id: ObjectIdentity; readonly reason: Reason }[];
  /** Objects that the Project's limits or the agent's own safety forbid: nothing is applied while there is one. */
  readonly refused: readonly { readonly id: ObjectIdentity; readonly reason: Reason }[];
}

export interface Counts {
  readonly created: number;
  readonly configured: number;
  readonly unchanged: number;
  readonly deleted: number;
}

export interface AppState {
  readonly key: AppKey;
  readonly project: string;
  readonly name: string;
  /** Value of the label `fairlead.dev/owner`. */
  readonly owner: string;
  readonly wanted?: DesiredApplication;
  readonly retire?: RetireEntry;
  readonly record?: AppRecord;
  readonly step: Step;
  /** The one command that runs for it. */
  readonly busy?: AppCommand['type'];
  /** What is wanted changed while a command ran: its outcome is taken in, then everything begins anew. */
  readonly isStale: boolean;
  readonly plan?: Plan;
  readonly objects: ReadonlyMap<ObjectKey, ObjectState>;
  readonly standing?: Standing;
  readonly counts: Counts;
  /** Failed attempts in a row, of the current step. */
  readonly attempts: number;
  /** Objects that are being removed, with what they wait for. */
  readonly removals: ReadonlyMap<ObjectKey, Reason>;
  /** Gone from the bundle, there to stay: they remain in the inventory. */
  readonly kept: ReadonlySet<ObjectKey>;
  readonly times: { readonly fetchedAt?: string; readonly healthyAt?: string };
  /** What became of Helm's releases: said with the write that makes it durable. */
  readonly woundUp?: readonly Happening[];
  /** Objects were taken over from Helm since the last release was held. */
  readonly isFromHelm?: boolean;
  /** Of the hook under way, or what became of one: said with the write that makes it durable. */
  readonly hook?: {
    readonly polls: number;
    readonly nextAt: number;
    /** Events whose spent hooks were deleted. */
    readonly cleared: readonly HookEvent[];
    readonly unsaved: readonly Happening[] | undefined;
  };
  /** Corrections that an earlier process had begun: whether it made them shows when the objects are looked at. */
  readonly begun?: ReadonlyMap<ObjectKey, Drift>;
  /** Events of the write that runs: said when it is durable. */
  readonly pendingEvents?: readonly AgentEvent[];
}

/** Acknowledgement of a retire entry, kept until no document names it. */
export interface RetiredRecord {
  readonly result: 'orphaned' | 'deleted';
  readonly objects: number;
}

export interface AgentState {
  readonly planeId: string;
  readonly cluster: string;
  readonly boot: string;
  readonly position?: DesiredPosition;
  readonly document?: DesiredState;
  /** A document that is being made durable. */
  readonly incoming?: { readonly document: DesiredState; readonly position: DesiredPosition };
  readonly apps: ReadonlyMap<AppKey, AppState>;
  readonly retired: ReadonlyMap<string, RetiredRecord>;
  readonly outbox: readonly AgentEvent[];
  /** Events dropped since the plane last heard. */
  readonly gap: number;
  readonly nextEvent: number;
  /** About the agent itself, by code. */
  readonly agent: ReadonlyMap<string, Reason>;
}

/** An event before it has an id. */
export interface Happening {
  readonly type: 'Normal' | 'Warning';
  readonly reason: Reason;
  readonly object?: ObjectIdentity;
}
