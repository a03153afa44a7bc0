import { FairleadError } from '#base';
import {
  childOf,
  formatSteps,
  indexOfStep,
  keysOfStep,
  listTypeOf,
  resolveSteps,
  setOf,
  unionSets,
  type FieldSet,
} from './field-set.ts';
import { parseJson } from './json.ts';
import { isApplyOf, ownedSet, valueAt } from './managed-fields.ts';
import { deepEqual, isRecord, own, type KubeObject } from './objects.ts';
import { formatPointer, parsePointer, type PathStep } from './pointers.ts';
import { isQuantityField, sameQuantity } from './quantity.ts';
import { isSecretKind } from './redact.ts';

export interface Difference {
  /**
   * `missing`: wanted, not there. `changed`: there with another value. `extra`: ours by an earlier apply, no longer wanted.
   * `unowned`: there as wanted, but no longer ours: the value was changed away and back, and a later removal from the
   * wanted object would not reach it. The next apply settles all four.
   */
  readonly kind: 'missing' | 'changed' | 'extra' | 'unowned';
  /** For people: `.spec.template.spec.containers[name="app"].image`. */
  readonly path: string;
  /** The API server's steps, for `authorOf`. */
  readonly steps: readonly string[];
  readonly live: unknown;
  readonly want: unknown;
}

export interface DriftOptions {
  readonly manager: string;
  /** JSON pointers into the live object that do not count, with all below; `*` stands for any one step. */
  readonly ignorePointers?: readonly string[];
  /**
   * False where the live object was read without its managedFields: then only values are compared, which misses a field
   * that holds its zero value, and everything of kind `extra` and `unowned`. Default true.
   */
  readonly hasOwners?: boolean;
}

/**
 * Whether what was applied is still so: compares every field of `wanted` (the object as applied, labels and all) with the
 * live one, in the light of who owns what. Ownership tells a server's own normalisation (still ours: an emptied map, a
 * dropped zero, a quantity in canonical form, a default inside an atomic list) from somebody's change (no longer ours).
 * What others added beside our fields is not our concern. Not seen: the order of keyed lists, and a field dropped from
 * inside an atomic value between two wanted objects; so apply whenever the wanted object itself changed.
 */
export function differsFromWanted(live: KubeObject, wanted: KubeObject | Uint8Array, options: DriftOptions): Difference[] {
  const want = wanted instanceof Uint8Array ? parseWanted(wanted) : wanted;
  const ourRecord = (live.metadata.managedFields ?? []).find((record) => isApplyOf(record, options.manager));
  const comparison: Comparison = {
    live,
    ignored: (options.ignorePointers ?? []).map(parsePointer),
    // Field names may differ between versions of a kind, so the sets of another version tell nothing.
    knowsOwners:
      options.hasOwners !== false &&
      (ourRecord === undefined || ourRecord.apiVersion === live.apiVersion) &&
      live.apiVersion === want.apiVersion,
    found: [],
  };
  const ours = comparison.knowsOwners ? withDecodedData(want, ownedSet(live, options.manager)) : undefined;
  const all = setOf(live.metadata.managedFields, (record) => !record.subresource && record.apiVersion === live.apiVersion);
  for (const [key, value] of Object.entries(comparableFields(want))) {
    compare(comparison, [`f:${key}`], value, own(live, key), childOf(ours, `f:${key}`), childOf(all, `f:${key}`));
  }
  if (ours !== undefined) findExtras(comparison, ours, all, comparableFields(want));
  return comparison.found;
}

function isSecret(object: KubeObject): boolean {
  return isSecretKind({ group: object.apiVersion.includes('/') ? 'other' : '', kind: object.kind });
}

/** Whoever applied `stringData` owns it under that name, though it lives on as `data`. */
function withDecodedData(want: KubeObject, ours: FieldSet): FieldSet {
  const decoded = childOf(ours, 'f:stringData');
  if (!isSecret(want) || decoded === undefined) return ours;
  return unionSets(ours, { isMember: false, children: new Map([['f:data', decoded]]) });
}

interface Comparison {
  readonly live: KubeObject;
  readonly ignored: readonly (readonly string[])[];
  readonly knowsOwners: boolean;
  readonly found: Difference[];
}

function parseWanted(bytes: Uint8Array): KubeObject {
  const value = parseJson(bytes, 'the wanted object');
  if (!isRecord(value)) throw new FairleadError('FL_KUBE_BODY', 'the wanted object is no JSON object', { kind: 'invalid' });
  return value as unknown as KubeObject; // canonical bytes of an object that was rendered as one
}

const METADATA = ['labels', 'annotations', 'finalizers', 'ownerReferences'];

/** Without what identifies the object, what only the server writes, and status. */
function comparableFields(want: KubeObject): Record<string, unknown> {
  const { apiVersion: _a, kind: _k, metadata, status: _s, ...rest } = want;
  const kept = Object.fromEntries(METADATA.map((key) => [key, own(metadata, key)]).filter(([, value]) => value !== undefined));
  const fields: Record<string, unknown> = { ...(Object.keys(kept).length === 0 ? {} : { metadata: kept }), ...rest };
  if (isSecret(want) && isRecord(fields['stringData'])) {
    // Write-only: the API server turns it into data.
    const encoded = Object.entries(fields['stringData']).map(([key, value]) => [
      key,
      Buffer.from(String(value)).toString('base64'),
    ]);
    fields['data'] = { ...(isRecord(fields['data']) ? fields['data'] : {}), ...Object.fromEntries(encoded) };
    delete fields['stringData'];
  }
  return fields;
}

function compare(
  c: Comparison,
  steps: readonly string[],
  want: unknown,
  live: unknown,
  ours: FieldSet | undefined,
  all: FieldSet | undefined,
): void {
  if (want === null || want === undefined) return;
  if (live === undefined || live === null) {
    // The server leaves out what is empty; if the field is still ours, that is what happened. Of an empty list nobody is
    // the owner, and it means the same as none.
    if (isEmptyValue(want) && (!c.knowsOwners || ours !== undefined || Array.isArray(want))) return;
    report(c, 'missing', steps, undefined, want);
    return;
  }
  if (isRecord(want)) {
    if (!isRecord(live)) report(c, 'changed', steps, live, want);
    else if (isAtomic(ours, all)) compareWhole(c, steps, want, live, ours);
    else {
      for (const [key, value] of Object.entries(want)) {
        const step = `f:${key}`;
        compare(c, [...steps, step], value, own(live, key), childOf(ours, step), childOf(all, step));
      }
    }
    return;
  }
  if (Array.isArray(want)) {
    if (Array.isArray(live)) compareLists(c, steps, want, live, ours, all);
    else report(c, 'changed', steps, live, want);
    return;
  }
  if (!sameScalar(steps, want, live)) report(c, 'changed', steps, live, want);
  else if (c.knowsOwners && ours === undefined) report(c, 'unowned', steps, live, want);
}

function compareLists(
  c: Comparison,
  steps: readonly string[],
  want: readonly unknown[],
  live: readonly unknown[],
  ours: FieldSet | undefined,
  all: FieldSet | undefined,
): void {
  const type = listTypeOf(all);
  if (type === undefined) {
    if (want.length > 0 || live.length > 0) compareWhole(c, steps, want, live, ours);
    return;
  }
  const placed = type === 'map' ? matchItems(want, ours, all, live) : want.map((value) => `v:${JSON.stringify(value)}`);
  for (const [index, item] of want.entries()) {
    const step = placed[index];
    const at = step === undefined ? -1 : indexOfStep(live, step);
    if (step === undefined || at < 0) report(c, 'missing', [...steps, step ?? guessStep(item, all)], undefined, item);
    else if (type === 'map') compare(c, [...steps, step], item, live[at], childOf(ours, step), childOf(all, step));
    else if (c.knowsOwners && childOf(ours, step) === undefined) report(c, 'unowned', [...steps, step], item, item);
  }
}

/**
 * The `k:` step of each wanted item: first those whose keys all agree, then those whose missing keys the server defaulted.
 * Of two that would do ours is meant: another's item may differ only in the key we left to the default.
 */
function matchItems(
  want: readonly unknown[],
  ours: FieldSet | undefined,
  all: FieldSet | undefined,
  live: readonly unknown[],
): (string | undefined)[] {
  const isOurs = (step: string): number => (childOf(ours, step) === undefined ? 1 : 0);
  const steps = [...(all?.children.keys() ?? [])]
    .filter((step) => step.startsWith('k:') && indexOfStep(live, step) >= 0)
    .sort((a, b) => isOurs(a) - isOurs(b));
  const used = new Set<string>();
  const placed: (string | undefined)[] = want.map(() => undefined);
  for (const mayLackKeys of [false, true]) {
    for (const [index, item] of want.entries()) {
      if (placed[index] !== undefined) continue;
      const step = steps.find(
        (candidate) =>
          !used.has(candidate) &&
          Object.entries(keysOfStep(candidate)).every(([key, value]) => {
            const given = own(item, key);
            return given === undefined ? mayLackKeys : deepEqual(given, value);
          }),
      );
      if (step === undefined) continue;
      used.add(step);
      placed[index] = step;
    }
  }
  return placed;
}

/** How an item that is not there would be named, from the keys its list uses elsewhere. */
function guessStep(item: unknown, all: FieldSet | undefined): string {
  const like = [...(all?.children.keys() ?? [])].find((step) => step.startsWith('k:')) ?? 'k:{}';
  return `k:${JSON.stringify(Object.fromEntries(Object.keys(keysOfStep(like)).map((key) => [key, own(item, key)])))}`;
}

/** An atomic map or list, or a list nobody's set goes into: one value, which belongs to one manager as a whole. */
function compareWhole(c: Comparison, steps: readonly string[], want: object, live: unknown, ours: FieldSet | undefined): void {
  const isOurs = !c.knowsOwners || ours !== undefined;
  if (Object.keys(want).length === 0) {
    // An empty map that others may fill, or a value the server defaulted, is still ours; one that is not was replaced.
    if (c.knowsOwners && !isOurs && !isEmptyValue(live)) report(c, 'changed', steps, live, want);
  } else if (!covers(steps, want, live)) report(c, 'changed', steps, live, want);
  else if (!isOurs) report(c, 'unowned', steps, live, want);
}

/** Whether live holds all of `want`; what it holds beyond are defaults of the server. */
function covers(steps: readonly string[], want: unknown, live: unknown): boolean {
  if (want === null || want === undefined) return true;
  if (live === undefined || live === null) return isEmptyValue(want);
  if (Array.isArray(want)) {
    return (
      Array.isArray(live) && want.length === live.length && want.every((item, i) => covers([...steps, `i:${i}`], item, live[i]))
    );
  }
  if (isRecord(want)) {
    return isRecord(live) && Object.entries(want).every(([key, value]) => covers([...steps, `f:${key}`], value, own(live, key)));
  }
  return sameScalar(steps, want, live);
}

function isAtomic(ours: FieldSet | undefined, all: FieldSet | undefined): boolean {
  if (ours !== undefined) return ours.isMember && ours.children.size === 0;
  return all !== undefined && all.isMember && all.children.size === 0;
}

function sameScalar(steps: readonly string[], want: unknown, live: unknown): boolean {
  if (want === live) return true;
  return isQuantityField(namesOf(steps)) && sameQuantity(want, live);
}

function namesOf(steps: readonly string[]): string[] {
  return steps.filter((step) => step.startsWith('f:')).map((step) => step.slice(2));
}

/** What Go's `omitempty` leaves out: zero values, and containers that hold nothing else. */
function isEmptyValue(value: unknown): boolean {
  if (value === '' || value === 0 || value === false || value === null) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isRecord(value) && Object.values(value).every((item) => isEmptyValue(item));
}

/** What we hold and no longer want. */
function findExtras(c: Comparison, ours: FieldSet, all: FieldSet, want: unknown): void {
  const walk = (set: FieldSet, around: FieldSet | undefined, wanted: unknown, steps: readonly string[]): void => {
    const list: readonly unknown[] = Array.isArray(wanted) ? wanted : [];
    const liveAt = resolveSteps(c.live, steps);
    const liveValue = liveAt === undefined ? undefined : valueAt(c.live, liveAt);
    const liveList: readonly unknown[] = Array.isArray(liveValue) ? liveValue : [];
    const placed = list.length > 0 && listTypeOf(set) === 'map' ? matchItems(list, set, around, liveList) : [];
    for (const [step, child] of set.children) {
      const path = [...steps, step];
      if (isServerField(path)) continue;
      let inner: unknown;
      if (step.startsWith('f:')) inner = own(wanted, step.slice(2));
      else if (step.startsWith('k:')) inner = list[placed.indexOf(step)];
      else inner = list[indexOfStep(list, step)];
      if (inner === undefined) {
        const at = resolveSteps(c.live, path);
        if (at !== undefined) report(c, 'extra', path, valueAt(c.live, at), undefined);
      } else if (child.children.size > 0 && inner !== null) walk(child, childOf(around, step), inner, path);
    }
  };
  walk(ours, all, want, []);
}

function isServerField(steps: readonly string[]): boolean {
  return (
    steps[0] === 'f:status' || (steps[0] === 'f:metadata' && steps.length > 1 && !METADATA.includes((steps[1] ?? '').slice(2)))
  );
}

function report(c: Comparison, kind: Difference['kind'], steps: readonly string[], live: unknown, want: unknown): void {
  if (c.ignored.length > 0) {
    const pointer = (resolveSteps(c.live, steps) ?? fallbackPath(steps)).map(String);
    if (c.ignored.some((ignored) => matchesPattern(pointer, ignored))) return;
  }
  c.found.push({ kind, path: formatSteps(steps), steps, live, want });
}

function fallbackPath(steps: readonly string[]): PathStep[] {
  return steps.map((step) => (step.startsWith('f:') ? step.slice(2) : '*'));
}

function matchesPattern(pointer: readonly string[], pattern: readonly string[]): boolean {
  return (
    pattern.length <= pointer.length &&
    pattern.every((step, index) => step === '*' || pointer[index] === '*' || step === pointer[index])
  );
}

/** The JSON pointer of a difference in the live object, where it exists there. */
export function pointerOf(live: KubeObject, difference: Difference): string | undefined {
  const path = resolveSteps(live, difference.steps);
  return path === undefined ? undefined : formatPointer(path);
}
