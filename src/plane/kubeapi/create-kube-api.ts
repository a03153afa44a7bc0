import { systemClock, type Clock, type Log, type NewId } from '#base';
import type { Kind } from '#api';
import {
  actorOf,
  type Http,
  type HttpRequest,
  type HttpResponse,
  type Method,
  type Principal,
  type RequestHead,
} from '#plane/http';
import type { Store } from '#plane/store';
import type { Admission } from './admission.ts';
import { createClient, type ClientOptions, type KubeApiClient } from './client.ts';
import { events, namespaces } from './core-kinds.ts';
import { parseBody, yamlBody } from './decode.ts';
import { discoveryRoot, groupDiscovery, resourceDiscovery, type Catalog, type SubresourceInfo } from './discovery.ts';
import type { Issue } from './issues.ts';
import { get, getIn, isArray, textOf, type Json, type JsonObject } from './json.ts';
import { contentType, negotiate } from './negotiate.ts';
import { emptyOpenApiV2, OpenApi } from './openapi.ts';
import { selectionOf } from './query.ts';
import { getObject, listObjects, objectResponse, textResponse } from './reading.ts';
import { attributesOf, isTrue, requestInfo, type RequestInfo } from './request-info.ts';
import { APPLY_PATCH, resourceOfKind, type Resource } from './resource.ts';
import { answerReview, reviewResources } from './reviews.ts';
import { failure } from './status-error.ts';
import { WatchHub } from './watch-hub.ts';
import { watchObjects } from './watching.ts';
import type { DeleteOptions } from './write-checks.ts';
import { Writer, type Target } from './writer.ts';
import { dryRunOf, writeOptionsOf, type WriteOptions } from './write-options.ts';

export interface SubresourceRequest {
  readonly verb: string;
  readonly namespace: string;
  readonly name: string;
  /** The parsed body; null when there was none. */
  readonly body: Json;
  readonly principal: Principal;
  readonly actor: string;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
}

/** Something below an object that another room answers: `POST /apis/fairlead.dev/v1alpha1/clusters/<name>/enroll`. */
export interface Subresource extends SubresourceInfo {
  /** The answer: JSON with apiVersion and kind. Throws FairleadErrors. */
  handle(request: SubresourceRequest): Promise<{ readonly status: number; readonly object: unknown }>;
}

export interface KubeApiOptions {
  readonly store: Store;
  /** Kinds of `fairlead.dev` to serve; Namespace and Event come of themselves. */
  readonly kinds: readonly Kind[];
  readonly http: Http;
  readonly log: Log;
  readonly clock?: Clock;
  readonly newId?: NewId;
  readonly admission?: Readonly<Record<string, readonly Admission[]>>;
  readonly subresources?: readonly Subresource[];
  /** Paths that never reach the store, by kind. Default: Credential's spec.stringData. */
  readonly writeOnly?: Readonly<Record<string, readonly string[]>>;
  /** A frozen plane serves reads and dry runs only. */
  readonly frozen?: () => boolean;
  readonly limits?: { readonly maxWatchBytes?: number; readonly bookmarkMs?: number };
}

export interface KubeApi {
  /** Runs for every write of this kind, in the order of registration. */
  admit(kind: Kind, admission: Admission): void;
  /** Shows in discovery from the next request on. */
  subresource(subresource: Subresource): void;
  /** The API from inside the process. */
  client(options: ClientOptions | string): KubeApiClient;
  /** Open watches. */
  readonly watchers: number;
  /** Ends watches and stops following the change log. */
  stop(): Promise<void>;
}

/** What /version says: a current Kubernetes version, because clients compare it with their own. */
export const VERSION_INFO: Readonly<Record<string, string>> = {
  major: '1',
  minor: '36',
  gitVersion: 'v1.36.3+fairlead',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: '',
  platform: 'fairlead',
};

const IMMUTABLE_S = 31_536_000;

/** Registers the Kubernetes surface with the listeners and starts following the store's changes. */
export function createKubeApi(options: KubeApiOptions): KubeApi {
  const api = new PlaneKubeApi(options);
  api.start();
  return api;
}

class PlaneKubeApi implements KubeApi {
  readonly #options: KubeApiOptions;
  readonly #clock: Clock;
  readonly #resources: readonly Resource[];
  readonly #admissions = new Map<string, Admission[]>();
  readonly #subresources: Subresource[];
  readonly #writer: Writer;
  readonly #hub: WatchHub;
  #openApi: OpenApi | undefined;

  constructor(options: KubeApiOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#resources = [namespaces, events, ...options.kinds.map(resourceOfKind)];
    this.#subresources = [...(options.subresources ?? [])];
    for (const [kind, admissions] of Object.entries(options.admission ?? {})) this.#admissions.set(kind, [...admissions]);
    this.#writer = new Writer({
      store: options.store,
      clock: this.#clock,
      ...(options.newId === undefined ? {} : { newId: options.newId }),
      resources: this.#resources,
      refuseWrites: () =>
        options.frozen?.() === true
          ? 'this plane is frozen: its database is not the one its keys belong to; run fairlead plane adopt if it should be'
          : undefined,
      admission: (kind) => this.#admissions.get(kind) ?? [],
      writeOnly: new Map(Object.entries(options.writeOnly ?? { Credential: ['spec.stringData'] })),
    });
    const storeKinds = new Map(this.#resources.map((resource) => [resource.storeKind.kind, resource.storeKind]));
    this.#hub = new WatchHub(options.store, [...storeKinds.values()], options.log);
    options.http.metrics.read('fairlead_api_watchers', 'Open watches of the Kubernetes API.', () => this.#hub.watchers);
  }

  start(): void {
    const { http } = this.#options;
    const attributes = (head: RequestHead): ReturnType<typeof attributesOf> => attributesOf(head);
    const permission = { allow: 'authorized', attributes } as const;
    const route = (path: string, method: Method | '*', handler: (request: HttpRequest) => Promise<HttpResponse>): void => {
      http.route({
        surface: 'kubernetes',
        method,
        path,
        permission,
        isLongRunning: (head) => head.method === 'GET' && isTrue(head.query.get('watch')),
        handler,
      });
    };
    route('/api', '*', (request) => this.#root(request, true));
    route('/apis', '*', (request) => this.#root(request, false));
    route('/api/*', '*', (request) => this.#serve(request));
    route('/apis/*', '*', (request) => this.#serve(request));
    route('/openapi/*', '*', (request) => this.#openapi(request));
    this.#hub.start();
  }

  admit(kind: Kind, admission: Admission): void {
    this.#admissions.set(kind.kind, [...(this.#admissions.get(kind.kind) ?? []), admission]);
  }

  subresource(subresource: Subresource): void {
    this.#subresources.push(subresource);
  }

  client(options: ClientOptions | string): KubeApiClient {
    const given = typeof options === 'string' ? { actor: options } : options;
    return createClient(this.#options.store, this.#writer, this.#resources, given);
  }

  get watchers(): number {
    return this.#hub.watchers;
  }

  stop(): Promise<void> {
    return this.#hub.stop();
  }

  get #catalog(): Catalog {
    return { resources: this.#resources, virtual: reviewResources, subresources: this.#subresources };
  }

  async #root(request: HttpRequest, isCore: boolean): Promise<HttpResponse> {
    if (request.method !== 'GET' && request.method !== 'HEAD') throw failure.methodNotAllowed();
    const answer = discoveryRoot(this.#catalog, request, isCore);
    return {
      status: 200,
      headers: { 'content-type': answer.contentType, vary: 'Accept', 'cache-control': 'no-cache, private' },
      body: JSON.stringify(answer.body),
    };
  }

  async #openapi(request: HttpRequest): Promise<HttpResponse> {
    this.#openApi ??= new OpenApi(this.#catalog, 'Fairlead');
    const path = request.segments.slice(2).join('/');
    if (request.segments[1] === 'v2' && path === '') {
      const type = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
      return {
        status: 200,
        headers: { 'content-type': type, 'cache-control': 'no-cache, private' },
        body: emptyOpenApiV2('Fairlead'),
      };
    }
    if (request.segments[1] !== 'v3') throw failure.noSuchPath();
    if (path === '') {
      return {
        status: 200,
        headers: { 'content-type': 'application/json', 'cache-control': 'no-cache, private' },
        body: this.#openApi.root,
      };
    }
    const document = this.#openApi.document(path);
    if (document === undefined) throw failure.noSuchPath();
    const asked = request.query.get('hash');
    const etag = `"${document.hash}"`;
    const headers: Record<string, string> = { 'content-type': 'application/json', etag, vary: 'Accept' };
    if (asked === document.hash) {
      headers['cache-control'] = `public, max-age=${IMMUTABLE_S}, immutable`;
      headers['expires'] = new Date(this.#clock.now() + IMMUTABLE_S * 1000).toUTCString();
    }
    // A 304 repeats the headers, or the client asks again for ever.
    if (request.headers['if-none-match'] === etag) return { status: 304, headers };
    return { status: 200, headers, body: document.text };
  }

  async #serve(request: HttpRequest): Promise<HttpResponse> {
    const info = requestInfo(request);
    if (info === undefined) return this.#discovery(request);
    const review = reviewResources.find(
      (one) => one.group === info.group && one.version === info.version && one.plural === info.plural && info.name === '',
    );
    if (review !== undefined) {
      if (request.method !== 'POST') throw failure.methodNotAllowed();
      const form = negotiate(request);
      const body = parseBody(await request.body(), contentType(request));
      const object = answerReview(review, body, request.principal, this.#options.http.authorizer, this.#resources);
      return textResponse(201, object, form, request);
    }
    const resource = this.#resources.find(
      (one) => one.group === info.group && one.version === info.version && one.plural === info.plural,
    );
    if (resource === undefined) throw failure.noSuchPath();
    if (!resource.namespaced && info.namespace !== '' && resource.plural !== 'namespaces') throw failure.noSuchPath();
    if (resource.namespaced && info.name !== '' && info.namespace === '') throw failure.noSuchPath();
    if (info.subresource !== '' && !(info.subresource === 'status' && resource.hasStatus))
      return this.#below(resource, info, request);
    return this.#onResource(resource, info, request);
  }

  async #discovery(request: HttpRequest): Promise<HttpResponse> {
    if (request.method !== 'GET' && request.method !== 'HEAD') throw failure.methodNotAllowed();
    const [first, ...rest] = request.segments.filter((segment) => segment !== '');
    const document =
      first === 'api'
        ? rest.length === 1
          ? resourceDiscovery(this.#catalog, { group: '', version: rest[0] ?? '' })
          : undefined
        : rest.length === 1
          ? groupDiscovery(this.#catalog, rest[0] ?? '')
          : rest.length === 2
            ? resourceDiscovery(this.#catalog, { group: rest[0] ?? '', version: rest[1] ?? '' })
            : undefined;
    if (document === undefined) throw failure.noSuchPath();
    return textResponse(200, document, { yaml: false }, request);
  }

  async #below(resource: Resource, info: RequestInfo, request: HttpRequest): Promise<HttpResponse> {
    const sub = this.#subresources.find(
      (one) => one.plural === resource.plural && one.name === info.subresource && resource.group !== '',
    );
    if (sub === undefined || info.name === '') throw failure.noSuchPath();
    if (!sub.verbs.includes(info.verb)) throw failure.methodNotAllowed();
    const form = negotiate(request);
    const bytes = await request.body();
    const issues: Issue[] = [];
    const dryRun = dryRunOf(request.query.getAll('dryRun'), issues);
    if (issues.length > 0)
      throw failure.invalid({ group: 'meta.k8s.io', plural: 'createoptions', kind: 'CreateOptions' }, '', issues);
    const answer = await sub.handle({
      verb: info.verb,
      namespace: info.namespace,
      name: info.name,
      body: bytes.length === 0 ? null : parseBody(bytes, contentType(request)),
      principal: request.principal,
      actor: actorOf(request.principal),
      dryRun,
      signal: request.signal,
    });
    return textResponse(answer.status, answer.object as Json, form, request);
  }

  async #onResource(resource: Resource, info: RequestInfo, request: HttpRequest): Promise<HttpResponse> {
    const isStatus = info.subresource === 'status';
    if (!isStatus && !resource.verbs.includes(info.verb)) throw failure.methodNotAllowed();
    const { store } = this.#options;
    const namespace = resource.namespaced ? info.namespace : '';
    const reading = { store, now: () => this.#clock.now() };
    // From another replica, a moment ago.
    const asked = Number(request.query.get('resourceVersion') ?? '0');
    if (Number.isSafeInteger(asked) && asked > store.revision()) await store.reach(asked);
    switch (info.verb) {
      case 'get':
        return getObject(reading, resource, namespace, info.name, request);
      case 'list':
        return listObjects(reading, resource, namespace, request);
      case 'watch': {
        if (info.name !== '') request.query.set('fieldSelector', `metadata.name=${info.name}`);
        const context = {
          store,
          hub: this.#hub,
          clock: this.#clock,
          maxBufferedBytes: this.#options.limits?.maxWatchBytes ?? 8 * 1024 * 1024,
          bookmarkMs: this.#options.limits?.bookmarkMs ?? 60_000,
        };
        return watchObjects(context, resource, namespace, request);
      }
      case 'create': {
        if (info.name !== '' || isStatus || (resource.namespaced && namespace === '')) throw failure.methodNotAllowed();
        const form = negotiate(request);
        const options = writeOptionsOf(request, 'CreateOptions');
        const body = parseBody(await request.body(), contentType(request));
        const written = await this.#writer.create(resource, namespace, body, options);
        return objectResponse(201, resource, written.object, form, request, this.#clock.now(), warningsOf(options));
      }
      case 'update': {
        if (info.name === '') throw failure.methodNotAllowed();
        const form = negotiate(request);
        const options = writeOptionsOf(request, 'UpdateOptions');
        const body = parseBody(await request.body(), contentType(request));
        const written = await this.#writer.update(targetOf(resource, namespace, info), body, options);
        return objectResponse(200, resource, written.object, form, request, this.#clock.now(), warningsOf(options));
      }
      case 'patch':
        return this.#patch(resource, info, namespace, request);
      case 'delete':
      case 'deletecollection':
        if (isStatus) throw failure.methodNotAllowed();
        return this.#delete(resource, info, namespace, request);
      default:
        throw failure.methodNotAllowed();
    }
  }

  async #patch(resource: Resource, info: RequestInfo, namespace: string, request: HttpRequest): Promise<HttpResponse> {
    if (info.name === '') throw failure.methodNotAllowed();
    const type = contentType(request);
    if (!resource.patchTypes.includes(type)) throw failure.unsupportedMediaType(resource.patchTypes);
    const form = negotiate(request);
    const options = writeOptionsOf(request, 'PatchOptions', type === APPLY_PATCH);
    const bytes = await request.body();
    const patch = type === APPLY_PATCH ? applyBody(bytes) : parsePatch(bytes);
    const written = await this.#writer.patch(targetOf(resource, namespace, info), type, patch, options);
    return objectResponse(
      written.created ? 201 : 200,
      resource,
      written.object,
      form,
      request,
      this.#clock.now(),
      warningsOf(options),
    );
  }

  async #delete(resource: Resource, info: RequestInfo, namespace: string, request: HttpRequest): Promise<HttpResponse> {
    const form = negotiate(request);
    const bytes = await request.body();
    const body = bytes.length === 0 ? {} : parseBody(bytes, contentType(request));
    const { options, preconditions } = deleteOptionsOf(request, body);
    if (info.name !== '') {
      const object = await this.#writer.remove(targetOf(resource, namespace, info), preconditions, options);
      return objectResponse(200, resource, object, form, request, this.#clock.now(), warningsOf(options));
    }
    if (resource.namespaced && namespace === '') throw failure.methodNotAllowed();
    const removed = await this.#removeAll(resource, namespace, request, options);
    return textResponse(
      200,
      { apiVersion: resource.apiVersion, kind: `${resource.kind}List`, metadata: {}, items: removed },
      form,
      request,
    );
  }

  async #removeAll(resource: Resource, namespace: string, request: HttpRequest, options: WriteOptions): Promise<JsonObject[]> {
    const selection = selectionOf(resource, namespace, request.query);
    const removed: JsonObject[] = [];
    let after: { namespace: string; name: string } | undefined;
    do {
      const page = await this.#options.store.list(resource.storeKind, {
        ...(selection.namespace === '' ? {} : { namespace: selection.namespace }),
        labels: selection.labels,
        fields: selection.stored,
        limit: 500,
        ...(after === undefined ? {} : { after }),
      });
      for (const object of page.items) {
        try {
          const { name, namespace: within = '', uid } = object.metadata;
          await this.#writer.remove({ resource, namespace: within, name, subresource: '' }, { uid }, options);
          removed.push(object as unknown as JsonObject);
        } catch (error) {
          // Gone already, which is what was asked for.
          if (!(error instanceof Error && 'code' in error && error.code === 'FL_API_NOT_FOUND')) throw error;
        }
      }
      after = page.next;
    } while (after !== undefined && !request.signal.aborted);
    return removed;
  }
}

function targetOf(resource: Resource, namespace: string, { name, subresource }: RequestInfo): Target {
  return { resource, namespace, name, subresource };
}

function parsePatch(bytes: Buffer): Json {
  try {
    return JSON.parse(bytes.toString('utf8')) as Json;
  } catch (error) {
    throw failure.badRequest(`error decoding patch: ${error instanceof Error ? error.message : ''}`);
  }
}

/** kubectl sends JSON under the name of YAML; it is YAML, but JSON is read faster. */
function applyBody(bytes: Buffer): Json {
  if (bytes[0] === 0x7b) {
    try {
      return JSON.parse(bytes.toString('utf8')) as Json;
    } catch {
      // Flow-style YAML begins like that too.
    }
  }
  return yamlBody(bytes);
}

function warningsOf(options: WriteOptions): Record<string, readonly string[]> {
  if (options.warnings.length === 0) return {};
  const unique = [...new Set(options.warnings)].slice(0, 20);
  // HTTP headers are Latin-1 lines.
  const header = unique.map(
    (text) =>
      `299 - "${text
        .replace(/[^\x20-\x7e]/g, '?')
        .replaceAll('\\', '\\\\')
        .replaceAll('"', '\\"')
        .slice(0, 1000)}"`,
  );
  return { warning: header };
}

function deleteOptionsOf(
  request: HttpRequest,
  body: Json,
): { readonly options: WriteOptions; readonly preconditions: DeleteOptions } {
  const issues: Issue[] = [];
  const listed = get(body, 'dryRun');
  const dryRun = dryRunOf([...request.query.getAll('dryRun'), ...(isArray(listed) ? listed.map(String) : [])], issues);
  const policy = textOf(get(body, 'propagationPolicy')) ?? request.query.get('propagationPolicy') ?? '';
  if (!['', 'Orphan', 'Background', 'Foreground'].includes(policy)) {
    issues.push({
      type: 'FieldValueNotSupported',
      field: 'propagationPolicy',
      value: policy,
      detail: 'supported values: "Foreground", "Background", "Orphan", "nil"',
    });
  }
  if (issues.length > 0)
    throw failure.invalid({ group: 'meta.k8s.io', plural: 'deleteoptions', kind: 'DeleteOptions' }, '', issues);
  const uid = textOf(getIn(body, 'preconditions', 'uid'));
  const resourceVersion = textOf(getIn(body, 'preconditions', 'resourceVersion'));
  return {
    options: {
      principal: request.principal,
      actor: actorOf(request.principal),
      dryRun,
      fieldManager: '',
      fieldValidation: 'Ignore',
      force: false,
      warnings: [],
      isInternal: false,
    },
    preconditions: { ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }) },
  };
}
