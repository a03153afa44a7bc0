import type { Authorizer, Principal } from '#plane/http';
import type { VirtualResource } from './discovery.ts';
import { get, getIn, textOf, type Json, type JsonObject } from './json.ts';
import type { Resource } from './resource.ts';

/** What answers a question about the asker and is not kept. */
export const reviewResources: readonly VirtualResource[] = [
  review('authentication.k8s.io', 'SelfSubjectReview'),
  review('authorization.k8s.io', 'SelfSubjectAccessReview'),
  review('authorization.k8s.io', 'SelfSubjectRulesReview'),
];

function review(group: string, kind: string): VirtualResource {
  return { group, version: 'v1', kind, plural: `${kind.toLowerCase()}s`, singular: kind.toLowerCase(), verbs: ['create'] };
}

/** The answered review. */
export function answerReview(
  resource: VirtualResource,
  body: Json,
  principal: Principal,
  authorizer: Authorizer,
  resources: readonly Resource[],
): JsonObject {
  const spec = get(body, 'spec');
  const head = { kind: resource.kind, apiVersion: `${resource.group}/${resource.version}`, metadata: {} };
  switch (resource.kind) {
    case 'SelfSubjectReview':
      return { ...head, status: { userInfo: userInfo(principal) } };
    case 'SelfSubjectAccessReview':
      return { ...head, spec: spec ?? {}, status: accessStatus(spec, principal, authorizer, resources) };
    default:
      return { ...head, spec: {}, status: rulesStatus(principal, resources) };
  }
}

function userInfo(principal: Principal): JsonObject {
  if (principal.type === 'admin') return { username: principal.name, groups: ['fairlead:admins', 'system:authenticated'] };
  return principal.type === 'agent'
    ? { username: `agent:${principal.cluster}`, groups: ['fairlead:agents', 'system:authenticated'] }
    : { username: 'system:anonymous', groups: ['system:unauthenticated'] };
}

function accessStatus(
  spec: Json | undefined,
  principal: Principal,
  authorizer: Authorizer,
  resources: readonly Resource[],
): JsonObject {
  const text = (field: string): string => textOf(getIn(spec, 'resourceAttributes', field)) ?? '';
  const path = textOf(getIn(spec, 'nonResourceAttributes', 'path'));
  const verb = path === undefined ? text('verb') : (textOf(getIn(spec, 'nonResourceAttributes', 'verb')) ?? '');
  const decision = authorizer(principal, {
    verb,
    ...(path === undefined ? { group: text('group') } : { path }),
    resource: text('resource'),
    subresource: text('subresource'),
    namespace: text('namespace'),
    name: text('name'),
  });
  if (!decision.allowed) return { allowed: false, reason: decision.reason };
  const resource = resources.find((one) => one.plural === text('resource') && one.group === text('group'));
  if (resource !== undefined && verb !== '*' && text('subresource') === '' && !resource.verbs.includes(verb)) {
    return { allowed: false, reason: `${resource.plural} are written by the plane` };
  }
  return { allowed: true, reason: decision.reason };
}

function rulesStatus(principal: Principal, resources: readonly Resource[]): JsonObject {
  if (principal.type !== 'admin') return { resourceRules: [], nonResourceRules: [], incomplete: false };
  const rules = resources.map((resource) => ({
    verbs: [...resource.verbs],
    apiGroups: [resource.group],
    resources: [resource.plural, ...(resource.hasStatus ? [`${resource.plural}/status`] : [])],
  }));
  return { resourceRules: rules, nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }], incomplete: false };
}
