import type { Reason } from '#api';
import type { KubeObject, LegacyManager } from '#kube';
import type { Drift, ObjectHealth, ObjectKey, PlannedObject } from '../core/model.ts';

/** What is remembered of a live object that carries an owner label: a few words instead of the object. */
export interface LiveRecord {
  readonly key: ObjectKey;
  readonly uid: string;
  readonly resourceVersion: string;
  /** Value of its owner label. */
  readonly owner: string;
  /** It names itself and no controller made it: its label is no copy. */
  readonly isGenuine: boolean;
  readonly isDeleting: boolean;
  /** `comparisonKey` of what it was compared with; '' if it was not. */
  readonly comparedWith: string;
  readonly drift: Drift | undefined;
  /** Its replicas differ: the drift that is left where an autoscaler has the say over them. */
  readonly whenAutoscaled: { readonly drift: Drift | undefined } | undefined;
  readonly yielded: readonly string[];
  readonly conflicts: readonly { readonly field: string; readonly manager: string }[];
  readonly intruders: readonly LegacyManager[];
  readonly health: ObjectHealth;
  readonly reason: Reason | undefined;
}

/** An object that an application wants, as the watches need to know it. */
export interface WatchedObject {
  readonly app: string;
  readonly owner: string;
  readonly object: PlannedObject;
  /** JSON pointers that do not count as drift. */
  readonly ignore: readonly string[];
}

/** Changes when what counts as drift of the object changes. */
export function comparisonKey(watched: Pick<WatchedObject, 'owner' | 'object' | 'ignore'>): string {
  return `${watched.owner} ${watched.object.digest} ${watched.ignore.join(' ')}`;
}

/** Key of a live object, in the version-less form of inventories. */
export function keyOfLive(live: KubeObject): ObjectKey {
  const slash = live.apiVersion.indexOf('/');
  const group = slash < 0 ? '' : live.apiVersion.slice(0, slash);
  return `${group}/${live.kind}/${live.metadata.namespace ?? ''}/${live.metadata.name}`;
}

/** Whether version `a` is older than `b`; versions of one resource are ordered decimals, anything else is not compared. */
export function isOlderVersion(a: string, b: string): boolean {
  return /^\d+$/.test(a) && /^\d+$/.test(b) && (a.length === b.length ? a < b : a.length < b.length);
}
