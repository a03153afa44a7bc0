import { matchesLabels, type Key, type Requirement } from '#api';
import type { RequestHead } from '#plane/http';
import type { FieldRequirement } from '#plane/store';
import { fieldValue } from './core-kinds.ts';
import { getIn, isObject, scalarText, textOf, type JsonObject } from './json.ts';
import { toApi, type Resource } from './resource.ts';
import { parseFieldSelector, parseLabelSelector, type FieldTerm } from './selectors.ts';
import { failure } from './status-error.ts';

/** Which objects a list or watch is about. */
export interface Selection {
  /** '' is every namespace. */
  readonly namespace: string;
  readonly labels: readonly Requirement[];
  /** What the store can answer. */
  readonly stored: readonly FieldRequirement[];
  /** What is tested on the objects. */
  readonly tested: readonly FieldTerm[];
  readonly fields: readonly FieldTerm[];
}

/** Throws 400 for a selector that cannot be read or names a field that is not selectable. */
export function selectionOf(resource: Resource, namespace: string, query: URLSearchParams): Selection {
  const labels = parseLabelSelector(query.get('labelSelector') ?? '');
  const fields = parseFieldSelector(query.get('fieldSelector') ?? '');
  const stored: FieldRequirement[] = [];
  const tested: FieldTerm[] = [];
  for (const term of fields) {
    if (!resource.selectable.has(term.label)) {
      throw failure.badRequest(
        resource.group === '' ? `field label not supported: ${term.label}` : `field label not supported: ${term.label}`,
      );
    }
    const path = resource.selectable.get(term.label);
    if (path === undefined) tested.push(term);
    else stored.push({ path, operator: term.operator, value: term.value });
  }
  return { namespace: resource.namespaced ? namespace : '', labels, stored, tested, fields };
}

export function selectsEverything(selection: Selection): boolean {
  return selection.labels.length === 0 && selection.fields.length === 0;
}

/** Whether a stored object is selected; what the store does for lists, done for one object. */
export function isSelected(resource: Resource, selection: Selection, stored: JsonObject): boolean {
  if (selection.namespace !== '' && getIn(stored, 'metadata', 'namespace') !== selection.namespace) return false;
  if (selection.labels.length > 0) {
    const labels = getIn(stored, 'metadata', 'labels');
    // Labels were validated to be text when they were written.
    if (!matchesLabels(selection.labels, (isObject(labels) ? labels : {}) as Readonly<Record<string, string>>)) return false;
  }
  for (const { path, operator, value } of selection.stored) {
    const found = getIn(stored, ...path.split('.'));
    const text = scalarText(found);
    if ((text === value) !== (operator === '=')) return false;
  }
  return isTested(resource, selection, stored);
}

/** Only the fields that no index has. */
export function isTested(resource: Resource, selection: Selection, stored: JsonObject): boolean {
  if (selection.tested.length === 0) return true;
  const object = toApi(resource, stored);
  return selection.tested.every(({ label, operator, value }) => (fieldValue(object, label) === value) === (operator === '='));
}

/** A continue token: the first page's revision and the last key. */
interface ContinueToken {
  readonly rv: number;
  readonly ns: string;
  readonly name: string;
}

export function encodeContinue(revision: number, key: Key): string {
  const token: ContinueToken = { rv: revision, ns: key.namespace, name: key.name };
  return Buffer.from(JSON.stringify(token)).toString('base64url');
}

/** Throws 400 for what is no token of ours. */
export function decodeContinue(text: string): { readonly revision: number; readonly after: Key } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    parsed = undefined;
  }
  const rv = getIn(parsed, 'rv');
  const namespace = textOf(getIn(parsed, 'ns'));
  const name = textOf(getIn(parsed, 'name'));
  if (typeof rv !== 'number' || namespace === undefined || name === undefined) {
    throw failure.badRequest('continue key is not valid: it was not made by this server');
  }
  return { revision: rv, after: { namespace, name } };
}

/** A query parameter that is a non-negative whole number; undefined when absent. Throws 400. */
export function numberParameter(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^\d{1,15}$/.test(text)) {
    throw name === 'resourceVersion'
      ? failure.badRequest(
          `resource version: Invalid value: ${JSON.stringify(text)}: strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`,
        )
      : failure.badRequest(`${name}: ${JSON.stringify(text)} is no number`);
  }
  return Number(text);
}

/** `?pretty`, for people with curl. */
export function isPretty(head: Pick<RequestHead, 'query'>): boolean {
  const pretty = head.query.get('pretty');
  return pretty === 'true' || pretty === '1';
}
