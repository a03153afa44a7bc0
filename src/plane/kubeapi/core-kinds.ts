/**
 * The little of core/v1 that tools need: Namespace is a Project seen from there, Event is the plane's own events. Both are
 * shapes of stored kinds, not kinds.
 */
import { Event, Project } from '#api';
import { FieldSet } from './fields/field-set.ts';
import { objectType } from './fields/schema.ts';
import { get, getIn, isArray, isObject, textOf, withKey, type Json, type JsonObject } from './json.ts';
import { finalizersOf, labelFaults, subdomainFaults } from './metadata.ts';
import { APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, type Resource } from './resource.ts';
import { API_VERSION_DESCRIPTION, KIND_DESCRIPTION } from './structural.ts';
import { NAME_COLUMN, type TableColumn } from './table.ts';

const typeMeta: JsonObject = {
  apiVersion: { type: 'string', description: API_VERSION_DESCRIPTION },
  kind: { type: 'string', description: KIND_DESCRIPTION },
  metadata: { type: 'object' },
};

const NAMESPACE_SCHEMA: JsonObject = {
  type: 'object',
  description: 'A Project of this plane, as the namespace that holds its objects. Deleting it is refused while it holds any.',
  properties: {
    ...typeMeta,
    spec: {
      type: 'object',
      description: 'Kept for the tools that expect it.',
      properties: {
        finalizers: {
          type: 'array',
          description: 'Always kubernetes.',
          items: { type: 'string' },
          'x-kubernetes-list-type': 'atomic',
        },
      },
    },
    status: {
      type: 'object',
      description: 'Whether it is being deleted.',
      properties: { phase: { type: 'string', description: 'Active or Terminating.' } },
    },
  },
};

const namespaceType = objectType({});

export const namespaces: Resource = {
  group: '',
  version: 'v1',
  apiVersion: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  singular: 'namespace',
  shortNames: ['ns'],
  categories: [],
  namespaced: false,
  verbs: ['create', 'delete', 'get', 'list', 'patch', 'update', 'watch'],
  hasStatus: false,
  storeKind: Project,
  schema: NAMESPACE_SCHEMA,
  columns: [
    NAME_COLUMN,
    column('Status', 'string', 'The status of the namespace', (o) => getIn(o, 'status', 'phase')),
    column('Age', 'date', 'Time since creation.', (o) => getIn(o, 'metadata', 'creationTimestamp')),
  ],
  selectable: new Map<string, string | undefined>([
    ['metadata.name', 'metadata.name'],
    ['metadata.namespace', 'metadata.namespace'],
    ['status.phase', undefined],
  ]),
  scope: { type: namespaceType, apiVersion: 'v1', subresource: '', ignored: new FieldSet() },
  statusScope: { type: namespaceType, apiVersion: 'v1', subresource: 'status', ignored: new FieldSet() },
  nameFaults: labelFaults,
  patchTypes: [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH],
  view: {
    toApi(project) {
      const metadata = get(project, 'metadata');
      const phase = getIn(metadata, 'deletionTimestamp') === undefined ? 'Active' : 'Terminating';
      return {
        apiVersion: 'v1',
        kind: 'Namespace',
        // The history of the Project speaks of the Project's fields.
        metadata: withKey(isObject(metadata) ? metadata : {}, 'managedFields', undefined),
        spec: { finalizers: ['kubernetes'] },
        status: { phase },
      };
    },
    toStored(namespace, before) {
      return {
        apiVersion: Project.apiVersion,
        kind: Project.kind,
        metadata: namespace['metadata'] ?? {},
        spec: get(before, 'spec') ?? {},
        ...(get(before, 'status') === undefined ? {} : { status: get(before, 'status') }),
      };
    },
  },
};

/** Stored finalizers of a Project count, whatever a Namespace's body says of its own. */
export function hasFinalizers(object: JsonObject): boolean {
  return finalizersOf(object['metadata']).length > 0;
}

const EVENT_SCHEMA: JsonObject = {
  type: 'object',
  description: 'Something that happened to an object of this plane. Written by the plane only.',
  properties: {
    ...typeMeta,
    involvedObject: {
      type: 'object',
      description: 'The object it happened to.',
      properties: Object.fromEntries(
        ['apiVersion', 'kind', 'namespace', 'name', 'uid', 'resourceVersion', 'fieldPath'].map((name) => [
          name,
          { type: 'string' },
        ]),
      ),
    },
    reason: { type: 'string', description: 'Stable code; see the reasons reference.' },
    message: { type: 'string', description: 'The sentence for people.' },
    type: { type: 'string', description: 'Normal or Warning.' },
    count: { type: 'integer', description: 'How often it happened.' },
    firstTimestamp: { type: 'string', description: 'When it happened first.' },
    lastTimestamp: { type: 'string', description: 'When it happened last.' },
    reportingComponent: { type: 'string', description: 'What reports it.' },
    reportingInstance: { type: 'string', description: 'Cluster it happened in, if it did.' },
    source: { type: 'object', properties: { component: { type: 'string' }, host: { type: 'string' } } },
  },
};

const eventType = objectType({});

export const events: Resource = {
  group: '',
  version: 'v1',
  apiVersion: 'v1',
  kind: 'Event',
  plural: 'events',
  singular: 'event',
  shortNames: ['ev'],
  categories: [],
  namespaced: true,
  verbs: ['get', 'list', 'watch'],
  hasStatus: false,
  storeKind: Event,
  schema: EVENT_SCHEMA,
  columns: [
    since('Last Seen', 'lastTimestamp', 0),
    column('Type', 'string', 'Normal or Warning.', (o) => o['type']),
    column('Reason', 'string', 'Stable code.', (o) => o['reason']),
    column(
      'Object',
      'string',
      'The object it happened to.',
      (o) =>
        `${(textOf(getIn(o, 'involvedObject', 'kind')) ?? '').toLowerCase()}/${textOf(getIn(o, 'involvedObject', 'name')) ?? ''}`,
    ),
    column('Subobject', 'string', 'A part of that object.', (o) => getIn(o, 'involvedObject', 'fieldPath') ?? '', 1),
    column('Source', 'string', 'What reports it.', (o) => o['reportingComponent'], 1),
    column('Message', 'string', 'The sentence for people.', (o) => o['message']),
    since('First Seen', 'firstTimestamp', 1),
    column('Count', 'integer', 'How often it happened.', (o) => o['count'], 1),
    { ...NAME_COLUMN, priority: 1 },
  ],
  selectable: new Map<string, string | undefined>([
    ['metadata.name', 'metadata.name'],
    ['metadata.namespace', 'metadata.namespace'],
    ['involvedObject.name', 'spec.involvedObject.name'],
    ['involvedObject.kind', 'spec.involvedObject.kind'],
    ['involvedObject.uid', 'spec.involvedObject.uid'],
    ['involvedObject.namespace', undefined],
    ['involvedObject.apiVersion', undefined],
    ['involvedObject.resourceVersion', undefined],
    ['involvedObject.fieldPath', undefined],
    ['reason', undefined],
    ['reportingComponent', undefined],
    ['source', undefined],
    ['type', undefined],
  ]),
  scope: { type: eventType, apiVersion: 'v1', subresource: '', ignored: new FieldSet() },
  statusScope: { type: eventType, apiVersion: 'v1', subresource: 'status', ignored: new FieldSet() },
  nameFaults: subdomainFaults,
  patchTypes: [],
  view: {
    toApi(stored) {
      const spec = get(stored, 'spec');
      const text = (field: string): string => textOf(get(spec, field)) ?? '';
      return {
        apiVersion: 'v1',
        kind: 'Event',
        metadata: get(stored, 'metadata') ?? {},
        involvedObject: get(spec, 'involvedObject') ?? {},
        reason: text('code'),
        message: text('message'),
        type: text('type'),
        count: get(spec, 'count') ?? 1,
        firstTimestamp: text('firstAt'),
        lastTimestamp: text('lastAt'),
        eventTime: null,
        source: { component: text('source') },
        reportingComponent: text('source'),
        reportingInstance: text('cluster'),
      };
    },
  },
};

function column(
  name: string,
  type: string,
  description: string,
  value: (object: JsonObject) => Json | undefined,
  priority: 0 | 1 = 0,
): TableColumn {
  return { name, type, format: '', description, priority, value };
}

function since(name: string, field: string, priority: 0 | 1): TableColumn {
  // Typed `string` in Kubernetes too: the server writes the age.
  return { ...column(name, 'date', `When it happened (${name.toLowerCase()}).`, (o) => o[field], priority) };
}

/** Value of a field that no index has: `source` is the component, the rest are paths. */
export function fieldValue(object: JsonObject, label: string): string {
  const path = label === 'source' ? ['source', 'component'] : label.split('.');
  const value = getIn(object, ...path);
  return value === undefined || value === null || isArray(value) || isObject(value) ? '' : String(value);
}
