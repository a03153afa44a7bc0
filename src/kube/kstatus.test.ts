import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainWorkload } from './explain-workload.ts';
import { healthOf, type HealthStatus } from './kstatus.ts';
import type { KubeObject } from './objects.ts';

function object(
  apiVersion: string,
  kind: string,
  fields: Record<string, unknown>,
  metadata: Record<string, unknown> = {},
): KubeObject {
  return { apiVersion, kind, metadata: { name: 'x', generation: 2, ...metadata }, ...fields };
}

const condition = (type: string, status: string, reason = '', message = '', more = {}): object => ({
  type,
  status,
  reason,
  message,
  ...more,
});
const seen = { observedGeneration: 2 };
const full = { ...seen, replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2, currentReplicas: 2 };

const cases: [string, KubeObject, HealthStatus, string][] = [
  ['new deployment', object('apps/v1', 'Deployment', { spec: {} }), 'InProgress', 'NotObserved'],
  [
    'deployment of old generation',
    object('apps/v1', 'Deployment', { status: { ...full, observedGeneration: 1 } }),
    'InProgress',
    'LatestGenerationNotObserved',
  ],
  ['deployment done', object('apps/v1', 'Deployment', { spec: { replicas: 2 }, status: full }), 'Current', 'Current'],
  ['deployment at zero', object('apps/v1', 'Deployment', { spec: { replicas: 0 }, status: seen }), 'Current', 'Current'],
  [
    'deployment with old pods',
    object('apps/v1', 'Deployment', { spec: { replicas: 2 }, status: { ...full, replicas: 3 } }),
    'InProgress',
    'ExtraPods',
  ],
  [
    'deployment half available',
    object('apps/v1', 'Deployment', { spec: { replicas: 2 }, status: { ...full, availableReplicas: 1 } }),
    'InProgress',
    'LessAvailable',
  ],
  [
    'deployment past its deadline',
    object('apps/v1', 'Deployment', {
      spec: { replicas: 2 },
      status: { ...seen, conditions: [condition('Progressing', 'False', 'ProgressDeadlineExceeded', 'too slow')] },
    }),
    'Failed',
    'ProgressDeadlineExceeded',
  ],
  [
    'paused deployment',
    object('apps/v1', 'Deployment', { spec: { replicas: 2, paused: true }, status: { ...full, updatedReplicas: 0 } }),
    'InProgress',
    'Paused',
  ],
  ['stateful set done', object('apps/v1', 'StatefulSet', { spec: { replicas: 2 }, status: full }), 'Current', 'Current'],
  [
    'stateful set by partition',
    object('apps/v1', 'StatefulSet', {
      spec: { replicas: 2, updateStrategy: { rollingUpdate: { partition: 1 } } },
      status: { ...full, updatedReplicas: 1 },
    }),
    'Current',
    'Current',
  ],
  [
    'stateful set between revisions',
    object('apps/v1', 'StatefulSet', { spec: { replicas: 2 }, status: { ...full, currentRevision: 'a', updateRevision: 'b' } }),
    'InProgress',
    'RevisionMismatch',
  ],
  ['daemon set uncounted', object('apps/v1', 'DaemonSet', { status: seen }), 'InProgress', 'NoDesiredNumber'],
  [
    'daemon set without nodes',
    object('apps/v1', 'DaemonSet', { status: { ...seen, desiredNumberScheduled: 0 } }),
    'Current',
    'Current',
  ],
  [
    'daemon set updating',
    object('apps/v1', 'DaemonSet', {
      status: { ...seen, desiredNumberScheduled: 2, currentNumberScheduled: 2, updatedNumberScheduled: 1 },
    }),
    'InProgress',
    'LessUpdated',
  ],
  [
    'replica set failing',
    object('apps/v1', 'ReplicaSet', {
      status: { ...seen, conditions: [condition('ReplicaFailure', 'True', 'FailedCreate', 'quota')] },
    }),
    'InProgress',
    'ReplicaFailure',
  ],
  ['pod done', object('v1', 'Pod', { status: { phase: 'Succeeded' } }), 'Current', 'Current'],
  [
    'pod ready',
    object('v1', 'Pod', { status: { phase: 'Running', conditions: [condition('Ready', 'True')] } }),
    'Current',
    'Current',
  ],
  [
    'pod crashing',
    object('v1', 'Pod', {
      status: { phase: 'Running', containerStatuses: [{ name: 'a', state: { waiting: { reason: 'CrashLoopBackOff' } } }] },
    }),
    'Failed',
    'ContainersCrashLooping',
  ],
  ['claim pending', object('v1', 'PersistentVolumeClaim', { status: { phase: 'Pending' } }), 'InProgress', 'NotBound'],
  ['claim lost', object('v1', 'PersistentVolumeClaim', { status: { phase: 'Lost' } }), 'Failed', 'Lost'],
  ['service inside', object('v1', 'Service', { spec: { type: 'ClusterIP' } }), 'Current', 'Current'],
  [
    'service waiting',
    object('v1', 'Service', { spec: { type: 'LoadBalancer' }, status: { loadBalancer: {} } }),
    'InProgress',
    'NoLoadBalancerAddress',
  ],
  [
    'service with address',
    object('v1', 'Service', { spec: { type: 'LoadBalancer' }, status: { loadBalancer: { ingress: [{ ip: '1.2.3.4' }] } } }),
    'Current',
    'Current',
  ],
  ['job running', object('batch/v1', 'Job', { spec: {}, status: { startTime: 'x', active: 1 } }), 'InProgress', 'JobRunning'],
  [
    'job failed',
    object('batch/v1', 'Job', { status: { conditions: [condition('Failed', 'True', 'BackoffLimitExceeded')] } }),
    'Failed',
    'BackoffLimitExceeded',
  ],
  [
    'job complete',
    object('batch/v1', 'Job', { status: { succeeded: 1, conditions: [condition('Complete', 'True')] } }),
    'Current',
    'Current',
  ],
  ['crd installing', object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', { status: {} }), 'InProgress', 'Installing'],
  [
    'crd established',
    object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', { status: { conditions: [condition('Established', 'True')] } }),
    'Current',
    'Current',
  ],
  [
    'crd with taken names',
    object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', {
      status: { conditions: [condition('NamesAccepted', 'False', 'MultipleNamesNotAllowed')] },
    }),
    'Failed',
    'MultipleNamesNotAllowed',
  ],
  ['budget unseen', object('policy/v1', 'PodDisruptionBudget', {}), 'InProgress', 'NotObserved'],
  ['config map', object('v1', 'ConfigMap', { data: {} }), 'Current', 'Current'],
  [
    'custom not ready',
    object('example.org/v1', 'Thing', { status: { conditions: [condition('Ready', 'False', 'Waiting', 'for db')] } }),
    'InProgress',
    'Waiting',
  ],
  [
    'custom stalled',
    object('example.org/v1', 'Thing', {
      status: { conditions: [condition('Ready', 'False'), condition('Stalled', 'True', 'BadSpec')] },
    }),
    'Failed',
    'BadSpec',
  ],
  [
    'custom reconciling',
    object('example.org/v1', 'Thing', {
      status: { conditions: [condition('Reconciling', 'True', 'Working'), condition('Ready', 'True')] },
    }),
    'InProgress',
    'Working',
  ],
  [
    'custom ready for an older generation',
    object('example.org/v1', 'Thing', {
      status: { conditions: [condition('Ready', 'False', 'Old', '', { observedGeneration: 1 })] },
    }),
    'Current',
    'Current',
  ],
  [
    'being deleted',
    object('v1', 'ConfigMap', {}, { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['x/y'] }),
    'Terminating',
    'Terminating',
  ],
];

for (const [title, given, status, reason] of cases) {
  test(`health: ${title} is ${status}`, () => {
    const health = healthOf(given);
    assert.deepEqual([health.status, health.reason], [status, reason], health.message);
  });
}

test('an unschedulable pod is given fifteen seconds', () => {
  const since = Date.UTC(2026, 0, 1);
  const pod = object('v1', 'Pod', {
    status: {
      phase: 'Pending',
      conditions: [
        condition('PodScheduled', 'False', 'Unschedulable', '0/3 nodes', { lastTransitionTime: new Date(since).toISOString() }),
      ],
    },
  });
  assert.equal(healthOf(pod, since + 10_000).status, 'InProgress');
  assert.equal(healthOf(pod, since + 20_000).status, 'Failed');
});

test('health of garbage is an answer, not a crash', () => {
  for (const status of [null, 3, 'x', [], { conditions: 'x' }, { conditions: [null, 3] }, { observedGeneration: 'x' }]) {
    for (const kind of ['apps/v1 Deployment', 'v1 Pod', 'batch/v1 Job', 'example.org/v1 Thing']) {
      const [apiVersion = '', name = ''] = kind.split(' ');
      assert.ok(healthOf(object(apiVersion, name, { status, spec: null })).status.length > 0);
    }
  }
});

function pod(name: string, status: Record<string, unknown>): KubeObject {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name }, status };
}

const waiting = (reason: string, more: object = {}): object => ({
  name: 'app',
  image: 'registry.example/app:1',
  restartCount: 7,
  ready: false,
  state: { waiting: { reason, message: `${reason} message` } },
  ...more,
});

test('the most telling problem of the pods is named, with how many share it', () => {
  const crash = waiting('CrashLoopBackOff', {
    lastState: { terminated: { exitCode: 1, reason: 'Error', message: 'no config' } },
  });
  const explained = explainWorkload([
    pod('b', { phase: 'Running', containerStatuses: [crash] }),
    pod('a', { phase: 'Running', containerStatuses: [crash] }),
    pod('c', { phase: 'Pending' }),
    pod('d', {
      phase: 'Running',
      containerStatuses: [{ name: 'app', ready: true, state: { running: {} } }],
      conditions: [condition('Ready', 'True')],
    }),
  ]);
  assert.deepEqual(explained, {
    problem: 'CrashLoop',
    reason: 'CrashLoopBackOff',
    pod: 'a',
    container: 'app',
    image: 'registry.example/app:1',
    message: 'no config',
    restarts: 7,
    exitCode: 1,
    affected: 2,
    pods: 4,
  });
});

test('each way a pod can fail to run has its word', () => {
  const of = (status: Record<string, unknown>): string | undefined => explainWorkload([pod('a', status)])?.problem;
  assert.equal(of({ phase: 'Pending', containerStatuses: [waiting('ImagePullBackOff')] }), 'ImagePull');
  assert.equal(of({ phase: 'Pending', initContainerStatuses: [waiting('CreateContainerConfigError')] }), 'ConfigError');
  assert.equal(
    of({
      phase: 'Running',
      containerStatuses: [waiting('CrashLoopBackOff', { lastState: { terminated: { reason: 'OOMKilled', exitCode: 137 } } })],
    }),
    'OutOfMemory',
  );
  assert.equal(
    of({ phase: 'Pending', conditions: [condition('PodScheduled', 'False', 'Unschedulable', '0/3 nodes are available')] }),
    'Unschedulable',
  );
  assert.equal(
    of({
      phase: 'Pending',
      conditions: [condition('PodScheduled', 'False', 'Unschedulable', 'persistentvolumeclaim "x" not found')],
    }),
    'VolumePending',
  );
  assert.equal(of({ phase: 'Failed', reason: 'Evicted', message: 'low on memory' }), 'Evicted');
  assert.equal(
    of({
      phase: 'Running',
      conditions: [condition('Ready', 'False', 'ContainersNotReady')],
      containerStatuses: [{ name: 'a', ready: false, state: { running: {} } }],
    }),
    'ProbeFailing',
  );
  assert.equal(of({ phase: 'Pending' }), 'Starting');
  assert.equal(of({ phase: 'Running', conditions: [condition('Ready', 'True')] }), undefined);
  assert.equal(explainWorkload([]), undefined);
});
