import type { DeliveryState, ObjectIdentity, ObjectState } from '#api';

/** `Deployment.v1.apps`, `ConfigMap.v1`: as kubectl names a kind with its version and group. */
export function gvkText({ group, version, kind }: Pick<ObjectIdentity, 'group' | 'version' | 'kind'>): string {
  return group === '' ? `${kind}.${version}` : `${kind}.${version}.${group}`;
}

export function parseGvk(text: string): { readonly group: string; readonly version: string; readonly kind: string } {
  const [kind = '', version = '', ...group] = text.split('.');
  return { kind, version, group: group.join('.') };
}

/** In an address, for objects that live in no namespace: no namespace can be called so. */
export const NO_NAMESPACE = '-';

/** `namespace/name`, or the name alone. */
export function objectText({ namespace, name }: Pick<ObjectIdentity, 'namespace' | 'name'>): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

export function objectKey({ group, kind, namespace, name }: ObjectIdentity): string {
  return `${group}/${kind}/${namespace}/${name}`;
}

export const objectWords: Readonly<Record<ObjectState, string>> = {
  ready: 'as wanted',
  failed: 'refused',
  unhealthy: 'not healthy',
  drifted: 'drifted',
  waiting: 'waiting',
  deleting: 'going',
  unknown: 'not known yet',
};

/** The mark of an object: the shape of the delivery state it comes nearest to. */
export const objectMarks: Readonly<Record<ObjectState, DeliveryState>> = {
  ready: 'ready',
  failed: 'failed',
  unhealthy: 'failed',
  drifted: 'drifted',
  waiting: 'waiting',
  deleting: 'progressing',
  unknown: 'unknown',
};
