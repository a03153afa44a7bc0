import type { ObjectIdentity, ObjectReport } from './wire.ts';
import type { Journey } from './kinds/delivery.ts';

/**
 * `/views/v1`: read-only aggregates for the console and the CLI. Bounded, sorted and grouped by the plane; each names the
 * revision it was read at. They hold sentences made by `say`, so that every surface tells the same story.
 */

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

/** Deliveries that are not what Git says, alike in reason. */
export interface ProblemGroup {
  readonly code: string;
  readonly count: number;
  /** Of the oldest. */
  readonly sentence: string;
  readonly since: string;
  readonly actor: string;
  readonly next: string | undefined;
  /** At most 20, oldest first. */
  readonly deliveries: readonly DeliveryCell[];
}

/** `GET /views/v1/fleet?group=<label>&where=<selector>&project=<p>&limit=&after=`. */
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
  readonly groups: readonly {
    readonly value: string;
    readonly clusters: number;
    readonly ready: number;
    readonly total: number;
    readonly cells: readonly DeliveryCell[];
  }[];
  readonly labels: readonly string[];
  readonly frozen: boolean;
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
}

/** `GET /views/v1/applications`. */
export interface ApplicationsView {
  readonly revision: number;
  readonly at: string;
  readonly items: readonly ApplicationSummary[];
  readonly next: string | undefined;
}

/** `GET /views/v1/applications/<project>/<name>`. */
export interface ApplicationView extends ApplicationSummary {
  readonly revision: number;
  readonly at: string;
  readonly source: { readonly kind: string; readonly name: string; readonly url: string | undefined; readonly path: string };
  readonly problem: { readonly sentence: string; readonly actor: string; readonly since: string } | undefined;
  readonly deliveries: readonly DeliveryCell[];
  readonly releases: readonly {
    readonly name: string;
    readonly number: number;
    readonly commit: string;
    readonly subject: string | undefined;
    readonly author: string | undefined;
    readonly renderedAt: string;
    readonly clusters: number;
    readonly bundles: number;
  }[];
}

/** `GET /views/v1/clusters`. */
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

export interface ClustersView {
  readonly revision: number;
  readonly at: string;
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
  readonly deliveries: readonly DeliveryCell[];
  readonly orphaned: readonly { readonly project: string; readonly application: string; readonly objects: number }[];
  readonly agentReasons: readonly { readonly code: string; readonly sentence: string; readonly since: string }[];
}

export interface ObjectRow {
  readonly id: ObjectIdentity;
  readonly stage: string;
  readonly wave: number;
  readonly sealed: boolean;
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly state: 'ready' | ObjectReport['state'] | 'unknown';
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
      }
    | undefined;
  readonly applied: { readonly release: string; readonly bundle: string; readonly at: string } | undefined;
  readonly journey: Journey | undefined;
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

/** `GET /views/v1/deliveries/<project>/<application>/<cluster>/object?group=&kind=&namespace=&name=`: the wanted manifest, Secrets hidden. */
export interface ObjectView {
  readonly revision: number;
  readonly row: ObjectRow;
  /** As rendered, canonical JSON; undefined for what is sealed to the cluster. */
  readonly wanted: string | undefined;
}

export interface ActivityItem {
  readonly at: string;
  readonly type: 'Normal' | 'Warning';
  readonly code: string;
  readonly sentence: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly cluster: string | undefined;
  readonly count: number;
}

/** `GET /views/v1/activity?project=&application=&cluster=&type=&limit=&before=`. */
export interface ActivityView {
  readonly revision: number;
  readonly at: string;
  readonly items: readonly ActivityItem[];
  readonly next: string | undefined;
}

/** `GET /views/v1/diff/<project>/<application>?commit=<ref>`: what a commit would change, per cluster, rendered; clusters alike share an entry. */
export interface DiffView {
  readonly revision: number;
  readonly application: string;
  readonly commit: string;
  readonly against: string | undefined;
  readonly groups: readonly {
    readonly clusters: readonly string[];
    readonly changes: readonly {
      readonly id: ObjectIdentity;
      readonly change: 'added' | 'changed' | 'removed';
      readonly fields: readonly {
        readonly path: string;
        readonly before: string | undefined;
        readonly after: string | undefined;
      }[];
    }[];
    readonly unchanged: number;
  }[];
  readonly errors: readonly string[];
}

/** `/live`: a doorbell, never data. `kind` '*' after a reconnect: look at everything you show. */
export interface Doorbell {
  readonly kind: string;
  readonly project: string;
  readonly revision: number;
}
