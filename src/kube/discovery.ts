import { FairleadError, systemClock, type Clock, type Log } from '#base';
import type { KubeClient } from './client.ts';
import { hasStatus } from './errors.ts';
import { parseJson } from './json.ts';
import { formatApiVersion, isRecord, itemsOf, own, parseApiVersion, textOf, type GroupVersionKind } from './objects.ts';

/** How objects of one kind are reached. */
export interface ResourceMapping extends GroupVersionKind {
  /** Plural, as in paths: `deployments`. */
  readonly resource: string;
  readonly namespaced: boolean;
  readonly verbs: readonly string[];
  readonly hasStatus: boolean;
  readonly hasScale: boolean;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
}

export interface Capabilities {
  /** `v1.36.3`. */
  readonly gitVersion: string;
  /** What Helm calls API versions: `apps/v1` and `apps/v1/Deployment`, those of subresources too, sorted, each once. */
  readonly apiVersions: readonly string[];
  /** Group versions whose own server did not answer: their kinds are unknown, not gone. */
  readonly unavailable: readonly string[];
}

/** Everything one look at the API server's discovery gave. */
export interface Discovered {
  /** Groups in the server's order; versions with the preferred one first. */
  readonly groups: readonly { readonly group: string; readonly versions: readonly string[] }[];
  readonly resources: readonly ResourceMapping[];
  /** `apps/v1/Deployment` of every resource and subresource, in any order, some more than once. */
  readonly kinds: readonly string[];
  /** Group versions whose own server did not answer: their kinds are unknown, not gone. */
  readonly unavailable: readonly string[];
}

export interface RestMapper {
  /**
   * The mapping of a kind; `version: ''` means the preferred one. Looks again when it is not known (at most every ten
   * seconds). Rejects with `FL_KUBE_NO_KIND` (retryable: a CRD may be on its way) or `FL_KUBE_GROUP_UNAVAILABLE`.
   */
  mapping(kind: GroupVersionKind): Promise<ResourceMapping>;
  /** By what a person types: `deployments`, `deploy`, `Deployment`, `deployments.apps`. Undefined if there is none. */
  resolve(name: string): Promise<ResourceMapping | undefined>;
  all(): Promise<Discovered>;
  capabilities(): Promise<Capabilities>;
  /** Look again at the next question (at the version, too), whatever the rate limit: a CRD was established or removed. */
  invalidate(): void;
}

export interface RestMapperOptions {
  readonly client: KubeClient;
  readonly log: Log;
  readonly clock?: Clock;
  /** Least time between two looks caused by misses. Default 10,000. */
  readonly minRefreshMs?: number;
  /** Age at which what is known is asked for again (cheap: an ETag). Default one hour. */
  readonly maxAgeMs?: number;
}

const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';
const ACCEPT = `${AGGREGATED},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json`;

interface Part {
  readonly etag: string | undefined;
  readonly discovered: Discovered;
}

export function createRestMapper(options: RestMapperOptions): RestMapper {
  const { client, log } = options;
  const clock = options.clock ?? systemClock;
  const minRefreshMs = options.minRefreshMs ?? 10_000;
  const maxAgeMs = options.maxAgeMs ?? 3_600_000;
  const parts: { core?: Part; groups?: Part } = {};
  let index: { readonly all: Discovered; readonly byKind: ReadonlyMap<string, ResourceMapping>; readonly at: number } | undefined;
  let running: Promise<void> | undefined;
  let isStale = false;
  let gitVersion: { readonly value: string; readonly at: number } | undefined;

  /** One look at a time; `since` asks for one that began after that moment. */
  async function refresh(): Promise<void> {
    running ??= look().finally(() => (running = undefined));
    await running;
  }

  async function look(): Promise<void> {
    const startedAt = clock.monotonic();
    isStale = false;
    try {
      const core = await lookAt('/api', parts.core);
      const groups = await lookAt('/apis', parts.groups);
      parts.core = core;
      parts.groups = groups;
      const all = merge([core.discovered, groups.discovered]);
      if (all.unavailable.length > 0)
        log.debug({ groupVersions: all.unavailable }, 'some aggregated APIs do not answer discovery');
      index = { all, byKind: indexKinds(all), at: startedAt };
    } catch (error) {
      isStale = true;
      throw error;
    }
  }

  async function lookAt(path: '/api' | '/apis', known: Part | undefined): Promise<Part> {
    const response = await client.request({
      method: 'GET',
      path,
      accept: ACCEPT,
      ...(known?.etag === undefined ? {} : { ifNoneMatch: known.etag }),
    });
    if (response.status === 304 && known !== undefined) return known;
    const body = parseJson(response.body, `the answer to GET ${path}`);
    const isAggregated = own(body, 'kind') === 'APIGroupDiscoveryList';
    return {
      etag: isAggregated ? response.headers.etag : undefined,
      discovered: isAggregated ? parseAggregated(body) : await readClassic(client, path, body),
    };
  }

  async function current(): Promise<NonNullable<typeof index>> {
    if (index === undefined || isStale || clock.monotonic() - index.at > maxAgeMs) await refresh();
    if (index === undefined)
      throw new FairleadError('FL_INTERNAL_DISCOVERY', 'discovery ended without a result', { kind: 'internal' });
    return index;
  }

  function find(known: NonNullable<typeof index>, wanted: GroupVersionKind): ResourceMapping | undefined {
    return known.byKind.get(`${wanted.group}/${wanted.version}/${wanted.kind}`);
  }

  return {
    async mapping(wanted) {
      let known = await current();
      let found = find(known, wanted);
      if (found === undefined && clock.monotonic() - known.at >= minRefreshMs) {
        await refresh();
        known = await current();
        found = find(known, wanted);
      }
      if (found !== undefined) return found;
      const title = `${formatApiVersion(wanted.group, wanted.version)}${wanted.version === '' ? '/' : ' '}${wanted.kind}`;
      if (known.all.unavailable.some((gv) => parseApiVersion(gv).group === wanted.group)) {
        throw new FairleadError(
          'FL_KUBE_GROUP_UNAVAILABLE',
          `the API group ${wanted.group} does not answer, so ${title} is unknown; look at its APIService`,
          { kind: 'unavailable' },
        );
      }
      throw new FairleadError('FL_KUBE_NO_KIND', `the cluster serves no ${title}; apply its CustomResourceDefinition first`, {
        kind: 'not-found',
        retryable: true,
        retryAfterMs: Math.max(1000, minRefreshMs - (clock.monotonic() - known.at)),
        details: { group: wanted.group, version: wanted.version, kind: wanted.kind },
      });
    },
    async resolve(name) {
      const known = await current();
      return resolveName(known.all, name);
    },
    async all() {
      return (await current()).all;
    },
    async capabilities() {
      const known = await current();
      if (gitVersion === undefined || clock.monotonic() - gitVersion.at > maxAgeMs) {
        const response = await client.request({ method: 'GET', path: '/version' });
        gitVersion = {
          value: textOf(own(parseJson(response.body, 'the answer to GET /version'), 'gitVersion')) ?? '',
          at: clock.monotonic(),
        };
      }
      return { gitVersion: gitVersion.value, apiVersions: apiVersionsOf(known.all), unavailable: known.all.unavailable };
    },
    invalidate() {
      isStale = true;
      gitVersion = undefined;
    },
  };
}

/** `/apis/apps/v1/namespaces/web/deployments/frontend/status`; every part encoded. */
export function resourcePath(
  mapping: Pick<ResourceMapping, 'group' | 'version' | 'resource' | 'namespaced'>,
  namespace: string | undefined,
  name?: string,
  subresource?: string,
): string {
  if (mapping.namespaced && name !== undefined && !namespace) {
    throw new FairleadError('FL_KUBE_PATH', `${mapping.resource} ${name} needs a namespace`, { kind: 'invalid' });
  }
  const segments = [
    ...(mapping.group === '' ? ['api'] : ['apis', mapping.group]),
    mapping.version,
    ...(mapping.namespaced && namespace ? ['namespaces', namespace] : []),
    mapping.resource,
    ...(name === undefined ? [] : [name]),
    ...(subresource === undefined ? [] : [subresource]),
  ];
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) {
    throw new FairleadError('FL_KUBE_PATH', `${JSON.stringify(segments.join('/'))} is no path of the Kubernetes API`, {
      kind: 'invalid',
    });
  }
  return `/${segments.map((segment) => encodeURIComponent(segment).replaceAll('%3A', ':')).join('/')}`;
}

/** Reads `APIGroupDiscoveryList` (apidiscovery.k8s.io/v2 or v2beta1). */
export function parseAggregated(body: unknown): Discovered {
  const groups: { group: string; versions: string[] }[] = [];
  const resources: ResourceMapping[] = [];
  const kinds: string[] = [];
  const unavailable: string[] = [];
  for (const item of itemsOf(own(body, 'items'))) {
    const group = textOf(own(own(item, 'metadata'), 'name')) ?? '';
    const versions: string[] = [];
    for (const entry of itemsOf(own(item, 'versions'))) {
      const version = textOf(own(entry, 'version')) ?? '';
      const list = itemsOf(own(entry, 'resources'));
      versions.push(version);
      // Stale with resources is what the aggregator last knew: still the better guess.
      if (own(entry, 'freshness') === 'Stale' && list.length === 0) unavailable.push(formatApiVersion(group, version));
      for (const resource of list) {
        resources.push(aggregatedResource(group, version, resource));
        for (const one of [resource, ...itemsOf(own(resource, 'subresources'))])
          kinds.push(kindText(group, version, own(own(one, 'responseKind'), 'kind')));
      }
    }
    groups.push({ group, versions });
  }
  return { groups, resources, kinds, unavailable };
}

/** As Helm names it, by the group version under which it is found even where the kind is of another group (Scale). */
function kindText(group: string, version: string, kind: unknown): string {
  const name = textOf(kind) ?? '';
  return `${formatApiVersion(group, version)}${name === '' ? '' : `/${name}`}`;
}

function aggregatedResource(group: string, version: string, resource: unknown): ResourceMapping {
  const responseKind = own(resource, 'responseKind');
  const subresources = itemsOf(own(resource, 'subresources')).map((entry) => own(entry, 'subresource'));
  return {
    group,
    version,
    kind: textOf(own(responseKind, 'kind')) ?? '',
    resource: textOf(own(resource, 'resource')) ?? '',
    namespaced: own(resource, 'scope') === 'Namespaced',
    verbs: texts(own(resource, 'verbs')),
    hasStatus: subresources.includes('status'),
    hasScale: subresources.includes('scale'),
    singular: textOf(own(resource, 'singularResource')) ?? '',
    shortNames: texts(own(resource, 'shortNames')),
    categories: texts(own(resource, 'categories')),
  };
}

/** Servers before 1.27, and aggregated ones between: one request per group version, eight at a time. */
async function readClassic(client: KubeClient, path: '/api' | '/apis', body: unknown): Promise<Discovered> {
  const groups =
    path === '/api'
      ? [{ group: '', versions: texts(own(body, 'versions')) }]
      : itemsOf(own(body, 'groups')).map((entry) => {
          const preferred = textOf(own(own(entry, 'preferredVersion'), 'version'));
          const versions = itemsOf(own(entry, 'versions')).map((v) => textOf(own(v, 'version')) ?? '');
          return {
            group: textOf(own(entry, 'name')) ?? '',
            versions: [...versions.filter((v) => v === preferred), ...versions.filter((v) => v !== preferred)],
          };
        });
  const wanted = groups.flatMap(({ group, versions }) => versions.map((version) => ({ group, version })));
  const resources: ResourceMapping[][] = [];
  const kinds: string[] = [];
  const unavailable: string[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < wanted.length; at = next++) {
      const target = wanted[at];
      if (target === undefined) return;
      const { group, version } = target;
      try {
        const prefix = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
        const response = await client.request({ method: 'GET', path: prefix });
        const list = parseJson(response.body, `the answer to GET ${prefix}`);
        resources[at] = parseResourceList(group, version, list);
        for (const one of itemsOf(own(list, 'resources'))) kinds.push(kindText(group, version, own(one, 'kind')));
      } catch (error) {
        // The group may have vanished between the two requests; anything else leaves its kinds unknown.
        if (!hasStatus(error, 404)) unavailable.push(formatApiVersion(group, version));
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  return { groups, resources: resources.flat(), kinds, unavailable };
}

/** Reads one `APIResourceList`. */
export function parseResourceList(group: string, version: string, body: unknown): ResourceMapping[] {
  const entries = itemsOf(own(body, 'resources')).filter((entry) => isRecord(entry));
  const names = new Set(entries.map((entry) => entry['name']));
  return entries
    .filter((entry) => !(textOf(entry['name']) ?? '/').includes('/'))
    .map((entry) => {
      const resource = textOf(entry['name']) ?? '';
      return {
        group,
        version,
        kind: textOf(entry['kind']) ?? '',
        resource,
        namespaced: entry['namespaced'] === true,
        verbs: texts(entry['verbs']),
        hasStatus: names.has(`${resource}/status`),
        hasScale: names.has(`${resource}/scale`),
        singular: textOf(entry['singularName']) ?? '',
        shortNames: texts(entry['shortNames']),
        categories: texts(entry['categories']),
      };
    });
}

function texts(value: unknown): string[] {
  return itemsOf(value).filter((item) => typeof item === 'string');
}

function merge(parts: readonly Discovered[]): Discovered {
  return {
    groups: parts.flatMap((part) => part.groups),
    resources: parts.flatMap((part) => part.resources),
    kinds: parts.flatMap((part) => part.kinds),
    unavailable: parts.flatMap((part) => part.unavailable),
  };
}

/** By `group/version/kind`, and by `group//kind` for the preferred version that has the kind. */
function indexKinds(all: Discovered): Map<string, ResourceMapping> {
  const byKind = new Map<string, ResourceMapping>();
  for (const mapping of inOrderOfPreference(all)) {
    // Some kinds are served by two resources (Scale, Eviction are subresources; Binding is one of two): the first wins.
    for (const version of [mapping.version, '']) {
      const key = `${mapping.group}/${version}/${mapping.kind}`;
      if (!byKind.has(key)) byKind.set(key, mapping);
    }
  }
  return byKind;
}

function inOrderOfPreference(all: Discovered): ResourceMapping[] {
  const order = new Map<string, number>();
  for (const { group, versions } of all.groups) {
    for (const version of versions) order.set(formatApiVersion(group, version), order.size);
  }
  const rank = (m: ResourceMapping): number => order.get(formatApiVersion(m.group, m.version)) ?? order.size;
  return [...all.resources].sort((a, b) => rank(a) - rank(b));
}

function resolveName(all: Discovered, name: string): ResourceMapping | undefined {
  const [head = '', ...rest] = name.split('.');
  const group = rest.join('.');
  const lower = head.toLowerCase();
  const candidates = inOrderOfPreference(all).filter(
    (m) => !name.includes('.') || m.group === group || m.group.startsWith(`${group}.`),
  );
  const exact = candidates.find((m) => m.resource === lower || m.singular === lower || m.kind.toLowerCase() === lower);
  return exact ?? candidates.find((m) => m.shortNames.includes(lower));
}

function apiVersionsOf(all: Discovered): string[] {
  const versions = new Set(all.kinds);
  for (const { group, versions: list } of all.groups) for (const version of list) versions.add(formatApiVersion(group, version));
  return [...versions].sort();
}
