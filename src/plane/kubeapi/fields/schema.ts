import type { Json, JsonObject } from '../json.ts';

/**
 * How server-side apply sees a type: what is merged field by field and what is one value. Made from the structural schema
 * by the rules of kube-openapi's schemaconv.
 */
export type FieldType = ScalarType | MapType | ListType | UntypedType;

export interface ScalarType {
  readonly kind: 'scalar';
  readonly scalar: 'string' | 'numeric' | 'boolean';
}

export interface MapType {
  readonly kind: 'map';
  readonly fields: ReadonlyMap<string, FieldType>;
  /** Of keys that are not named fields; undefined: there are none. */
  readonly element: FieldType | undefined;
  readonly atomic: boolean;
}

export interface ListType {
  readonly kind: 'list';
  readonly element: FieldType;
  readonly relationship: 'atomic' | 'set' | 'map';
  readonly keys: readonly string[];
  /** Defaults of key fields: an item that leaves one out is the item with the default. */
  readonly keyDefaults: JsonObject;
}

/** Anything: maps field by field, lists as one value, told apart by the value. */
export interface UntypedType {
  readonly kind: 'untyped';
}

export const UNTYPED: UntypedType = { kind: 'untyped' };

const untypedMap: MapType = { kind: 'map', fields: new Map(), element: UNTYPED, atomic: false };
const untypedList: ListType = { kind: 'list', element: UNTYPED, relationship: 'atomic', keys: [], keyDefaults: {} };
const untypedScalar: ScalarType = { kind: 'scalar', scalar: 'string' };

/** What a type is for this value. Undefined and null fit every type. */
export function resolve(type: FieldType, value: Json | undefined): ScalarType | MapType | ListType {
  if (type.kind !== 'untyped') return type;
  if (value === undefined || value === null) return untypedMap;
  if (Array.isArray(value)) return untypedList;
  return typeof value === 'object' ? untypedMap : untypedScalar;
}

export function fieldOf(type: MapType, key: string): FieldType | undefined {
  return type.fields.get(key) ?? type.element;
}

const STRING: ScalarType = { kind: 'scalar', scalar: 'string' };
const NUMBER: ScalarType = { kind: 'scalar', scalar: 'numeric' };
const BOOLEAN: ScalarType = { kind: 'scalar', scalar: 'boolean' };

const struct = (fields: Readonly<Record<string, FieldType>>): MapType => ({
  kind: 'map',
  fields: new Map(Object.entries(fields)),
  element: undefined,
  atomic: false,
});
const mapOf = (element: FieldType): MapType => ({ kind: 'map', fields: new Map(), element, atomic: false });

/** `metav1.ObjectMeta`, as its Go tags say it. */
export const OBJECT_META: MapType = struct({
  annotations: mapOf(STRING),
  creationTimestamp: STRING,
  deletionGracePeriodSeconds: NUMBER,
  deletionTimestamp: STRING,
  finalizers: { kind: 'list', element: STRING, relationship: 'set', keys: [], keyDefaults: {} },
  generateName: STRING,
  generation: NUMBER,
  labels: mapOf(STRING),
  managedFields: { kind: 'list', element: UNTYPED, relationship: 'atomic', keys: [], keyDefaults: {} },
  name: STRING,
  namespace: STRING,
  ownerReferences: {
    kind: 'list',
    relationship: 'map',
    keys: ['uid'],
    keyDefaults: {},
    element: {
      ...struct({
        apiVersion: STRING,
        blockOwnerDeletion: BOOLEAN,
        controller: BOOLEAN,
        kind: STRING,
        name: STRING,
        uid: STRING,
      }),
      atomic: true,
    },
  },
  resourceVersion: STRING,
  selfLink: STRING,
  uid: STRING,
});

/** Type of a whole object: TypeMeta, ObjectMeta and the kind's own fields. */
export function objectType(fields: Readonly<Record<string, FieldType>>): MapType {
  return struct({ apiVersion: STRING, kind: STRING, metadata: OBJECT_META, ...fields });
}

/** From a structural schema (OpenAPI v3 with Kubernetes extensions). */
export function fieldTypeOf(schema: JsonObject, preservesUnknown = false): FieldType {
  const preserves = preservesUnknown || schema['x-kubernetes-preserve-unknown-fields'] === true;
  switch (schema['type']) {
    case 'object':
      return objectTypeOf(schema, preserves);
    case 'array': {
      const listType = schema['x-kubernetes-list-type'];
      const relationship = listType === 'map' || listType === 'set' ? listType : 'atomic';
      // Written by the kinds as a list of names.
      const keys = relationship === 'map' ? ((schema['x-kubernetes-list-map-keys'] ?? []) as readonly string[]) : [];
      const items = (schema['items'] ?? {}) as JsonObject;
      const properties = (items['properties'] ?? {}) as JsonObject;
      const keyDefaults = Object.fromEntries(
        keys.flatMap((key): [string, Json][] => {
          const value = ((properties[key] ?? {}) as JsonObject)['default'];
          return value === undefined ? [] : [[key, value]];
        }),
      );
      return { kind: 'list', element: fieldTypeOf(items, preserves), relationship, keys, keyDefaults };
    }
    case 'string':
      return STRING;
    case 'integer':
    case 'number':
      return NUMBER;
    case 'boolean':
      return BOOLEAN;
    default:
      return UNTYPED;
  }
}

function objectTypeOf(schema: JsonObject, preserves: boolean): MapType {
  const properties = (schema['properties'] ?? {}) as JsonObject;
  const additional = schema['additionalProperties'];
  const names = Object.keys(properties);
  const element =
    typeof additional === 'object' && additional !== null && !Array.isArray(additional)
      ? fieldTypeOf(additional as JsonObject, preserves)
      : preserves || names.length === 0 || additional === true
        ? UNTYPED
        : undefined;
  return {
    kind: 'map',
    fields: new Map(names.map((name) => [name, fieldTypeOf(properties[name] as JsonObject, preserves)])),
    element,
    atomic: schema['x-kubernetes-map-type'] === 'atomic',
  };
}
