import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { silentLog, waitFor } from '#base';
import { createKubeClient, loadKubeconfig, type KubeClient } from '#kube';
import { testbedMissing } from '#testbed';
import { deploymentYaml, eventsOf, untilEvent } from './drift.ts';
import { Fleet } from './fleet.ts';

const skip = testbedMissing();
let fleet: Fleet;
let client: KubeClient;
const stop = new AbortController();
/** Every value that spec.replicas ever had, in order, as a watch saw it. */
const seen: number[] = [];

interface Scaled {
  readonly kind: string;
  readonly metadata: { readonly resourceVersion: string };
  readonly spec: {
    readonly replicas: number;
    readonly template: { readonly spec: { readonly containers: readonly { readonly image: string }[] } };
  };
}

const path = (): string => `/apis/apps/v1/namespaces/${fleet.ns('auto')}/deployments/auto`;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'a' } } });
  client = createKubeClient({
    access: await loadKubeconfig(fleet.member('dev').handle.kubeconfig),
    userAgent: 'fairlead-test/0',
    log: silentLog,
    maxSockets: 4,
  });
  await fleet.commit({ 'auto/deployment.yaml': deploymentYaml('auto', { replicas: 1 }) });
  await fleet.application('auto');
  await fleet.ready('auto', 'dev');
  const { metadata, spec } = await deployment();
  seen.push(spec.replicas);
  watch(metadata.resourceVersion).catch(() => undefined);
});

after(async () => {
  stop.abort();
  client?.close();
  await fleet?.[Symbol.asyncDispose]();
});

async function deployment(): Promise<Scaled> {
  const response = await client.request({ method: 'GET', path: path() });
  return JSON.parse(response.body.toString('utf8')) as Scaled; // of the API server
}

async function watch(resourceVersion: string): Promise<void> {
  await client.stream({
    path: `/apis/apps/v1/namespaces/${fleet.ns('auto')}/deployments`,
    query: { watch: true, resourceVersion },
    signal: stop.signal,
    maxDurationMs: 600_000,
    onLine(line) {
      const { object } = JSON.parse(line.toString('utf8')) as { object: Scaled };
      if (seen.at(-1) !== object.spec.replicas) seen.push(object.spec.replicas);
    },
  });
}

/** As the HorizontalPodAutoscaler controller does it: an update of the subresource scale, under its field manager. */
async function autoscale(replicas: number): Promise<void> {
  for (;;) {
    const read = await client.request({ method: 'GET', path: `${path()}/scale` });
    const scale = JSON.parse(read.body.toString('utf8')) as { spec: object };
    try {
      await client.request({
        method: 'PUT',
        path: `${path()}/scale`,
        query: { fieldManager: 'kube-controller-manager' },
        contentType: 'application/json',
        body: JSON.stringify({ ...scale, spec: { replicas } }),
      });
      return;
    } catch (error) {
      if (!(error instanceof Error && 'kind' in error && error.kind === 'conflict')) throw error;
    }
  }
}

async function release(image: string, replicas: number | undefined): Promise<void> {
  const commit = await fleet.commit({
    'auto/deployment.yaml': deploymentYaml('auto', { image, ...(replicas === undefined ? {} : { replicas }) }),
  });
  await fleet.ready('auto', 'dev', commit);
  assert.equal((await deployment()).spec.template.spec.containers[0]?.image, image);
}

test('what an autoscaler set stays over releases, repairs and restarts of the agent', { skip }, async () => {
  await autoscale(5);
  await release('registry.invalid/main:2', 1);
  // Git asks for another number: the autoscaler's word counts more.
  await release('registry.invalid/main:3', 2);
  await autoscale(7);
  await fleet.member('dev').handle.kubectl(['-n', fleet.ns('auto'), 'set', 'env', 'deployment/auto', 'BY_HAND=x']);
  await untilEvent(fleet, 'auto.dev', 'FL_DRIFT_CORRECTED', (message) => message.includes('BY_HAND'));
  await fleet.member('dev').killAgent();
  await autoscale(6);
  fleet.member('dev').startAgent();
  await release('registry.invalid/main:4', 2);
  // By chance the same number as in Git, and away from it again.
  await autoscale(2);
  await release('registry.invalid/main:5', 2);
  await autoscale(4);
  await release('registry.invalid/main:6', 2);
  // The field leaves Git altogether.
  await release('registry.invalid/main:7', undefined);
  await waitFor('the watch to have seen the last', () => seen.at(-1) === 4, { timeoutMs: 20_000 });
  assert.deepEqual(seen, [1, 5, 7, 6, 2, 4], 'no value but those of the autoscaler');
});

test('an autoscaler that never rests is no fight and no drift', { skip }, async () => {
  seen.length = 0;
  const wanted: number[] = [];
  for (let round = 0; round < 12; round += 1) {
    wanted.push(3 + (round % 3) * 2);
    await autoscale(3 + (round % 3) * 2);
    if (round === 6) await release('registry.invalid/main:8', 1);
  }
  await release('registry.invalid/main:9', 1);
  await waitFor('the watch to have seen the last', () => seen.length >= wanted.length, { timeoutMs: 20_000 });
  assert.deepEqual(seen, wanted);
  const events = await eventsOf(fleet, 'auto.dev');
  assert.deepEqual(
    events.filter((event) => event.message.includes('.spec.replicas')).map((event) => event.message),
    [],
  );
});
