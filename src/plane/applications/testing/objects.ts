import type { Application, Delivery, Project, Release, Wanted } from '#api';
import type { FleetCluster } from '../fleet.ts';

const apiVersion = 'fairlead.dev/v1alpha1';
const at = '2026-01-01T00:00:00Z';

export function anApplication(spec: Omit<Application['spec'], 'source'>, path?: string): Application {
  return {
    apiVersion,
    kind: 'Application',
    metadata: { name: 'web', namespace: 'default', uid: 'app-uid', generation: 1, creationTimestamp: at, resourceVersion: '1' },
    spec: { source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, ...(path === undefined ? {} : { path }) }, ...spec },
  };
}

export function aProject(spec: Project['spec'] = { clusterSelector: {} }): Project {
  return { apiVersion, kind: 'Project', metadata: { name: 'default', uid: 'p', generation: 1, creationTimestamp: at }, spec };
}

export function aCluster(name: string, labels: Record<string, string>): FleetCluster {
  return { name, labels, facts: {}, apis: undefined, isSuspended: false, isDeleting: false, sealingKey: 'age1x' };
}

/** `bundles`: cluster → digest. */
export function aRelease(number: number, bundles: Readonly<Record<string, string>>, settingsDigest = 's'): Release {
  const byDigest = Map.groupBy(Object.entries(bundles), ([, digest]) => digest);
  return {
    apiVersion,
    kind: 'Release',
    metadata: { name: `web.${number}`, namespace: 'default', uid: `r${number}`, generation: 1, creationTimestamp: at },
    spec: {
      application: 'web',
      applicationUid: 'app-uid',
      applicationGeneration: 1,
      number,
      source: { kind: 'GitRepository', name: 'fleet', commit: 'c', committedAt: at },
      rendererVersion: 'v',
      settings: {},
      settingsDigest,
      bundles: [...byDigest].map(([digest, entries]) => ({ digest, objects: 1, clusters: entries.map(([cluster]) => cluster) })),
      renderedAt: at,
    },
  };
}

export function aDelivery(cluster: string, spec: Partial<Delivery['spec']> = {}): Delivery {
  return {
    apiVersion,
    kind: 'Delivery',
    metadata: {
      name: `web.${cluster}`,
      namespace: 'default',
      uid: cluster,
      generation: 1,
      creationTimestamp: at,
      resourceVersion: '1',
    },
    spec: { application: 'web', cluster, ...spec },
  };
}

export function wanted(number: number, bundle: string, settings = 's'): Wanted {
  return { release: `web.${number}`, number, bundle, settings, assignedAt: at };
}
