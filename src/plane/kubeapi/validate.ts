import { equal, get, isArray, isObject, scalarText, stableJson, type Json, type JsonObject } from './json.ts';
import type { Issue } from './issues.ts';

const DATE_TIME = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d([.,]\d+)?([Zz]|[+-]\d\d:?\d\d)$/;
const patterns = new Map<string, RegExp>();

/** What is wrong with a value by its structural schema, in the words of kube-openapi's validation. `path` is '' at the root. */
export function validateSchema(schema: JsonObject, value: Json, path: string): Issue[] {
  const issues: Issue[] = [];
  check(schema, value, path, issues);
  return issues;
}

/** Of `status` alone: fields are named from the object's root, messages from status, as Kubernetes does it. */
export function validateStatus(schema: JsonObject, value: Json): Issue[] {
  return validateSchema(schema, value, '').map((issue) => ({
    ...issue,
    field: issue.field === '' ? 'status' : `status.${issue.field}`,
  }));
}

function child(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function check(schema: JsonObject, value: Json, path: string, issues: Issue[]): void {
  if (value === null && schema['nullable'] === true) return;
  const type = schema['type'];
  if (typeof type === 'string' && !isOfType(type, value)) {
    const found = typeName(value);
    issues.push({
      type: 'FieldValueTypeInvalid',
      field: path,
      value: found,
      detail: `${path} in body must be of type ${type}: ${JSON.stringify(found)}`,
    });
    checkEnum(schema, value, path, issues);
    return;
  }
  if (typeof value === 'string') checkString(schema, value, path, issues);
  else if (typeof value === 'number') checkNumber(schema, value, path, issues);
  else if (isArray(value)) checkList(schema, value, path, issues);
  else if (isObject(value)) checkObject(schema, value, path, issues);
  checkEnum(schema, value, path, issues);
}

function checkEnum(schema: JsonObject, value: Json, path: string, issues: Issue[]): void {
  const allowed = schema['enum'];
  if (!isArray(allowed) || allowed.some((one) => equal(one, value))) return;
  const names = allowed.map((one) => JSON.stringify(typeof one === 'string' ? one : stableJson(one)));
  issues.push({ type: 'FieldValueNotSupported', field: path, value, detail: `supported values: ${names.join(', ')}` });
}

function checkString(schema: JsonObject, value: string, path: string, issues: Issue[]): void {
  const invalid = (detail: string): void => void issues.push({ type: 'FieldValueInvalid', field: path, value, detail });
  // Code points, as Go counts runes.
  const length = Array.from(value).length;
  const { maxLength, minLength, pattern, format } = schema;
  if (typeof maxLength === 'number' && length > maxLength) {
    issues.push({
      type: 'FieldValueTooLong',
      field: path,
      detail: `may not be more than ${maxLength} ${maxLength === 1 ? 'byte' : 'bytes'}`,
    });
  }
  if (typeof minLength === 'number' && length < minLength) {
    invalid(`${path} in body should be at least ${minLength} chars long`);
  }
  if (typeof pattern === 'string') {
    let expression = patterns.get(pattern);
    if (expression === undefined) {
      expression = new RegExp(pattern, 'u');
      patterns.set(pattern, expression);
    }
    if (!expression.test(value)) invalid(`${path} in body should match '${pattern}'`);
  }
  if (format === 'date-time' && (!DATE_TIME.test(value) || Number.isNaN(Date.parse(value.replace(/[T ]/i, 'T'))))) {
    invalid(`${path} in body must be of type date-time: ${JSON.stringify(value)}`);
  }
}

function checkNumber(schema: JsonObject, value: number, path: string, issues: Issue[]): void {
  const invalid = (detail: string): void => void issues.push({ type: 'FieldValueInvalid', field: path, value, detail });
  const { maximum, minimum } = schema;
  if (typeof maximum === 'number' && value > maximum) invalid(`${path} in body should be less than or equal to ${maximum}`);
  if (typeof minimum === 'number' && value < minimum) invalid(`${path} in body should be greater than or equal to ${minimum}`);
}

function checkList(schema: JsonObject, value: readonly Json[], path: string, issues: Issue[]): void {
  const { maxItems, minItems, items } = schema;
  if (typeof maxItems === 'number' && value.length > maxItems) {
    issues.push({
      type: 'FieldValueTooMany',
      field: path,
      value: value.length,
      detail: `must have at most ${maxItems} ${maxItems === 1 ? 'item' : 'items'}`,
    });
  }
  if (typeof minItems === 'number' && value.length < minItems) {
    issues.push({
      type: 'FieldValueInvalid',
      field: path,
      value: value.length,
      detail: `${path} in body should have at least ${minItems} items`,
    });
  }
  if (isObject(items)) for (const [index, item] of value.entries()) check(items, item, `${path}[${index}]`, issues);
}

function checkObject(schema: JsonObject, value: JsonObject, path: string, issues: Issue[]): void {
  const required = schema['required'];
  for (const name of isArray(required) ? required : []) {
    if (typeof name === 'string' && get(value, name) === undefined) {
      issues.push({ type: 'FieldValueRequired', field: child(path, name), value: '', detail: '' });
    }
  }
  const properties = get(schema, 'properties');
  const additional = get(schema, 'additionalProperties');
  for (const [key, item] of Object.entries(value)) {
    const property = get(properties, key) ?? additional;
    if (isObject(property) && item !== undefined) check(property, item, child(path, key), issues);
  }
}

function isOfType(type: string, value: Json): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return isArray(value);
    case 'integer':
      return typeof value === 'number' && Number.isInteger(value);
    case 'number':
      return typeof value === 'number';
    default:
      return typeof value === type;
  }
}

function typeName(value: Json): string {
  if (value === null) return 'null';
  if (isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

/** Items of `x-kubernetes-list-type: map|set` must differ. */
export function validateListTypes(schema: JsonObject, value: Json, path: string): Issue[] {
  const issues: Issue[] = [];
  checkListTypes(schema, value, path, issues);
  return issues;
}

function checkListTypes(schema: JsonObject, value: Json, path: string, issues: Issue[]): void {
  if (isArray(value)) {
    const listType = schema['x-kubernetes-list-type'];
    const keys = schema['x-kubernetes-list-map-keys'];
    const seen = new Map<string, number>();
    for (const [index, item] of value.entries()) {
      const key: Json =
        listType === 'map' && isArray(keys)
          ? Object.fromEntries(
              keys.flatMap((name): [string, Json][] => {
                const found = typeof name === 'string' ? get(item, name) : undefined;
                return found === undefined ? [] : [[scalarText(name), found]];
              }),
            )
          : item;
      const text = stableJson(key);
      const times = (seen.get(text) ?? 0) + 1;
      seen.set(text, times);
      if ((listType === 'map' || listType === 'set') && times === 2) {
        issues.push({ type: 'FieldValueDuplicate', field: `${path}[${index}]`, value: key, detail: '' });
      }
      const items = get(schema, 'items');
      if (isObject(items)) checkListTypes(items, item, `${path}[${index}]`, issues);
    }
    return;
  }
  if (!isObject(value)) return;
  const properties = get(schema, 'properties');
  const additional = get(schema, 'additionalProperties');
  for (const [key, item] of Object.entries(value)) {
    const property = get(properties, key) ?? additional;
    if (isObject(property) && item !== undefined) checkListTypes(property, item, child(path, key), issues);
  }
}
