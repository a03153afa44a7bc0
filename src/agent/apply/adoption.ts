import { reason, type Reason } from '#api';
import { rfc3339 } from '#base';
import { describeId, parseId, type KubeMeta } from '#kube';
import type { ObjectKey } from '../core/model.ts';
import type { ClusterPort } from './cluster-port.ts';
import { controllerOf, OWNER_LABEL } from './marks.ts';

export type Adoption = 'Never' | 'IfUnowned' | 'Always';

/** What to do with an object that is there already, at the first contact with it. */
export type AdoptionVerdict =
  | { readonly kind: 'adopt'; /** Who wrote it before, for the event. */ readonly from: string }
  | { readonly kind: 'refuse'; readonly reason: Reason };

/** `knownOwner` names the application of this plane behind an owner label, if it is one: whether it lets go is decided elsewhere. */
export function judgeAdoption(
  metadata: KubeMeta,
  key: ObjectKey,
  adoption: Adoption,
  knownOwner: (label: string) => string | undefined,
  port: Pick<ClusterPort, 'cluster' | 'clock'>,
): AdoptionVerdict {
  const since = rfc3339(port.clock.now());
  const args = { object: describeId(parseId(key)), cluster: port.cluster };
  const label = metadata.labels?.[OWNER_LABEL];
  const sibling = label === undefined ? undefined : knownOwner(label);
  // Another application of this plane that no longer lists it: a transfer, whatever the adoption rule.
  if (sibling !== undefined) return { kind: 'adopt', from: `application ${sibling}` };
  const controller = controllerOf(metadata);
  if (controller !== undefined)
    return { kind: 'refuse', reason: reason('FL_CLAIM_FOREIGN', { ...args, owner: controller }, since) };
  if (adoption === 'Never') return { kind: 'refuse', reason: reason('FL_CLAIM_EXISTS', { ...args, adoption }, since) };
  const owner = label === undefined ? foreignOwner(metadata) : `Fairlead application ${label} of another plane`;
  if (owner !== undefined && adoption !== 'Always') {
    return { kind: 'refuse', reason: reason('FL_CLAIM_FOREIGN', { ...args, owner }, since) };
  }
  return { kind: 'adopt', from: owner ?? lastWriter(metadata) };
}

/** What Helm puts on everything it installs. */
export const HELM_RELEASE_ANNOTATION = 'meta.helm.sh/release-name';

interface Mark {
  readonly label?: string;
  readonly annotation?: string;
  readonly says: (value: string, metadata: KubeMeta) => string;
}

/** By what the delivery tools of the field mark what they hold. */
const marks: readonly Mark[] = [
  { annotation: 'argocd.argoproj.io/tracking-id', says: (value) => `Argo CD application ${value.split(':')[0] ?? value}` },
  { label: 'argocd.argoproj.io/instance', says: (value) => `Argo CD application ${value}` },
  {
    label: 'kustomize.toolkit.fluxcd.io/name',
    says: (value, m) => `Flux Kustomization ${m.labels?.['kustomize.toolkit.fluxcd.io/namespace'] ?? ''}/${value}`,
  },
  {
    label: 'helm.toolkit.fluxcd.io/name',
    says: (value, m) => `Flux HelmRelease ${m.labels?.['helm.toolkit.fluxcd.io/namespace'] ?? ''}/${value}`,
  },
  { annotation: 'config.k8s.io/owning-inventory', says: (value) => `inventory ${value}` },
  { annotation: 'configmanagement.gke.io/managed', says: () => 'Config Sync' },
  {
    label: 'objectset.rio.cattle.io/hash',
    says: (_v, m) => `Rancher ${m.annotations?.['objectset.rio.cattle.io/id'] ?? 'Fleet'}`,
  },
  { label: 'applyset.kubernetes.io/part-of', says: (value) => `ApplySet ${value}` },
  { label: 'projectsveltos.io/reference-name', says: (value) => `Sveltos ${value}` },
  // What Helm itself installed. The label managed-by: Helm alone is in every rendered chart and says nothing.
  {
    annotation: HELM_RELEASE_ANNOTATION,
    says: (value, m) => `Helm release ${m.annotations?.['meta.helm.sh/release-namespace'] ?? ''}/${value}`,
  },
];

/** Whom another tool's mark names, or undefined. */
export function foreignOwner(metadata: KubeMeta): string | undefined {
  for (const mark of marks) {
    const value = mark.label === undefined ? metadata.annotations?.[mark.annotation ?? ''] : metadata.labels?.[mark.label];
    if (value !== undefined && value !== '') return mark.says(value, metadata);
  }
  return undefined;
}

function lastWriter(metadata: KubeMeta): string {
  const records = [...(metadata.managedFields ?? [])].filter((record) => !record.subresource);
  records.sort((a, b) => ((a.time ?? '') < (b.time ?? '') ? 1 : -1));
  return records[0]?.manager ?? 'nobody known';
}
