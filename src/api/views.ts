import type { ReasonAction } from './actions.ts';
import type { JourneyStop } from './journey.ts';
import type { ReleasedFiles } from './kinds/release.ts';
import type { ObjectIdentity, ObjectReport } from './wire.ts';

/**
 * `/views/v1`: read-only aggregates for the console and the CLI. Bounded, sorted and grouped by the plane; each names the
 * revision it was read at. They hold sentences made by `say`, so that every surface tells the same story.
 */

/** Of `spec.source.files`: another source that something was rendered from, beside its own. */
export interface FilesView {
  readonly source: string;
  readonly path: string;
  readonly at: string;
  readonly commit: string;
  readonly subject: string | undefined;
}

export function namedFiles({ name, path, at, commit, subject }: ReleasedFiles): FilesView {
  return { source: name, path, at, commit, subject };
}

/** What a delivery looks like from afar; decides shape and colour of a cell. */
export const deliveryStates = ['failed', 'blocked', 'drifted', 'unknown', 'waiting', 'progressing', 'ready'] as const;
export type DeliveryState = (typeof deliveryStates)[number];

export interface DeliveryRef {
  readonly project: string;
  readonly application: string;
  readonly cluster: string;
}

export interface DeliveryCell extends DeliveryRef {
  readonly state: DeliveryState;
  readonly code: string;
  readonly sentence: string;
  readonly since: string;
  readonly release: string | undefined;
}

/** What is the matter, with all that somebody needs who wants to end it. */
export interface StandingProblem {
  /** Ends with `; ` and `next`, where there is something to do. */
  readonly sentence: string;
  readonly next: string | undefined;
  readonly actor: string;
  /** RFC 3339; undefined where nobody knows. */
  readonly since: string | undefined;
  readonly action: ReasonAction;
}

/** Deliveries that are not what Git says, alike in reason; it speaks of the oldest. */
export interface ProblemGroup extends StandingProblem {
  readonly code: string;
  /** Of the oldest. */
  readonly state: DeliveryState;
  /** 0: an Application that is stuck before there is any Delivery. */
  readonly count: number;
  readonly since: string;
  /** Where it is about an Application and no Delivery. */
  readonly application: { readonly project: string; readonly name: string } | undefined;
  /** At most 20, oldest first; the others are pages of `deliveries?code=`. */
  readonly deliveries: readonly DeliveryCell[];
}

/** One cluster in the grid: as bad as the worst that it holds. */
export interface FleetCell {
  readonly cluster: string;
  readonly state: DeliveryState;
  readonly ready: number;
  readonly total: number;
  /** Of the worst, oldest first; absent where all is well. */
  readonly sentence?: string;
  /** In a fleet small enough for names: at most 12 of its deliveries, those that are not ready first. */
  readonly deliveries?: readonly { readonly project: string; readonly application: string; readonly state: DeliveryState }[];
}

export interface FleetGroup {
  /** Value of the label; '(none)' where clusters have none; '' when grouped by nothing. */
  readonly value: string;
  readonly clusters: number;
  readonly ready: number;
  readonly total: number;
  /** Worst first; at most what the page's limit leaves. */
  readonly cells: readonly FleetCell[];
}

/** `GET /views/v1/fleet?group=<label>&where=<selector>&project=<p>&limit=`. */
export interface FleetView {
  readonly revision: number;
  readonly at: string;
  /** "312 clusters, 4,180 deliveries: 4,163 are what Git says, 17 are not". */
  readonly sentence: string;
  readonly counts: {
    readonly clusters: number;
    readonly contact: number;
    readonly applications: number;
    readonly deliveries: number;
    readonly ready: number;
  };
  readonly problems: readonly ProblemGroup[];
  /** Worst first, at most 200. */
  readonly groups: readonly FleetGroup[];
  /** How many groups there are. */
  readonly groupCount: number;
  readonly labels: readonly string[];
  readonly frozen: boolean;
}

/** `GET /views/v1/deliveries?code=&state=&project=&application=&cluster=&where=&limit=&after=`: worst first, then oldest first. */
export interface DeliveriesView {
  readonly revision: number;
  readonly at: string;
  readonly total: number;
  readonly items: readonly DeliveryCell[];
  readonly next: string | undefined;
}

export interface ApplicationSummary {
  readonly project: string;
  readonly name: string;
  readonly ready: number;
  readonly total: number;
  readonly state: DeliveryState;
  readonly sentence: string;
  readonly release: string | undefined;
  readonly commit: string | undefined;
  readonly subject: string | undefined;
  readonly suspended: boolean;
  readonly labels: Readonly<Record<string, string>>;
}

/** `GET /views/v1/applications?where=<selector>&project=&sort=worst|name&limit=&after=`. */
export interface ApplicationsView {
  readonly revision: number;
  readonly at: string;
  /** That match, on all pages. */
  readonly total: number;
  readonly items: readonly ApplicationSummary[];
  readonly next: string | undefined;
}

/** `GET /views/v1/applications/<project>/<name>`. */
export interface ApplicationView extends ApplicationSummary {
  readonly revision: number;
  readonly at: string;
  readonly source: { readonly kind: string; readonly name: string; readonly url: string | undefined; readonly path: string };
  /** What is worth knowing and stops nothing. */
  readonly notices: readonly string[];
  readonly problem: StandingProblem | undefined;
  /** The first 1,000, worst first. */
  readonly deliveries: readonly DeliveryCell[];
  /** The newest 20. */
  readonly releases: readonly {
    readonly name: string;
    readonly number: number;
    readonly commit: string;
    readonly subject: string | undefined;
    readonly author: string | undefined;
    readonly version: string | undefined;
    readonly files: readonly FilesView[];
    readonly renderedAt: string;
    readonly clusters: number;
    readonly bundles: number;
  }[];
}

/** State of an object as the plane knows it from the last report. */
export type ObjectState = 'ready' | ObjectReport['state'] | 'unknown';

/**
 * `GET /views/v1/matrix/<project>/<application>`: clusters × objects. Clusters that are equal in everything shown here
 * (release, verdict, state of every object) are one column.
 */
export interface MatrixView {
  readonly revision: number;
  readonly at: string;
  /** "94 alike, 3 differ". */
  readonly sentence: string;
  /** Largest first; at most 12. */
  readonly columns: readonly {
    /** How many clusters, and the first 100 of them by name. */
    readonly count: number;
    readonly clusters: readonly string[];
    readonly state: DeliveryState;
    readonly release: string | undefined;
    /** Of the first of them, where they are not ready. */
    readonly sentence: string | undefined;
    /** One per row; null where the bundle has no such object. */
    readonly states: readonly (ObjectState | null)[];
  }[];
  /** Objects that are not alike everywhere, or not ready; at most 500. */
  readonly rows: readonly ObjectIdentity[];
  /** Objects that every cluster holds as wanted. */
  readonly alikeRows: number;
  /** Clusters in no column, for want of room. */
  readonly moreClusters: number;
}

/** An item of `GET /views/v1/clusters`. */
export interface ClusterSummary {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: DeliveryState;
  readonly sentence: string;
  readonly ready: number;
  readonly total: number;
  readonly joined: boolean;
  readonly inContact: boolean;
  readonly lastContact: string | undefined;
  readonly kubernetesVersion: string | undefined;
  readonly agentVersion: string | undefined;
}

/** `GET /views/v1/clusters?where=<selector>&sort=worst|name&limit=&after=`. */
export interface ClustersView {
  readonly revision: number;
  readonly at: string;
  /** That match, on all pages. */
  readonly total: number;
  readonly items: readonly ClusterSummary[];
  readonly next: string | undefined;
}

/** `GET /views/v1/clusters/<name>`. */
export interface ClusterView extends ClusterSummary {
  readonly revision: number;
  readonly at: string;
  readonly facts: Readonly<Record<string, string>>;
  readonly desired: { readonly epoch: number; readonly seq: number } | undefined;
  readonly held: { readonly epoch: number; readonly seq: number } | undefined;
  /** Of the cluster itself, not of what is delivered to it. */
  readonly problem: StandingProblem | undefined;
  /** How far the agent is behind; undefined before it joined. */
  readonly lag: { readonly behind: number; readonly sentence: string } | undefined;
  /** The first 1,000, worst first. */
  readonly deliveries: readonly DeliveryCell[];
  /** What is not what Git says at this moment, with the names of who changed it; at most 200. */
  readonly drift: readonly DriftRow[];
  readonly orphaned: readonly { readonly project: string; readonly application: string; readonly objects: number }[];
  readonly agentReasons: readonly { readonly code: string; readonly sentence: string; readonly since: string }[];
}

export interface DriftRow {
  readonly project: string;
  readonly application: string;
  readonly id: ObjectIdentity;
  readonly sentence: string;
  readonly manager: string | undefined;
  readonly fields: readonly string[];
  readonly since: string;
}

export interface ObjectRow {
  readonly id: ObjectIdentity;
  readonly stage: string;
  readonly wave: number;
  readonly sealed: boolean;
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly state: ObjectState;
  readonly sentence: string | undefined;
}

/** `GET /views/v1/deliveries/<project>/<application>/<cluster>`. */
export interface DeliveryView extends DeliveryCell {
  readonly revision: number;
  readonly at: string;
  readonly actor: string;
  readonly next: string | undefined;
  readonly phase: string;
  readonly wanted:
    | {
        readonly release: string;
        readonly bundle: string;
        readonly commit: string | undefined;
        readonly subject: string | undefined;
        readonly version: string | undefined;
        readonly files: readonly FilesView[];
      }
    | undefined;
  /** NOTES.txt of the chart for this cluster, without what is sealed; undefined where it has none, or not of this release. */
  readonly notes: string | undefined;
  readonly applied: { readonly release: string; readonly bundle: string; readonly at: string } | undefined;
  readonly action: ReasonAction;
  /** The newest first: a commit that is stuck before its release, then the release that is wanted. */
  readonly journeys: readonly {
    readonly release: string | undefined;
    readonly commit: string | undefined;
    readonly subject: string | undefined;
    readonly files: readonly FilesView[];
    readonly stops: readonly JourneyStop[];
  }[];
  /** Every reason that holds, in the fixed precedence; the first is the sentence. */
  readonly why: readonly {
    readonly area: string;
    readonly code: string;
    readonly sentence: string;
    readonly actor: string;
    readonly since: string | undefined;
  }[];
  readonly counts:
    | {
        readonly total: number;
        readonly applied: number;
        readonly healthy: number;
        readonly failed: number;
        readonly drifted: number;
      }
    | undefined;
  readonly objects: readonly ObjectRow[];
  readonly events: readonly ActivityItem[];
}

/**
 * `GET /views/v1/deliveries/<project>/<application>/<cluster>/object?group=&kind=&namespace=&name=`: one object as it was
 * rendered, what the agent says about it, and what the release changes of it. Secrets stay hidden.
 */
export interface ObjectView {
  readonly revision: number;
  readonly at: string;
  readonly row: ObjectRow;
  readonly problem:
    | { readonly code: string; readonly sentence: string; readonly actor: string; readonly since: string }
    | undefined;
  readonly release: string;
  /** YAML as rendered; undefined for what is sealed to the cluster. */
  readonly wanted: string | undefined;
  /** The release that the cluster holds, where it is another one, and what of this object differs from it. */
  readonly applied:
    | { readonly release: string; readonly change: 'added' | 'changed' | 'unchanged'; readonly fields: readonly FieldChange[] }
    | undefined;
  readonly live: {
    /** Fields that the agent found to differ, and who changed them. */
    readonly differs: readonly string[];
    readonly manager: string | undefined;
    /** What the plane knows of the live object, and how to see all of it. */
    readonly sentence: string;
  };
}

/**
 * `GET /views/v1/deliveries/<project>/<application>/<cluster>/object/live?group=&kind=&namespace=&name=`: the live object, read
 * by the agent for this request. Answered when the agent has, after a few seconds at most; nothing of it is stored.
 */
export interface LiveObjectView {
  readonly at: string;
  /** `unavailable`: why stands in the sentence; what was seen within the last minute is below all the same. */
  readonly state: 'same' | 'differs' | 'shown' | 'absent' | 'unavailable';
  /** Of the reasons catalogue. */
  readonly code: string;
  readonly sentence: string;
  /** When the agent read what is shown below; undefined: nothing is. */
  readonly seenAt: string | undefined;
  /** The release that it was compared with. */
  readonly release: string | undefined;
  /** Fields that count as drift first; at most 100. */
  readonly differences: readonly LiveDifference[];
  /** How many differences there are beyond those. */
  readonly more: number;
  /** YAML of the live object, line by line. */
  readonly live: readonly YamlLine[] | undefined;
  /** Something was left out for its size. */
  readonly isCut: boolean;
  /** YAML of what Git wants with its values hidden, for an object that is sealed to the cluster. */
  readonly wanted: string | undefined;
}

export interface LiveDifference {
  readonly path: string;
  readonly kind: 'missing' | 'changed' | 'extra' | 'unowned' | 'added';
  /** `left`: to a controller or another applier. `ignored`: by a rule of the application. */
  readonly verdict: 'drift' | 'left' | 'ignored';
  /** JSON; undefined where there is none. */
  readonly want: string | undefined;
  readonly live: string | undefined;
  readonly manager: string | undefined;
  readonly at: string | undefined;
}

export interface YamlLine {
  readonly text: string;
  /** A field of Git's (or of the marks that Fairlead adds); others are defaults, status and what controllers write. */
  readonly isGit: boolean;
  /** Counts as drift. */
  readonly isDrift: boolean;
}

export interface FieldChange {
  readonly path: string;
  /** JSON; undefined where it was not there. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface ActivityItem {
  readonly at: string;
  readonly type: 'Normal' | 'Warning';
  readonly code: string;
  readonly sentence: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly application: string | undefined;
  readonly cluster: string | undefined;
  readonly count: number;
}

/** `GET /views/v1/activity?project=&application=&cluster=&type=&kind=&limit=&before=`: newest first, of the last 20,000. */
export interface ActivityView {
  readonly revision: number;
  readonly at: string;
  readonly items: readonly ActivityItem[];
  /** `before` of the next page. */
  readonly next: string | undefined;
}

/** What a commit became for one Application. */
export interface ChangeRelease {
  readonly project: string;
  readonly application: string;
  readonly release: string;
  readonly renderedAt: string;
  /** Clusters it was made for. */
  readonly clusters: number;
  /** Of these, those that have it and are what Git says. */
  readonly ready: number;
  /** Deliveries that want this release now; 0 once a newer one has taken its place. */
  readonly wanted: number;
  readonly state: DeliveryState | 'replaced';
}

/** `GET /views/v1/changes?project=&limit=&before=`: commits that became releases, newest first. */
export interface ChangesView {
  readonly revision: number;
  readonly at: string;
  readonly items: readonly {
    readonly commit: string;
    readonly subject: string | undefined;
    readonly author: string | undefined;
    readonly committedAt: string;
    /** When the newest of its releases was rendered. */
    readonly at: string;
    readonly releases: readonly ChangeRelease[];
  }[];
  readonly next: string | undefined;
}

/** `GET /views/v1/commits/<sha>`: everything a commit touched. */
export interface CommitView {
  readonly revision: number;
  readonly at: string;
  readonly commit: string;
  readonly subject: string | undefined;
  readonly author: string | undefined;
  readonly committedAt: string | undefined;
  readonly sources: readonly { readonly project: string; readonly name: string; readonly url: string | undefined }[];
  /** "touched 2 applications on 94 clusters". */
  readonly sentence: string;
  readonly releases: readonly (ChangeRelease & {
    /** Arguments of `fairlead diff` that render the commit anew. */
    readonly diff: string;
    /** The release before it, which the differences are against. */
    readonly against: string | undefined;
    /** Clusters whose content it changed. */
    readonly changedClusters: number;
    /** Across all clusters, each object once; at most 200. */
    readonly objects: readonly {
      readonly id: ObjectIdentity;
      readonly change: 'added' | 'changed' | 'removed';
      readonly clusters: number;
      /** One of them. */
      readonly cluster: string;
    }[];
    readonly moreObjects: number;
    /** What wants this release and is not ready yet, worst first; at most 20. */
    readonly deliveries: readonly DeliveryCell[];
  })[];
}

/** `GET /views/v1/search?q=`: what is named like that; at most 30. */
export interface SearchView {
  readonly revision: number;
  readonly at: string;
  readonly items: readonly (
    | { readonly kind: 'application'; readonly project: string; readonly name: string; readonly state: DeliveryState }
    | { readonly kind: 'cluster'; readonly name: string; readonly state: DeliveryState }
    | {
        readonly kind: 'delivery';
        readonly project: string;
        readonly application: string;
        readonly cluster: string;
        readonly state: DeliveryState;
      }
    | { readonly kind: 'commit'; readonly commit: string; readonly subject: string | undefined }
  )[];
}

/** `GET /views/v1/diff/<project>/<application>?commit=<ref>&files=<at>=<ref>&refresh=true`: what a commit would change, per cluster, rendered; clusters alike share an entry. */
export interface DiffView {
  readonly revision: number;
  readonly application: string;
  readonly commit: string;
  readonly subject: string | undefined;
  readonly files: readonly FilesView[];
  readonly against: string | undefined;
  readonly groups: readonly {
    readonly clusters: readonly string[];
    readonly changes: readonly {
      readonly id: ObjectIdentity;
      readonly change: 'added' | 'changed' | 'removed';
      readonly fields: readonly FieldChange[];
    }[];
    readonly unchanged: number;
    /** Hooks that would run. */
    readonly hooks: readonly { readonly id: ObjectIdentity; readonly events: readonly string[] }[];
  }[];
  readonly errors: readonly string[];
}

/** `/live`: a doorbell, never data. `kind` '*' after a reconnect: look at everything you show. */
export interface Doorbell {
  readonly kind: string;
  readonly project: string;
  readonly revision: number;
}
