import type { Key } from '#api';
import type { HttpRequest, HttpResponse, PlainResponse } from '#plane/http';
import type { Store } from '#plane/store';
import { formatYaml } from '#kube';
import type { Json, JsonObject } from './json.ts';
import { negotiate, type Negotiated } from './negotiate.ts';
import { decodeContinue, encodeContinue, isPretty, isTested, numberParameter, selectionOf, type Selection } from './query.ts';
import { apiText, asJson, keyOfRequest, parseStored, toApi, type Resource } from './resource.ts';
import { failure } from './status-error.ts';
import { columnDefinitions, partialMetadata, tableRow, type IncludeObject, type TableOptions } from './table.ts';

export interface ReadContext {
  readonly store: Store;
  now(): number;
}

/** Lists without a limit are read in pages of this many. */
const PAGE = 5000;

export async function getObject(
  context: ReadContext,
  resource: Resource,
  namespace: string,
  name: string,
  request: HttpRequest,
): Promise<HttpResponse> {
  const form = negotiate(request);
  checkResourceVersion(context.store, request.query);
  const stored = await context.store.get(resource.storeKind, keyOfRequest(resource, namespace, name));
  if (stored === undefined) throw failure.notFound(resource, name);
  return objectResponse(200, resource, toApi(resource, asJson(stored)), form, request, context.now());
}

/** One object in the form the client asked for. */
export function objectResponse(
  status: number,
  resource: Resource,
  object: JsonObject,
  form: Negotiated,
  request: HttpRequest,
  now: number,
  headers: Readonly<Record<string, string | readonly string[]>> = {},
): PlainResponse {
  let value = object;
  if (object['kind'] !== 'Status') {
    if (form.form === 'table') value = tableOf(resource, [object], metadataOf(object), form, request, now);
    else if (form.form === 'partial') value = partialMetadata(object, form.metaVersion);
  }
  return textResponse(status, value, form, request, headers);
}

function metadataOf(object: JsonObject): JsonObject {
  const metadata = object['metadata'];
  const version =
    typeof metadata === 'object' && metadata !== null && !Array.isArray(metadata)
      ? (metadata as JsonObject)['resourceVersion']
      : undefined;
  return version === undefined ? {} : { resourceVersion: version };
}

export function textResponse(
  status: number,
  value: Json,
  form: Pick<Negotiated, 'yaml'>,
  request: HttpRequest,
  headers: Readonly<Record<string, string | readonly string[]>> = {},
): PlainResponse {
  const base = { 'cache-control': 'no-cache, private', ...headers };
  if (form.yaml) return { status, headers: { ...base, 'content-type': 'application/yaml' }, body: formatYaml(value) };
  // With the line end that Go's encoder writes.
  const text = `${isPretty(request) ? JSON.stringify(value, undefined, 2) : JSON.stringify(value)}\n`;
  return { status, headers: { ...base, 'content-type': 'application/json' }, body: text };
}

export function includeObject(query: URLSearchParams): IncludeObject {
  const asked = query.get('includeObject') ?? '';
  if (asked === '') return 'Metadata';
  if (asked === 'None' || asked === 'Metadata' || asked === 'Object') return asked;
  throw failure.badRequest(`includeObject: ${JSON.stringify(asked)} is none of None, Metadata, Object`);
}

export function tableOptions(form: Negotiated, request: Pick<HttpRequest, 'query'>, now: number): TableOptions {
  return { apiVersion: form.metaVersion, includeObject: includeObject(request.query), now };
}

function tableOf(
  resource: Resource,
  objects: readonly JsonObject[],
  metadata: JsonObject,
  form: Negotiated,
  request: HttpRequest,
  now: number,
): JsonObject {
  const options = tableOptions(form, request, now);
  return {
    kind: 'Table',
    apiVersion: form.metaVersion,
    metadata,
    columnDefinitions: columnDefinitions(resource.columns),
    rows: objects.map((object) => tableRow(resource.columns, object, options)),
  };
}

/** Throws 504 for a version of the future and 410 for one that this database never gave out. */
export function checkResourceVersion(store: Store, query: URLSearchParams): number | undefined {
  const asked = numberParameter(query, 'resourceVersion');
  if (asked !== undefined && asked > store.revision()) throw failure.tooLargeResourceVersion(asked, store.revision());
  return asked;
}

interface Listed {
  readonly texts: readonly string[];
  readonly revision: number;
  readonly next: Key | undefined;
}

async function readPages(
  context: ReadContext,
  resource: Resource,
  selection: Selection,
  limit: number | undefined,
  start: Key | undefined,
): Promise<Listed> {
  const { store } = context;
  const texts: string[] = [];
  let after = start;
  let revision: number | undefined;
  for (;;) {
    const page = await store.listText(resource.storeKind, {
      ...(selection.namespace === '' ? {} : { namespace: selection.namespace }),
      labels: selection.labels,
      fields: selection.stored,
      limit: limit === undefined ? PAGE : limit - texts.length,
      ...(after === undefined ? {} : { after }),
    });
    // The first page's: what changed while the rest was read comes again with the watch.
    revision ??= page.revision;
    const kept =
      selection.tested.length === 0 ? page.items : page.items.filter((text) => isTested(resource, selection, parseStored(text)));
    texts.push(...kept);
    after = page.next;
    if (after === undefined || (limit !== undefined && texts.length >= limit)) return { texts, revision, next: after };
  }
}

export async function listObjects(
  context: ReadContext,
  resource: Resource,
  namespace: string,
  request: HttpRequest,
): Promise<HttpResponse> {
  const form = negotiate(request);
  const { query } = request;
  const selection = selectionOf(resource, namespace, query);
  if (query.get('sendInitialEvents') !== null) {
    throw failure.invalid({ group: 'meta.k8s.io', plural: 'listoptions', kind: 'ListOptions' }, '', [
      { type: 'FieldValueForbidden', field: 'sendInitialEvents', detail: 'sendInitialEvents is forbidden for list' },
    ]);
  }
  const limit = numberParameter(query, 'limit');
  const token = query.get('continue') ?? '';
  const start = token === '' ? undefined : decodeContinue(token);
  if (start === undefined) checkListVersion(context, query);
  else {
    if (query.get('resourceVersionMatch') !== null && query.get('resourceVersionMatch') !== '') {
      throw failure.badRequest('resourceVersionMatch is forbidden with a continue token');
    }
    // The log no longer reaches back to the first page: a watch from there could not be served.
    if (start.revision < context.store.oldestRevision()) {
      throw failure.expired(
        'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
      );
    }
    if (start.revision > context.store.revision()) await context.store.reach(start.revision);
    if (start.revision > context.store.revision())
      throw failure.expired('The provided continue parameter comes from another server.');
  }
  const listed = await readPages(context, resource, selection, limit === 0 ? undefined : limit, start?.after);
  const revision = start?.revision ?? listed.revision;
  const metadata: JsonObject = {
    ...(listed.next === undefined ? {} : { continue: encodeContinue(revision, listed.next) }),
    resourceVersion: String(revision),
  };
  return listResponse(resource, listed.texts, metadata, form, request, context.now());
}

function checkListVersion(context: ReadContext, query: URLSearchParams): void {
  const asked = checkResourceVersion(context.store, query);
  const match = query.get('resourceVersionMatch') ?? '';
  if (match === '') return;
  if (asked === undefined) throw failure.badRequest('resourceVersionMatch is forbidden unless resourceVersion is provided');
  if (match !== 'Exact' && match !== 'NotOlderThan')
    throw failure.badRequest(`resourceVersionMatch ${JSON.stringify(match)} is not known`);
  if (match === 'Exact' && asked !== context.store.revision()) {
    // Old states are not kept; a client that gets this lists anew.
    throw failure.expired(`The resourceVersion for the provided list is too old: ${asked}`);
  }
}

function listResponse(
  resource: Resource,
  texts: readonly string[],
  metadata: JsonObject,
  form: Negotiated,
  request: HttpRequest,
  now: number,
): PlainResponse {
  const parsed = (): JsonObject[] => texts.map((text) => toApi(resource, parseStored(text)));
  switch (form.form) {
    case 'table':
      return textResponse(200, tableOf(resource, parsed(), metadata, form, request, now), form, request);
    case 'partial':
    case 'partialList':
      return textResponse(
        200,
        {
          kind: 'PartialObjectMetadataList',
          apiVersion: form.metaVersion,
          metadata,
          items: parsed().map((object) => partialMetadata(object, form.metaVersion)),
        },
        form,
        request,
      );
    case 'object':
      break;
  }
  const head = { apiVersion: resource.apiVersion, kind: `${resource.kind}List`, metadata };
  if (form.yaml || isPretty(request)) return textResponse(200, { ...head, items: parsed() }, form, request);
  // Stored text is passed on as it is: parsing 10,000 objects only to write them again would cost more than everything else.
  const items = resource.view === undefined ? texts : texts.map((text) => apiText(resource, text));
  const body = `${JSON.stringify(head).slice(0, -1)},"items":[${items.join(',')}]}\n`;
  return { status: 200, headers: { 'content-type': 'application/json', 'cache-control': 'no-cache, private' }, body };
}
