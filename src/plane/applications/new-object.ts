import { rfc3339, type NewId } from '#base';
import type { Kind, ObjectMeta, PlaneObject } from '#api';

/** A fresh object of a kind. */
export function newObject<S, T>(
  kind: Kind<S, T>,
  key: { readonly namespace: string; readonly name: string },
  spec: S,
  made: { readonly nowMs: number; readonly newId: NewId },
): PlaneObject<S, T> {
  const metadata: ObjectMeta = {
    name: key.name,
    ...(key.namespace === '' ? {} : { namespace: key.namespace }),
    uid: made.newId(),
    generation: 1,
    creationTimestamp: rfc3339(made.nowMs),
  };
  return { apiVersion: kind.apiVersion, kind: kind.kind, metadata, spec };
}

/** The same object with another spec; its status stays, and no longer is about the newest generation. */
export function withSpec<S, T>(object: PlaneObject<S, T>, spec: S): PlaneObject<S, T> {
  return { ...object, metadata: { ...object.metadata, generation: object.metadata.generation + 1 }, spec };
}

/** An expectation that the object is as it was read. */
export function asRead<S, T>(
  kind: Kind<S, T>,
  object: PlaneObject<S, T>,
): { kind: Kind<S, T>; key: { namespace: string; name: string }; revision: number } {
  const { namespace = '', name, resourceVersion } = object.metadata;
  return { kind, key: { namespace, name }, revision: Number(resourceVersion) };
}
