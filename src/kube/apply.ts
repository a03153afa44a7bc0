import { FairleadError } from '#base';
import type { Impersonation, KubeClient, KubeResponse } from './client.ts';
import { resourcePath, type ResourceMapping } from './discovery.ts';
import { hasStatus } from './errors.ts';
import { deepEqual, describeId, getIn, textOf, type KubeMeta, type KubeObject, type ObjectId } from './objects.ts';
import { parseJson } from './json.ts';
import { removePointer } from './pointers.ts';

/** What an apply did. With `dryRun` what it would have done. */
export type ApplyResult = 'created' | 'configured' | 'unchanged';

export interface CallOptions {
  readonly impersonate?: Impersonation;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

export interface ApplyOptions extends CallOptions {
  readonly fieldManager: string;
  /** Take fields from other managers instead of failing with `FL_KUBE_FIELD_CONFLICT`. */
  readonly force: boolean;
  readonly dryRun?: boolean;
  /**
   * The metadata known of the object before (at least its resourceVersion), or null for absent. Without it the object's
   * metadata is read first, because an answer alone does not tell `configured` from `unchanged`.
   */
  readonly previous?: KnownMetadata | null;
  /** Let the answer be `PartialObjectMetadata`: cheaper where only the result counts. Not with `dryRun`. */
  readonly metadataOnly?: boolean;
}

/** Without more than the resourceVersion, a status written in between makes an unchanged object count as configured. */
export type KnownMetadata = Pick<
  KubeMeta,
  'resourceVersion' | 'generation' | 'labels' | 'annotations' | 'finalizers' | 'ownerReferences'
>;

export interface Applied {
  readonly result: ApplyResult;
  /** The object after the call, as the API server answered it. */
  readonly live: KubeObject;
}

const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';

/**
 * Server-side apply of exactly these bytes (JSON). Rejects with `KubeStatusError`: 409 `FL_KUBE_FIELD_CONFLICT` names the
 * managers (`fieldConflicts`), 422 `FL_KUBE_IMMUTABLE` means the object would have to be replaced.
 */
export async function applyObject(
  client: KubeClient,
  mapping: ResourceMapping,
  id: ObjectId,
  body: Uint8Array,
  options: ApplyOptions,
): Promise<Applied> {
  const path = pathOf(mapping, id);
  const isDryRun = options.dryRun === true;
  // A dry run leaves the resourceVersion alone: only the whole object tells whether it would change.
  const known = isDryRun ? undefined : options.previous;
  const before = known === undefined ? await readObject(client, mapping, id, options, !isDryRun) : null;
  const response = await client.request({
    method: 'PATCH',
    path,
    query: { fieldManager: options.fieldManager, force: options.force, ...(isDryRun ? { dryRun: 'All' } : {}) },
    body,
    contentType: 'application/apply-patch+yaml',
    accept: options.metadataOnly === true && !isDryRun ? METADATA : 'application/json',
    ...callOf(options),
  });
  const live = objectIn(response);
  return { result: resultOf(response, before, known, live, isDryRun), live };
}

function resultOf(
  response: KubeResponse,
  before: KubeObject | null,
  known: KnownMetadata | null | undefined,
  live: KubeObject,
  isDryRun: boolean,
): ApplyResult {
  const was = known ?? before?.metadata;
  if (response.status === 201 || was === undefined) return 'created';
  if (isDryRun) return deepEqual(withoutTimes(before), withoutTimes(live)) ? 'unchanged' : 'configured';
  if (was.resourceVersion === live.metadata.resourceVersion) return 'unchanged';
  // Someone else may have written status in between; the generation does not count that.
  const is = live.metadata;
  const isSameSpec = was.generation !== undefined && was.generation === is.generation;
  const fields = ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const;
  return isSameSpec && fields.every((field) => deepEqual(was[field], is[field])) ? 'unchanged' : 'configured';
}

/** managedFields carry the time of the dry run itself. */
function withoutTimes(object: unknown): unknown {
  return ['/metadata/managedFields', '/metadata/resourceVersion', '/metadata/generation'].reduce(removePointer, object);
}

/** The object, or null when there is none. */
export async function getObject(
  client: KubeClient,
  mapping: ResourceMapping,
  id: ObjectId,
  options: CallOptions = {},
): Promise<KubeObject | null> {
  return readObject(client, mapping, id, options, false);
}

async function readObject(
  client: KubeClient,
  mapping: ResourceMapping,
  id: ObjectId,
  options: CallOptions,
  metadataOnly: boolean,
): Promise<KubeObject | null> {
  try {
    const response = await client.request({
      method: 'GET',
      path: pathOf(mapping, id),
      accept: metadataOnly ? METADATA : 'application/json',
      ...callOf(options),
    });
    return objectIn(response);
  } catch (error) {
    if (hasStatus(error, 404)) return null;
    throw error;
  }
}

export interface DeleteOptions extends CallOptions {
  /** Only this very object, never a successor of the same name: without its uid nothing is deleted. */
  readonly uid: string;
  /** Only if it has not changed since. */
  readonly resourceVersion?: string;
  /** Default `Background`. */
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly dryRun?: boolean;
}

/**
 * `deleted`: gone. `deleting`: finalizers or a grace period keep it for now. `absent`: it was not there, or is another
 * object of the same name (`successor`), which stays. A changed resourceVersion rejects with `FL_KUBE_CONFLICT`.
 */
export type DeleteResult = 'deleted' | 'deleting' | 'absent' | 'successor';

export async function deleteObject(
  client: KubeClient,
  mapping: ResourceMapping,
  id: ObjectId,
  options: DeleteOptions,
): Promise<DeleteResult> {
  if (options.uid === '') {
    throw new FairleadError('FL_KUBE_UID', `${describeId(id)} is not deleted: its uid is not known`, { kind: 'invalid' });
  }
  try {
    const response = await client.request({
      method: 'DELETE',
      path: pathOf(mapping, id),
      body: JSON.stringify({
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        preconditions: {
          uid: options.uid,
          ...(options.resourceVersion === undefined ? {} : { resourceVersion: options.resourceVersion }),
        },
        propagationPolicy: options.propagationPolicy ?? 'Background',
        ...(options.dryRun === true ? { dryRun: ['All'] } : {}),
      }),
      ...callOf(options),
    });
    const answer = parseJson(response.body, 'the answer to a deletion');
    return textOf(getIn(answer, 'metadata', 'deletionTimestamp')) === undefined ? 'deleted' : 'deleting';
  } catch (error) {
    if (hasStatus(error, 404)) return 'absent';
    if (hasStatus(error, 409) && /UID in (the )?precondition/.test(error instanceof Error ? error.message : ''))
      return 'successor';
    throw error;
  }
}

/** One operation of RFC 6902. */
export type JsonPatchOperation =
  | { readonly op: 'add' | 'replace' | 'test'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

export interface PatchOptions extends CallOptions {
  readonly fieldManager: string;
  readonly subresource?: string;
  readonly dryRun?: boolean;
}

/** JSON patch (RFC 6902). */
export function jsonPatch(
  client: KubeClient,
  mapping: ResourceMapping,
  id: ObjectId,
  operations: readonly JsonPatchOperation[],
  options: PatchOptions,
): Promise<KubeObject> {
  return patch(client, mapping, id, operations, 'application/json-patch+json', options);
}

/** JSON merge patch (RFC 7386): null removes a field, lists are replaced whole. */
export function mergePatch(
  client: KubeClient,
  mapping: ResourceMapping,
  id: ObjectId,
  change: Readonly<Record<string, unknown>>,
  options: PatchOptions,
): Promise<KubeObject> {
  return patch(client, mapping, id, change, 'application/merge-patch+json', options);
}

async function patch(
  client: KubeClient,
  mapping: ResourceMapping,
  id: ObjectId,
  body: unknown,
  contentType: string,
  options: PatchOptions,
): Promise<KubeObject> {
  const response = await client.request({
    method: 'PATCH',
    path: resourcePath(mapping, id.namespace, id.name, options.subresource),
    query: { fieldManager: options.fieldManager, ...(options.dryRun === true ? { dryRun: 'All' } : {}) },
    body: JSON.stringify(body),
    contentType,
    ...callOf(options),
  });
  return objectIn(response);
}

function pathOf(mapping: ResourceMapping, id: ObjectId): string {
  if (mapping.group !== id.group || mapping.kind !== id.kind) {
    throw new FairleadError('FL_INTERNAL_MAPPING', `the mapping of ${mapping.kind} was used for ${describeId(id)}`, {
      kind: 'internal',
    });
  }
  return resourcePath(mapping, id.namespace, id.name);
}

function callOf(options: CallOptions): CallOptions {
  return {
    ...(options.impersonate === undefined ? {} : { impersonate: options.impersonate }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
  };
}

/** An answer of the API server that holds one object; its shape is the server's word. */
function objectIn(response: KubeResponse): KubeObject {
  return parseJson(response.body, 'the answer of the API server') as KubeObject;
}
