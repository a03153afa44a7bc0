import { sha256, type NewId } from '#base';
import {
  API_VERSION,
  deliveryName,
  type Cluster,
  type Delivery,
  type DesiredApplication,
  type DesiredPosition,
  type DesiredState,
} from '#api';
import { canonical } from './desired-state.ts';

export interface AdoptionInput {
  readonly cluster: Cluster;
  readonly deliveries: readonly Delivery[];
  /** What the agent proved to hold: opened with our own keys. */
  readonly proven: DesiredState;
  readonly held: DesiredPosition;
  /** RFC 3339, whole seconds. */
  readonly now: string;
  readonly newUid: NewId;
}

export interface Adoption {
  readonly cluster: Cluster;
  /** All Deliveries of the cluster afterwards. */
  readonly deliveries: readonly Delivery[];
  /** Those of them that are new or changed. */
  readonly changed: readonly Delivery[];
}

/**
 * Takes over what an agent proves: each Delivery wants at least what the cluster holds, missing ones are made, a retirement
 * that the newer history had taken back is dropped, and the Cluster is in recovery (deletions paused) until a person
 * confirms. Nothing is taken away: what only this plane knows stays.
 */
export function adopt({ cluster, deliveries, proven, held, now, newUid }: AdoptionInput): Adoption {
  const byKey = new Map(
    deliveries.map((delivery) => [`${delivery.metadata.namespace ?? ''}/${delivery.spec.application}`, delivery]),
  );
  const changed: Delivery[] = [];
  for (const application of proven.applications) {
    const key = `${application.project}/${application.name}`;
    const ours = byKey.get(key);
    const next = ours === undefined ? newDelivery(application, cluster, now, newUid) : raise(ours, application, now);
    if (next === ours) continue;
    byKey.set(key, next);
    changed.push(next);
  }
  return {
    cluster: {
      ...cluster,
      // Labels choose what is delivered: without those of the newer history the cluster would leave targets it belongs to.
      metadata: { ...cluster.metadata, labels: { ...cluster.metadata.labels, ...proven.labels } },
      status: {
        ...cluster.status,
        recovery: {
          since: cluster.status?.recovery?.since ?? now,
          adopted: { epoch: held.epoch, seq: held.seq, digest: held.digest },
        },
      },
    },
    deliveries: [...byKey.values()],
    changed,
  };
}

function wantedOf(application: DesiredApplication, now: string): NonNullable<Delivery['spec']['wanted']> {
  return {
    release: application.release,
    number: application.number,
    bundle: application.bundle,
    settings: sha256(canonical(application.settings)),
    assignedAt: now,
  };
}

function raise(delivery: Delivery, application: DesiredApplication, now: string): Delivery {
  const { wanted, retire, ...spec } = delivery.spec;
  const isLower =
    wanted === undefined ||
    wanted.number < application.number ||
    (wanted.number === application.number && (wanted.bundle !== application.bundle || wanted.release !== application.release));
  if (!isLower && retire === undefined) return delivery;
  return {
    ...delivery,
    metadata: { ...delivery.metadata, generation: delivery.metadata.generation + 1 },
    spec: { ...spec, wanted: isLower ? wantedOf(application, now) : wanted },
  };
}

function newDelivery(application: DesiredApplication, cluster: Cluster, now: string, newUid: NewId): Delivery {
  return {
    apiVersion: API_VERSION,
    kind: 'Delivery',
    metadata: {
      name: deliveryName(application.name, cluster.metadata.name),
      namespace: application.project,
      uid: newUid(),
      generation: 1,
      creationTimestamp: now,
    },
    spec: { application: application.name, cluster: cluster.metadata.name, wanted: wantedOf(application, now) },
  };
}
