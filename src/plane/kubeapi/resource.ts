import type { Key, Kind, PlaneObject } from '#api';
import { fieldTypeOf, objectType, type MapType } from './fields/schema.ts';
import { FieldSet } from './fields/field-set.ts';
import type { FieldScope } from './fields/apply.ts';
import { getIn, isObject, type JsonObject } from './json.ts';
import { labelFaults, subdomainFaults } from './metadata.ts';
import { structuralSchema } from './structural.ts';
import type { Named } from './status-error.ts';
import { kindColumns, type TableColumn } from './table.ts';

/** A resource as the API serves it: a kind of ours, or another shape of one (Namespace of Project, core Event of Event). */
export interface Resource extends Named {
  readonly group: string;
  readonly version: string;
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly hasStatus: boolean;
  /** What the store keeps it as. */
  readonly storeKind: Kind;
  /** Structural schema of the whole object. */
  readonly schema: JsonObject;
  readonly columns: readonly TableColumn[];
  /** Field selectors: label to the store's path; undefined: not indexed, tested on the object. */
  readonly selectable: ReadonlyMap<string, string | undefined>;
  readonly scope: FieldScope;
  readonly statusScope: FieldScope;
  readonly nameFaults: (name: string) => readonly string[];
  /** Patch content types it takes. */
  readonly patchTypes: readonly string[];
  /** Present where the stored object has another shape. */
  readonly view?: View;
}

export interface View {
  toApi(stored: JsonObject): JsonObject;
  /** The stored object that a write of the API object means. */
  toStored?(object: JsonObject, before: JsonObject | undefined): JsonObject;
}

export const JSON_PATCH = 'application/json-patch+json';
export const MERGE_PATCH = 'application/merge-patch+json';
export const STRATEGIC_PATCH = 'application/strategic-merge-patch+json';
export const APPLY_PATCH = 'application/apply-patch+yaml';

/** In the order in which a real API server lists them. */
const ALL_VERBS = ['delete', 'deletecollection', 'get', 'list', 'patch', 'create', 'update', 'watch'];

/** A served kind as a resource of `fairlead.dev`. */
export function resourceOfKind(kind: Kind): Resource {
  const schema = structuralSchema(kind);
  const [group = '', version = ''] = kind.apiVersion.split('/');
  const properties = schema['properties'];
  const type: MapType = objectType({
    spec: fieldTypeOf((getIn(properties, 'spec') ?? {}) as JsonObject),
    status: fieldTypeOf((getIn(properties, 'status') ?? {}) as JsonObject),
  });
  return {
    group,
    version,
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    plural: kind.plural,
    singular: kind.kind.toLowerCase(),
    shortNames: kind.shortNames,
    categories: kind.categories,
    namespaced: kind.scope === 'Namespaced',
    // Labels and annotations of what controllers own may be written.
    verbs: kind.access === 'read' ? ['get', 'list', 'patch', 'update', 'watch'] : ALL_VERBS,
    hasStatus: true,
    storeKind: kind,
    schema,
    columns: kindColumns(kind),
    selectable: new Map([
      ['metadata.name', 'metadata.name'],
      ['metadata.namespace', 'metadata.namespace'],
      ...kind.selectable.map((path): [string, string] => [path, path]),
    ]),
    scope: { type, apiVersion: kind.apiVersion, subresource: '', ignored: FieldSet.of(['status']) },
    statusScope: { type, apiVersion: kind.apiVersion, subresource: 'status', ignored: FieldSet.of(['metadata'], ['spec']) },
    nameFaults: kind.kind === 'Project' ? labelFaults : subdomainFaults,
    patchTypes: [JSON_PATCH, MERGE_PATCH, APPLY_PATCH],
  };
}

/** The API's shape of a stored object. */
export function toApi(resource: Resource, stored: JsonObject): JsonObject {
  return resource.view === undefined ? stored : resource.view.toApi(stored);
}

/** The API's shape of stored JSON text, as text. */
export function apiText(resource: Resource, stored: string): string {
  return resource.view === undefined ? stored : JSON.stringify(resource.view.toApi(parseStored(stored)));
}

/** Stored text is an object of ours. */
export function parseStored(text: string): JsonObject {
  const value: unknown = JSON.parse(text);
  return isObject(value) ? value : {};
}

export function keyOfRequest(resource: Pick<Resource, 'namespaced'>, namespace: string, name: string): Key {
  return { namespace: resource.namespaced ? namespace : '', name };
}

/** Stored objects are JSON, and JSON of ours is stored objects; the types name two halves of one truth. */
export function asStored(object: JsonObject): PlaneObject {
  return object as unknown as PlaneObject;
}

export function asJson(object: PlaneObject): JsonObject {
  return object as unknown as JsonObject;
}
