import { rfc3339, shortHash, type NewId } from '#base';
import { API_VERSION, conditionOf, Delivery, Event, say } from '#api';
import type { DeliveryStatus } from './decide.ts';

/** Arguments that may say something else at every attempt, though nothing new is the matter. */
const voluble: ReadonlySet<string> = new Set(['words', 'retry', 'count', 'since', 'at', 'commit', 'kills', 'waiver']);

/** What a reason is about: its code, and which object, file, line and so on. */
function subjectOf(reason: DeliveryStatus['reason']): string {
  const args = Object.entries(reason?.args ?? {}).filter(([name]) => !voluble.has(name));
  return JSON.stringify([reason?.code, args.sort(([a], [b]) => (a < b ? -1 : 1))]);
}

/**
 * The event that a change of verdict is worth, if any: becoming stalled, being stalled by something else, and becoming ready after that. What goes as it
 * should makes no noise; the agent tells what it applied.
 */
export function verdictEvent(delivery: Delivery, next: DeliveryStatus, nowMs: number, newUid: NewId): Event | undefined {
  const isStalled = (status: Delivery['status']): boolean =>
    conditionOf({ ...delivery, ...(status === undefined ? {} : { status }) }, 'Stalled')?.status === 'True';
  const before = delivery.status;
  const { reason } = next;
  if (reason === undefined) return undefined;
  const becameStalled = isStalled(next) && (!isStalled(before) || subjectOf(before?.reason) !== subjectOf(reason));
  const recovered = !isStalled(next) && isStalled(before);
  if (!becameStalled && !recovered) return undefined;
  const at = new Date(nowMs).toISOString();
  const { uid, name, namespace = '' } = delivery.metadata;
  return {
    apiVersion: API_VERSION,
    kind: Event.kind,
    metadata: {
      name: `${delivery.spec.cluster}.${shortHash(uid, reason.code, reason.since, at)}`,
      namespace,
      uid: newUid(),
      generation: 1,
      creationTimestamp: rfc3339(nowMs),
    },
    spec: {
      involvedObject: { apiVersion: API_VERSION, kind: Delivery.kind, namespace, name, uid },
      type: becameStalled ? 'Warning' : 'Normal',
      code: reason.code,
      args: reason.args,
      message: say(reason).slice(0, 1024),
      source: 'fairlead-plane',
      firstAt: at,
      lastAt: at,
      count: 1,
      cluster: delivery.spec.cluster,
    },
  };
}
