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

function mergedRender(own: RenderOptions | undefined, target: RenderOptions | undefined): RenderOptions {
  return { manifests: { ...own?.manifests, ...target?.manifests } };
}
