import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#base';
import { sharedCluster, uniqueNamespace } from '#testbed';
import { getObject } from './apply.ts';
import { explainWorkload, type WorkloadExplanation } from './explain-workload.ts';
import { connectTo } from './kube.testing.ts';
import { healthOf, type Health } from './kstatus.ts';
import { type KubeObject, type ObjectId } from './objects.ts';

const WAIT = { timeoutMs: 60_000, intervalMs: 200 };

test('controllers and nodes lead objects through the states their health names', async () => {
  const cluster = await sharedCluster('a');
  using under = await connectTo(cluster);
  await using namespace = await uniqueNamespace(cluster, 'kube-health');
  const make = (name: string, annotations: Record<string, string>): object => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas: 2,
      progressDeadlineSeconds: 5,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: { containers: [{ name: 'app', image: 'registry.example/app:1' }] },
      },
    },
  });
  const items = [
    make('good', {}),
    make('crashing', { 'testbed.fairlead.dev/outcome': 'crash-loop' }),
    make('imageless', { 'testbed.fairlead.dev/outcome': 'image-pull' }),
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'front' }, spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'good' },
      spec: { minAvailable: 1, selector: { matchLabels: { app: 'good' } } },
    },
  ];
  await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }), namespace.name);

  const read = async (kind: string, group: string, name: string): Promise<KubeObject> => {
    const id: ObjectId = { group, kind, namespace: namespace.name, name };
    const live = await getObject(under.client, await under.mapper.mapping({ group, version: '', kind }), id);
    assert.ok(live !== null);
    return live;
  };
  const reach = (kind: string, group: string, name: string, status: Health['status']): Promise<Health> =>
    waitFor(
      `${kind} ${name} ${status}`,
      async () => {
        const health = healthOf(await read(kind, group, name), Date.now());
        return health.status === status && health;
      },
      WAIT,
    );
  const explain = async (name: string): Promise<WorkloadExplanation | undefined> => {
    const response = await under.client.request({
      method: 'GET',
      path: `/api/v1/namespaces/${namespace.name}/pods`,
      query: { labelSelector: `app=${name}` },
    });
    return explainWorkload((JSON.parse(response.body.toString()) as { items: KubeObject[] }).items);
  };

  await reach('Deployment', 'apps', 'good', 'Current');
  await reach('Service', '', 'front', 'Current');
  await reach('PodDisruptionBudget', 'policy', 'good', 'Current');
  assert.equal((await reach('Deployment', 'apps', 'crashing', 'Failed')).reason, 'ProgressDeadlineExceeded');
  await reach('Deployment', 'apps', 'imageless', 'Failed');

  assert.equal(await explain('good'), undefined);
  const crash = await waitFor(
    'the crash loop',
    async () => (await explain('crashing'))?.problem === 'CrashLoop' && explain('crashing'),
    WAIT,
  );
  assert.deepEqual([crash?.reason, crash?.container, crash?.affected, crash?.pods], ['CrashLoopBackOff', 'app', 2, 2]);
  const pull = await waitFor(
    'the missing image',
    async () => (await explain('imageless'))?.problem === 'ImagePull' && explain('imageless'),
    WAIT,
  );
  assert.equal(pull?.image, 'registry.example/app:1');
});
