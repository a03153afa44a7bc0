import { compareText, deepEqual, isRecord, own, type ManagedFieldsRecord } from './objects.ts';
import type { PathStep } from './pointers.ts';

/**
 * A set of field paths (`FieldsV1`). Steps are the API server's own: `f:name` a field, `k:{…}` the list item with these
 * keys, `v:…` the list item with this value, `i:3` the list item at this place.
 * Source: sigs.k8s.io/structured-merge-diff, fieldpath/serialize.go.
 */
export interface FieldSet {
  /** Whether the path to here is itself in the set, not only paths below it. */
  readonly isMember: boolean;
  readonly children: ReadonlyMap<string, FieldSet>;
}

export const emptyFieldSet: FieldSet = { isMember: false, children: new Map() };

/** Reads `fieldsV1`. An empty object is a member without children; `.` marks a member that also has children. */
export function parseFieldSet(fieldsV1: unknown): FieldSet {
  const read = (value: unknown, isRoot: boolean): FieldSet => {
    if (!isRecord(value)) return { isMember: !isRoot, children: new Map() };
    const keys = Object.keys(value);
    const children = new Map<string, FieldSet>();
    for (const key of keys) if (key !== '.') children.set(key, read(value[key], false));
    return { isMember: !isRoot && (keys.length === 0 || keys.includes('.')), children };
  };
  return read(fieldsV1, true);
}

/** The inverse of `parseFieldSet`, keys sorted as the API server sorts them. */
export function formatFieldSet(set: FieldSet): Record<string, unknown> {
  const out: [string, unknown][] = [];
  if (set.isMember && set.children.size > 0) out.push(['.', {}]);
  for (const [step, child] of [...set.children].sort(([a], [b]) => compareText(a, b))) out.push([step, formatFieldSet(child)]);
  return Object.fromEntries(out);
}

export function isEmptySet(set: FieldSet): boolean {
  return !set.isMember && set.children.size === 0;
}

export function unionSets(a: FieldSet, b: FieldSet): FieldSet {
  const children = new Map(a.children);
  for (const [step, child] of b.children) {
    const existing = children.get(step);
    children.set(step, existing === undefined ? child : unionSets(existing, child));
  }
  return { isMember: a.isMember || b.isMember, children };
}

/** Without this path and everything below it; branches that become empty go too. */
export function removeFromSet(set: FieldSet, path: readonly string[]): FieldSet {
  const [step, ...rest] = path;
  if (step === undefined) return emptyFieldSet;
  const child = set.children.get(step);
  if (child === undefined) return set;
  const children = new Map(set.children);
  const next = removeFromSet(child, rest);
  if (isEmptySet(next)) children.delete(step);
  else children.set(step, next);
  return { isMember: set.isMember, children };
}

export function childOf(set: FieldSet | undefined, step: string): FieldSet | undefined {
  return set?.children.get(step);
}

/** The sets of an object's managers that match, as one. */
export function setOf(
  records: readonly ManagedFieldsRecord[] | undefined,
  matches: (record: ManagedFieldsRecord) => boolean,
): FieldSet {
  let set = emptyFieldSet;
  for (const record of records ?? []) if (matches(record)) set = unionSets(set, parseFieldSet(record.fieldsV1));
  return set;
}

/** How a list is merged, as the sets about it show; undefined when nobody's set goes into it. */
export function listTypeOf(set: FieldSet | undefined): 'map' | 'set' | undefined {
  for (const step of set?.children.keys() ?? []) {
    if (step.startsWith('k:')) return 'map';
    if (step.startsWith('v:')) return 'set';
  }
  return undefined;
}

/** The keys of a `k:` step: `{"containerPort":80,"protocol":"TCP"}`. */
export function keysOfStep(step: string): Readonly<Record<string, unknown>> {
  const keys: unknown = step.startsWith('k:') ? parseOr(step.slice(2)) : undefined;
  return isRecord(keys) ? keys : {};
}

export function valueOfStep(step: string): unknown {
  return step.startsWith('v:') ? parseOr(step.slice(2)) : undefined;
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The place in a list that a step names, or -1. */
export function indexOfStep(list: readonly unknown[], step: string): number {
  if (step.startsWith('k:')) {
    const keys = Object.entries(keysOfStep(step));
    return list.findIndex((item) => keys.length > 0 && keys.every(([key, value]) => deepEqual(own(item, key), value)));
  }
  if (step.startsWith('v:')) {
    const value = valueOfStep(step);
    return list.findIndex((item) => deepEqual(item, value));
  }
  const index = /^i:([0-9]+)$/.exec(step);
  return index === null ? -1 : Math.min(Number(index[1]), list.length) === list.length ? -1 : Number(index[1]);
}

/** The path into a live object that a set's path names; undefined when it is not there. */
export function resolveSteps(live: unknown, steps: readonly string[]): PathStep[] | undefined {
  const path: PathStep[] = [];
  let at: unknown = live;
  for (const step of steps) {
    if (step.startsWith('f:')) {
      const key = step.slice(2);
      at = own(at, key);
      path.push(key);
    } else {
      const list: readonly unknown[] = Array.isArray(at) ? at : [];
      const index = indexOfStep(list, step);
      if (index < 0) return undefined;
      at = list[index];
      path.push(index);
    }
    if (at === undefined) return undefined;
  }
  return path;
}

/** A set's path for people: `.spec.template.spec.containers[name="app"].image`. */
export function formatSteps(steps: readonly string[]): string {
  return steps
    .map((step) => {
      if (step.startsWith('f:')) {
        const name = step.slice(2);
        return /^[A-Za-z_][A-Za-z0-9_-]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
      }
      if (step.startsWith('k:')) {
        return `[${Object.entries(keysOfStep(step))
          .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
          .join(',')}]`;
      }
      return step.startsWith('v:') ? `[=${step.slice(2)}]` : `[${step.slice(2)}]`;
    })
    .join('');
}

/** Every path that is a member and has nothing below it: what a person would call the changed fields. */
export function leavesOf(set: FieldSet): string[][] {
  const out: string[][] = [];
  const walk = (at: FieldSet, path: readonly string[]): void => {
    if (at.isMember && at.children.size === 0) out.push([...path]);
    for (const [step, child] of at.children) walk(child, [...path, step]);
  };
  walk(set, []);
  return out;
}
