import { reason, type Reason, type ReasonCode } from '#api';
import { rfc3339 } from '#base';
import { describeId, explainWorkload, getIn, getObject, isRecord, parseId, type KubeObject } from '#kube';
import type { ClusterPort } from '../apply/cluster-port.ts';
import type { ObjectHealth, ObjectKey, PlannedObject } from '../core/model.ts';

/** Between two looks at the pods of one unhealthy workload. */
export const POD_LOOK_MS = 4000;
const MAX_PODS = 50;

const workloads: ReadonlySet<string> = new Set([
  'apps/Deployment',
  'apps/StatefulSet',
  'apps/DaemonSet',
  'apps/ReplicaSet',
  'batch/Job',
]);

export function hasPods(key: ObjectKey): boolean {
  const { group, kind } = parseId(key);
  return workloads.has(`${group}/${kind}`);
}

/** What the pods of a workload say of its trouble; undefined if they say nothing. At most 50 pods are read. */
export async function explainUnhealthy(
  key: ObjectKey,
  object: PlannedObject,
  port: ClusterPort,
  signal: AbortSignal,
): Promise<{ readonly health: ObjectHealth; readonly reason: Reason } | undefined> {
  const id = parseId(key);
  const mapping = await port.mapper.mapping(object.id);
  const live = await getObject(port.client, mapping, id, { signal });
  const labels = getIn(live, 'spec', 'selector', 'matchLabels');
  if (!isRecord(labels) || Object.keys(labels).length === 0) return undefined;
  const labelSelector = Object.entries(labels)
    .map(([name, value]) => `${name}=${String(value)}`)
    .join(',');
  const response = await port.client.request({
    method: 'GET',
    path: `/api/v1/namespaces/${encodeURIComponent(id.namespace)}/pods`,
    query: { labelSelector, limit: MAX_PODS },
    signal,
  });
  const list: unknown = JSON.parse(response.body.toString('utf8'));
  const items = getIn(list, 'items');
  // Pods by the path.
  const said = explainWorkload(Array.isArray(items) ? (items as readonly KubeObject[]) : []);
  if (said === undefined) return undefined;
  const args = {
    object: describeId(id),
    cluster: port.cluster,
    pod: said.pod,
    container: said.container,
    image: said.image,
    words: [said.reason, said.message].filter((text) => text !== '').join(': '),
  };
  const give = (code: ReasonCode, health: ObjectHealth): { health: ObjectHealth; reason: Reason } => ({
    health,
    reason: reason(code, args, rfc3339(port.clock.now())),
  });
  switch (said.problem) {
    case 'ImagePull':
      return give('FL_HEALTH_IMAGE', 'degraded');
    case 'CrashLoop':
    case 'OutOfMemory':
    case 'ContainerExited':
      return give('FL_HEALTH_CRASH_LOOP', 'degraded');
    case 'ConfigError':
    case 'Evicted':
      return give('FL_HEALTH_FAILED', 'degraded');
    case 'Unschedulable':
    case 'VolumePending':
      return give('FL_HEALTH_UNSCHEDULABLE', 'degraded');
    default:
      return undefined;
  }
}
