import { FairleadError } from '#base';
import type { Violation } from '#api';
import { firstPresent, withRedactedLastApplied, type Admission } from './admission.ts';
import { hasFinalizers } from './core-kinds.ts';
import { isSameButTimes } from './fields/apply.ts';
import type { Issue } from './issues.ts';
import { equal, get, getIn, isArray, isObject, textOf, withKey, type JsonObject } from './json.ts';
import { finalizersOf, finalizerWarnings, metadataIssues, metadataUpdateIssues } from './metadata.ts';
import { asJson, asStored, type Resource } from './resource.ts';
import { failure } from './status-error.ts';
import { validateListTypes, validateSchema, validateStatus } from './validate.ts';
import type { WriteOptions } from './write-options.ts';

export interface PrepareOptions {
  readonly admission: (kind: string) => readonly Admission[];
  /** Paths that never reach the store, by kind. */
  readonly writeOnly: ReadonlyMap<string, readonly string[]>;
}

/** One write: which object, through which resource, by whom. */
export interface Subject {
  /** As it was addressed: errors speak of it. */
  readonly resource: Resource;
  /** Whose rules hold for what is stored: Project's for a Namespace. */
  readonly target: Resource;
  readonly namespace: string;
  readonly name: string;
  /** '' or 'status'. */
  readonly subresource: string;
  /** create, update, patch, apply, delete. */
  readonly verb: string;
  readonly options: WriteOptions;
}

export interface Prepared {
  readonly next: JsonObject;
  /** The last finalizer of a deleted object has gone, and the object with it. */
  readonly isGone: boolean;
}

const MAX_OBJECT_BYTES = 1_536 * 1024;

/** The object as it will be stored; undefined when nothing changes. Throws 403, 413 and 422. */
export async function prepare(
  subject: Subject,
  before: JsonObject | undefined,
  changed: JsonObject,
  options: PrepareOptions,
): Promise<Prepared | undefined> {
  if (before === undefined || !onlyPeoplesMetadata(before, changed)) checkAccess(subject);
  const admitted = await admit(subject, before === undefined ? 'CREATE' : 'UPDATE', changed, before, options);
  const kept = withoutSecrets(subject, admitted, options);
  const next = before === undefined ? withKey(kept, 'status', undefined) : aged(before, kept, subject.subresource);
  const issues = issuesOf(subject, next, before);
  if (issues.length > 0) throw failure.invalid(subject.resource, subject.name, issues);
  if (before !== undefined && isSameButTimes(before, next)) return undefined;
  subject.options.warnings.push(...finalizerWarnings(next['metadata'], before?.['metadata']));
  if (JSON.stringify(next).length > MAX_OBJECT_BYTES) {
    throw new FairleadError(
      'FL_API_OBJECT_TOO_LARGE',
      `${subject.resource.kind} ${subject.name} is larger than ${MAX_OBJECT_BYTES} bytes; make it smaller`,
      { kind: 'too-large' },
    );
  }
  const isMarked = getIn(next, 'metadata', 'deletionTimestamp') !== undefined;
  return { next, isGone: isMarked && !hasFinalizers(next) && before !== undefined };
}

/** Runs the admissions of the kind. Throws 403 and 422. */
export async function admit(
  subject: Subject,
  operation: 'CREATE' | 'UPDATE' | 'DELETE',
  object: JsonObject,
  before: JsonObject | undefined,
  { admission }: PrepareOptions,
): Promise<JsonObject> {
  const { resource, target, name, options } = subject;
  let next = object;
  for (const one of admission(target.kind)) {
    const result = await one({
      operation,
      kind: target.storeKind,
      object: asStored(next),
      ...(before === undefined ? {} : { previous: asStored(before) }),
      subresource: subject.subresource,
      principal: options.principal,
      actor: options.actor,
      dryRun: options.dryRun,
    });
    if (result.denied !== undefined) throw failure.forbidden(resource, name, result.denied);
    const violations = result.violations ?? [];
    if (violations.length > 0)
      throw failure.invalid(
        resource,
        name,
        violations.map((violation) => issueOf(violation, next)),
      );
    options.warnings.push(...(result.warnings ?? []));
    if (result.object !== undefined) next = asJson(result.object);
  }
  return next;
}

/** What must not be stored is not: neither in its field, which an admission must have emptied, nor in kubectl's copy of it. */
function withoutSecrets({ resource, target, name }: Subject, object: JsonObject, { writeOnly }: PrepareOptions): JsonObject {
  const paths = writeOnly.get(target.kind);
  if (paths === undefined) return object;
  const present = firstPresent(object, paths);
  if (present !== undefined) {
    throw failure.invalid(resource, name, [
      { type: 'FieldValueForbidden', field: present, detail: 'this plane has nothing that could encrypt it; nothing was stored' },
    ]);
  }
  return withRedactedLastApplied(object, paths);
}

/** generation rises when something other than metadata and status changes. */
function aged(before: JsonObject, next: JsonObject, subresource: string): JsonObject {
  const generation = getIn(before, 'metadata', 'generation');
  const count = typeof generation === 'number' ? generation : 0;
  const isChanged = subresource === '' && !wantsSame(before, next);
  const metadata = next['metadata'];
  return { ...next, metadata: withKey(isObject(metadata) ? metadata : {}, 'generation', isChanged ? count + 1 : count) };
}

/** Whether two states differ in metadata and status at most. */
export function wantsSame(before: JsonObject, next: JsonObject): boolean {
  return equal(wanted(before), wanted(next));
}

function wanted(object: JsonObject): JsonObject {
  const { metadata: _metadata, status: _status, ...rest } = object;
  return rest;
}

function issuesOf({ target, subresource }: Subject, next: JsonObject, before: JsonObject | undefined): Issue[] {
  if (next['kind'] !== target.kind) {
    return [{ type: 'FieldValueInvalid', field: 'kind', value: next['kind'] ?? '', detail: `must be ${target.kind}` }];
  }
  const { metadata, apiVersion: _version, kind: _kind, ...content } = next;
  const given = isObject(metadata) ? metadata : {};
  const prior = get(before, 'metadata');
  const issues = isObject(prior)
    ? metadataUpdateIssues(given, prior)
    : metadataIssues(given, { namespaced: target.namespaced, nameFaults: target.nameFaults });
  if (subresource === 'status') {
    const schema = getIn(target.schema, 'properties', 'status');
    if (next['status'] !== undefined && isObject(schema)) issues.push(...validateStatus(schema, next['status']));
  } else issues.push(...validateSchema(target.schema, content, ''));
  issues.push(...validateListTypes(target.schema, content, ''));
  if (issues.length > 0) return issues;
  const previous = before === undefined ? undefined : asStored(before);
  return target.storeKind.rules.flatMap((rule) => rule(asStored(next), previous).map((violation) => issueOf(violation, next)));
}

function issueOf(violation: Violation, object: JsonObject): Issue {
  const value = getIn(object, ...violation.field.replace(/\[\d+\]/g, '').split('.'));
  const isScalar = value !== undefined && value !== null && !isObject(value) && !isArray(value);
  return { type: violation.reason, field: violation.field, ...(isScalar ? { value } : {}), detail: violation.message };
}

/** Controllers own the kinds with access `read`; people may say labels and annotations of them. Throws 403. */
export function checkAccess({ resource, target, name, verb, options }: Subject): void {
  if (target.storeKind.access !== 'read' || options.isInternal) return;
  throw failure.forbidden(
    resource,
    name,
    `${resource.plural} are written by the plane; ${verb === 'delete' ? 'delete' : 'change'} the Application it belongs to instead (labels and annotations may be changed here)`,
  );
}

/** Whether two states differ in labels, annotations and bookkeeping at most. */
function onlyPeoplesMetadata(before: JsonObject, next: JsonObject): boolean {
  const { metadata: old, ...oldRest } = before;
  const { metadata: changed, ...rest } = next;
  if (!equal(oldRest, rest)) return false;
  if (!equal(finalizersOf(old), finalizersOf(changed))) return false;
  return equal(get(old, 'ownerReferences'), get(changed, 'ownerReferences'));
}

/** The name an object says it has. */
export function nameIn(object: JsonObject): string {
  return textOf(getIn(object, 'metadata', 'name')) ?? '';
}
