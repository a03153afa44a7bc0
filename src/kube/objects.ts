import { FairleadError } from '#base';

/** The part of an object's metadata that this room reads. Shapes as the API server sends them. */
export interface KubeMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly generateName?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
  readonly managedFields?: readonly ManagedFieldsRecord[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
}

/** One entry of `metadata.managedFields`, as sent: every field may be missing. */
export interface ManagedFieldsRecord {
  readonly manager?: string;
  readonly operation?: string;
  readonly apiVersion?: string;
  readonly time?: string;
  readonly fieldsType?: string;
  readonly fieldsV1?: Readonly<Record<string, unknown>>;
  readonly subresource?: string;
}

/** Any Kubernetes object. `spec`, `data` and the rest are reached through `getIn`. */
export interface KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: KubeMeta;
  readonly [field: string]: unknown;
}

/** Which object is meant, whatever version of its group it is read in. */
export interface ObjectId {
  /** '' for the core group. */
  readonly group: string;
  readonly kind: string;
  /** '' for cluster-scoped objects. */
  readonly namespace: string;
  readonly name: string;
}

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** `{group: 'apps', version: 'v1'}` of `apps/v1`; the core group is ''. */
export function parseApiVersion(apiVersion: string): { readonly group: string; readonly version: string } {
  const slash = apiVersion.indexOf('/');
  return slash < 0
    ? { group: '', version: apiVersion }
    : { group: apiVersion.slice(0, slash), version: apiVersion.slice(slash + 1) };
}

export function formatApiVersion(group: string, version: string): string {
  return group === '' ? version : `${group}/${version}`;
}

export function gvkOf(object: { readonly apiVersion: string; readonly kind: string }): GroupVersionKind {
  return { ...parseApiVersion(object.apiVersion), kind: object.kind };
}

export function idOf(object: KubeObject): ObjectId {
  return {
    group: parseApiVersion(object.apiVersion).group,
    kind: object.kind,
    namespace: object.metadata.namespace ?? '',
    name: object.metadata.name,
  };
}

/**
 * `group/kind/namespace/name`, always three slashes: `apps/Deployment/web/frontend`, `/ConfigMap/web/settings`,
 * `rbac.authorization.k8s.io/ClusterRole//admin`. None of the parts can hold a slash, so it reads back exactly.
 */
export function formatId(id: ObjectId): string {
  return `${id.group}/${id.kind}/${id.namespace}/${id.name}`;
}

export function parseId(text: string): ObjectId {
  const [group, kind, namespace, name, ...rest] = text.split('/');
  if (group === undefined || namespace === undefined || !kind || !name || rest.length > 0) {
    throw new FairleadError('FL_KUBE_ID', `object id ${JSON.stringify(text.slice(0, 300))} is not group/kind/namespace/name`, {
      kind: 'invalid',
    });
  }
  return { group, kind, namespace, name };
}

/** For sentences: `Deployment web/frontend`, `ClusterRole admin`; the group only where it is needed to tell kinds apart. */
export function describeId(id: ObjectId): string {
  return `${id.kind} ${id.namespace === '' ? '' : `${id.namespace}/`}${id.name}`;
}

/** By namespace, group, kind, name, in code unit order: the same on every machine. */
export function compareIds(a: ObjectId, b: ObjectId): number {
  return (
    compareText(a.namespace, b.namespace) ||
    compareText(a.group, b.group) ||
    compareText(a.kind, b.kind) ||
    compareText(a.name, b.name)
  );
}

export function sameId(a: ObjectId, b: ObjectId): boolean {
  return a.name === b.name && a.namespace === b.namespace && a.kind === b.kind && a.group === b.group;
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** A plain JSON object: not null, not an array. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Own property only, so that no path can reach a prototype. */
export function own(value: unknown, key: string): unknown {
  return isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** The value at a path of keys and indices, or undefined. */
export function getIn(value: unknown, ...path: readonly (string | number)[]): unknown {
  let at: unknown = value;
  for (const step of path) {
    if (Array.isArray(at)) at = typeof step === 'number' ? (at as readonly unknown[])[step] : undefined;
    else at = own(at, String(step));
    if (at === undefined) return undefined;
  }
  return at;
}

/** An array's items, or none: for fields that may be absent, null or of the wrong type. */
export function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

export function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined;
}

/** Equality of JSON values; the order of keys does not count, that of items does. */
export function deepEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => deepEqual(item, (b as unknown[])[index]));
  }
  if (!isRecord(a) || !isRecord(b)) return Number.isNaN(a) && Number.isNaN(b);
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && deepEqual(a[key], b[key]));
}
