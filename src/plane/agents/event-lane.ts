import { rfc3339, shortHash, type NewId } from '#base';
import { API_VERSION, Cluster, Delivery, Event, say, type AgentEvent, type DeliveryReport, type WireReason } from '#api';

const HOUR_MS = 3_600_000;
const MAX_IDS = 50;
const MAX_ARGS_CHARS = 4_096;

/** Arguments of a reason from outside, within bounds: what is too much is cut to its words. */
export function boundReason(reason: WireReason): WireReason {
  const text = JSON.stringify(reason.args);
  if (text.length <= MAX_ARGS_CHARS) return reason;
  const args: Record<string, unknown> = {};
  let left = MAX_ARGS_CHARS;
  for (const [name, value] of Object.entries(reason.args)) {
    const short = typeof value === 'string' ? value.slice(0, 1024) : value;
    const size = JSON.stringify(short)?.length ?? 0;
    if (name.length + size > left) continue;
    left -= name.length + size;
    args[name] = short;
  }
  return { ...reason, args };
}

/** A delivery report with its reasons within bounds, for what is stored; the digest is of what was sent. */
export function boundedReport(report: DeliveryReport): DeliveryReport {
  return {
    ...report,
    ...(report.reason === undefined ? {} : { reason: boundReason(report.reason) }),
    problems: report.problems.map((problem) => ({ ...problem, reason: boundReason(problem.reason) })),
  };
}

/** The time an agent gives, no later than now and no older than a day. */
function instantOf(at: string, nowMs: number): number {
  const ms = Date.parse(at);
  return Number.isNaN(ms) ? nowMs : Math.min(nowMs, Math.max(ms, nowMs - 24 * HOUR_MS));
}

/**
 * The row that counts an event: one per delivery, code, object, release and hour. Events of an agent arrive at least once;
 * a row remembers the ids it counted, so that each counts once.
 */
export function eventKey(delivery: Delivery, event: AgentEvent, nowMs: number): { namespace: string; name: string } {
  const { project, reason, object } = event;
  const release = typeof reason.args['release'] === 'string' ? reason.args['release'] : '';
  const what = object === undefined ? '' : `${object.group}/${object.kind}/${object.namespace}/${object.name}`;
  const hour = Math.floor(instantOf(event.at, nowMs) / HOUR_MS);
  return {
    namespace: project,
    name: `${delivery.spec.cluster}.${shortHash(delivery.metadata.uid, reason.code, what, release, String(hour))}`,
  };
}

/** The row after counting `event`, or undefined when it was counted before. */
export function countEvent(
  row: Event | undefined,
  delivery: Delivery,
  event: AgentEvent,
  nowMs: number,
  newUid: NewId,
): Event | undefined {
  if (row?.spec.ids?.includes(event.id) === true) return undefined;
  const reason = boundReason(event.reason);
  const args = { ...reason.args, cluster: delivery.spec.cluster, application: delivery.spec.application };
  const at = new Date(instantOf(event.at, nowMs)).toISOString();
  const isNewer = row === undefined || at >= row.spec.lastAt;
  const key = eventKey(delivery, event, nowMs);
  return {
    apiVersion: API_VERSION,
    kind: Event.kind,
    metadata: row?.metadata ?? { ...key, uid: newUid(), generation: 1, creationTimestamp: rfc3339(nowMs) },
    spec: {
      involvedObject: {
        apiVersion: API_VERSION,
        kind: Delivery.kind,
        namespace: key.namespace,
        name: delivery.metadata.name,
        uid: delivery.metadata.uid,
      },
      type: event.type,
      code: reason.code,
      args: isNewer ? args : row.spec.args,
      message: isNewer ? say({ code: reason.code, args }).slice(0, 1024) : row.spec.message,
      source: 'fairlead-agent',
      firstAt: row === undefined || at < row.spec.firstAt ? at : row.spec.firstAt,
      lastAt: isNewer ? at : row.spec.lastAt,
      count: (row?.spec.count ?? 0) + 1,
      cluster: delivery.spec.cluster,
      ids: [...(row?.spec.ids ?? []), event.id].slice(-MAX_IDS),
    },
  };
}

/** A plane's own event about a Cluster; those of cluster-scoped objects stand in the namespace `default`, as in Kubernetes. */
export function clusterEvent(
  cluster: Cluster,
  reason: { readonly code: string; readonly args: Readonly<Record<string, unknown>> },
  type: 'Normal' | 'Warning',
  nowMs: number,
  newUid: NewId,
): Event {
  const at = new Date(nowMs).toISOString();
  const { name, uid } = cluster.metadata;
  return {
    apiVersion: API_VERSION,
    kind: Event.kind,
    metadata: {
      name: `${name}.${shortHash(uid, reason.code, JSON.stringify(reason.args), at)}`,
      namespace: 'default',
      uid: newUid(),
      generation: 1,
      creationTimestamp: rfc3339(nowMs),
    },
    spec: {
      involvedObject: { apiVersion: API_VERSION, kind: Cluster.kind, namespace: '', name, uid },
      type,
      code: reason.code,
      args: { ...reason.args },
      message: say(reason).slice(0, 1024),
      source: 'fairlead-plane',
      firstAt: at,
      lastAt: at,
      count: 1,
      cluster: name,
    },
  };
}
