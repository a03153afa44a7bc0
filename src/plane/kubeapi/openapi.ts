import { createHash } from 'node:crypto';
import { groupVersions, type Catalog } from './discovery.ts';
import { get, isObject, type Json, type JsonObject } from './json.ts';
// Kubernetes' own schemas and descriptions (Apache-2.0), so that kubectl explain says the same words.
import objectMeta from './object-meta.json' with { type: 'json' };
import type { Resource } from './resource.ts';

interface Document {
  readonly text: string;
  readonly hash: string;
}

/** OpenAPI v3, one document per group version, addressed by the hash of its content. */
export class OpenApi {
  readonly #documents = new Map<string, Document>();
  readonly #root: string;

  constructor(catalog: Catalog, title: string) {
    for (const { group, version } of groupVersions(catalog)) {
      const path = group === '' ? `api/${version}` : `apis/${group}/${version}`;
      const resources = catalog.resources.filter((resource) => resource.group === group && resource.version === version);
      const text = JSON.stringify(documentOf(resources, title));
      this.#documents.set(path, { text, hash: createHash('sha512').update(text).digest('hex').toUpperCase() });
    }
    this.#root = JSON.stringify({
      paths: Object.fromEntries(
        [...this.#documents].map(([path, { hash }]) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }]),
      ),
    });
  }

  /** `/openapi/v3`. */
  get root(): string {
    return this.#root;
  }

  /** `/openapi/v3/<path>`; undefined for a path that is not served. */
  document(path: string): Document | undefined {
    return this.#documents.get(path);
  }
}

/**
 * OpenAPI v2 without content, in the only form kubectl reads it: for a kind that v3 does not have kubectl looks there, and
 * without an answer says "the server could not find the requested resource" instead of "no matches for kind".
 */
export function emptyOpenApiV2(title: string): Buffer {
  const field = (number: number, content: Buffer): Buffer =>
    Buffer.concat([Buffer.from([number * 8 + 2, content.length]), content]);
  const info = Buffer.concat([field(1, Buffer.from(title)), field(2, Buffer.from('unversioned'))]);
  return Buffer.concat([field(1, Buffer.from('2.0')), field(2, info), field(8, Buffer.alloc(0)), field(9, Buffer.alloc(0))]);
}

function modelName(resource: Resource): string {
  const reversed = resource.group === '' ? 'io.k8s.api.core' : resource.group.split('.').reverse().join('.');
  return `${reversed}.${resource.version}.${resource.kind}`;
}

function documentOf(resources: readonly Resource[], title: string): JsonObject {
  const schemas: [string, Json][] = Object.entries(objectMeta);
  const paths: [string, Json][] = [];
  for (const resource of resources) {
    schemas.push([modelName(resource), modelSchema(resource)]);
    const root = resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
    const collection = `${root}${resource.namespaced ? '/namespaces/{namespace}' : ''}/${resource.plural}`;
    paths.push([collection, collectionPath(resource)], [`${collection}/{name}`, itemPath(resource, true)]);
    if (resource.hasStatus) paths.push([`${collection}/{name}/status`, itemPath(resource, false)]);
  }
  return {
    openapi: '3.0.0',
    info: { title, version: 'unversioned' },
    paths: Object.fromEntries(paths),
    components: {
      schemas: Object.fromEntries(schemas),
      securitySchemes: { BearerToken: { type: 'apiKey', name: 'authorization', in: 'header', description: 'Bearer token' } },
    },
  };
}

function modelSchema(resource: Resource): JsonObject {
  const properties = get(resource.schema, 'properties');
  return {
    ...resource.schema,
    properties: {
      ...(isObject(properties) ? properties : {}),
      metadata: {
        description:
          "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
        allOf: [{ $ref: '#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' }],
      },
    },
    'x-kubernetes-group-version-kind': [gvk(resource)],
  };
}

function gvk(resource: Resource): JsonObject {
  return { group: resource.group, version: resource.version, kind: resource.kind };
}

function reference(resource: Resource): JsonObject {
  return { $ref: `#/components/schemas/${modelName(resource)}` };
}

function parameter(name: string, type = 'string'): JsonObject {
  return { name, in: 'query', schema: { type, uniqueItems: true } };
}

// kubectl looks for fieldValidation here to decide whether the server validates; the rest is for generators.
const WRITE_PARAMETERS = [parameter('dryRun'), parameter('fieldManager'), parameter('fieldValidation')];

function answers(resource: Resource, ...codes: readonly number[]): JsonObject {
  const content = { 'application/json': { schema: reference(resource) }, 'application/yaml': { schema: reference(resource) } };
  return Object.fromEntries(codes.map((code) => [String(code), { description: code === 201 ? 'Created' : 'OK', content }]));
}

function body(resource: Resource, types: readonly string[]): JsonObject {
  return { required: true, content: Object.fromEntries(types.map((type) => [type, { schema: reference(resource) }])) };
}

function collectionPath(resource: Resource): JsonObject {
  const common = { 'x-kubernetes-group-version-kind': gvk(resource) };
  const list = {
    ...common,
    'x-kubernetes-action': 'list',
    parameters: ['continue', 'fieldSelector', 'labelSelector', 'resourceVersion', 'resourceVersionMatch'].map((name) =>
      parameter(name),
    ),
    responses: answers(resource, 200),
  };
  if (!resource.verbs.includes('create')) return { get: list };
  return {
    get: list,
    post: {
      ...common,
      'x-kubernetes-action': 'post',
      parameters: WRITE_PARAMETERS,
      requestBody: body(resource, ['application/json', 'application/yaml']),
      responses: answers(resource, 200, 201),
    },
  };
}

function itemPath(resource: Resource, isMain: boolean): JsonObject {
  const common = { 'x-kubernetes-group-version-kind': gvk(resource) };
  const out: Record<string, Json> = {
    get: { ...common, 'x-kubernetes-action': 'get', responses: answers(resource, 200) },
  };
  if (resource.verbs.includes('update')) {
    out['put'] = {
      ...common,
      'x-kubernetes-action': 'put',
      parameters: WRITE_PARAMETERS,
      requestBody: body(resource, ['application/json', 'application/yaml']),
      responses: answers(resource, 200, 201),
    };
  }
  if (resource.verbs.includes('patch')) {
    out['patch'] = {
      ...common,
      'x-kubernetes-action': 'patch',
      parameters: [...WRITE_PARAMETERS, parameter('force', 'boolean')],
      requestBody: body(resource, resource.patchTypes),
      responses: answers(resource, 200, 201),
    };
  }
  if (isMain && resource.verbs.includes('delete')) {
    out['delete'] = {
      ...common,
      'x-kubernetes-action': 'delete',
      parameters: [parameter('dryRun'), parameter('propagationPolicy')],
      responses: { '200': { description: 'OK' } },
    };
  }
  return out;
}
