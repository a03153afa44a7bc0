import { REDACTED } from '#base';
import { compareText, deepEqual, isRecord, own, type KubeObject } from './objects.ts';
import { formatPath, formatPointer, type PathStep } from './pointers.ts';
import { isSecretKind, LAST_APPLIED } from './redact.ts';

export interface Change {
  readonly kind: 'added' | 'removed' | 'changed';
  /** For people: `.spec.template.spec.containers[name="app"].image`. */
  readonly path: string;
  /** JSON pointer, into the object after where it is there, else into the one before. */
  readonly pointer: string;
  /** Undefined where it was added. Values of Secrets are `[redacted]`. */
  readonly before: unknown;
  readonly after: unknown;
}

export interface DiffOptions {
  /** Compare status too. Default false. */
  readonly withStatus?: boolean;
  /** Default 1,000; what is beyond is left out. */
  readonly maxChanges?: number;
}

const SERVER_METADATA = [
  'managedFields',
  'resourceVersion',
  'uid',
  'creationTimestamp',
  'generation',
  'selfLink',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
];

/**
 * What a person would say changed between two versions of an object; null is one that is not there. Left out is what only
 * the server writes. Items of lists are paired by what names them (name, key, port, …), else by place.
 */
export function diffObjects(before: KubeObject | null, after: KubeObject | null, options: DiffOptions = {}): Change[] {
  const either = after ?? before;
  if (either === null) return [];
  const isSecret = isSecretKind({ group: either.apiVersion.includes('/') ? 'other' : '', kind: either.kind });
  const changes: Change[] = [];
  const maxChanges = options.maxChanges ?? 1000;
  const show = (path: readonly PathStep[], value: unknown): unknown => (isSecret ? hideSecrets(path, value) : value);
  const visit = (path: readonly Step[], was: unknown, is: unknown): void => {
    if (changes.length >= maxChanges || deepEqual(was, is)) return;
    if (isRecord(was) && isRecord(is)) {
      const keys = new Set([...Object.keys(was), ...Object.keys(is)]);
      for (const key of [...keys].sort(compareText))
        visit([...path, { key, text: formatPath([key]) }], own(was, key), own(is, key));
      return;
    }
    if (Array.isArray(was) && Array.isArray(is)) {
      for (const pair of pairItems(was, is)) visit([...path, { key: pair.index, text: pair.text }], pair.before, pair.after);
      return;
    }
    changes.push({
      kind: was === undefined ? 'added' : is === undefined ? 'removed' : 'changed',
      path: path.map((step) => step.text).join(''),
      pointer: formatPointer(path.map((step) => step.key)),
      before: show(
        path.map((step) => step.key),
        was,
      ),
      after: show(
        path.map((step) => step.key),
        is,
      ),
    });
  };
  visit([], comparable(before, options), comparable(after, options));
  return changes;
}

interface Step {
  readonly key: PathStep;
  readonly text: string;
}

/** A value at or above the places where a Secret holds what nobody may see. */
function hideSecrets(path: readonly PathStep[], value: unknown): unknown {
  const isHidden = path[0] === 'data' || path[0] === 'stringData' || formatPointer(path) === LAST_APPLIED_POINTER;
  if (isHidden && !isRecord(value)) return value === undefined ? undefined : REDACTED;
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hideSecrets([...path, key], item)]));
}

const LAST_APPLIED_POINTER = formatPointer(['metadata', 'annotations', LAST_APPLIED]);

function comparable(object: KubeObject | null, options: DiffOptions): unknown {
  if (object === null) return undefined;
  const metadata = Object.fromEntries(Object.entries(object.metadata).filter(([key]) => !SERVER_METADATA.includes(key)));
  const { status, ...rest } = object;
  return { ...rest, metadata, ...(options.withStatus === true && status !== undefined ? { status } : {}) };
}

/** What names an item, in the order tried: a set of keys that every item of both lists has, with no two alike. */
const IDENTITIES: readonly (readonly string[])[] = [
  ['name'],
  ['key'],
  ['mountPath'],
  ['containerPort', 'protocol'],
  ['containerPort'],
  ['port', 'protocol'],
  ['port'],
  ['ip'],
  ['uid'],
  ['type'],
  ['kind', 'name'],
  ['topologyKey', 'whenUnsatisfiable'],
  ['host'],
];

interface Pair {
  readonly index: number;
  readonly text: string;
  readonly before: unknown;
  readonly after: unknown;
}

function pairItems(before: readonly unknown[], after: readonly unknown[]): Pair[] {
  const keys = IDENTITIES.find((candidate) => identifies(candidate, before) && identifies(candidate, after));
  if (keys === undefined) return pairByPlace(before, after);
  const nameOf = (item: unknown): string => keys.map((key) => `${key}=${JSON.stringify(own(item, key))}`).join(',');
  const was = new Map(before.map((item) => [nameOf(item), item]));
  const is = new Map(after.map((item) => [nameOf(item), item]));
  const names = [...new Set([...is.keys(), ...was.keys()])];
  return names.map((name) => {
    const at = after.findIndex((item) => nameOf(item) === name);
    const index = at >= 0 ? at : before.findIndex((item) => nameOf(item) === name);
    return { index, text: `[${name}]`, before: was.get(name), after: is.get(name) };
  });
}

function identifies(keys: readonly string[], list: readonly unknown[]): boolean {
  const seen = new Set<string>();
  for (const item of list) {
    const values = keys.map((key) => own(item, key));
    if (!values.every((value) => typeof value === 'string' || typeof value === 'number')) return false;
    seen.add(JSON.stringify(values));
  }
  return seen.size === list.length;
}

/** Equal items at both ends are set aside, so that one inserted item is one change. */
function pairByPlace(before: readonly unknown[], after: readonly unknown[]): Pair[] {
  let head = 0;
  while (head < before.length && head < after.length && deepEqual(before[head], after[head])) head += 1;
  let tail = 0;
  const shorter = Math.min(before.length, after.length) - head;
  while (tail < shorter && deepEqual(before[before.length - 1 - tail], after[after.length - 1 - tail])) tail += 1;
  const middle = Math.max(before.length, after.length) - head - tail;
  return Array.from({ length: middle }, (_, i) => {
    const index = head + i;
    return {
      index,
      text: `[${index}]`,
      before: index < before.length - tail ? before[index] : undefined,
      after: index < after.length - tail ? after[index] : undefined,
    };
  });
}
