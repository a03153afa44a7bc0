import { reason, type DesiredApplication, type ObjectIdentity, type Reason, type ReasonArgs, type ReasonCode } from '#api';
import { rfc3339 } from '#base';
import { describeId, getIn, isRecord, type KubeObject } from '#kube';
import type { ClusterPort } from './cluster-port.ts';

export interface LimitSubject {
  readonly id: ObjectIdentity;
  readonly isNamespaced: boolean;
  /** Read only for kinds whose content matters (webhook configurations). */
  readonly content: () => KubeObject | undefined;
}

/** Why the Project's limits, or the agent's own safety, forbid this object; undefined when they do not. Pure. */
export function limitViolation(
  subject: LimitSubject,
  wanted: DesiredApplication,
  port: Pick<ClusterPort, 'cluster' | 'clock' | 'agentNamespace'>,
): Reason | undefined {
  const { id } = subject;
  const since = rfc3339(port.clock.now());
  const refuse = (code: ReasonCode, args: ReasonArgs): Reason =>
    reason(code, { object: describeId(id), cluster: port.cluster, project: wanted.project, ...args }, since);
  const kind = id.group === '' ? id.kind : `${id.kind}.${id.group}`;

  // For a Namespace its own name counts: it would be the door to all that is in it.
  const namespace = subject.isNamespaced ? id.namespace : id.group === '' && id.kind === 'Namespace' ? id.name : undefined;
  if (namespace === port.agentNamespace)
    return refuse('FL_CLAIM_RESERVED', { why: `${namespace} is the namespace of the agent` });
  if (wanted.limits.deniedKinds.some((denied) => matchesKind(denied, id))) return refuse('FL_CLAIM_KIND', { kind });
  if (!subject.isNamespaced && !wanted.limits.clusterKinds.some((allowed) => matchesKind(allowed, id))) {
    return refuse('FL_CLAIM_KIND', { kind });
  }
  if (namespace !== undefined && !wanted.limits.namespaces.some((pattern) => matchesPattern(pattern, namespace))) {
    return refuse('FL_CLAIM_NAMESPACE', { namespace });
  }
  const danger = dangerToAgent(subject, port.agentNamespace);
  return danger === undefined ? undefined : refuse('FL_CLAIM_RESERVED', { why: danger });
}

function matchesKind(pattern: { readonly group: string; readonly kind: string }, id: ObjectIdentity): boolean {
  return (pattern.group === '*' || pattern.group === id.group) && (pattern.kind === '*' || pattern.kind === id.kind);
}

/** `*` stands for any text. */
export function matchesPattern(pattern: string, text: string): boolean {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(text);
}

/** What the agent writes in its own namespace: a webhook that judges it could lock the agent out of its state and its lease. */
const own = [
  { group: '', resource: 'secrets' },
  { group: 'coordination.k8s.io', resource: 'leases' },
];

function dangerToAgent(subject: LimitSubject, agentNamespace: string): string | undefined {
  const { id } = subject;
  if (id.group !== 'admissionregistration.k8s.io' || !/^(Validating|Mutating)WebhookConfiguration$/.test(id.kind))
    return undefined;
  const webhooks = getIn(subject.content(), 'webhooks');
  if (!Array.isArray(webhooks)) return undefined;
  for (const webhook of webhooks as readonly unknown[]) {
    const rules = getIn(webhook, 'rules');
    const touches =
      Array.isArray(rules) && (rules as readonly unknown[]).some((rule) => own.some((one) => ruleMatches(rule, one)));
    if (!touches || !selectsNamespace(getIn(webhook, 'namespaceSelector'), agentNamespace)) continue;
    const name = getIn(webhook, 'name');
    return `its webhook ${typeof name === 'string' ? name : ''} would judge what the agent writes; exclude namespace ${agentNamespace} by namespaceSelector`;
  }
  return undefined;
}

function ruleMatches(rule: unknown, one: { readonly group: string; readonly resource: string }): boolean {
  const has = (field: string, wanted: string): boolean => {
    const list = getIn(rule, field);
    return (
      Array.isArray(list) && list.some((item) => item === '*' || item === wanted || item === `${wanted}/*` || item === '*/*')
    );
  };
  return getIn(rule, 'scope') !== 'Cluster' && has('apiGroups', one.group) && has('resources', one.resource);
}

/** As the API server does it: every namespace has the label kubernetes.io/metadata.name; of others of ours nothing is known, so they count as absent. */
function selectsNamespace(selector: unknown, name: string): boolean {
  const labels: Readonly<Record<string, string>> = { 'kubernetes.io/metadata.name': name };
  const matchLabels = getIn(selector, 'matchLabels');
  if (isRecord(matchLabels) && Object.entries(matchLabels).some(([key, value]) => labels[key] !== value)) return false;
  const expressions = getIn(selector, 'matchExpressions');
  if (!Array.isArray(expressions)) return true;
  return (expressions as readonly unknown[]).every((expression) => {
    const value = labels[String(getIn(expression, 'key'))];
    const values = getIn(expression, 'values');
    const list: readonly unknown[] = Array.isArray(values) ? values : [];
    switch (getIn(expression, 'operator')) {
      case 'In':
        return value !== undefined && list.includes(value);
      case 'NotIn':
        return value === undefined || !list.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return true;
    }
  });
}
