import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { waitFor } from '#base';
import { openLab, type Lab, type RunningAgent } from './testing/harness.ts';
import type { Manifest } from './testing/plane.ts';

let lab: Lab;
let agent: RunningAgent;
before(async () => {
  lab = await openLab('b');
  agent = lab.start();
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
});
after(() => lab[Symbol.asyncDispose]());

const path = (name: string): string => `/apis/apps/v1/namespaces/${lab.namespace}/deployments/${name}`;

function deployment(name: string, replicas: number, env = '1'): Manifest {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: lab.namespace },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ name: 'main', image: 'registry.invalid/main:1', env: [{ name: 'A', value: env }] }] },
      },
    },
  };
}

function autoscaler(name: string): Manifest {
  return {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: { name: `keda-hpa-${name}`, namespace: lab.namespace },
    spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name }, minReplicas: 1, maxReplicas: 10 },
  };
}

interface Scaled {
  readonly metadata: { readonly generation: number };
  readonly spec: {
    readonly replicas: number;
    readonly template: {
      readonly spec: { readonly containers: readonly { readonly env: readonly { readonly value: string }[] }[] };
    };
  };
}

const live = async (name: string): Promise<Scaled> => (await lab.get(path(name))) as unknown as Scaled;

async function patch(where: string, body: unknown, manager: string): Promise<void> {
  const options = { body, contentType: 'application/strategic-merge-patch+json' };
  assert.equal((await lab.cluster.request('PATCH', `${where}?fieldManager=${manager}`, options)).status, 200);
}

const scale = async (name: string, replicas: number, manager = 'kubectl'): Promise<void> => {
  const options = { body: { spec: { replicas } }, contentType: 'application/merge-patch+json' };
  const answer = await lab.cluster.request('PATCH', `${path(name)}/scale?fieldManager=${manager}`, options);
  assert.equal(answer.status, 200);
};

/** Proves that whatever happened before was seen: an edit of another field is put back. */
async function untilLookedAt(name: string, env: string): Promise<void> {
  const byHand = [{ name: 'main', env: [{ name: 'A', value: 'by hand' }] }];
  await patch(path(name), { spec: { template: { spec: { containers: byHand } } } }, 'kubectl-edit');
  await waitFor(
    'the edit to be put back',
    async () => (await live(name)).spec.template.spec.containers[0]?.env[0]?.value === env,
    { timeoutMs: 10_000, intervalMs: 20 },
  );
}

async function deliver(name: string, replicas: number, env: string): Promise<void> {
  await lab.plane.deliver(name, [deployment(name, replicas, env), autoscaler(name)]);
  await lab.plane.untilReady(name, 40_000);
}

test('what a person scales stays where an autoscaler aims at the object: through drift, releases and a restart', async () => {
  await deliver('web', 2, '1');
  // The API server counts every change of the spec: one that is made and taken back would show.
  let { generation } = (await live('web')).metadata;
  const expectChanges = async (count: number, replicas: number, what: string): Promise<void> => {
    const now = await live('web');
    assert.equal(now.spec.replicas, replicas, what);
    assert.equal(now.metadata.generation, generation + count, what);
    ({ generation } = now.metadata);
  };
  await scale('web', 5);
  await untilLookedAt('web', '1');
  await expectChanges(3, 5, 'scaled, edited, and only the edit put back');
  await patch(path('web'), { spec: { replicas: 6 } }, 'kubectl-edit');
  await untilLookedAt('web', '1');
  await expectChanges(3, 6, 'replicas edited by hand');
  await deliver('web', 2, '2');
  await expectChanges(1, 6, 'a release that changes something else');
  await deliver('web', 3, '3');
  await expectChanges(1, 6, 'a release that changes replicas too');
  await agent.stop();
  await scale('web', 4);
  agent = lab.start();
  await untilLookedAt('web', '3');
  await expectChanges(3, 4, 'scaled while no agent ran');
  const app = await lab.plane.setApp('web', [deployment('web', 3, '3'), autoscaler('web')], { nudge: 'again' });
  lab.plane.publish();
  await lab.plane.until('web', 'compared anew', (report) => report.applied?.release === app.release, 40_000);
  await expectChanges(0, 4, 'compared anew');
  const said = lab.plane.events.filter((event) => String(event.reason.args['fields']).includes('.spec.replicas'));
  assert.deepEqual(said, []);
});

test("a number that nobody but us wrote stays too: Git's next one is the autoscaler's business", async () => {
  await deliver('fresh', 2, '1');
  await deliver('fresh', 7, '1');
  await deliver('fresh', 7, '2');
  assert.equal((await live('fresh')).spec.replicas, 2);
  assert.equal(lab.plane.delivery('fresh')?.objects.drifted, 0);
});

test("scaled to nothing, where an autoscaler rests, and without one: Git's number is put back", async () => {
  await deliver('asleep', 2, '1');
  await scale('asleep', 0);
  await waitFor('the replicas to be back', async () => (await live('asleep')).spec.replicas === 2, { timeoutMs: 10_000 });
  await lab.plane.deliver('plain', [deployment('plain', 2)]);
  await lab.plane.untilReady('plain', 40_000);
  await scale('plain', 5);
  await waitFor('the replicas to be back', async () => (await live('plain')).spec.replicas === 2, { timeoutMs: 10_000 });
});
