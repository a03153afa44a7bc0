import type { Kind } from '#api';
import { get, isArray, isObject, type Json, type JsonObject } from './json.ts';

/**
 * The schema of a whole object of this kind as a Kubernetes structural schema (OpenAPI v3): what the CRD says, what
 * `/openapi/v3` serves and what pruning, defaulting, validation and server-side apply walk.
 */
export function structuralSchema(kind: Kind): JsonObject {
  const spec = toStructural(plain(kind.specSchema));
  const status = toStructural(plain(kind.statusSchema));
  const isSpecFree = !isArray(spec['required']) || spec['required'].length === 0;
  return {
    type: 'object',
    description: kind.description,
    ...(isSpecFree ? {} : { required: ['spec'] }),
    properties: {
      apiVersion: { type: 'string', description: API_VERSION_DESCRIPTION },
      kind: { type: 'string', description: KIND_DESCRIPTION },
      metadata: { type: 'object' },
      spec: { ...spec, description: get(spec, 'description') ?? 'What is wanted.', ...(isSpecFree ? { default: {} } : {}) },
      status: { ...status, description: get(status, 'description') ?? 'What was found.' },
    },
  };
}

/** Kubernetes' own words: kubectl explain of every kind begins with them. */
export const API_VERSION_DESCRIPTION =
  'APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources';
export const KIND_DESCRIPTION =
  'Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds';

/** TypeBox schemas are JSON Schema with symbols and prototypes; this is the JSON of it. */
function plain(schema: object): JsonObject {
  return JSON.parse(JSON.stringify(schema)) as JsonObject;
}

/** Says in structural terms what TypeBox says in JSON Schema: enum for const, additionalProperties for patternProperties. */
export function toStructural(schema: JsonObject): JsonObject {
  const out: Record<string, Json> = {};
  const preserves = schema['x-kubernetes-preserve-unknown-fields'] === true;
  for (const [key, value] of Object.entries(schema)) {
    if (value === undefined) continue;
    switch (key) {
      case 'const':
        out['enum'] = [value];
        break;
      case 'patternProperties': {
        const [element] = isObject(value) ? Object.values(value) : [];
        if (!preserves && isObject(element)) {
          out['additionalProperties'] =
            Object.keys(element).length === 0 ? { 'x-kubernetes-preserve-unknown-fields': true } : toStructural(element);
        }
        break;
      }
      case 'additionalProperties':
        if (isObject(value) && !preserves) out[key] = toStructural(value);
        break;
      case 'properties':
        out[key] = Object.fromEntries(
          Object.entries(isObject(value) ? value : {}).map(([name, child]) => [name, toStructural(isObject(child) ? child : {})]),
        );
        break;
      case 'items':
        out[key] = toStructural(isObject(value) ? value : {});
        break;
      default:
        out[key] = value;
    }
  }
  if (out['type'] === undefined && isArray(out['enum'])) {
    const [first] = out['enum'];
    out['type'] = typeof first === 'number' ? 'number' : typeof first === 'boolean' ? 'boolean' : 'string';
  }
  if (out['type'] === undefined && out['properties'] === undefined) out['x-kubernetes-preserve-unknown-fields'] = true;
  return out;
}

function propertiesOf(schema: JsonObject | undefined): JsonObject {
  const properties = get(schema, 'properties');
  return isObject(properties) ? properties : {};
}

/** The schema of the value under this key; undefined where the schema knows none. */
function below(schema: JsonObject, key: string): JsonObject | undefined {
  const property = get(propertiesOf(schema), key);
  if (isObject(property)) return property;
  const additional = get(schema, 'additionalProperties');
  return isObject(additional) ? additional : undefined;
}

const TYPE_META = new Set(['apiVersion', 'kind', 'metadata']);

/** The object without fields its schema does not have; their paths are added to `unknown`. */
export function pruneUnknown(schema: JsonObject, object: JsonObject, unknown: string[]): JsonObject {
  const kept: [string, Json][] = [];
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined) continue;
    if (TYPE_META.has(key)) kept.push([key, value]);
    else {
      const child = below(schema, key);
      if (child === undefined) unknown.push(key);
      else kept.push([key, pruneValue(child, value, key, unknown)]);
    }
  }
  unknown.sort();
  return Object.fromEntries(kept);
}

function pruneValue(schema: JsonObject | undefined, value: Json, path: string, unknown: string[]): Json {
  const preserves = schema?.['x-kubernetes-preserve-unknown-fields'] === true;
  if (isArray(value)) {
    const items = get(schema, 'items');
    if (preserves && !isObject(items)) return value;
    return value.map((item, index) => pruneValue(isObject(items) ? items : undefined, item, `${path}[${index}]`, unknown));
  }
  if (!isObject(value)) return value;
  const kept: [string, Json][] = [];
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined) continue;
    const child = schema === undefined ? undefined : below(schema, key);
    if (child !== undefined) kept.push([key, pruneValue(child, item, `${path}.${key}`, unknown)]);
    else if (preserves) kept.push([key, item]);
    else unknown.push(`${path}.${key}`);
  }
  return Object.fromEntries(kept);
}

/** Nulls that are not allowed and have no default are as if they were not written; defaults are filled in. */
export function applyDefaults(schema: JsonObject, value: Json): Json {
  if (isArray(value)) {
    const items = get(schema, 'items');
    if (!isObject(items)) return value;
    return value.map((item) => {
      const fallback = get(items, 'default');
      return applyDefaults(items, item === null && fallback !== undefined ? fallback : item);
    });
  }
  if (!isObject(value)) return value;
  const out: Record<string, Json> = {};
  for (const [key, item] of Object.entries(value)) {
    if (item === undefined) continue;
    const child = below(schema, key);
    if (
      item === null &&
      child !== undefined &&
      child['nullable'] !== true &&
      child['x-kubernetes-preserve-unknown-fields'] !== true
    )
      continue;
    Object.defineProperty(out, key, { value: item, enumerable: true, configurable: true, writable: true });
  }
  for (const [key, child] of Object.entries(propertiesOf(schema))) {
    const fallback = get(child, 'default');
    if (fallback !== undefined && !Object.hasOwn(out, key)) out[key] = fallback;
  }
  for (const key of Object.keys(out)) {
    const child = below(schema, key);
    const item = out[key];
    if (child !== undefined && item !== undefined) out[key] = applyDefaults(child, item);
  }
  return out;
}
