import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Application, Cluster } from '#api';
import { mapLimited, waitFor } from '#base';
import { loadKubeconfig } from '#kube';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from '../e2e/fleet.ts';
import { SimulatedAgents } from './index.ts';

// The renderer is built with Go, as control planes are.
const skip = testbedMissing();
const COUNT = 100;
const names = Array.from({ length: COUNT }, (_, index) => `sim-${index}`);
let fleet: Fleet;
let agents: SimulatedAgents;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: {} });
  const tokens = await mapLimited(names, 8, async (name) => {
    await fleet.apply(Cluster, { name }, {});
    return fleet.joinToken(name);
  });
  const { ca = '' } = await loadKubeconfig(fleet.kubeconfig);
  agents = await SimulatedAgents.join({ url: fleet.planeUrl, ca, tokens });
});

after(async () => {
  await agents?.[Symbol.asyncDispose]();
  await fleet?.[Symbol.asyncDispose]();
});

const releases = (): ReadonlyMap<string, readonly string[]> =>
  new Map(agents.arrivals.map(({ cluster, releases: named }) => [cluster, named]));

async function everywhere(commit: string): Promise<string> {
  return waitFor(
    `all ${COUNT} Deliveries to be ready`,
    async () => {
      const { status } = (await fleet.get(Application, { namespace: 'default', name: 'web' })) ?? {};
      if (status?.commit !== commit || status.deliveries?.total !== COUNT || status.deliveries.ready !== COUNT) {
        throw new Error(`at ${String(status?.commit)}, ${JSON.stringify(status?.deliveries)}`);
      }
      return status.release?.name;
    },
    { timeoutMs: 60_000, intervalMs: 200 },
  );
}

test('one commit reaches a hundred agents, and a plane that was killed has all of them back', { skip }, async (t) => {
  const first = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { value: '1' }) });
  await fleet.application('web');
  await everywhere(first);

  agents.forget();
  const second = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { value: '2' }) });
  const release = await everywhere(second);
  assert.deepEqual([...releases().keys()].toSorted(), names.toSorted());
  for (const [cluster, named] of releases()) assert.deepEqual(named, [release], cluster);

  agents.forget();
  await fleet.killPlane();
  const killedAt = Date.now();
  await fleet.startPlane();
  await waitFor('all agents to be answered again', () => agents.back.size === COUNT, { timeoutMs: 60_000 });
  t.diagnostic(`all ${COUNT} back ${Math.max(...agents.back.values()) - killedAt} ms after the kill`);
  assert.deepEqual(releases(), new Map(), 'a restart sends nobody a document anew');

  const third = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { value: '3' }) });
  const next = await everywhere(third);
  for (const name of names) assert.deepEqual(releases().get(name), [next], name);
});
