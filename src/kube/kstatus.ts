import { getIn, gvkOf, isRecord, itemsOf, numberOf, own, textOf, type KubeObject } from './objects.ts';

export type HealthStatus = 'Current' | 'InProgress' | 'Failed' | 'Terminating' | 'Unknown';

export interface Health {
  readonly status: HealthStatus;
  /** One CamelCase word, as in a condition. */
  readonly reason: string;
  readonly message: string;
}

/**
 * The health of any object by the rules of kstatus (sigs.k8s.io/cli-utils/pkg/kstatus): what its controller says about the
 * generation that is there now. Objects without conditions are Current once they exist. Pure.
 * `now` (ms) is only needed for pods, whose unschedulability counts after 15 s.
 */
export function healthOf(object: KubeObject, now?: number): Health {
  if (object.metadata.deletionTimestamp !== undefined) {
    const finalizers = object.metadata.finalizers ?? [];
    const waits = finalizers.length > 0 ? `, waiting for ${finalizers.join(', ')}` : '';
    return { status: 'Terminating', reason: 'Terminating', message: `being deleted${waits}` };
  }
  const behind = behindGeneration(object);
  if (behind !== undefined) return behind;
  const { group, kind } = gvkOf(object);
  const rule = rules[`${group}/${kind}`];
  if (rule !== undefined) return rule(object, now);
  return byConditions(object);
}

const current = (message: string): Health => ({ status: 'Current', reason: 'Current', message });
const inProgress = (reason: string, message: string): Health => ({ status: 'InProgress', reason, message });
const failed = (reason: string, message: string): Health => ({ status: 'Failed', reason, message });

function behindGeneration(object: KubeObject): Health | undefined {
  const observed = numberOf(getIn(object, 'status', 'observedGeneration'));
  const generation = object.metadata.generation;
  if (observed === undefined || generation === undefined || observed >= generation) return undefined;
  return inProgress('LatestGenerationNotObserved', `generation ${generation} is not observed yet, the last was ${observed}`);
}

interface ConditionRecord {
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly since: string;
}

/** A condition of `status.conditions`; one that says it was for an older generation does not count. */
export function conditionOf(object: KubeObject, type: string): ConditionRecord | undefined {
  for (const condition of itemsOf(getIn(object, 'status', 'conditions'))) {
    if (!isRecord(condition) || condition['type'] !== type) continue;
    const observed = numberOf(condition['observedGeneration']);
    if (observed !== undefined && observed < (object.metadata.generation ?? 0)) return undefined;
    return {
      status: textOf(condition['status']) ?? 'Unknown',
      reason: textOf(condition['reason']) ?? '',
      message: textOf(condition['message']) ?? '',
      since: textOf(condition['lastTransitionTime']) ?? '',
    };
  }
  return undefined;
}

function byConditions(object: KubeObject): Health {
  const stalled = conditionOf(object, 'Stalled');
  if (stalled?.status === 'True') return failed(stalled.reason || 'Stalled', stalled.message || 'stalled');
  const reconciling = conditionOf(object, 'Reconciling');
  if (reconciling?.status === 'True') {
    return inProgress(reconciling.reason || 'Reconciling', reconciling.message || 'its controller is at work');
  }
  const ready = conditionOf(object, 'Ready') ?? conditionOf(object, 'Available');
  if (ready?.status === 'False') return inProgress(ready.reason || 'NotReady', ready.message || 'not ready');
  if (ready?.status === 'Unknown')
    return inProgress(ready.reason || 'Unknown', ready.message || 'its controller does not know yet');
  return current(ready === undefined ? 'it exists' : ready.message || 'ready');
}

type Rule = (object: KubeObject, now: number | undefined) => Health;

const rules: Readonly<Record<string, Rule>> = {
  'apps/Deployment': deployment,
  'apps/StatefulSet': statefulSet,
  'apps/DaemonSet': daemonSet,
  'apps/ReplicaSet': replicaSet,
  '/ReplicationController': replicaSet,
  '/Pod': pod,
  '/PersistentVolumeClaim': persistentVolumeClaim,
  '/Service': service,
  '/Namespace': () => current('it exists'),
  'batch/Job': job,
  'batch/CronJob': () => current('it exists'),
  'policy/PodDisruptionBudget': podDisruptionBudget,
  'apiextensions.k8s.io/CustomResourceDefinition': customResourceDefinition,
  'apiregistration.k8s.io/APIService': byConditions,
  'autoscaling/HorizontalPodAutoscaler': () => current('it exists'),
  'networking.k8s.io/Ingress': () => current('it exists'),
};

function count(object: KubeObject, ...path: readonly string[]): number {
  return numberOf(getIn(object, ...path)) ?? 0;
}

function wantedReplicas(object: KubeObject): number {
  return numberOf(getIn(object, 'spec', 'replicas')) ?? 1;
}

function notObserved(object: KubeObject): Health | undefined {
  return isRecord(object['status']) &&
    (own(object['status'], 'observedGeneration') !== undefined || Object.keys(object['status']).length > 0)
    ? undefined
    : inProgress('NotObserved', 'its controller has not looked at it yet');
}

function deployment(object: KubeObject): Health {
  const unseen = notObserved(object);
  if (unseen !== undefined) return unseen;
  const progressing = conditionOf(object, 'Progressing');
  if (progressing?.reason === 'ProgressDeadlineExceeded') {
    return failed('ProgressDeadlineExceeded', progressing.message || 'the progress deadline passed');
  }
  const replicas = wantedReplicas(object);
  const total = count(object, 'status', 'replicas');
  const updated = count(object, 'status', 'updatedReplicas');
  const ready = count(object, 'status', 'readyReplicas');
  const available = count(object, 'status', 'availableReplicas');
  if (getIn(object, 'spec', 'paused') === true && updated < replicas) return inProgress('Paused', 'the rollout is paused');
  if (updated < replicas) return inProgress('LessUpdated', `${updated} of ${replicas} replicas are updated`);
  if (total > updated) return inProgress('ExtraPods', `${total - updated} old replicas are still there`);
  if (available < updated) return inProgress('LessAvailable', `${available} of ${updated} replicas are available`);
  if (ready < replicas) return inProgress('LessReady', `${ready} of ${replicas} replicas are ready`);
  const availability = conditionOf(object, 'Available');
  if (replicas > 0 && availability?.status === 'False')
    return inProgress('NotAvailable', availability.message || 'not available');
  return current(`${ready} replicas are ready`);
}

function statefulSet(object: KubeObject): Health {
  const unseen = notObserved(object);
  if (unseen !== undefined) return unseen;
  const replicas = wantedReplicas(object);
  const total = count(object, 'status', 'replicas');
  const ready = count(object, 'status', 'readyReplicas');
  const atCurrent = count(object, 'status', 'currentReplicas');
  const updated = count(object, 'status', 'updatedReplicas');
  if (total < replicas) return inProgress('LessReplicas', `${total} of ${replicas} replicas exist`);
  if (ready < replicas) return inProgress('LessReady', `${ready} of ${replicas} replicas are ready`);
  if (total > replicas) return inProgress('ExtraPods', `${total - replicas} replicas are still to go`);
  // With OnDelete the controller replaces nothing by itself, so it can never be further than this.
  if (getIn(object, 'spec', 'updateStrategy', 'type') === 'OnDelete') return current(`${ready} replicas are ready (OnDelete)`);
  const partition = numberOf(getIn(object, 'spec', 'updateStrategy', 'rollingUpdate', 'partition')) ?? 0;
  if (partition > 0) {
    return updated < replicas - partition
      ? inProgress('PartitionRollout', `${updated} of ${replicas - partition} replicas are updated`)
      : current(`${updated} replicas are updated, by partition`);
  }
  if (updated < replicas) return inProgress('LessUpdated', `${updated} of ${replicas} replicas are updated`);
  if (atCurrent < replicas) return inProgress('LessCurrent', `${atCurrent} of ${replicas} replicas are current`);
  if (getIn(object, 'status', 'currentRevision') !== getIn(object, 'status', 'updateRevision')) {
    return inProgress('RevisionMismatch', 'the update revision is not current yet');
  }
  return current(`${ready} replicas are ready`);
}

function daemonSet(object: KubeObject): Health {
  if (getIn(object, 'status', 'observedGeneration') === undefined) {
    return inProgress('NotObserved', 'its controller has not looked at it yet');
  }
  const desired = numberOf(getIn(object, 'status', 'desiredNumberScheduled'));
  if (desired === undefined) return inProgress('NoDesiredNumber', 'its controller has not counted the nodes yet');
  const scheduled = count(object, 'status', 'currentNumberScheduled');
  const updated = count(object, 'status', 'updatedNumberScheduled');
  const available = count(object, 'status', 'numberAvailable');
  const ready = count(object, 'status', 'numberReady');
  if (scheduled < desired) return inProgress('LessCurrent', `${scheduled} of ${desired} pods are scheduled`);
  if (getIn(object, 'spec', 'updateStrategy', 'type') !== 'OnDelete' && updated < desired) {
    return inProgress('LessUpdated', `${updated} of ${desired} pods are updated`);
  }
  if (available < desired) return inProgress('LessAvailable', `${available} of ${desired} pods are available`);
  if (ready < desired) return inProgress('LessReady', `${ready} of ${desired} pods are ready`);
  return current(`${ready} pods are ready`);
}

function replicaSet(object: KubeObject): Health {
  const unseen = notObserved(object);
  if (unseen !== undefined) return unseen;
  const failure = conditionOf(object, 'ReplicaFailure');
  if (failure?.status === 'True') return inProgress('ReplicaFailure', failure.message || failure.reason);
  const replicas = wantedReplicas(object);
  const total = count(object, 'status', 'replicas');
  const ready = count(object, 'status', 'readyReplicas');
  const available = count(object, 'status', 'availableReplicas');
  if (total < replicas) return inProgress('LessReplicas', `${total} of ${replicas} replicas exist`);
  if (available < replicas) return inProgress('LessAvailable', `${available} of ${replicas} replicas are available`);
  if (ready < replicas) return inProgress('LessReady', `${ready} of ${replicas} replicas are ready`);
  if (total > replicas) return inProgress('ExtraPods', `${total - replicas} replicas are still to go`);
  return current(`${ready} replicas are ready`);
}

const UNSCHEDULABLE_AFTER_MS = 15_000;

function pod(object: KubeObject, now: number | undefined): Health {
  const phase = textOf(getIn(object, 'status', 'phase')) ?? '';
  switch (phase) {
    case 'Succeeded':
      return current('it completed');
    case 'Failed':
      return failed('PodFailed', textOf(getIn(object, 'status', 'message')) ?? 'it failed');
    case 'Running': {
      if (conditionOf(object, 'Ready')?.status === 'True') return current('it is ready');
      const crashing = crashLoopsOf(object);
      return crashing.length > 0
        ? failed('ContainersCrashLooping', `container ${crashing.join(', ')} is crash looping`)
        : inProgress('PodNotReady', 'it runs but is not ready');
    }
    case 'Pending': {
      const scheduled = conditionOf(object, 'PodScheduled');
      if (scheduled?.status === 'False' && scheduled.reason === 'Unschedulable') {
        const since = Date.parse(scheduled.since);
        return now !== undefined && now - since > UNSCHEDULABLE_AFTER_MS
          ? failed('PodUnschedulable', scheduled.message || 'no node can take it')
          : inProgress('PodNotScheduled', scheduled.message || 'it is not scheduled yet');
      }
      const crashing = crashLoopsOf(object);
      return crashing.length > 0
        ? failed('ContainersCrashLooping', `container ${crashing.join(', ')} is crash looping`)
        : inProgress('PodPending', 'it is starting');
    }
    case '':
      return inProgress('PodNotObserved', 'no phase is known yet');
    default:
      return { status: 'Unknown', reason: 'UnknownPhase', message: `its phase is ${phase}` };
  }
}

function crashLoopsOf(object: KubeObject): string[] {
  return ['initContainerStatuses', 'containerStatuses']
    .flatMap((field) => itemsOf(getIn(object, 'status', field)))
    .filter((status) => getIn(status, 'state', 'waiting', 'reason') === 'CrashLoopBackOff')
    .map((status) => textOf(own(status, 'name')) ?? '');
}

function persistentVolumeClaim(object: KubeObject): Health {
  const phase = textOf(getIn(object, 'status', 'phase')) ?? 'unknown';
  if (phase === 'Bound') return current('it is bound');
  if (phase === 'Lost') return failed('Lost', 'its volume is lost');
  return inProgress('NotBound', `it is not bound, its phase is ${phase}`);
}

function service(object: KubeObject): Health {
  if (getIn(object, 'spec', 'type') !== 'LoadBalancer') return current('it exists');
  return itemsOf(getIn(object, 'status', 'loadBalancer', 'ingress')).length > 0
    ? current('it has an address')
    : inProgress('NoLoadBalancerAddress', 'it waits for the address of a load balancer');
}

function job(object: KubeObject): Health {
  const completions = numberOf(getIn(object, 'spec', 'completions'));
  const succeeded = count(object, 'status', 'succeeded');
  const failures = count(object, 'status', 'failed');
  const failure = conditionOf(object, 'Failed');
  if (failure?.status === 'True') return failed(failure.reason || 'JobFailed', failure.message || 'it failed');
  const failureTarget = conditionOf(object, 'FailureTarget');
  if (failureTarget?.status === 'True') return failed(failureTarget.reason || 'JobFailed', failureTarget.message || 'it failed');
  if (conditionOf(object, 'Complete')?.status === 'True') return current(`it completed, ${succeeded} succeeded`);
  if (getIn(object, 'spec', 'suspend') === true) return current('it is suspended');
  if (getIn(object, 'status', 'startTime') === undefined) return inProgress('JobNotStarted', 'it has not started');
  // Unlike kstatus, which calls a running Job Current: whoever waits for a Job waits for its end.
  return inProgress('JobRunning', `${succeeded} of ${completions ?? 1} succeeded, ${failures} failed`);
}

function podDisruptionBudget(object: KubeObject): Health {
  return getIn(object, 'status', 'observedGeneration') === undefined
    ? inProgress('NotObserved', 'its controller has not looked at it yet')
    : current('it is in force');
}

function customResourceDefinition(object: KubeObject): Health {
  const names = conditionOf(object, 'NamesAccepted');
  if (names?.status === 'False') return failed(names.reason || 'NamesNotAccepted', names.message || 'its names are taken');
  const established = conditionOf(object, 'Established');
  if (established?.status === 'True') return current('it is established');
  if (established?.status === 'False' && established.reason !== 'Installing') {
    return failed(established.reason || 'NotEstablished', established.message || 'it is not established');
  }
  return inProgress('Installing', 'it is not established yet');
}
