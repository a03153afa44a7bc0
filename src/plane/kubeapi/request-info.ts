import type { Attributes, RequestHead } from '#plane/http';

/** What a path of the Kubernetes API names (apiserver's request.RequestInfo). */
export interface RequestInfo {
  /** get, list, watch, create, update, patch, delete, deletecollection. */
  readonly verb: string;
  readonly group: string;
  readonly version: string;
  readonly namespace: string;
  readonly plural: string;
  readonly name: string;
  readonly subresource: string;
}

const VERBS: Readonly<Record<string, string>> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };

/** Undefined for paths that name no resource (discovery, OpenAPI). */
export function requestInfo(head: Pick<RequestHead, 'method' | 'segments' | 'query'>): RequestInfo | undefined {
  const { segments } = head;
  const isCore = segments[0] === 'api';
  if (!isCore && segments[0] !== 'apis') return undefined;
  const group = isCore ? '' : (segments[1] ?? '');
  const version = segments[isCore ? 1 : 2] ?? '';
  let rest = segments.slice(isCore ? 2 : 3);
  if (rest.length === 0 || rest[0] === '' || version === '') return undefined;
  let namespace = '';
  // `namespaces/NAME`, `namespaces/NAME/status|finalize` are the Namespace itself, in the core group only.
  if (
    rest[0] === 'namespaces' &&
    rest.length > 2 &&
    !(isCore && rest.length === 3 && (rest[2] === 'status' || rest[2] === 'finalize'))
  ) {
    namespace = rest[1] ?? '';
    rest = rest.slice(2);
  } else if (rest[0] === 'namespaces' && isCore && rest.length > 1) namespace = rest[1] ?? '';
  const [plural = '', name = '', ...sub] = rest;
  return { verb: verbOf(head, name), group, version, namespace, plural, name, subresource: sub.join('/') };
}

function verbOf(head: Pick<RequestHead, 'method' | 'query'>, name: string): string {
  if (head.method === 'GET' || head.method === 'HEAD') {
    if (isTrue(head.query.get('watch'))) return 'watch';
    return name === '' ? 'list' : 'get';
  }
  if (head.method === 'DELETE' && name === '') return 'deletecollection';
  return VERBS[head.method] ?? head.method.toLowerCase();
}

export function isTrue(value: string | null): boolean {
  return value === 'true' || value === '1';
}

/** What to ask the authorizer about a request of this surface. */
export function attributesOf(head: RequestHead): Attributes {
  const info = requestInfo(head);
  if (info === undefined) return { verb: head.method.toLowerCase(), resource: '', path: head.path };
  return {
    verb: info.verb,
    group: info.group,
    resource: info.plural,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
  };
}
