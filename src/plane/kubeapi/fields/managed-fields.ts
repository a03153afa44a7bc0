import { compareText, get, isArray, isObject, textOf, type Json, type JsonObject } from '../json.ts';
import { FieldSet } from './field-set.ts';

export type Operation = 'Apply' | 'Update';

/** One entry of metadata.managedFields, decoded. Its identity is manager, operation, subresource and, for Update, apiVersion. */
export interface Entry {
  readonly manager: string;
  readonly operation: Operation;
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly fields: FieldSet;
}

/** Entries by identity. */
export type Managers = ReadonlyMap<string, Entry>;

export function entryId(entry: Pick<Entry, 'manager' | 'operation' | 'apiVersion' | 'subresource'>): string {
  const version = entry.operation === 'Apply' ? '' : entry.apiVersion;
  return JSON.stringify([entry.manager, entry.operation, version, entry.subresource]);
}

/** Throws a SyntaxError where an entry is none. */
export function decodeManagers(value: Json | undefined): Managers {
  const out = new Map<string, Entry>();
  for (const raw of isArray(value) ? value : []) {
    const operation = get(raw, 'operation');
    const apiVersion = textOf(get(raw, 'apiVersion')) ?? '';
    if (operation !== 'Apply' && operation !== 'Update') throw new SyntaxError('operation must be `Apply` or `Update`');
    if (apiVersion === '') throw new SyntaxError('apiVersion must not be empty');
    if (get(raw, 'fieldsType') !== 'FieldsV1') throw new SyntaxError('fieldsType must be FieldsV1');
    const entry: Entry = {
      manager: textOf(get(raw, 'manager')) ?? '',
      operation,
      apiVersion,
      subresource: textOf(get(raw, 'subresource')) ?? '',
      time: textOf(get(raw, 'time')),
      fields: FieldSet.fromJson(get(raw, 'fieldsV1') ?? {}),
    };
    out.set(entryId(entry), entry);
  }
  return out;
}

/** As decodeManagers, but nothing for what cannot be read: a broken history must not stop writes. */
export function readManagers(value: Json | undefined): Managers {
  try {
    return decodeManagers(value);
  } catch {
    return new Map();
  }
}

/** `[]` or `[{}]`: the caller wants the history forgotten. */
export function isReset(value: Json | undefined): boolean {
  if (!isArray(value)) return false;
  const [only] = value;
  return value.length === 0 || (value.length === 1 && isObject(only) && Object.keys(only).length === 0);
}

/** The stored form, in the order of API servers: Apply first, oldest first, then by manager. Undefined for none. */
export function encodeManagers(managers: Managers): Json | undefined {
  if (managers.size === 0) return undefined;
  const seconds = (time: string | undefined): number => (time === undefined ? 0 : Math.floor(Date.parse(time) / 1000));
  return [...managers.values()]
    .sort(
      (a, b) =>
        compareText(a.operation, b.operation) ||
        seconds(a.time) - seconds(b.time) ||
        compareText(a.manager, b.manager) ||
        compareText(a.apiVersion, b.apiVersion) ||
        compareText(a.subresource, b.subresource),
    )
    .map((entry): JsonObject => ({
      apiVersion: entry.apiVersion,
      fieldsType: 'FieldsV1',
      fieldsV1: entry.fields.toJson(),
      manager: entry.manager,
      operation: entry.operation,
      ...(entry.subresource === '' ? {} : { subresource: entry.subresource }),
      ...(entry.time === undefined ? {} : { time: entry.time }),
    }));
}

const MAX_UPDATE_MANAGERS = 10;

/** The oldest Update entries become one, `ancient-changes`, so that a history stays bounded. */
export function capUpdateManagers(managers: Managers): Managers {
  const updaters = [...managers.entries()].filter(([, entry]) => entry.operation === 'Update');
  if (updaters.length <= MAX_UPDATE_MANAGERS) return managers;
  updaters.sort(([aId, a], [bId, b]) => compareText(a.time ?? '', b.time ?? '') || compareText(aId, bId));
  const out = new Map(managers);
  let length = updaters.length;
  const first = new Map<string, string>();
  for (const [id, entry] of updaters) {
    if (length <= MAX_UPDATE_MANAGERS) break;
    const bucket: Entry = { ...entry, manager: 'ancient-changes', subresource: '' };
    const bucketId = entryId(bucket);
    const firstId = first.get(entry.apiVersion);
    if (firstId === undefined) {
      first.set(entry.apiVersion, id);
      continue;
    }
    const begun = out.get(bucketId) ?? out.get(firstId);
    if (!out.has(bucketId)) out.delete(firstId);
    out.delete(id);
    out.set(bucketId, { ...bucket, fields: begun === undefined ? entry.fields : entry.fields.union(begun.fields) });
    length -= 1;
  }
  return out;
}
