import { compareText, equal, get, isArray, isObject, textOf, type Json, type JsonObject } from './json.ts';
import type { Issue } from './issues.ts';

const LABEL_FMT = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN_FMT = `${LABEL_FMT}(\\.${LABEL_FMT})*`;
const NAME_PART_FMT = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL = new RegExp(`^${LABEL_FMT}$`);
const SUBDOMAIN = new RegExp(`^${SUBDOMAIN_FMT}$`);
const NAME_PART = new RegExp(`^${NAME_PART_FMT}$`);
const MAX_ANNOTATION_BYTES = 256 * 1024;

/** What is wrong with an RFC 1123 subdomain, in apimachinery's words. */
export function subdomainFaults(value: string): string[] {
  const faults = value.length > 253 ? ['must be no more than 253 bytes'] : [];
  if (!SUBDOMAIN.test(value)) {
    faults.push(
      `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${SUBDOMAIN_FMT}')`,
    );
  }
  return faults;
}

export function labelFaults(value: string): string[] {
  const faults = value.length > 63 ? ['must be no more than 63 bytes'] : [];
  if (!LABEL.test(value)) {
    faults.push(
      SUBDOMAIN.test(value)
        ? 'must not contain dots'
        : `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${LABEL_FMT}')`,
    );
  }
  return faults;
}

export function qualifiedNameFaults(value: string): string[] {
  const parts = value.split('/');
  const faults: string[] = [];
  let name = value;
  if (parts.length === 2) {
    const [prefix = '', rest = ''] = parts;
    name = rest;
    if (prefix === '') faults.push('prefix part must be non-empty');
    else for (const fault of subdomainFaults(prefix)) faults.push(`prefix part ${fault}`);
  } else if (parts.length > 2) {
    return [
      `a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${NAME_PART_FMT}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  if (name === '') faults.push('name part must be non-empty');
  else if (name.length > 63) faults.push('name part must be no more than 63 bytes');
  if (!NAME_PART.test(name)) {
    faults.push(
      `name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '${NAME_PART_FMT}')`,
    );
  }
  return faults;
}

export function labelValueFaults(value: string): string[] {
  const faults = value.length > 63 ? ['must be no more than 63 bytes'] : [];
  if (value !== '' && !NAME_PART.test(value)) {
    faults.push(
      `a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(${NAME_PART_FMT})?')`,
    );
  }
  return faults;
}

export interface MetadataRules {
  readonly namespaced: boolean;
  /** Projects are namespaces of clusters' kind: labels, not subdomains. */
  readonly nameFaults: (name: string) => readonly string[];
}

/** What is wrong with an object's metadata on creation. */
export function metadataIssues(metadata: JsonObject, rules: MetadataRules): Issue[] {
  const issues: Issue[] = [];
  const name = textOf(metadata['name']) ?? '';
  if (name === '') {
    issues.push({ type: 'FieldValueRequired', field: 'metadata.name', detail: 'name or generateName is required' });
  } else for (const fault of rules.nameFaults(name)) issues.push(invalid('metadata.name', name, fault));
  const namespace = textOf(metadata['namespace']) ?? '';
  if (rules.namespaced) {
    if (namespace === '') issues.push({ type: 'FieldValueRequired', field: 'metadata.namespace', detail: '' });
    else for (const fault of labelFaults(namespace)) issues.push(invalid('metadata.namespace', namespace, fault));
  } else if (namespace !== '') {
    issues.push({ type: 'FieldValueForbidden', field: 'metadata.namespace', detail: 'not allowed on this type' });
  }
  return [...issues, ...commonIssues(metadata)];
}

/** What is wrong with an object's metadata on update, against what is stored. */
export function metadataUpdateIssues(metadata: JsonObject, before: JsonObject): Issue[] {
  const issues: Issue[] = [];
  if (before['deletionTimestamp'] !== undefined) {
    const known = new Set(finalizersOf(before));
    const added = finalizersOf(metadata)
      .filter((finalizer) => !known.has(finalizer))
      .sort(compareText);
    if (added.length > 0) {
      issues.push({
        type: 'FieldValueForbidden',
        field: 'metadata.finalizers',
        detail: `no new finalizers can be added if the object is being deleted, found new finalizers []string{${added
          .map((finalizer) => JSON.stringify(finalizer))
          .join(', ')}}`,
      });
    }
  }
  for (const field of ['name', 'namespace', 'uid', 'creationTimestamp', 'deletionTimestamp']) {
    if (!equal(metadata[field], before[field])) {
      issues.push(invalid(`metadata.${field}`, metadata[field] ?? '', 'field is immutable'));
    }
  }
  return [...issues, ...commonIssues(metadata)];
}

export function finalizersOf(metadata: unknown): string[] {
  const finalizers = get(metadata, 'finalizers');
  return isArray(finalizers) ? finalizers.filter((one): one is string => typeof one === 'string') : [];
}

function invalid(field: string, value: Json, detail: string): Issue {
  return { type: 'FieldValueInvalid', field, value, detail };
}

function commonIssues(metadata: JsonObject): Issue[] {
  const issues: Issue[] = [];
  for (const [key, value] of entriesOf(metadata['labels'])) {
    for (const fault of qualifiedNameFaults(key)) issues.push(invalid('metadata.labels', key, fault));
    for (const fault of labelValueFaults(value)) issues.push(invalid('metadata.labels', value, fault));
  }
  let bytes = 0;
  for (const [key, value] of entriesOf(metadata['annotations'])) {
    for (const fault of qualifiedNameFaults(key.toLowerCase())) issues.push(invalid('metadata.annotations', key, fault));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > MAX_ANNOTATION_BYTES) {
    issues.push({
      type: 'FieldValueTooLong',
      field: 'metadata.annotations',
      detail: `may not be more than ${MAX_ANNOTATION_BYTES} bytes`,
    });
  }
  const owners = metadata['ownerReferences'];
  for (const [index, owner] of (isArray(owners) ? owners : []).entries()) {
    for (const field of ['apiVersion', 'kind', 'name', 'uid']) {
      if ((textOf(get(owner, field)) ?? '') === '') {
        const detail = field === 'apiVersion' ? 'version must not be empty' : 'must not be empty';
        issues.push(invalid(`metadata.ownerReferences[${index}].${field}`, '', detail));
      }
    }
  }
  for (const finalizer of finalizersOf(metadata)) {
    for (const fault of qualifiedNameFaults(finalizer)) issues.push(invalid('metadata.finalizers', finalizer, fault));
  }
  return issues;
}

function entriesOf(map: Json | undefined): [string, string][] {
  return Object.entries(isObject(map) ? map : {}).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
}

/** Warnings of Kubernetes about finalizer names that were added. */
export function finalizerWarnings(metadata: unknown, before: unknown): string[] {
  const known = new Set(finalizersOf(before));
  return finalizersOf(metadata)
    .filter((one) => !known.has(one) && !one.includes('/') && !STANDARD_FINALIZERS.has(one))
    .sort(compareText)
    .map((one) =>
      one.includes('.')
        ? `metadata.finalizers: ${JSON.stringify(one)}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers`
        : `metadata.finalizers: ${JSON.stringify(one)}: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers`,
    );
}

const STANDARD_FINALIZERS = new Set(['orphan', 'foregroundDeletion', 'kubernetes']);

type MetaType = 'string' | 'int64' | 'map' | 'strings' | 'owners' | 'managedFields';

const META_FIELDS: Readonly<Record<string, MetaType>> = {
  annotations: 'map',
  creationTimestamp: 'string',
  deletionGracePeriodSeconds: 'int64',
  deletionTimestamp: 'string',
  finalizers: 'strings',
  generateName: 'string',
  generation: 'int64',
  labels: 'map',
  managedFields: 'managedFields',
  name: 'string',
  namespace: 'string',
  ownerReferences: 'owners',
  resourceVersion: 'string',
  selfLink: 'string',
  uid: 'string',
};
const OWNER_FIELDS = new Set(['apiVersion', 'kind', 'name', 'uid', 'controller', 'blockOwnerDeletion']);

/** A metadata field has a value of the wrong type; the message is Go's. */
export class MetadataTypeError extends Error {}

/**
 * metadata as Go would read and write it back: unknown fields go (their paths are added to `unknown`), and so does what is
 * null or empty. Throws MetadataTypeError for a value of the wrong type.
 */
export function coerceMetadata(value: Json | undefined, unknown: string[], keepsEmptyManagedFields = false): JsonObject {
  if (value === undefined || value === null) return {};
  if (!isObject(value))
    throw new MetadataTypeError(`json: cannot unmarshal ${goType(value)} into Go value of type v1.ObjectMeta`);
  const out: [string, Json][] = [];
  for (const [key, field] of Object.entries(value)) {
    if (field === undefined) continue;
    const type = Object.hasOwn(META_FIELDS, key) ? META_FIELDS[key] : undefined;
    if (type === undefined) {
      unknown.push(`metadata.${key}`);
      continue;
    }
    if (field === null) continue;
    checkMetaField(key, type, field);
    if (type === 'owners' && isArray(field)) {
      if (field.length > 0) out.push([key, field.map((owner, index) => coerceOwner(owner, index, unknown))]);
    } else if (!isEmpty(field) || (type === 'managedFields' && keepsEmptyManagedFields)) out.push([key, field]);
  }
  return Object.fromEntries(out);
}

function coerceOwner(owner: Json, index: number, unknown: string[]): Json {
  if (!isObject(owner)) return owner;
  return Object.fromEntries(
    Object.entries(owner).filter(([key, value]) => {
      if (OWNER_FIELDS.has(key)) return value !== undefined && value !== null;
      unknown.push(`metadata.ownerReferences[${index}].${key}`);
      return false;
    }),
  );
}

function isEmpty(value: Json): boolean {
  return (
    value === '' || value === 0 || (isArray(value) && value.length === 0) || (isObject(value) && Object.keys(value).length === 0)
  );
}

function checkMetaField(key: string, type: MetaType, value: Json): void {
  const wrong = (found: Json, wanted: string): never => {
    throw new MetadataTypeError(
      `json: cannot unmarshal ${goType(found)} into Go struct field ObjectMeta.${key} of type ${wanted}`,
    );
  };
  switch (type) {
    case 'string':
      if (typeof value !== 'string') wrong(value, key === 'uid' ? 'types.UID' : 'string');
      break;
    case 'int64':
      if (!Number.isInteger(value)) wrong(value, 'int64');
      break;
    case 'map':
      if (!isObject(value)) wrong(value, 'map[string]string');
      else for (const item of Object.values(value)) if (typeof item !== 'string') wrong(item ?? null, 'string');
      break;
    case 'strings':
      if (!isArray(value)) wrong(value, '[]string');
      else for (const item of value) if (typeof item !== 'string') wrong(item, 'string');
      break;
    case 'owners':
      if (!isArray(value)) wrong(value, '[]v1.OwnerReference');
      else for (const item of value) if (!isObject(item)) wrong(item, 'v1.OwnerReference');
      break;
    case 'managedFields':
      if (!isArray(value)) wrong(value, '[]v1.ManagedFieldsEntry');
      else for (const item of value) if (!isObject(item)) wrong(item, 'v1.ManagedFieldsEntry');
      break;
  }
}

function goType(value: Json): string {
  if (isArray(value)) return 'array';
  if (isObject(value)) return 'object';
  if (typeof value === 'boolean') return 'bool';
  return value === null ? 'null' : typeof value;
}

/** What is at an object's metadata; nothing where that is no object. */
export function metadataOf(object: JsonObject): JsonObject {
  const metadata = object['metadata'];
  return isObject(metadata) ? metadata : {};
}
