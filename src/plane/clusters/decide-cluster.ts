import { isDeepStrictEqual } from 'node:util';
import {
  actorOf,
  CONFIRM_RECOVERY_ANNOTATION,
  isReasonCode,
  reasonOf,
  say,
  type Cluster,
  type Condition,
  type Contact,
  type DesiredPosition,
  type StateLane,
} from '#api';

export type ClusterStatus = NonNullable<Cluster['status']>;

export interface ClusterFacts {
  readonly cluster: Cluster;
  readonly contact: Contact;
  /** undefined: the agent has not sent its state since this plane started. */
  readonly lane: Pick<StateLane, 'agent' | 'held'> | undefined;
  readonly deliveries: { readonly total: number; readonly ready: number };
  /** Newest position issued. */
  readonly desired: DesiredPosition | undefined;
  /** RFC 3339. */
  readonly now: string;
}

interface Because {
  readonly code: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** Whether a person has confirmed the recovery that the Cluster is in. */
export function isConfirmed({ metadata, status }: Cluster): boolean {
  const adopted = status?.recovery?.adopted;
  return adopted !== undefined && metadata.annotations?.[CONFIRM_RECOVERY_ANNOTATION] === `${adopted.epoch}.${adopted.seq}`;
}

/**
 * The status of a Cluster: whether it joined, is in contact and is what Git says. Pure and total; `since` and transition
 * times stay while what they are about does.
 */
export function decideCluster(facts: ClusterFacts): ClusterStatus {
  const { cluster, deliveries, desired, lane } = facts;
  const former: ClusterStatus = cluster.status ?? {};
  const { recovery, reason: _reason, conditions: _conditions, ...kept } = former;
  const stillRecovering = recovery !== undefined && !isConfirmed(cluster) ? recovery : undefined;
  const top = topReason(facts, stillRecovering);
  const isReady = top.code === 'FL_CLUSTER_READY';
  const isResolving = !isReady && isReasonCode(top.code) && actorOf(top.code) === 'nobody: it resolves itself';
  const sentence = say(top);
  const isSame = former.reason?.code === top.code && isDeepStrictEqual(former.reason.args, top.args);

  const condition = (type: string, holds: boolean | undefined, message: string, reason: string = top.code): Condition => {
    const status = holds === undefined ? 'Unknown' : holds ? 'True' : 'False';
    const before = former.conditions?.find((one) => one.type === type);
    return {
      type,
      status,
      observedGeneration: cluster.metadata.generation,
      lastTransitionTime: before?.status === status ? before.lastTransitionTime : facts.now,
      reason,
      message,
    };
  };
  const hasJoined = former.agent !== undefined;
  const held = lane?.held ?? former.held;
  return {
    ...kept,
    observedGeneration: cluster.metadata.generation,
    ...(desired === undefined ? {} : { desired }),
    ...(held === undefined ? {} : { held }),
    deliveries,
    ...(stillRecovering === undefined ? {} : { recovery: stillRecovering }),
    reason: isSame && former.reason !== undefined ? former.reason : { code: top.code, args: { ...top.args }, since: facts.now },
    conditions: [
      condition('Ready', top.code === 'FL_CONTACT_LOST' ? undefined : isReady, sentence),
      condition('Reconciling', isResolving, isResolving ? sentence : ''),
      condition('Stalled', !isReady && !isResolving, !isReady && !isResolving ? sentence : ''),
      condition('Joined', hasJoined, '', hasJoined ? 'Joined' : 'FL_CONTACT_NEVER'),
      condition(
        'Recovering',
        stillRecovering !== undefined,
        stillRecovering === undefined ? '' : say(recoveryReason(cluster, stillRecovering)),
        stillRecovering === undefined ? 'NotRecovering' : 'FL_HOLD_RECOVERY',
      ),
    ],
  };
}

function topReason({ cluster, contact, lane, deliveries }: ClusterFacts, recovery: ClusterStatus['recovery']): Because {
  const { name } = cluster.metadata;
  const status = cluster.status ?? {};
  if (status.agent === undefined) return reasonOf('FL_CONTACT_NEVER', { cluster: name });
  if (recovery !== undefined) return recoveryReason(cluster, recovery);
  if (contact.state === 'lost') {
    const since = contact.lastMs === undefined ? 'before the plane started' : seconds(contact.lastMs);
    return reasonOf('FL_CONTACT_LOST', { cluster: name, since });
  }
  if (contact.twins !== undefined) return reasonOf('FL_CONTACT_TWIN', { cluster: name, ...contact.twins });
  // Until the agent has sent its state to a plane that just started, what it said before stands.
  const said = lane?.agent ?? (status.reason !== undefined && isAgents(status.reason.code) ? [status.reason] : []);
  for (const { code, args } of said) {
    if (code === 'FL_CONTACT_REFUSED') return { code, args };
    if (code.startsWith('FL_DOCUMENT_')) {
      return reasonOf('FL_CONTACT_REFUSED', { cluster: name, words: say({ code, args: { ...args, cluster: name } }) });
    }
    if (isAgents(code)) return { code, args: { ...args, cluster: name } };
  }
  const { ready, total } = deliveries;
  return ready === total
    ? reasonOf('FL_CLUSTER_READY', { ready, total })
    : reasonOf('FL_CLUSTER_DELIVERIES', { cluster: name, ready, total });
}

/** What an agent says about itself that keeps its cluster from being ready. */
function isAgents(code: string): boolean {
  return (
    code === 'FL_CONTACT_TWIN' ||
    code === 'FL_CONTACT_WRONG_CLUSTER' ||
    code === 'FL_CONTACT_REFUSED' ||
    code.startsWith('FL_DOCUMENT_')
  );
}

function recoveryReason(cluster: Cluster, { adopted }: NonNullable<ClusterStatus['recovery']>): Because {
  return reasonOf('FL_HOLD_RECOVERY', { cluster: cluster.metadata.name, position: `${adopted.epoch}.${adopted.seq}` });
}

function seconds(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

/** How urgently a status is written: contact, joining and recovery at once; counts soon; positions with the next occasion. */
export function urgencyOf(before: ClusterStatus | undefined, after: ClusterStatus): 'none' | 'positions' | 'counts' | 'now' {
  if (before === undefined) return 'now';
  const counted = new Set(['FL_CLUSTER_READY', 'FL_CLUSTER_DELIVERIES']);
  const isCounting = counted.has(before.reason?.code ?? '') && counted.has(after.reason?.code ?? '');
  if (!isDeepStrictEqual(shown(before, isCounting), shown(after, isCounting))) return 'now';
  if (!isDeepStrictEqual(shown(before, false), shown(after, false))) return 'counts';
  if (!isDeepStrictEqual(before.deliveries, after.deliveries)) return 'counts';
  return isDeepStrictEqual([before.desired, before.held], [after.desired, after.held]) ? 'none' : 'positions';
}

function shown({ conditions, reason, recovery, observedGeneration }: ClusterStatus, isCounting: boolean): unknown {
  return {
    recovery,
    observedGeneration,
    ...(isCounting ? {} : { code: reason?.code, args: reason?.args }),
    conditions: conditions
      ?.filter(({ type }) => !isCounting || type === 'Joined' || type === 'Recovering')
      .map(({ type, status, message, observedGeneration: generation }) => ({ type, status, message, generation })),
  };
}
