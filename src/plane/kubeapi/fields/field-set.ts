import { compareText, escapeHtml, get, isObject, stableJson, type Json, type JsonObject } from '../json.ts';
import type { FieldType } from './schema.ts';

/**
 * One step of a field path: a named field, an item of a keyed list, or an item of a set.
 * `text` is its form in FieldsV1 (`f:name`, `k:{"type":"Ready"}`, `v:"a"`) and its identity.
 */
export interface PathElement {
  readonly text: string;
  readonly field?: string;
  readonly key?: JsonObject;
  readonly value?: Json;
}

export type FieldPath = readonly PathElement[];

export function fieldElement(name: string): PathElement {
  return { text: `f:${name}`, field: name };
}

export function keyElement(key: JsonObject): PathElement {
  return { text: `k:${escapeHtml(stableJson(key))}`, key };
}

export function valueElement(value: Json): PathElement {
  return { text: `v:${escapeHtml(JSON.stringify(value))}`, value };
}

/** Throws a SyntaxError for text that is no path element. */
export function parseElement(text: string): PathElement {
  const rest = text.slice(2);
  switch (text.slice(0, 2)) {
    case 'f:':
      return fieldElement(rest);
    case 'k:': {
      const key: unknown = JSON.parse(rest);
      if (!isObject(key)) throw new SyntaxError(`no key: ${text}`);
      return keyElement(key);
    }
    case 'v:':
      return valueElement(JSON.parse(rest) as Json);
    case 'i:':
      return { text };
    default:
      throw new SyntaxError(`no path element: ${text}`);
  }
}

/** As API servers print paths: `.spec.conditions[type="Ready"].status`. */
export function formatFieldPath(path: FieldPath): string {
  return path
    .map((element) => {
      if (element.field !== undefined) return `.${element.field}`;
      if (element.key !== undefined) {
        const key = element.key;
        return `[${Object.keys(key)
          .sort(compareText)
          .map((name) => `${name}=${JSON.stringify(key[name])}`)
          .join(',')}]`;
      }
      return element.value === undefined ? `[${element.text.slice(2)}]` : `[=${JSON.stringify(element.value)}]`;
    })
    .join('');
}

interface Node {
  readonly element: PathElement;
  readonly set: FieldSet;
}

/**
 * A set of fields of an object (structured-merge-diff's fieldpath.Set): a tree in which being a member and having members
 * below are two things. Only `insert` changes a set; every other operation makes a new one.
 */
export class FieldSet {
  readonly members = new Map<string, PathElement>();
  readonly children = new Map<string, Node>();

  insert(path: FieldPath): void {
    const [element, ...rest] = path;
    if (element === undefined) return;
    if (rest.length === 0) this.members.set(element.text, element);
    else this.#descend(element).insert(rest);
  }

  #descend(element: PathElement): FieldSet {
    const found = this.children.get(element.text);
    if (found !== undefined) return found.set;
    const set = new FieldSet();
    this.children.set(element.text, { element, set });
    return set;
  }

  get isEmpty(): boolean {
    if (this.members.size > 0) return false;
    for (const child of this.children.values()) if (!child.set.isEmpty) return false;
    return true;
  }

  has(path: FieldPath): boolean {
    const [element, ...rest] = path;
    if (element === undefined) return false;
    return rest.length === 0 ? this.members.has(element.text) : (this.children.get(element.text)?.set.has(rest) ?? false);
  }

  below(element: PathElement): FieldSet {
    return this.children.get(element.text)?.set ?? EMPTY;
  }

  union(other: FieldSet): FieldSet {
    const out = new FieldSet();
    for (const set of [this, other]) for (const [text, element] of set.members) out.members.set(text, element);
    for (const [text, child] of this.children) {
      const twin = other.children.get(text);
      out.children.set(text, twin === undefined ? child : { element: child.element, set: child.set.union(twin.set) });
    }
    for (const [text, child] of other.children) if (!this.children.has(text)) out.children.set(text, child);
    return out;
  }

  intersection(other: FieldSet): FieldSet {
    const out = new FieldSet();
    for (const [text, element] of this.members) if (other.members.has(text)) out.members.set(text, element);
    for (const [text, child] of this.children) {
      const twin = other.children.get(text);
      if (twin !== undefined) out.#adopt(text, child.element, child.set.intersection(twin.set));
    }
    return out;
  }

  /** Without what `other` holds; a member of `other` does not take what lies below it along. */
  difference(other: FieldSet): FieldSet {
    const out = new FieldSet();
    for (const [text, element] of this.members) if (!other.members.has(text)) out.members.set(text, element);
    for (const [text, child] of this.children) {
      const twin = other.children.get(text);
      if (twin === undefined) out.children.set(text, child);
      else out.#adopt(text, child.element, child.set.difference(twin.set));
    }
    return out;
  }

  /** Without what `other` holds and everything below it. */
  recursiveDifference(other: FieldSet): FieldSet {
    const out = new FieldSet();
    for (const [text, element] of this.members) if (!other.members.has(text)) out.members.set(text, element);
    for (const [text, child] of this.children) {
      if (other.members.has(text)) continue;
      const twin = other.children.get(text);
      if (twin === undefined) out.children.set(text, child);
      else out.#adopt(text, child.element, child.set.recursiveDifference(twin.set));
    }
    return out;
  }

  #adopt(text: string, element: PathElement, set: FieldSet): void {
    if (!set.isEmpty) this.children.set(text, { element, set });
  }

  /** Named fields (not list items, not free map keys) become members where something below them is one. */
  withNamedFields(type: FieldType | undefined): FieldSet {
    const out = new FieldSet();
    for (const [text, element] of this.members) out.members.set(text, element);
    for (const [text, child] of this.children) {
      let below: FieldType | undefined;
      if (child.element.field !== undefined && type?.kind === 'map') {
        const named = type.fields.get(child.element.field);
        if (named !== undefined) out.members.set(text, child.element);
        below = named ?? type.element;
      } else if (child.element.key !== undefined && type?.kind === 'list') below = type.element;
      else if (type?.kind === 'untyped') below = type;
      out.children.set(text, { element: child.element, set: child.set.withNamedFields(below) });
    }
    return out;
  }

  equals(other: FieldSet): boolean {
    return this.difference(other).isEmpty && other.difference(this).isEmpty;
  }

  /** Members first, then what lies below, in the order in which API servers name them. */
  *paths(prefix: FieldPath = []): Generator<FieldPath> {
    for (const element of [...this.members.values()].sort(compareElements)) yield [...prefix, element];
    for (const child of [...this.children.values()].sort((a, b) => compareElements(a.element, b.element))) {
      yield* child.set.paths([...prefix, child.element]);
    }
  }

  /** FieldsV1. */
  toJson(): JsonObject {
    const out: [string, Json][] = [];
    const texts = new Set([...this.members.keys(), ...this.children.keys()]);
    for (const text of [...texts].sort(compareText)) {
      const child = this.children.get(text);
      const below: JsonObject = child === undefined ? {} : child.set.toJson();
      out.push([text, child !== undefined && this.members.has(text) ? { '.': {}, ...below } : below]);
    }
    return Object.fromEntries(out);
  }

  /** Throws a SyntaxError for what is no FieldsV1. */
  static fromJson(fields: unknown): FieldSet {
    const out = new FieldSet();
    if (!isObject(fields)) throw new SyntaxError('FieldsV1 is an object');
    for (const text of Object.keys(fields)) {
      if (text === '.') continue;
      const element = parseElement(text);
      const value = get(fields, text);
      if (!isObject(value)) throw new SyntaxError(`the value of ${text} is an object`);
      const keys = Object.keys(value);
      if (keys.length === 0 || Object.hasOwn(value, '.')) out.members.set(element.text, element);
      const set = FieldSet.fromJson(value);
      if (!set.isEmpty) out.children.set(element.text, { element, set });
    }
    return out;
  }

  static of(...paths: readonly (readonly string[])[]): FieldSet {
    const out = new FieldSet();
    for (const path of paths) out.insert(path.map(fieldElement));
    return out;
  }
}

const EMPTY = new FieldSet();

function rank(element: PathElement): number {
  return element.field !== undefined ? 0 : element.key !== undefined ? 1 : element.value !== undefined ? 2 : 3;
}

/** structured-merge-diff's order: fields, then keys, then values, then indices. */
export function compareElements(a: PathElement, b: PathElement): number {
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (a.field !== undefined && b.field !== undefined) return compareText(a.field, b.field);
  if (a.key !== undefined && b.key !== undefined) {
    const left = Object.keys(a.key).sort(compareText);
    const right = Object.keys(b.key).sort(compareText);
    for (let i = 0; i < Math.min(left.length, right.length); i++) {
      const order = compareText(left[i] ?? '', right[i] ?? '') || compareValues(a.key[left[i] ?? ''], b.key[right[i] ?? '']);
      if (order !== 0) return order;
    }
    return left.length - right.length;
  }
  return compareValues(a.value, b.value) || compareText(a.text, b.text);
}

/** structured-merge-diff's order of values: numbers, strings, booleans, lists, maps, null. */
function compareValues(a: Json | undefined, b: Json | undefined): number {
  const kind = (value: Json | undefined): number => {
    if (typeof value === 'number') return 0;
    if (typeof value === 'string') return 1;
    return typeof value === 'boolean' ? 2 : 3;
  };
  if (kind(a) !== kind(b)) return kind(a) - kind(b);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  return 0;
}
