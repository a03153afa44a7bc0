/**
 * Server-side apply and the bookkeeping of updates: merge/update.go of structured-merge-diff and the chain of field managers
 * of apimachinery (managedfields/internal), for a kind with one version.
 */
import {
  equal,
  get,
  getIn,
  isArray,
  isObject,
  scalarText,
  stableJson,
  textOf,
  withKey,
  type Json,
  type JsonObject,
} from '../json.ts';
import { FieldSet, formatFieldPath, type FieldPath } from './field-set.ts';
import {
  capUpdateManagers,
  decodeManagers,
  encodeManagers,
  entryId,
  isReset,
  readManagers,
  type Entry,
  type Managers,
} from './managed-fields.ts';
import type { MapType } from './schema.ts';
import { checkTypes, compare, fieldSetOf, merge, removeFields } from './walk.ts';

export const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const MAX_ANNOTATION_BYTES = 256 * 1024;

export interface FieldScope {
  readonly type: MapType;
  readonly apiVersion: string;
  /** '' or 'status'. */
  readonly subresource: string;
  /** Fields this endpoint resets and therefore never tracks: {status} on the main resource, {metadata, spec} on status. */
  readonly ignored: FieldSet;
}

export interface Conflict {
  readonly manager: string;
  /** `"name" with subresource "status" using g/v at time`: as printed after "conflict with". */
  readonly printed: string;
  readonly path: FieldPath;
}

export class ApplyConflicts extends Error {
  readonly conflicts: readonly Conflict[];
  constructor(conflicts: readonly Conflict[]) {
    super(describeConflicts(conflicts));
    this.conflicts = conflicts;
  }
}

function describeConflicts(conflicts: readonly Conflict[]): string {
  const [only] = conflicts;
  if (conflicts.length === 1 && only !== undefined) {
    return `Apply failed with 1 conflict: conflict with ${only.printed}: ${formatFieldPath(only.path)}`;
  }
  const lines: string[] = [];
  let last: string | undefined;
  for (const conflict of conflicts) {
    if (conflict.printed !== last) lines.push(`conflicts with ${conflict.printed}:`);
    last = conflict.printed;
    lines.push(`- ${formatFieldPath(conflict.path)}`);
  }
  return `Apply failed with ${conflicts.length} conflicts: ${lines.join('\n')}`;
}

/** Never part of a set: what the server owns. */
const STRIPPED = FieldSet.of(
  ['apiVersion'],
  ['kind'],
  ['metadata'],
  ...[
    'name',
    'namespace',
    'creationTimestamp',
    'selfLink',
    'uid',
    'clusterName',
    'generation',
    'managedFields',
    'resourceVersion',
  ].map((name) => ['metadata', name]),
);

export function withoutManagedFields(object: JsonObject): JsonObject {
  return withManagedFields(object, undefined);
}

function withManagedFields(object: JsonObject, value: Json | undefined): JsonObject {
  const metadata = object['metadata'];
  if (!isObject(metadata)) return object;
  if (value === undefined && metadata['managedFields'] === undefined) return object;
  return { ...object, metadata: withKey(metadata, 'managedFields', value) };
}

interface Step {
  readonly managers: Map<string, Entry>;
  readonly conflicts: readonly Conflict[];
}

/** What changed is taken from everybody but `self`; what they would lose to a change is named as conflicts. */
function takeFromOthers(scope: FieldScope, before: JsonObject, after: JsonObject, managers: Managers, self: string): Step {
  const all = compare(scope.type, before, after);
  const changed = all.modified.union(all.added).recursiveDifference(scope.ignored);
  const removed = all.removed.recursiveDifference(scope.ignored);
  const out = new Map<string, Entry>();
  const conflicts: Conflict[] = [];
  for (const [id, entry] of managers) {
    if (id === self) {
      out.set(id, entry);
      continue;
    }
    const lost = entry.fields.intersection(changed);
    for (const path of lost.paths()) conflicts.push({ manager: entry.manager, printed: printEntry(entry), path });
    const fields = entry.fields.difference(lost).difference(removed);
    if (!fields.isEmpty) out.set(id, fields.equals(entry.fields) ? entry : { ...entry, fields });
  }
  if (out.get(self)?.fields.isEmpty === true) out.delete(self);
  return { managers: out, conflicts: conflicts.sort((a, b) => (a.printed < b.printed ? -1 : a.printed > b.printed ? 1 : 0)) };
}

function printEntry(entry: Entry): string {
  const name = JSON.stringify(entry.manager);
  const of = entry.subresource === '' ? name : `${name} with subresource ${JSON.stringify(entry.subresource)}`;
  return entry.operation === 'Update' ? `${of} using ${entry.apiVersion}` : of;
}

const CURRENT = 'current-operation';

/**
 * The object of a create, update or patch with its managedFields. `live` is undefined for a create. `next` may carry
 * managedFields of the caller's own, which are honoured on the main resource.
 */
export function trackUpdate(
  scope: FieldScope,
  live: JsonObject | undefined,
  next: JsonObject,
  manager: string,
  time: string,
): JsonObject {
  let managers: Managers;
  const given = getIn(next, 'metadata', 'managedFields');
  const known = getIn(live, 'metadata', 'managedFields');
  if (scope.subresource !== '') managers = readManagers(known);
  else if (isReset(given)) managers = new Map();
  else {
    const decoded = readManagers(given);
    managers = decoded.size === 0 ? readManagers(known) : decoded;
  }
  const after = withoutManagedFields(next);
  // An object whose history was cleared stays without one until somebody applies it.
  if (managers.size === 0 && live !== undefined) return after;
  const before = live === undefined ? skeleton(next) : withoutManagedFields(live);
  return withManagedFields(after, encodeManagers(updateManagers(scope, before, after, managers, manager, time)));
}

function skeleton(object: JsonObject): JsonObject {
  return { apiVersion: object['apiVersion'] ?? null, kind: object['kind'] ?? null };
}

function updateManagers(
  scope: FieldScope,
  before: JsonObject,
  after: JsonObject,
  managers: Managers,
  manager: string,
  time: string,
): Managers {
  const taken = takeFromOthers(scope, before, after, managers, CURRENT).managers;
  const changes = compare(scope.type, before, after);
  const fields = changes.modified.union(changes.added).recursiveDifference(scope.ignored).difference(STRIPPED);
  if (!fields.isEmpty) {
    const entry: Entry = {
      manager: manager === '' ? 'unknown' : manager,
      operation: 'Update',
      apiVersion: scope.apiVersion,
      subresource: scope.subresource,
      time,
      fields,
    };
    const id = entryId(entry);
    const previous = taken.get(id);
    taken.set(id, previous === undefined ? entry : { ...entry, fields: fields.union(previous.fields) });
  }
  return capUpdateManagers(taken);
}

export interface ApplyOptions {
  readonly manager: string;
  readonly force: boolean;
  readonly time: string;
}

/**
 * Lays a configuration over the live object (undefined: there is none). Throws ApplyConflicts, FieldTypeError, and a
 * SyntaxError where the live object's history cannot be read.
 */
export function applyConfiguration(
  scope: FieldScope,
  live: JsonObject | undefined,
  config: JsonObject,
  options: ApplyOptions,
): JsonObject {
  checkTypes(scope.type, config, false);
  let managers = decodeManagers(getIn(live, 'metadata', 'managedFields'));
  const before = live === undefined ? skeleton(config) : withoutManagedFields(live);
  if (managers.size === 0 && live !== undefined) {
    managers = updateManagers(scope, skeleton(before), before, managers, 'before-first-apply', options.time);
  }
  let result: Applied;
  try {
    result = applyOnce(scope, before, config, managers, options);
  } catch (error) {
    // From client-side to server-side apply with the same tool: what its annotation proves it set is its own.
    if (!(error instanceof ApplyConflicts) || options.manager !== 'kubectl') throw error;
    const allowed = ownByLastApplied(scope, before);
    if (allowed === undefined) throw error;
    const left = error.conflicts.filter((conflict) => !allowed.has(conflict.path));
    if (left.length > 0) throw new ApplyConflicts(left);
    result = applyOnce(scope, before, config, managers, { ...options, force: true });
  }
  const object = options.manager === 'kubectl' ? refreshLastApplied(result.object, config) : result.object;
  return withManagedFields(object, encodeManagers(result.managers));
}

interface Applied {
  readonly object: JsonObject;
  readonly managers: Managers;
}

function applyOnce(
  scope: FieldScope,
  before: JsonObject,
  config: JsonObject,
  managers: Managers,
  options: ApplyOptions,
): Applied {
  const named = {
    manager: options.manager,
    operation: 'Apply' as const,
    apiVersion: scope.apiVersion,
    subresource: scope.subresource,
  };
  const self = entryId(named);
  const merged = asObject(merge(scope.type, before, config));
  const last = managers.get(self)?.fields;
  const fields = fieldSetOf(scope.type, config).recursiveDifference(scope.ignored);
  const withSelf = new Map(managers).set(self, { ...named, time: options.time, fields });
  const after = last === undefined || last.isEmpty ? merged : prune(scope, merged, withSelf, last);
  const step = takeFromOthers(scope, before, after, withSelf, self);
  if (!options.force && step.conflicts.length > 0) throw new ApplyConflicts(step.conflicts);
  const entry = step.managers.get(self);
  if (entry !== undefined) {
    const stripped = entry.fields.difference(STRIPPED);
    // The time of an entry is that of the last apply that changed the object; one that never did has none.
    const time = equal(before, after) ? managers.get(self)?.time : options.time;
    if (stripped.isEmpty) step.managers.delete(self);
    else step.managers.set(self, { ...entry, time, fields: stripped });
  }
  return { object: asObject(dropEmptied(merged, after)), managers: step.managers };
}

function asObject(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

/** Removes what this manager applied before, no longer applies, and nobody else holds. */
function prune(scope: FieldScope, merged: JsonObject, managers: Managers, last: FieldSet): JsonObject {
  const { type } = scope;
  const lastNamed = last.withNamedFields(type);
  const mergedSet = fieldSetOf(type, merged).withNamedFields(type);
  let managed = new FieldSet();
  for (const entry of managers.values()) managed = managed.union(entry.fields);
  const without = removeFields(type, merged, lastNamed);
  const keep = fieldSetOf(type, without).withNamedFields(type).union(managed.withNamedFields(type));
  const withOwned = removeFields(type, merged, mergedSet.difference(keep));
  const ownedSet = fieldSetOf(type, withOwned).withNamedFields(type);
  const pruned = removeFields(type, merged, mergedSet.difference(ownedSet).intersection(lastNamed));
  // Containers that this emptied are null here: nobody who holds one loses it to that.
  return asObject(pruned);
}

/**
 * A container that pruning emptied: an API server leaves null there and, outside of metadata, refuses its own object (422).
 * Here it goes along with its content.
 */
function dropEmptied(before: Json | undefined, after: Json | undefined): Json | undefined {
  if (after === null && (isObject(before) || isArray(before))) return undefined;
  if (!isObject(before) || !isObject(after)) return after;
  const out: [string, Json][] = [];
  for (const [key, value] of Object.entries(after)) {
    const kept = dropEmptied(before[key], value);
    if (kept !== undefined) out.push([key, kept]);
  }
  return Object.fromEntries(out);
}

function ownByLastApplied(scope: FieldScope, live: JsonObject): FieldSet | undefined {
  const text = textOf(getIn(live, 'metadata', 'annotations', LAST_APPLIED));
  if (text === undefined || text === '') return undefined;
  try {
    const last: unknown = JSON.parse(text);
    if (!isObject(last) || get(last, 'apiVersion') !== scope.apiVersion) return undefined;
    checkTypes(scope.type, last, false);
    const changes = compare(scope.type, last, live);
    return fieldSetOf(scope.type, last).difference(changes.modified).difference(changes.added).difference(changes.removed);
  } catch {
    return undefined;
  }
}

function refreshLastApplied(object: JsonObject, config: JsonObject): JsonObject {
  const annotations = getIn(object, 'metadata', 'annotations');
  const text = get(annotations, LAST_APPLIED);
  if (!isObject(annotations) || typeof text !== 'string' || text === '') return object;
  const metadata = asObject(config['metadata']);
  const given = asObject(metadata['annotations']);
  const configured = {
    ...config,
    metadata: {
      ...metadata,
      ...(metadata['annotations'] === undefined ? {} : { annotations: withKey(given, LAST_APPLIED, undefined) }),
    },
  };
  const next = withKey(annotations, LAST_APPLIED, `${stableJson(configured)}\n`);
  const bytes = Object.entries(next).reduce((sum, [key, value]) => sum + key.length + Buffer.byteLength(scalarText(value)), 0);
  const fitting = bytes > MAX_ANNOTATION_BYTES ? withKey(annotations, LAST_APPLIED, undefined) : next;
  return { ...object, metadata: { ...asObject(object['metadata']), annotations: fitting } };
}

/** Whether two objects are the same but for the times in managedFields: such a write changes nothing. */
export function isSameButTimes(a: JsonObject, b: JsonObject): boolean {
  if (!equal(withoutManagedFields(a), withoutManagedFields(b))) return false;
  const left = getIn(a, 'metadata', 'managedFields');
  const right = getIn(b, 'metadata', 'managedFields');
  if (left === undefined && right === undefined) return true;
  return stripTimes(left) === stripTimes(right);
}

function stripTimes(entries: Json | undefined): string {
  if (!isArray(entries)) return '[]';
  return JSON.stringify(entries.map((entry) => stableJson(isObject(entry) ? withKey(entry, 'time', undefined) : entry)).sort());
}
