import {
  API_VERSION,
  type Application,
  type Cluster,
  type Delivery,
  type DeliveryReport,
  type Project,
  type Release,
} from '#api';
import type { DeliveryFacts } from '../facts.ts';

const metadata = (name: string, namespace?: string) => ({
  name,
  ...(namespace === undefined ? {} : { namespace }),
  uid: `uid-${name}`,
  generation: 1,
  creationTimestamp: '2026-01-01T00:00:00Z',
});

export const NOW = '2026-01-01T12:00:00Z';

export function makeWanted(number = 1, bundle = `sha256:${number}`): NonNullable<Delivery['spec']['wanted']> {
  return { release: `web.${number}`, number, bundle, settings: 'sha256:s', assignedAt: '2026-01-01T11:59:00Z' };
}

export function makeDelivery(spec: Partial<Delivery['spec']> = {}, status?: Delivery['status']): Delivery {
  return {
    apiVersion: API_VERSION,
    kind: 'Delivery',
    metadata: metadata('web.prod-eu', 'default'),
    spec: { application: 'web', cluster: 'prod-eu', wanted: makeWanted(), ...spec },
    ...(status === undefined ? {} : { status }),
  };
}

export function makeRelease(number = 1): Release {
  return {
    apiVersion: API_VERSION,
    kind: 'Release',
    metadata: metadata(`web.${number}`, 'default'),
    spec: {
      application: 'web',
      applicationUid: 'uid-web',
      applicationGeneration: 1,
      number,
      source: { kind: 'GitRepository', name: 'fleet', commit: 'c0ffee', committedAt: '2026-01-01T11:58:00Z' },
      rendererVersion: '1',
      settings: { defaultNamespace: 'web' },
      settingsDigest: 'sha256:s',
      bundles: [{ digest: `sha256:${number}`, objects: 3, clusters: ['prod-eu'] }],
      renderedAt: '2026-01-01T11:58:30Z',
    },
  };
}

export function makeProject(spec: Partial<Project['spec']> = {}): Project {
  return {
    apiVersion: API_VERSION,
    kind: 'Project',
    metadata: metadata('default'),
    spec: { clusterSelector: {}, serviceAccount: { agentIdentity: true }, ...spec },
  };
}

export function makeCluster(status: Cluster['status'] = {}): Cluster {
  return {
    apiVersion: API_VERSION,
    kind: 'Cluster',
    metadata: metadata('prod-eu'),
    spec: {},
    status: {
      agent: { version: '0.1.0', capability: 1, joinedAt: '2026-01-01T00:00:00Z', keyId: 'ed25519:1' },
      ...status,
    },
  };
}

export function makeApplication(status: Application['status'] = {}): Application {
  return {
    apiVersion: API_VERSION,
    kind: 'Application',
    metadata: metadata('web', 'default'),
    spec: { source: { sourceRef: { kind: 'GitRepository', name: 'fleet' } } },
    status,
  };
}

/** A report that release `number` is applied and healthy. */
export function makeReport(number = 1, changes: Partial<DeliveryReport> = {}): DeliveryReport {
  const bundle = changes.bundle ?? `sha256:${number}`;
  return {
    project: 'default',
    application: 'web',
    release: `web.${number}`,
    number,
    bundle,
    phase: 'steady',
    applied: { release: `web.${number}`, bundle, at: '2026-01-01T11:59:30Z' },
    health: 'healthy',
    objects: { total: 3, applied: 3, healthy: 3, failed: 0, drifted: 0 },
    problems: [],
    times: { fetchedAt: '2026-01-01T11:59:20Z', appliedAt: '2026-01-01T11:59:30Z', healthyAt: '2026-01-01T11:59:40Z' },
    ...changes,
  };
}

/** Everything well: the Delivery of release 1 is ready. */
export function makeFacts(changes: Partial<DeliveryFacts> = {}): DeliveryFacts {
  return {
    delivery: makeDelivery(),
    release: makeRelease(),
    application: makeApplication(),
    source: undefined,
    project: makeProject(),
    cluster: makeCluster(),
    contact: { state: 'ok', lastMs: Date.parse(NOW), twins: undefined },
    lane: { agent: [] },
    report: makeReport(),
    signedAt: '2026-01-01T11:59:10Z',
    frozen: false,
    now: NOW,
    ...changes,
  };
}
