import type { RequestHead } from '#plane/http';
import { acceptClauses } from './negotiate.ts';
import type { Resource } from './resource.ts';
import type { JsonObject } from './json.ts';

/** Something below an object that others serve: `POST clusters/<name>/enroll`. */
export interface SubresourceInfo {
  readonly plural: string;
  readonly name: string;
  /** Kind of what it answers. */
  readonly kind: string;
  readonly verbs: readonly string[];
}

/** Resources that are no kinds: reviews, answered and forgotten. */
export interface VirtualResource {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly verbs: readonly string[];
}

export interface Catalog {
  readonly resources: readonly Resource[];
  readonly virtual: readonly VirtualResource[];
  readonly subresources: readonly SubresourceInfo[];
}

const STATUS_VERBS = ['get', 'patch', 'update'];

interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

/** Group versions in the order in which clients should prefer them; core first. */
export function groupVersions(catalog: Catalog): GroupVersion[] {
  const seen = new Map<string, GroupVersion>();
  for (const { group, version } of [...catalog.resources, ...catalog.virtual])
    seen.set(`${group}/${version}`, { group, version });
  return [...seen.values()].sort((a, b) => Number(a.group !== '') - Number(b.group !== ''));
}

export interface DiscoveryAnswer {
  readonly contentType: string;
  readonly body: JsonObject;
}

/** `/api` and `/apis`: aggregated for clients that ask for it, classic otherwise. */
export function discoveryRoot(catalog: Catalog, head: RequestHead, isCore: boolean): DiscoveryAnswer {
  for (const { type, params } of acceptClauses(head.headers.accept)) {
    if (type !== 'application/json' && type !== '*/*') continue;
    const version = params.get('v');
    if (
      params.get('as') === 'APIGroupDiscoveryList' &&
      params.get('g') === 'apidiscovery.k8s.io' &&
      (version === 'v2' || version === 'v2beta1')
    ) {
      return {
        // Exactly so: with plain application/json on the same body kubectl finds no resource.
        contentType: `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
        body: aggregated(catalog, version, isCore),
      };
    }
    if (params.get('as') === undefined) break;
  }
  return { contentType: 'application/json', body: isCore ? apiVersions() : groupList(catalog) };
}

function aggregated(catalog: Catalog, version: string, isCore: boolean): JsonObject {
  const groups = new Map<string, GroupVersion[]>();
  for (const gv of groupVersions(catalog)) {
    if ((gv.group === '') === isCore) groups.set(gv.group, [...(groups.get(gv.group) ?? []), gv]);
  }
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: [...groups].map(([group, versions]) => ({
      metadata: group === '' ? {} : { name: group },
      versions: versions.map((gv) => ({
        version: gv.version,
        freshness: 'Current',
        resources: aggregatedResources(catalog, gv),
      })),
    })),
  };
}

function aggregatedResources(catalog: Catalog, gv: GroupVersion): JsonObject[] {
  const served = catalog.resources
    .filter((resource) => resource.group === gv.group && resource.version === gv.version)
    .map((resource): JsonObject => {
      const below = [
        ...(resource.hasStatus
          ? [{ subresource: 'status', responseKind: { ...gv, kind: resource.kind }, verbs: STATUS_VERBS }]
          : []),
        ...catalog.subresources
          .filter((sub) => sub.plural === resource.plural && resource.group !== '')
          .map((sub) => ({ subresource: sub.name, responseKind: { ...gv, kind: sub.kind }, verbs: [...sub.verbs] })),
      ];
      return {
        resource: resource.plural,
        responseKind: { ...gv, kind: resource.kind },
        scope: resource.namespaced ? 'Namespaced' : 'Cluster',
        singularResource: resource.singular,
        verbs: [...resource.verbs],
        ...(resource.shortNames.length === 0 ? {} : { shortNames: [...resource.shortNames] }),
        ...(resource.categories.length === 0 ? {} : { categories: [...resource.categories] }),
        ...(below.length === 0 ? {} : { subresources: below }),
      };
    });
  const virtual = catalog.virtual
    .filter((resource) => resource.group === gv.group && resource.version === gv.version)
    .map((resource): JsonObject => ({
      resource: resource.plural,
      responseKind: { ...gv, kind: resource.kind },
      scope: 'Cluster',
      singularResource: resource.singular,
      verbs: [...resource.verbs],
    }));
  return [...served, ...virtual];
}

function apiVersions(): JsonObject {
  return { kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] };
}

function groupDocument(catalog: Catalog, group: string): JsonObject {
  const versions = groupVersions(catalog)
    .filter((gv) => gv.group === group)
    .map((gv) => ({ groupVersion: `${gv.group}/${gv.version}`, version: gv.version }));
  return { name: group, versions, preferredVersion: versions[0] ?? null };
}

function groupList(catalog: Catalog): JsonObject {
  const groups = [...new Set(groupVersions(catalog).map((gv) => gv.group))].filter((group) => group !== '');
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups.map((group) => groupDocument(catalog, group)) };
}

/** `/apis/G`; undefined for a group that is not served. */
export function groupDiscovery(catalog: Catalog, group: string): JsonObject | undefined {
  if (!groupVersions(catalog).some((gv) => gv.group === group)) return undefined;
  return { kind: 'APIGroup', apiVersion: 'v1', ...groupDocument(catalog, group) };
}

/** `/api/v1` and `/apis/G/V`; undefined for a version that is not served. */
export function resourceDiscovery(catalog: Catalog, gv: GroupVersion): JsonObject | undefined {
  const groupVersion = gv.group === '' ? gv.version : `${gv.group}/${gv.version}`;
  const resources: JsonObject[] = [];
  for (const resource of catalog.resources) {
    if (resource.group !== gv.group || resource.version !== gv.version) continue;
    const common = { singularName: '', namespaced: resource.namespaced };
    resources.push({
      name: resource.plural,
      singularName: resource.singular,
      namespaced: resource.namespaced,
      kind: resource.kind,
      verbs: [...resource.verbs],
      ...(resource.shortNames.length === 0 ? {} : { shortNames: [...resource.shortNames] }),
      ...(resource.categories.length === 0 ? {} : { categories: [...resource.categories] }),
    });
    if (resource.hasStatus)
      resources.push({ name: `${resource.plural}/status`, ...common, kind: resource.kind, verbs: STATUS_VERBS });
    if (resource.group === '') continue;
    for (const sub of catalog.subresources) {
      if (sub.plural === resource.plural) {
        resources.push({ name: `${resource.plural}/${sub.name}`, ...common, kind: sub.kind, verbs: [...sub.verbs] });
      }
    }
  }
  for (const resource of catalog.virtual) {
    if (resource.group !== gv.group || resource.version !== gv.version) continue;
    resources.push({
      name: resource.plural,
      singularName: resource.singular,
      namespaced: false,
      kind: resource.kind,
      verbs: [...resource.verbs],
    });
  }
  return resources.length === 0 ? undefined : { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources };
}
