import {
  formatFieldSet,
  formatSteps,
  indexOfStep,
  isEmptySet,
  leavesOf,
  parseFieldSet,
  removeFromSet,
  resolveSteps,
  setOf,
  unionSets,
  type FieldSet,
} from './field-set.ts';
import { isRecord, own, type KubeObject, type ManagedFieldsRecord } from './objects.ts';
import type { JsonPatchOperation } from './apply.ts';
import { formatPointer, type PathStep } from './pointers.ts';
import { LAST_APPLIED } from './redact.ts';

/** What this manager holds by server-side apply on the object itself (not on a subresource). */
export function ownedSet(live: KubeObject, manager: string): FieldSet {
  return setOf(live.metadata.managedFields, (record) => isApplyOf(record, manager));
}

/** The same for people: `.spec.replicas`, `.spec.template.spec.containers[name="app"].image`, sorted. */
export function ownedPaths(live: KubeObject, manager: string): string[] {
  return leavesOf(ownedSet(live, manager)).map(formatSteps).sort();
}

export function isApplyOf(record: ManagedFieldsRecord, manager: string): boolean {
  return record.manager === manager && record.operation === 'Apply' && !record.subresource;
}

/** The live object cut down to the fields a manager holds; keys of list items stay so that an item can be told. */
export function projectOwned(live: KubeObject, manager: string): unknown {
  return cut(live, ownedSet(live, manager));
}

function cut(value: unknown, set: FieldSet): unknown {
  if (set.children.size === 0) return set.isMember ? value : undefined;
  if (Array.isArray(value)) {
    const list = value as readonly unknown[];
    const places = [...set.children].map(([step, child]) => ({ at: indexOfStep(list, step), child }));
    return places
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at)
      .map(({ at, child }) => cut(list[at], child) ?? list[at]);
  }
  if (!isRecord(value)) return undefined;
  const entries: [string, unknown][] = [];
  for (const [step, child] of set.children) {
    const kept = step.startsWith('f:') ? cut(own(value, step.slice(2)), child) : undefined;
    if (kept !== undefined) entries.push([step.slice(2), kept]);
  }
  return Object.fromEntries(entries);
}

/** Fields of a live object that someone else wrote. */
export interface ForeignFields {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  /** RFC 3339; when this manager last changed its set. Undefined if the server does not say. */
  readonly time: string | undefined;
  /** '' for the object itself; `status`, `scale`, … */
  readonly subresource: string;
  readonly fields: readonly ForeignField[];
}

export interface ForeignField {
  /** `.spec.replicas` */
  readonly path: string;
  /** Of the field in this live object. */
  readonly pointer: string;
}

const MAX_FIELDS = 500;

/** Who else holds fields of the object, newest first. At most 500 fields per manager are listed. */
export function foreignFields(live: KubeObject, options: { readonly ours: string }): ForeignFields[] {
  return (live.metadata.managedFields ?? [])
    .filter((record) => !(record.manager === options.ours && record.operation === 'Apply'))
    .map((record) => ({
      manager: record.manager ?? '',
      operation: record.operation === 'Apply' ? ('Apply' as const) : ('Update' as const),
      time: record.time,
      subresource: record.subresource ?? '',
      fields: leavesOf(parseFieldSet(record.fieldsV1))
        .slice(0, MAX_FIELDS)
        .flatMap((steps) => {
          const path = resolveSteps(live, steps);
          return path === undefined ? [] : [{ path: formatSteps(steps), pointer: formatPointer(path) }];
        }),
    }))
    .filter(({ fields }) => fields.length > 0)
    .sort((a, b) => ((a.time ?? '') < (b.time ?? '') ? 1 : -1));
}

export interface FieldAuthor {
  readonly manager: string;
  readonly operation: 'Apply' | 'Update';
  readonly time: string | undefined;
  readonly subresource: string;
}

/**
 * Who wrote the value at these steps of the live object: the newest manager, other than ours, that holds the path, an
 * atomic value around it or something inside it. Undefined for what was removed: a removal leaves no manager behind.
 */
export function authorOf(
  live: KubeObject,
  steps: readonly string[],
  options: { readonly ours: string },
): FieldAuthor | undefined {
  const authors = (live.metadata.managedFields ?? [])
    .filter((record) => !isApplyOf(record, options.ours) && holds(parseFieldSet(record.fieldsV1), steps))
    .sort((a, b) => ((a.time ?? '') < (b.time ?? '') ? 1 : -1));
  const author = authors[0];
  return author === undefined
    ? undefined
    : {
        manager: author.manager ?? '',
        operation: author.operation === 'Apply' ? 'Apply' : 'Update',
        time: author.time,
        subresource: author.subresource ?? '',
      };
}

/** Whether a set holds the path itself, a leaf above it (an atomic value) or anything below it. */
export function holds(set: FieldSet, steps: readonly string[]): boolean {
  let at: FieldSet | undefined = set;
  for (const step of steps) {
    if (at.isMember && at.children.size === 0) return true;
    at = at.children.get(step);
    if (at === undefined) return false;
  }
  return !isEmptySet(at);
}

/** A manager whose fields pass to us when an object is adopted. */
export interface LegacyManager {
  readonly manager: string;
  readonly operation: 'Update' | 'Apply';
}

/** Managers behind which a person or Helm applied the same manifests before. */
export const defaultLegacyManagers: readonly LegacyManager[] = [
  { manager: 'kubectl-client-side-apply', operation: 'Update' },
  { manager: 'kubectl-create', operation: 'Update' },
  { manager: 'kubectl-replace', operation: 'Update' },
  { manager: 'kubectl-edit', operation: 'Update' },
  { manager: 'before-first-apply', operation: 'Update' },
  { manager: 'kubectl', operation: 'Update' },
  { manager: 'kubectl', operation: 'Apply' },
  { manager: 'kubectl-last-applied', operation: 'Apply' },
  { manager: 'helm', operation: 'Update' },
  { manager: 'Helm', operation: 'Update' },
  { manager: 'helm', operation: 'Apply' },
];

export interface ClaimOptions {
  readonly ours: string;
  readonly legacyManagers?: readonly LegacyManager[];
}

/**
 * The JSON patch that makes the fields of legacy managers ours, so that the next apply removes those which are no longer
 * wanted; undefined when there is nothing to claim. It carries the resourceVersion: a change in between answers 409
 * `FL_KUBE_CONFLICT`. kubectl's last-applied annotation goes too, or the next `kubectl apply` would act on it.
 * The same idea as client-go's util/csaupgrade.
 */
export function claimLegacyOwnership(live: KubeObject, options: ClaimOptions): JsonPatchOperation[] | undefined {
  const records = live.metadata.managedFields ?? [];
  const legacy = options.legacyManagers ?? defaultLegacyManagers;
  const isLegacy = (record: ManagedFieldsRecord): boolean =>
    !record.subresource && legacy.some((l) => l.manager === record.manager && l.operation === record.operation);
  const hasAnnotation = Object.hasOwn(live.metadata.annotations ?? {}, LAST_APPLIED);
  const claimed = records.filter((record) => isLegacy(record) && !isApplyOf(record, options.ours));
  if (claimed.length === 0 && !hasAnnotation) return undefined;

  const operations: JsonPatchOperation[] = [];
  if (claimed.length > 0) {
    const existing = records.find((record) => isApplyOf(record, options.ours));
    const base = existing ?? claimed[0];
    let set = parseFieldSet(existing?.fieldsV1);
    for (const record of claimed) set = unionSets(set, parseFieldSet(record.fieldsV1));
    set = removeFromSet(set, ['f:metadata', 'f:annotations', `f:${LAST_APPLIED}`]);
    const ours: ManagedFieldsRecord = {
      manager: options.ours,
      operation: 'Apply',
      apiVersion: base?.apiVersion ?? live.apiVersion,
      ...(base?.time === undefined ? {} : { time: base.time }),
      fieldsType: 'FieldsV1',
      fieldsV1: formatFieldSet(set),
    };
    const others = records.filter((record) => !claimed.includes(record) && record !== existing);
    operations.push({ op: 'replace', path: '/metadata/managedFields', value: [...others, ours] });
  }
  if (hasAnnotation) {
    const { [LAST_APPLIED]: _gone, ...kept } = live.metadata.annotations ?? {};
    // Not a `remove`, which fails with 422 where the annotation has gone meanwhile.
    operations.push({ op: 'add', path: '/metadata/annotations', value: kept });
  }
  // Not a `test`: a failed test answers 422, a stale resourceVersion answers 409 like any other conflict.
  operations.push({ op: 'replace', path: '/metadata/resourceVersion', value: live.metadata.resourceVersion ?? '' });
  return operations;
}

/** The live value at a set's steps. */
export function valueAt(live: KubeObject, path: readonly PathStep[]): unknown {
  let at: unknown = live;
  for (const step of path) at = typeof step === 'number' ? (Array.isArray(at) ? at[step] : undefined) : own(at, step);
  return at;
}
