import { rfc3339, shortHash, type NewId } from '#base';
import { API_VERSION, conditionOf, Delivery, Event, say } from '#api';
import { isSameReason, problemIn, type DeliveryStatus } from './decide.ts';

/**
 * The event that a change of verdict is worth, if any: becoming stalled, being stalled by something else, and becoming ready
 * after that. A retry that fails the same way is none. What goes as it should makes no noise; the agent tells what it applied.
 */
export function verdictEvent(delivery: Delivery, next: DeliveryStatus, nowMs: number, newUid: NewId): Event | undefined {
  const isSo = (type: string, status: Delivery['status']): boolean =>
    conditionOf({ ...delivery, ...(status === undefined ? {} : { status }) }, type)?.status === 'True';
  const before = delivery.status;
  const { reason } = next;
  if (reason === undefined) return undefined;
  const wasStalled = isSo('Stalled', before);
  // The same problem may have been out of sight meanwhile: being tried again, or behind a lost contact.
  const remembered = before?.problem;
  const known = problemIn(reason, delivery);
  const isKnown =
    remembered === undefined || known === undefined
      ? wasStalled && before?.reason !== undefined && isSameReason(before.reason, reason)
      : remembered.about === known;
  const becameStalled = isSo('Stalled', next) && !isKnown;
  const recovered = isSo('Ready', next) && (wasStalled || before?.problem !== undefined);
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
