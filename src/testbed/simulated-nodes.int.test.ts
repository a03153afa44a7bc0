import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#base';
import type { ClusterHandle } from './handle.ts';
import { sharedCluster, testbedMissing, uniqueNamespace } from './shared.ts';

const skip = testbedMissing();

interface Pod {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly phase: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly ready: boolean;
      readonly state: { readonly waiting?: { readonly reason: string } };
    }[];
  };
}

async function podsOf(cluster: ClusterHandle, namespace: string, selector = ''): Promise<readonly Pod[]> {
  const answer = await cluster.request(
    'GET',
    `/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`,
  );
  return (answer.json() as { items: readonly Pod[] }).items; // the API server's own PodList
}

function isReady(pod: Pod): boolean {
  return (pod.status.conditions ?? []).some((one) => one.type === 'Ready' && one.status === 'True');
}

function deployment(name: string, replicas: number, annotations: Record<string, string> = {}): string {
  return JSON.stringify({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: { containers: [{ name: 'main', image: 'example.test/main:1' }] },
      },
    },
  });
}

test('a Deployment becomes available, scales, and its pods end with it', { skip }, async () => {
  const cluster = await sharedCluster('a');
  await using namespace = await uniqueNamespace(cluster, 'deployment');
  await cluster.apply(deployment('web', 3), namespace.name);
  const wait = await cluster.kubectl(['-n', namespace.name, 'wait', 'deploy/web', '--for=condition=Available', '--timeout=30s']);
  assert.equal(wait.exitCode, 0, wait.stderr);
  const pods = await podsOf(cluster, namespace.name);
  assert.equal(pods.length, 3);
  assert.ok(pods.every(isReady));
  const deleted = await cluster.kubectl(['-n', namespace.name, 'delete', 'deploy/web', '--cascade=foreground', '--timeout=30s']);
  assert.equal(deleted.exitCode, 0, deleted.stderr);
  await waitFor('the pods to end', async () => (await podsOf(cluster, namespace.name)).length === 0, { timeoutMs: 30_000 });
});

test('a Job completes, and one told to fail fails', { skip }, async () => {
  const cluster = await sharedCluster('a');
  await using namespace = await uniqueNamespace(cluster, 'job');
  const job = (name: string, annotations: Record<string, string>): string =>
    JSON.stringify({
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name },
      spec: {
        backoffLimit: 0,
        template: {
          metadata: { annotations },
          spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'example.test/main:1' }] },
        },
      },
    });
  await cluster.apply(job('good', {}), namespace.name);
  await cluster.apply(job('bad', { 'testbed.fairlead.dev/outcome': 'fail' }), namespace.name);
  for (const [name, condition] of [
    ['good', 'Complete'],
    ['bad', 'Failed'],
  ]) {
    const wait = await cluster.kubectl([
      '-n',
      namespace.name,
      'wait',
      `job/${name}`,
      `--for=condition=${condition}`,
      '--timeout=30s',
    ]);
    assert.equal(wait.exitCode, 0, wait.stderr);
  }
});

test('an annotation decides how a pod fails, and taking it off heals it', { skip }, async () => {
  const cluster = await sharedCluster('a');
  await using namespace = await uniqueNamespace(cluster, 'outcome');
  const outcomes = { 'crash-loop': 'CrashLoopBackOff', 'image-pull': 'ImagePullBackOff', 'never-ready': undefined };
  for (const outcome of Object.keys(outcomes)) {
    await cluster.apply(deployment(outcome, 1, { 'testbed.fairlead.dev/outcome': outcome }), namespace.name);
  }
  for (const [outcome, reason] of Object.entries(outcomes)) {
    const pod = await waitFor(
      `a pod in ${outcome}`,
      async () =>
        (await podsOf(cluster, namespace.name, `app=${outcome}`)).find((one) => one.status.containerStatuses !== undefined),
      { timeoutMs: 30_000 },
    );
    assert.equal(isReady(pod), false);
    assert.equal(pod.status.containerStatuses?.[0]?.ready, false);
    assert.equal(pod.status.containerStatuses?.[0]?.state.waiting?.reason, reason);
    assert.equal(pod.status.phase, outcome === 'image-pull' ? 'Pending' : 'Running');
  }
  const healed = await cluster.kubectl(['-n', namespace.name, 'annotate', 'pod', '--all', 'testbed.fairlead.dev/outcome-']);
  assert.equal(healed.exitCode, 0, healed.stderr);
  await waitFor('all pods to be ready', async () => (await podsOf(cluster, namespace.name)).every(isReady), {
    timeoutMs: 30_000,
  });
});

test('ready-after delays readiness by at least that', { skip }, async () => {
  const cluster = await sharedCluster('a');
  await using namespace = await uniqueNamespace(cluster, 'ready-after');
  await cluster.apply(deployment('slow', 1, { 'testbed.fairlead.dev/ready-after': '1500ms' }), namespace.name);
  const running = await waitFor(
    'the pod to run',
    async () => (await podsOf(cluster, namespace.name)).find((one) => one.status.phase === 'Running'),
    { timeoutMs: 30_000, intervalMs: 20 },
  );
  assert.equal(isReady(running), false);
  await waitFor('the pod to be ready', async () => (await podsOf(cluster, namespace.name)).some(isReady), { timeoutMs: 30_000 });
});

test('StatefulSets and DaemonSets roll out', { skip }, async () => {
  const cluster = await sharedCluster('a');
  await using namespace = await uniqueNamespace(cluster, 'workloads');
  const template = {
    metadata: { labels: { app: 'x' } },
    spec: { containers: [{ name: 'main', image: 'example.test/main:1' }] },
  };
  const selector = { matchLabels: { app: 'x' } };
  await cluster.apply(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        {
          apiVersion: 'apps/v1',
          kind: 'StatefulSet',
          metadata: { name: 'set' },
          spec: { replicas: 2, serviceName: 'x', selector, template },
        },
        { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'daemons' }, spec: { selector, template } },
      ],
    }),
    namespace.name,
  );
  for (const name of ['statefulset/set', 'daemonset/daemons']) {
    const status = await cluster.kubectl(['-n', namespace.name, 'rollout', 'status', name, '--timeout=30s']);
    assert.equal(status.exitCode, 0, `${status.stdout}${status.stderr}`);
  }
});

test('a claim gets a volume, which goes with it, and a LoadBalancer an address', { skip }, async () => {
  const cluster = await sharedCluster('a');
  await using namespace = await uniqueNamespace(cluster, 'cloud');
  await cluster.apply(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'data' },
          spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } },
        },
        { apiVersion: 'v1', kind: 'Service', metadata: { name: 'front' }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } },
      ],
    }),
    namespace.name,
  );
  const path = `/api/v1/namespaces/${namespace.name}`;
  const claim = `${path}/persistentvolumeclaims/data`;
  const volume = await waitFor(
    'the claim to be bound',
    async () => {
      const { spec, status } = (await cluster.request('GET', claim)).json() as {
        spec: { volumeName?: string };
        status: { phase: string };
      };
      return status.phase === 'Bound' ? spec.volumeName : undefined;
    },
    { timeoutMs: 30_000 },
  );
  await waitFor(
    'the address',
    async () => {
      const service = (await cluster.request('GET', `${path}/services/front`)).json() as {
        status: { loadBalancer: { ingress?: readonly { ip: string }[] } };
      };
      return service.status.loadBalancer.ingress?.[0]?.ip;
    },
    { timeoutMs: 30_000 },
  );
  await cluster.request('DELETE', claim);
  const isGone = async (): Promise<boolean> =>
    (await cluster.request('GET', `/api/v1/persistentvolumes/${volume}`)).status === 404;
  await waitFor('the volume to be removed', isGone, { timeoutMs: 30_000 });
});

test('deleting a namespace with pods in it finishes', { skip }, async () => {
  const cluster = await sharedCluster('a');
  const namespace = await uniqueNamespace(cluster, 'ending');
  await cluster.apply(deployment('web', 2), namespace.name);
  const wait = await cluster.kubectl(['-n', namespace.name, 'wait', 'deploy/web', '--for=condition=Available', '--timeout=30s']);
  assert.equal(wait.exitCode, 0, wait.stderr);
  const deleted = await cluster.kubectl(['delete', 'namespace', namespace.name, '--timeout=60s']);
  assert.equal(deleted.exitCode, 0, deleted.stderr);
  assert.equal((await cluster.request('GET', `/api/v1/namespaces/${namespace.name}`)).status, 404);
});
