/**
 * Merge, compare, list and remove the fields of objects by their type: the algorithms of structured-merge-diff v6
 * (typed/merge.go, compare.go, tofieldset.go, remove.go), whose results this reproduces field for field.
 */
import { equal, get, isArray, isObject, type Json, type JsonArray, type JsonObject } from '../json.ts';
import { fieldElement, FieldSet, keyElement, valueElement, type FieldPath, type PathElement } from './field-set.ts';
import { fieldOf, resolve, type FieldType, type ListType, type MapType } from './schema.ts';

/** A value does not fit its type in a way that leaves no merge: `path` as printed, without the object's name. */
export class FieldTypeError extends Error {
  readonly path: string;
  readonly said: string;
  constructor(path: string, said: string) {
    super(path === '' ? said : `${path}: ${said}`);
    this.path = path;
    this.said = said;
  }
}

type Value = Json | undefined;

const asMap = (value: Value): JsonObject | undefined => (isObject(value) ? value : undefined);
const asList = (value: Value): JsonArray | undefined => (isArray(value) ? value : undefined);
const isEmptyMap = (map: JsonObject | undefined): boolean => map === undefined || Object.keys(map).length === 0;

function keysOf(...maps: readonly (JsonObject | undefined)[]): Set<string> {
  const keys = new Set<string>();
  for (const map of maps) for (const key of Object.keys(map ?? {})) if (map?.[key] !== undefined) keys.add(key);
  return keys;
}

/** Identity of an item of a keyed list or a set. */
export function itemElement(list: ListType, item: Json): PathElement {
  if (list.relationship === 'map') {
    if (!isObject(item)) {
      throw new FieldTypeError(
        '',
        item === null
          ? 'associative list with keys may not have a null element'
          : 'associative list with keys may not have non-map elements',
      );
    }
    const key: Record<string, Json> = {};
    for (const name of list.keys) {
      const value = get(item, name) ?? list.keyDefaults[name];
      if (value !== undefined) key[name] = value;
    }
    if (Object.keys(key).length === 0) {
      const names = list.keys.map((name) => JSON.stringify(name)).join(' ');
      throw new FieldTypeError(
        '',
        `associative list with keys has an element that omits all key fields [${names}] (and doesn't have default values for any key fields)`,
      );
    }
    return keyElement(key);
  }
  if (item === null) throw new FieldTypeError('', "associative list without keys has an element that's an explicit null");
  if (isObject(item)) throw new FieldTypeError('', "associative list without keys has an element that's a map type");
  if (isArray(item)) throw new FieldTypeError('', 'not supported: associative list with lists as elements');
  return valueElement(item);
}

/** Throws a FieldTypeError for the first value that does not fit, unknown fields included. `duplicates` allows them in lists. */
export function checkTypes(type: FieldType, value: Value, duplicates: boolean, path = ''): void {
  if (value === undefined || value === null) return;
  const at = resolve(type, value);
  if (at.kind === 'scalar') {
    const fits =
      type.kind === 'untyped' ||
      (at.scalar === 'string' && typeof value === 'string') ||
      (at.scalar === 'numeric' && typeof value === 'number') ||
      (at.scalar === 'boolean' && typeof value === 'boolean');
    if (!fits) {
      const wanted = at.scalar === 'numeric' ? 'numeric (int or float)' : at.scalar;
      throw new FieldTypeError(path, `expected ${wanted}, got ${printed(value)}`);
    }
  } else if (at.kind === 'list') {
    const list = asList(value);
    if (list === undefined) throw new FieldTypeError(path, `expected list, got ${printed(value)}`);
    const seen = new Set<string>();
    for (const [index, item] of list.entries()) {
      let step = `[${index}]`;
      if (at.relationship !== 'atomic') {
        const element = elementAt(at, item, index, path);
        if (seen.has(element.text) && !duplicates) {
          throw new FieldTypeError(path, `duplicate entries for key ${printElement(element)}`);
        }
        seen.add(element.text);
        step = printElement(element);
      }
      checkTypes(at.element, item, duplicates, path + step);
    }
  } else {
    const map = asMap(value);
    if (map === undefined) throw new FieldTypeError(path, `expected map, got ${printed(value)}`);
    for (const key of keysOf(map)) {
      const below = fieldOf(at, key);
      if (below === undefined) throw new FieldTypeError(`${path}.${key}`, 'field not declared in schema');
      checkTypes(below, map[key], duplicates, `${path}.${key}`);
    }
  }
}

function elementAt(list: ListType, item: Json, index: number, path: string): PathElement {
  try {
    return itemElement(list, item);
  } catch (error) {
    if (error instanceof FieldTypeError) throw new FieldTypeError(path, `element ${index}: ${error.said}`);
    throw error;
  }
}

function printElement(element: PathElement): string {
  if (element.key !== undefined) {
    return `[${Object.entries(element.key)
      .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
      .join(',')}]`;
  }
  return element.value === undefined ? `.${element.field ?? ''}` : `[=${JSON.stringify(element.value)}]`;
}

/** As the server prints a Go value in these messages. */
function printed(value: Json): string {
  if (typeof value === 'string') return `&value.valueUnstructured{Value:${JSON.stringify(value)}}`;
  return `&{${isObject(value) || isArray(value) ? JSON.stringify(value) : String(value)}}`;
}

/** The live object with the configuration laid over it. Items of keyed lists and sets follow the configuration's order. */
export function merge(type: FieldType, live: Value, config: Value): Value {
  if (live === undefined) return mergeAs(type, config, live, config);
  if (config === undefined) return mergeAs(type, live, live, config);
  // Both are there and differ in form (only possible where the type is free): the configuration's form wins.
  return mergeAs(type, config ?? live, live, config);
}

function mergeAs(type: FieldType, shape: Value, live: Value, config: Value): Value {
  const at = resolve(type, shape ?? live);
  const keep = config === undefined ? live : config;
  if (at.kind === 'scalar') return keep;
  if (at.kind === 'map') {
    const [left, right] = [asMap(live), asMap(config)];
    if (at.atomic || (isEmptyMap(left) && isEmptyMap(right))) return keep;
    return mergeMaps(at, left, right);
  }
  const [left, right] = [asList(live), asList(config)];
  if (at.relationship === 'atomic' || ((left?.length ?? 0) === 0 && (right?.length ?? 0) === 0)) return keep;
  return mergeLists(at, left ?? [], right ?? []);
}

function mergeMaps(type: MapType, live: JsonObject | undefined, config: JsonObject | undefined): Value {
  const out: [string, Json][] = [];
  for (const key of keysOf(live, config)) {
    const below = fieldOf(type, key);
    const [left, right] = [get(live, key), get(config, key)];
    const value = below === undefined ? (right ?? left) : merge(below, left, right);
    if (value !== undefined) out.push([key, value]);
  }
  return out.length === 0 ? undefined : Object.fromEntries(out);
}

function mergeLists(type: ListType, live: JsonArray, config: JsonArray): Value {
  const left = live.map((item, index) => ({ item, id: elementAt(type, item, index, '').text }));
  const right = config.map((item, index) => ({ item, id: elementAt(type, item, index, '').text }));
  const inLeft = new Map<string, Value>();
  // Duplicates among the live items are not merged with: null stands for them.
  for (const { item, id } of left) inLeft.set(id, inLeft.has(id) ? null : item);
  const inRight = new Map(right.map(({ item, id }) => [id, item]));
  const shared = right.filter(({ id }) => inLeft.has(id)).map(({ id }) => id);
  const merged = new Set<string>();
  const out: Json[] = [];
  const take = (before: Value, after: Value): void => {
    const value = merge(type.element, before, after);
    if (value !== undefined) out.push(value);
  };
  let next = shared.shift();
  let l = 0;
  let r = 0;
  while (l < left.length || r < right.length) {
    const a = left[l];
    const b = right[r];
    if (a !== undefined && b !== undefined) {
      if (a.id === b.id) {
        merged.add(a.id);
        take(inLeft.get(a.id), inRight.get(a.id));
        l += 1;
        r += 1;
        next = shared.shift();
        continue;
      }
      if (inRight.has(a.id) && next !== undefined && next !== a.id) {
        l += 1;
        continue;
      }
    }
    if (a !== undefined) {
      if (!inRight.has(a.id)) {
        take(a.item, undefined);
        l += 1;
        continue;
      }
      if (merged.has(a.id)) l += 1;
    }
    if (b !== undefined) {
      merged.add(b.id);
      take(inLeft.get(b.id), inRight.get(b.id));
      r += 1;
      if (next === b.id) next = shared.shift();
    }
  }
  return out.length === 0 ? undefined : out;
}

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

export function compare(type: FieldType, before: Value, after: Value): Comparison {
  const out: Comparison = { added: new FieldSet(), modified: new FieldSet(), removed: new FieldSet() };
  compareAt(type, before, after, [], out);
  return out;
}

function compareAt(type: FieldType, before: Value, after: Value, path: FieldPath, out: Comparison): void {
  if (before === undefined && after === undefined) return;
  if (before !== undefined && after !== undefined && resolve(type, before).kind !== resolve(type, after).kind) {
    compareAs(resolve(type, before), before, after, path, out);
    compareAs(resolve(type, after), before, after, path, out);
    return;
  }
  const inLeaf = compareAs(resolve(type, after ?? before), before, after, path, out);
  if (inLeaf) return;
  if (before === undefined) out.added.insert(path);
  else if (after === undefined) out.removed.insert(path);
}

/** True when the value counted as one leaf. */
function compareAs(
  at: Exclude<FieldType, { kind: 'untyped' }>,
  before: Value,
  after: Value,
  path: FieldPath,
  out: Comparison,
): boolean {
  const leaf = (): true => {
    if (before === undefined) out.added.insert(path);
    else if (after === undefined) out.removed.insert(path);
    else if (!equal(before, after)) out.modified.insert(path);
    return true;
  };
  if (at.kind === 'scalar') return leaf();
  if (at.kind === 'map') {
    const [left, right] = [asMap(before), asMap(after)];
    if (at.atomic || (isEmptyMap(left) && isEmptyMap(right))) return leaf();
    for (const key of keysOf(left, right)) {
      const below = fieldOf(at, key);
      if (below !== undefined) compareAt(below, get(left, key), get(right, key), [...path, fieldElement(key)], out);
    }
    return false;
  }
  const [left, right] = [asList(before) ?? [], asList(after) ?? []];
  if (at.relationship === 'atomic' || (left.length === 0 && right.length === 0)) return leaf();
  compareItems(at, left, right, path, out);
  return false;
}

function compareItems(type: ListType, before: JsonArray, after: JsonArray, path: FieldPath, out: Comparison): void {
  const items = new Map<string, { element: PathElement; left: Json[]; right: Json[] }>();
  for (const [side, list] of [
    ['left', before],
    ['right', after],
  ] as const) {
    for (const [index, item] of list.entries()) {
      const element = elementAt(type, item, index, '');
      const entry = items.get(element.text) ?? { element, left: [], right: [] };
      items.set(element.text, entry);
      entry[side].push(item);
    }
  }
  for (const { element, left, right } of items.values()) {
    const below = [...path, element];
    if (left.length <= 1 && right.length <= 1) compareAt(type.element, left[0], right[0], below, out);
    else if (left.length >= 2 && right.length >= 2) {
      if (!equal(left, right)) out.modified.insert(below);
    } else if (left.length >= 2) {
      if (right.length > 0) compareAt(type.element, undefined, right[0], below, out);
      out.removed.insert(below);
    } else {
      if (left.length > 0) compareAt(type.element, left[0], undefined, below, out);
      out.added.insert(below);
    }
  }
}

/** The fields an applied configuration names: leaves, items and free keys, empty maps; not named containers. */
export function fieldSetOf(type: FieldType, value: Value): FieldSet {
  const out = new FieldSet();
  if (value !== undefined) collect(type, value, [], out);
  return out;
}

function collect(type: FieldType, value: Json, path: FieldPath, out: FieldSet): void {
  const at = resolve(type, value);
  if (at.kind === 'scalar') {
    out.insert(path);
    return;
  }
  if (at.kind === 'map') {
    if (at.atomic) {
      out.insert(path);
      return;
    }
    const map = asMap(value);
    for (const key of keysOf(map)) {
      const child = get(map, key) ?? null;
      const below = [...path, fieldElement(key)];
      const childType = fieldOf(at, key);
      if (childType !== undefined) collect(childType, child, below, out);
      if (child === null || (isObject(child) && isEmptyMap(child)) || !at.fields.has(key)) out.insert(below);
    }
    return;
  }
  if (at.relationship === 'atomic') {
    out.insert(path);
    return;
  }
  const items = (asList(value) ?? []).map((item, index) => ({ item, element: elementAt(at, item, index, '') }));
  const counts = new Map<string, number>();
  for (const { element } of items) counts.set(element.text, (counts.get(element.text) ?? 0) + 1);
  for (const { item, element } of items) {
    const below = [...path, element];
    if ((counts.get(element.text) ?? 0) < 2) collect(at.element, item, below, out);
    out.insert(below);
  }
}

/** The value without those fields; what becomes empty by it goes too, atomic and already empty containers below go whole. */
export function removeFields(type: FieldType, value: Value, fields: FieldSet): Value {
  const at = resolve(type, value);
  if (at.kind === 'scalar') return value;
  if (at.kind === 'map') {
    const map = asMap(value);
    if (map === undefined || isEmptyMap(map) || at.atomic) return undefined;
    const out: [string, Json][] = [];
    for (const key of keysOf(map)) {
      const element = fieldElement(key);
      if (fields.members.has(element.text)) continue;
      const below = fields.below(element);
      const childType = fieldOf(at, key);
      const child = get(map, key);
      const kept = below.isEmpty || childType === undefined ? child : removeFields(childType, child, below);
      out.push([key, kept ?? null]);
    }
    return out.length === 0 ? undefined : Object.fromEntries(out);
  }
  const list = asList(value);
  if (list === undefined || list.length === 0 || at.relationship === 'atomic') return undefined;
  const out: Json[] = [];
  for (const [index, item] of list.entries()) {
    const element = elementAt(at, item, index, '');
    if (fields.members.has(element.text)) continue;
    const below = fields.below(element);
    out.push(below.isEmpty ? item : (removeFields(at.element, item, below) ?? null));
  }
  return out.length === 0 ? undefined : out;
}
