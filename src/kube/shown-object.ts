import { REDACTED } from '#base';
import { leavesOf, resolveSteps } from './field-set.ts';
import { ownedSet } from './managed-fields.ts';
import { isRecord, parseApiVersion, type KubeObject } from './objects.ts';
import { formatPointer, parsePointer } from './pointers.ts';
import { isSecretKind, LAST_APPLIED } from './redact.ts';
import { formatYaml } from './yaml.ts';

/** Deeper than any schema goes; what is below is left out. */
const MAX_DEPTH = 64;
const KEPT_METADATA = ['name', 'namespace', 'uid', 'resourceVersion', 'generation', 'creationTimestamp', 'deletionTimestamp'];

/** Whether nothing but the names of its fields may be shown. */
export function isHiddenKind(object: Pick<KubeObject, 'apiVersion' | 'kind'>): boolean {
  return isSecretKind({ group: parseApiVersion(object.apiVersion).group, kind: object.kind });
}

/**
 * The object with every value `[redacted]` but those that say which object it is: of a Secret its keys remain, and of labels
 * and annotations theirs, because people copy values there.
 */
export function keysOnly(object: KubeObject): KubeObject {
  const { metadata } = object;
  const shown: Record<string, unknown> = { apiVersion: object.apiVersion, kind: object.kind };
  const about: Record<string, unknown> = Object.fromEntries(
    KEPT_METADATA.filter((key) => Object.hasOwn(metadata, key)).map((key) => [key, (metadata as never)[key]]),
  );
  for (const key of ['labels', 'annotations'] as const) {
    const entries = metadata[key];
    if (isRecord(entries)) about[key] = hidden(entries, 0);
  }
  shown['metadata'] = about;
  for (const [key, value] of Object.entries(object)) {
    if (key === 'apiVersion' || key === 'kind' || key === 'metadata') continue;
    const isPlain = isHiddenKind(object) && (key === 'immutable' || (key === 'type' && typeof value === 'string'));
    shown[key] = isPlain ? value : hidden(value, 0);
  }
  return shown as unknown as KubeObject; // the shape it came in, without its values
}

function hidden(value: unknown, depth: number): unknown {
  if (value === null || depth > MAX_DEPTH) return REDACTED;
  if (Array.isArray(value)) return value.map((item: unknown) => hidden(item, depth + 1));
  if (isRecord(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, hidden(item, depth + 1)]));
  return REDACTED;
}

/** What people see of a live object: no managedFields, no copy of what was applied once; of a Secret, or where `hide`, keys only. */
export function shownObject(live: KubeObject, hide: boolean): KubeObject {
  const { managedFields: _long, annotations, ...metadata } = live.metadata;
  const { [LAST_APPLIED]: _copy, ...others } = annotations ?? {};
  const shown = {
    ...live,
    metadata: { ...metadata, ...(annotations === undefined || Object.keys(others).length === 0 ? {} : { annotations: others }) },
  };
  return hide || isHiddenKind(live) ? keysOnly(shown) : shown;
}

export interface BoundedJson {
  readonly text: string;
  readonly isCut: boolean;
}

/** JSON of at most `maxBytes`: where the object is larger, long texts and long lists lose their ends, and it is still an object. */
export function boundedJson(object: KubeObject, maxBytes: number): BoundedJson {
  for (const limits of [
    { text: Number.POSITIVE_INFINITY, items: Number.POSITIVE_INFINITY },
    { text: 4096, items: 500 },
    { text: 512, items: 100 },
    { text: 64, items: 20 },
  ]) {
    let isCut = false;
    const cut = (): void => {
      isCut = true;
    };
    const text = JSON.stringify(clip(object, limits, 0, cut));
    if (Buffer.byteLength(text) <= maxBytes) return { text, isCut };
  }
  const { apiVersion, kind, metadata } = object;
  const { name, namespace } = metadata;
  return {
    text: JSON.stringify({ apiVersion, kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) } }),
    isCut: true,
  };
}

function clip(
  value: unknown,
  limits: { readonly text: number; readonly items: number },
  depth: number,
  cut: () => void,
): unknown {
  if (typeof value === 'string' && value.length > limits.text) {
    cut();
    return `${wellFormed(value.slice(0, limits.text))}… [${value.length - limits.text} more characters]`;
  }
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MAX_DEPTH) {
    cut();
    return '…';
  }
  if (Array.isArray(value)) {
    if (value.length > limits.items) cut();
    return value.slice(0, limits.items).map((item: unknown) => clip(item, limits, depth + 1, cut));
  }
  const entries = Object.entries(value);
  if (entries.length > limits.items) cut();
  return Object.fromEntries(entries.slice(0, limits.items).map(([key, item]) => [key, clip(item, limits, depth + 1, cut)]));
}

/** Without half a character at its end. */
function wellFormed(text: string): string {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text;
}

/** JSON of one value, at most `maxLength` characters; undefined for none. */
export function shortJson(value: unknown, maxLength: number): string | undefined {
  if (value === undefined) return undefined;
  const text = JSON.stringify(clip(value, { text: maxLength, items: 200 }, 0, () => undefined)) ?? '';
  return text.length <= maxLength ? text : `${wellFormed(text.slice(0, maxLength))}…`;
}

/** JSON pointers to what a manager holds in the live object, and to what says which object it is. */
export function ownedPointers(live: KubeObject, manager: string): string[] {
  const owned = leavesOf(ownedSet(live, manager)).flatMap((steps) => {
    const path = resolveSteps(live, steps);
    return path === undefined || path.length === 0 ? [] : [formatPointer(path)];
  });
  return ['/apiVersion', '/kind', '/metadata/name', '/metadata/namespace', ...owned];
}

interface Marks {
  /** It, and all below. */
  isAll: boolean;
  readonly children: Map<string, Marks>;
}

export interface MarkedLine {
  readonly text: string;
  /** It belongs to a marked field, or leads to one. */
  readonly isMarked: boolean;
  /** It belongs to one. */
  readonly isWithin: boolean;
}

/** `formatYaml`, line by line, each with whether it belongs to a field that a pointer names. Pointers into nothing do nothing. */
export function markedYaml(object: KubeObject, pointers: readonly string[]): MarkedLine[] {
  const root: Marks = { isAll: false, children: new Map() };
  for (const pointer of pointers) {
    if (!pointer.startsWith('/')) continue;
    let at = root;
    for (const step of parsePointer(pointer)) {
      const next = at.children.get(step) ?? { isAll: false, children: new Map<string, Marks>() };
      at.children.set(step, next);
      at = next;
    }
    at.isAll = true;
  }
  const keys = formatYaml(Object.fromEntries(Object.keys(object).map((key) => [key, null])));
  const order = keys.split('\n').map((line) => line.replace(/: null$/, '').replaceAll("'", ''));
  const sorted = Object.entries(object).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b));
  return linesOfMap(sorted, root, '');
}

function linesOfMap(entries: readonly (readonly [string, unknown])[], marks: Marks, indent: string): MarkedLine[] {
  return entries.flatMap(([key, value]) => {
    const mark = marks.children.get(key);
    const head = /^([^?].*): null\n$/.exec(formatYaml({ [key]: null }))?.[1];
    if (head === undefined || !isMixed(mark, value)) return linesOf({ [key]: value }, indent, mark);
    return [{ text: `${indent}${head}:`, isMarked: true, isWithin: false }, ...linesInside(value, mark, `${indent}  `)];
  });
}

function linesInside(value: unknown, marks: Marks, indent: string): MarkedLine[] {
  if (!Array.isArray(value)) return linesOfMap(Object.entries(value as object), marks, indent);
  return value.flatMap((item: unknown, index) => {
    const mark = marks.children.get(String(index));
    if (!isMixed(mark, item)) return linesOf([item], indent, mark);
    const [first, ...rest] = linesInside(item, mark, `${indent}  `);
    return first === undefined ? [] : [{ ...first, text: `${indent}- ${first.text.slice(indent.length + 2)}` }, ...rest];
  });
}

/** Some of it is marked, and some is not. */
function isMixed(mark: Marks | undefined, value: unknown): mark is Marks {
  return mark !== undefined && !mark.isAll && typeof value === 'object' && value !== null && Object.keys(value).length > 0;
}

function linesOf(value: object, indent: string, mark: Marks | undefined): MarkedLine[] {
  const marked = { isMarked: mark !== undefined, isWithin: mark?.isAll === true };
  return formatYaml(value)
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => ({ text: line === '' ? '' : `${indent}${line}`, ...marked }));
}
