import { compareIds, type ObjectId } from './objects.ts';

/** The order in which objects are applied; each stage is done before the next begins. Pruning goes the other way. */
export const STAGES = ['crds', 'namespaces', 'config', 'workloads', 'rest', 'webhooks'] as const;

export type Stage = (typeof STAGES)[number];

type Kind = Pick<ObjectId, 'group' | 'kind'>;

const RBAC = 'rbac.authorization.k8s.io';
const ADMISSION = 'admissionregistration.k8s.io';

/** In the order of application inside its stage: what is referred to comes first. */
const config: readonly string[] = [
  'scheduling.k8s.io/PriorityClass',
  'node.k8s.io/RuntimeClass',
  'storage.k8s.io/StorageClass',
  'storage.k8s.io/CSIDriver',
  'storage.k8s.io/VolumeAttributesClass',
  'networking.k8s.io/IngressClass',
  'gateway.networking.k8s.io/GatewayClass',
  '/ResourceQuota',
  '/LimitRange',
  '/ServiceAccount',
  `${RBAC}/ClusterRole`,
  `${RBAC}/Role`,
  `${RBAC}/ClusterRoleBinding`,
  `${RBAC}/RoleBinding`,
  '/Secret',
  '/ConfigMap',
  '/PersistentVolume',
  '/PersistentVolumeClaim',
  'networking.k8s.io/NetworkPolicy',
  'policy/PodDisruptionBudget',
  // Before the workloads: a pod learns the addresses of Services from its environment when it starts.
  '/Service',
  '/Endpoints',
  'discovery.k8s.io/EndpointSlice',
];

const workloads: readonly string[] = [
  '/Pod',
  '/ReplicationController',
  'apps/ReplicaSet',
  'apps/DaemonSet',
  'apps/Deployment',
  'apps/StatefulSet',
  'batch/Job',
  'batch/CronJob',
];

const webhooks: readonly string[] = [
  `${ADMISSION}/ValidatingAdmissionPolicy`,
  `${ADMISSION}/MutatingAdmissionPolicy`,
  `${ADMISSION}/ValidatingAdmissionPolicyBinding`,
  `${ADMISSION}/MutatingAdmissionPolicyBinding`,
  `${ADMISSION}/ValidatingWebhookConfiguration`,
  `${ADMISSION}/MutatingWebhookConfiguration`,
];

const rank = new Map<string, number>([
  ['apiextensions.k8s.io/CustomResourceDefinition', 0],
  ['/Namespace', 1000],
  ...config.map((kind, index): [string, number] => [kind, 2000 + index]),
  ...workloads.map((kind, index): [string, number] => [kind, 3000 + index]),
  // The rest is 4000; aggregated APIs first, since others of the rest may be objects of theirs.
  ['apiregistration.k8s.io/APIService', 3999],
  ...webhooks.map((kind, index): [string, number] => [kind, 5000 + index]),
]);

const protectedKinds: ReadonlySet<string> = new Set([
  '/Namespace',
  '/PersistentVolume',
  '/PersistentVolumeClaim',
  'apiextensions.k8s.io/CustomResourceDefinition',
]);

function rankOf(id: Kind): number {
  return rank.get(`${id.group}/${id.kind}`) ?? 4000;
}

export function stageOf(id: Kind): Stage {
  const at = rankOf(id);
  return at === 3999 ? 'rest' : (STAGES[Math.floor(at / 1000)] ?? 'rest');
}

/** A total order: stage, kind inside the stage, then id. */
export function compareForApply(a: ObjectId, b: ObjectId): number {
  return rankOf(a) - rankOf(b) || compareIds(a, b);
}

/** The exact reverse of the order of application. */
export function compareForPrune(a: ObjectId, b: ObjectId): number {
  return compareForApply(b, a);
}

/** Kinds whose deletion destroys data or other objects: never pruned without a waiver. */
export function isProtected(id: Kind): boolean {
  return protectedKinds.has(`${id.group}/${id.kind}`);
}
