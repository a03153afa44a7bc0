/** What a write makes of an object: decoding, defaults, patches, and what nobody but the system sets. Pure. */
import { Project } from '#api';
import { decodeObject, handleUnknown } from './decode.ts';
import type { FieldScope } from './fields/apply.ts';
import { get, getIn, isObject, scalarText, withKey, type Json, type JsonObject } from './json.ts';
import { metadataOf } from './metadata.ts';
import { jsonPatch, mergePatch, namespacePatch, PatchFailure, PatchSyntaxError } from './patch.ts';
import type { Subject } from './prepare.ts';
import { JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, type Resource } from './resource.ts';
import { failure } from './status-error.ts';
import { applyDefaults } from './structural.ts';
import { checkNamespace, wrongName } from './write-checks.ts';
import type { WriteOptions } from './write-options.ts';

/** Set by the system when an object begins, and by nobody afterwards. */
export const SYSTEM_FIELDS = [
  'creationTimestamp',
  'generation',
  'resourceVersion',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
];

export function decode(resource: Resource, body: Json, options: WriteOptions): JsonObject {
  const decoded = decodeObject(resource, body);
  handleUnknown(decoded.unknown, options.fieldValidation, options.warnings, (message) =>
    failure.badRequest(
      `${resource.kind} in version ${JSON.stringify(resource.version)} cannot be handled as a ${resource.kind}: ${message}`,
    ),
  );
  return decoded.object;
}

export function withDefaults(target: Resource, object: JsonObject): JsonObject {
  const { metadata, ...content } = object;
  const defaulted = applyDefaults(target.schema, { ...content, metadata: {} });
  return { ...(isObject(defaulted) ? defaulted : {}), metadata: metadata ?? {} };
}

export function scopeOf({ target, subresource }: Subject): FieldScope {
  return subresource === 'status' ? target.statusScope : target.scope;
}

/** The stored object that a write of the API's object means. */
export function toStored(resource: Resource, object: JsonObject, before: JsonObject | undefined): JsonObject {
  if (resource.view === undefined) return object;
  if (resource.view.toStored === undefined) throw failure.methodNotAllowed();
  return resource.view.toStored(object, before);
}

/** A write's object with what writers cannot change put back as it was, and only its part of the object taken. */
export function settled({ target, subresource }: Subject, before: JsonObject, next: JsonObject): JsonObject {
  const old = metadataOf(before);
  const sent = metadataOf(next);
  if (subresource === 'status') {
    return withKey({ ...before, metadata: withKey(old, 'managedFields', sent['managedFields']) }, 'status', next['status']);
  }
  let metadata = sent;
  for (const field of SYSTEM_FIELDS) metadata = withKey(metadata, field, old[field]);
  // Another uid is an error, which validation finds; none is the one that is there.
  if (sent['uid'] === undefined) metadata = withKey(metadata, 'uid', old['uid']);
  if (target.namespaced) metadata = withKey(metadata, 'namespace', old['namespace']);
  return withKey({ ...next, metadata }, 'status', before['status']);
}

/** The configuration of an apply, checked for being one and for naming what the URL names. */
export function configuration(subject: Subject, patch: Json): JsonObject {
  const { resource, namespace, name } = subject;
  if (!isObject(patch)) throw failure.badRequest('error decoding YAML: an apply patch is an object');
  const [apiVersion, kind] = [scalarText(get(patch, 'apiVersion')), scalarText(get(patch, 'kind'))];
  if (apiVersion !== resource.apiVersion || kind !== resource.kind) {
    throw failure.badRequest(
      `Incorrect version specified in apply patch. Specified patch version: ${apiVersion}, Kind=${kind}, expected: ${resource.apiVersion}, Kind=${resource.kind}`,
    );
  }
  const metadata = metadataOf(patch);
  const managed = metadata['managedFields'];
  if (managed !== undefined && managed !== null) throw failure.badRequest('metadata.managedFields must be nil');
  checkNamespace(resource, namespace, metadata);
  if (metadata['name'] !== undefined && metadata['name'] !== name) throw wrongName(scalarText(metadata['name']), name);
  const located = { ...metadata, name, ...(resource.namespaced ? { namespace } : {}) };
  // A Namespace says nothing of the Project it is but its metadata.
  if (resource.view !== undefined) return { apiVersion: Project.apiVersion, kind: Project.kind, metadata: located };
  return { ...patch, metadata: located };
}

export function runPatch(resource: Resource, current: JsonObject, type: string, patch: Json): Json {
  try {
    if (type === JSON_PATCH) return jsonPatch(current, patch);
    if (!isObject(patch)) throw new PatchSyntaxError('Invalid JSON Patch');
    if (type === MERGE_PATCH) return mergePatch(current, patch);
    if (type === STRATEGIC_PATCH) return namespacePatch(current, patch);
  } catch (error) {
    if (error instanceof PatchSyntaxError) throw failure.badRequest(error.message);
    if (error instanceof PatchFailure) throw failure.unprocessable();
    throw error;
  }
  throw failure.unsupportedMediaType(resource.patchTypes);
}

/** As an object waits for its finalizers. */
export function marking(before: JsonObject, time: string): JsonObject {
  const metadata = metadataOf(before);
  const generation = typeof metadata['generation'] === 'number' ? metadata['generation'] : 0;
  return {
    ...before,
    metadata: { ...metadata, deletionGracePeriodSeconds: 0, deletionTimestamp: time, generation: generation + 1 },
  };
}

export function revisionOf(object: JsonObject): number {
  return Number(scalarText(getIn(object, 'metadata', 'resourceVersion')) || 0);
}

export function withRevision(object: JsonObject, revision: number): JsonObject {
  return { ...object, metadata: { ...metadataOf(object), resourceVersion: String(revision) } };
}
