import type { DeliveryReport, ReportRequest, WireReason } from './wire.ts';

/**
 * What the plane knows of its agents beside the stored rows: contact and the state lane. It lives in memory; after a
 * restart agents send it again (`resync`), and until then the lane of a cluster counts as unknown, not as empty.
 */
export interface LiveState {
  contact(cluster: string): Contact;
  /** The state lane of a cluster, or undefined while its agent has not sent it whole. */
  lane(cluster: string): StateLane | undefined;
  /** When the release was first signed into the desired state of the cluster; remembered for a while. RFC 3339. */
  signedAt(cluster: string, project: string, application: string, release: string): string | undefined;
  /** Calls `listener` after each change; returns the way to stop. */
  subscribe(listener: (change: LiveChange) => void): () => void;
}

export interface Contact {
  /** `silent`: not heard of since this plane started, and its time is not up yet. */
  readonly state: 'ok' | 'silent' | 'lost';
  /** ms since the epoch, of the last request. */
  readonly lastMs: number | undefined;
  /** Two processes alive with one identity, as "boot (version)". */
  readonly twins: { readonly holder: string; readonly other: string } | undefined;
}

export interface StateLane {
  /** By `project/application`. */
  readonly reports: ReadonlyMap<string, DeliveryReport>;
  readonly orphaned: ReportRequest['orphaned'];
  readonly agent: readonly WireReason[];
  readonly held: ReportRequest['held'];
}

export type LiveChange =
  | { readonly of: 'report'; readonly cluster: string; readonly project: string; readonly application: string }
  /** Contact came or went, or what the agent says about itself changed. */
  | { readonly of: 'cluster'; readonly cluster: string };
