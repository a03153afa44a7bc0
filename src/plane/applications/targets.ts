import { selects, type Application, type Project, type RenderOptions } from '#api';
import type { FleetCluster } from './fleet.ts';

export interface TargetedCluster {
  readonly cluster: FleetCluster;
  readonly render: RenderOptions;
}

export interface Targeting {
  /** By name; also those whose agent has not joined. */
  readonly clusters: readonly TargetedCluster[];
  /** Matched by the targets, but not the Project's to deliver to. */
  readonly refused: readonly FleetCluster[];
  /** Present when a target is the plane itself. */
  readonly plane?: { readonly render: RenderOptions };
}

/**
 * Which clusters an Application is for. The first target that matches a cluster wins; `{}` is every cluster, no targets is
 * none; the Project's selector limits them all. Suspension does not change what is wanted, only when it is assigned. Pure.
 */
export function targetsOf(application: Application, project: Project, fleet: readonly FleetCluster[]): Targeting {
  const targets = application.spec.targets ?? [];
  const clusters: TargetedCluster[] = [];
  const refused: FleetCluster[] = [];
  for (const cluster of fleet) {
    if (cluster.isDeleting) continue;
    const target = targets.find(({ clusterSelector }) => selects(clusterSelector, cluster.labels));
    if (target === undefined) continue;
    if (!selects(project.spec.clusterSelector, cluster.labels)) refused.push(cluster);
    else clusters.push({ cluster, render: mergedRender(application.spec.render, target.render) });
  }
  const plane = targets.find((target) => target.plane !== undefined);
  return {
    clusters,
    refused,
    ...(plane === undefined ? {} : { plane: { render: mergedRender(application.spec.render, plane.render) } }),
  };
}

/** Whether the Application's own targets name the cluster, whatever the Project says. */
export function isTargeted(application: Application, labels: Readonly<Record<string, string>>): boolean {
  return (application.spec.targets ?? []).some(({ clusterSelector }) => selects(clusterSelector, labels));
}

/** What a target says goes over what the Application says, key by key; another engine replaces it. Pure. */
export function mergedRender(own: RenderOptions | undefined, target: RenderOptions | undefined): RenderOptions {
  if (target === undefined || Object.keys(target).length === 0) return own ?? {};
  if (own === undefined) return target;
  if (target.helm !== undefined) {
    const values = mergedValues(own.helm?.values ?? {}, target.helm.values ?? {});
    return { helm: { ...own.helm, ...target.helm, ...(Object.keys(values).length === 0 ? {} : { values }) } };
  }
  if (target.kustomize !== undefined) return { kustomize: { ...own.kustomize, ...target.kustomize } };
  return { manifests: { ...own.manifests, ...target.manifests } };
}

/** As Helm merges: mappings key by key, anything else replaced. */
function mergedValues(
  under: Readonly<Record<string, unknown>>,
  over: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const former = merged[key];
    merged[key] = isMapping(former) && isMapping(value) ? mergedValues(former, value) : value;
  }
  return merged;
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
