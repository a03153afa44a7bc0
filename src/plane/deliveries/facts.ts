import type { Application, Cluster, Contact, Delivery, DeliveryReport, Project, Release, Source, StateLane } from '#api';

/** Everything that the verdict on one Delivery depends on. Absent means: does not exist, or was not found. */
export interface DeliveryFacts {
  readonly delivery: Delivery;
  /** The wanted Release; it may be missing on a plane restored from an older copy. */
  readonly release: Release | undefined;
  readonly application: Application | undefined;
  readonly source: Source | undefined;
  readonly project: Project | undefined;
  readonly cluster: Cluster | undefined;
  readonly contact: Contact;
  /** undefined: the agent has not sent its state since this plane started. */
  readonly lane: Pick<StateLane, 'agent'> | undefined;
  /** The report on this application, if the lane has one. */
  readonly report: DeliveryReport | undefined;
  /** When the wanted Release was signed into the desired state. */
  readonly signedAt: string | undefined;
  readonly frozen: boolean;
  /** RFC 3339. */
  readonly now: string;
}
