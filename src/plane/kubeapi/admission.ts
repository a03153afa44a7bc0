import { REDACTED } from '#base';
import type { Kind, PlaneObject, Violation } from '#api';
import type { Principal } from '#plane/http';
import { LAST_APPLIED } from './fields/apply.ts';
import { get, getIn, isArray, isObject, textOf, withKey, type Json, type JsonObject } from './json.ts';

/** A write on its way to the store, validated for form but not yet for meaning. */
export interface AdmissionRequest {
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  readonly kind: Kind;
  /** What will be stored; for DELETE what is stored. */
  readonly object: PlaneObject;
  /** What is stored; absent for CREATE. */
  readonly previous?: PlaneObject;
  /** '' or 'status'. */
  readonly subresource: string;
  readonly principal: Principal;
  /** As the audit names it. */
  readonly actor: string;
  readonly dryRun: boolean;
}

export interface AdmissionResult {
  /** Stored instead of what was sent. */
  readonly object?: PlaneObject;
  /** Refused with 422. */
  readonly violations?: readonly Violation[];
  /** Shown by kubectl. */
  readonly warnings?: readonly string[];
  /** Refused with 403: why, and what to do instead. */
  readonly denied?: string;
}

export type Admission = (request: AdmissionRequest) => AdmissionResult | Promise<AdmissionResult>;

/**
 * kubectl keeps what it applied as text in an annotation: what must not be stored must not be stored there either. Values
 * below these paths (`spec.stringData`) become `[redacted]`; text that is no JSON goes whole.
 */
export function redactLastApplied(annotation: string, paths: readonly string[]): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(annotation);
  } catch {
    return REDACTED;
  }
  if (!isObject(parsed)) return REDACTED;
  let out: JsonObject = parsed;
  for (const path of paths) out = redactAt(out, path.split('.')) as JsonObject;
  return `${JSON.stringify(out)}${annotation.endsWith('\n') ? '\n' : ''}`;
}

function redactAt(value: Json, path: readonly string[]): Json {
  const [key, ...rest] = path;
  if (key === undefined) return redactAll(value);
  const below = get(value, key);
  return below === undefined || !isObject(value) ? value : withKey(value, key, redactAt(below, rest));
}

function redactAll(value: Json): Json {
  if (isArray(value)) return value.map(redactAll);
  if (!isObject(value)) return REDACTED;
  return Object.fromEntries(Object.entries(value).map(([key, item]): [string, Json] => [key, redactAll(item ?? null)]));
}

/** The object with its last-applied annotation redacted. */
export function withRedactedLastApplied(object: JsonObject, paths: readonly string[]): JsonObject {
  const annotations = getIn(object, 'metadata', 'annotations');
  const text = textOf(get(annotations, LAST_APPLIED));
  if (text === undefined || text === '' || !isObject(annotations) || !isObject(object['metadata'])) return object;
  return {
    ...object,
    metadata: { ...object['metadata'], annotations: withKey(annotations, LAST_APPLIED, redactLastApplied(text, paths)) },
  };
}

/** The object without values below these paths, for messages that quote it. */
export function withRedactedPaths(object: JsonObject, paths: readonly string[]): JsonObject {
  let out: Json = withRedactedLastApplied(object, paths);
  for (const path of paths) out = redactAt(out, path.split('.'));
  return out as JsonObject;
}

/** The first of these paths at which the object still holds something. */
export function firstPresent(object: JsonObject, paths: readonly string[]): string | undefined {
  return paths.find((path) => {
    const value = getIn(object, ...path.split('.'));
    return value !== undefined && value !== null && !(isObject(value) && Object.keys(value).length === 0);
  });
}
