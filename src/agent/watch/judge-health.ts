import { reason, type Reason } from '#api';
import { capBytes, describeId, healthOf, parseId, redactMessage, type KubeObject } from '#kube';
import { rfc3339 } from '#base';
import type { ObjectHealth, ObjectKey } from '../core/model.ts';

/** The health of a live object with the reason to tell, by kstatus. Pure. */
export function judgeHealth(
  live: KubeObject,
  key: ObjectKey,
  cluster: string,
  nowMs: number,
): { readonly health: ObjectHealth; readonly reason: Reason | undefined } {
  const health = healthOf(live, nowMs);
  if (health.status === 'Current') return { health: 'healthy', reason: undefined };
  const args = {
    object: describeId(parseId(key)),
    cluster,
    words: capBytes(redactMessage(health.message || health.reason), 1024),
  };
  const since = rfc3339(nowMs);
  if (health.status === 'Terminating') {
    const finalizers = (live.metadata.finalizers ?? []).join(', ') || 'none';
    return { health: 'progressing', reason: reason('FL_APPLY_TERMINATING', { ...args, finalizers }, since) };
  }
  if (health.status === 'Failed') return { health: 'degraded', reason: reason('FL_HEALTH_FAILED', args, since) };
  return { health: 'progressing', reason: reason('FL_HEALTH_PROGRESSING', args, since) };
}
