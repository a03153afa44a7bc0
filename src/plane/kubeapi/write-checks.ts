/** Whether a write names the object that its URL names, and the version and uid that are there. */
import { getIn, textOf, type JsonObject } from './json.ts';
import { nameIn, type Subject } from './prepare.ts';
import type { Resource } from './resource.ts';
import { failure } from './status-error.ts';
import { metadataOf } from './metadata.ts';

export interface DeleteOptions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export function checkNamed({ resource, namespace, name }: Subject, object: JsonObject): void {
  checkNamespace(resource, namespace, metadataOf(object));
  const named = nameIn(object);
  if (named === name) return;
  throw named === ''
    ? failure.badRequest('the name of the object (based on metadata.name) was undeterminable: name must be provided')
    : wrongName(named, name);
}

export function wrongName(named: string, name: string): Error {
  return failure.badRequest(`the name of the object (${named}) does not match the name on the URL (${name})`);
}

export function checkNamespace(resource: Resource, namespace: string, metadata: JsonObject): void {
  const sent = textOf(metadata['namespace']) ?? '';
  if (resource.namespaced ? sent !== '' && sent !== namespace : sent !== '') {
    throw failure.badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
}

export function checkVersion({ resource, name }: Subject, before: JsonObject, next: JsonObject): void {
  const version = textOf(getIn(next, 'metadata', 'resourceVersion'));
  if (version !== undefined && version !== getIn(before, 'metadata', 'resourceVersion')) throw failure.modified(resource, name);
}

export function checkDelete({ resource, name }: Subject, before: JsonObject, preconditions: DeleteOptions): void {
  const uid = textOf(getIn(before, 'metadata', 'uid')) ?? '';
  const version = textOf(getIn(before, 'metadata', 'resourceVersion')) ?? '';
  if (preconditions.uid !== undefined && preconditions.uid !== uid) {
    const why = `the UID in the precondition (${preconditions.uid}) does not match the UID in record (${uid}). The object might have been deleted and then recreated`;
    throw failure.conflict(resource, name, why);
  }
  if (preconditions.resourceVersion !== undefined && preconditions.resourceVersion !== version) {
    const why = `the ResourceVersion in the precondition (${preconditions.resourceVersion}) does not match the ResourceVersion in record (${version}). The object might have been modified`;
    throw failure.conflict(resource, name, why);
  }
}
