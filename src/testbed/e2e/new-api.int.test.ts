import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import { Application, Cluster } from '#api';
import { systemClock, waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { Fleet } from './fleet.ts';

const skip = testbedMissing();
let fleet: Fleet;

function definition(kind: string): string {
  const plural = `${kind.toLowerCase()}s`;
  return JSON.stringify({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group()}` },
    spec: {
      group: group(),
      names: { plural, singular: kind.toLowerCase(), kind },
      scope: 'Namespaced',
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  });
}

const group = (): string => `${fleet.id}.example.org`;
const chart = (name: string): string => `apiVersion: v2\nname: ${name}\nversion: 1.0.0\n`;
const map = (name: string, data = 'a: b'): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ${name}}\ndata: {${data}}\n`;
const gated = (api: string, kind: string, name: string): string =>
  `{{ if .Capabilities.APIVersions.Has "${api}" }}\napiVersion: ${group()}/v1\nkind: ${kind}\nmetadata: {name: ${name}}\n{{ end }}\n`;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'a' }, far: { on: 'b' } } });
});

after(async () => {
  if (fleet === undefined) return;
  for (const member of fleet.members.values())
    for (const kind of ['lamp', 'owned', 'absent'])
      await member.handle.request('DELETE', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${kind}s.${group()}`);
  await fleet[Symbol.asyncDispose]();
});

async function releaseOf(name: string): Promise<number | undefined> {
  return (await fleet.get(Application, { name, namespace: 'default' }))?.status?.release?.number;
}

function lives(cluster: string, application: string, plural: string, name: string): Promise<boolean> {
  const path = `/apis/${group()}/v1/namespaces/${fleet.ns(application)}/${plural}/${name}`;
  return fleet.live(cluster, path).then((found) => found !== undefined);
}

test('a CRD installed by hand renders again what asked for it, and nothing else', { skip }, async (t: TestContext) => {
  const commit = await fleet.commit({
    'asks/Chart.yaml': chart('asks'),
    'asks/templates/all.yaml': `${map('asks')}---\n${gated(`${group()}/v1/Lamp`, 'Lamp', 'lamp')}`,
    'other/Chart.yaml': chart('other'),
    'other/templates/all.yaml': map('other', 'has: {{ .Capabilities.APIVersions.Has "apps/v1/Deployment" | quote }}'),
  });
  for (const name of ['asks', 'other']) await fleet.application(name);
  for (const name of ['asks', 'other']) for (const on of ['dev', 'far']) await fleet.ready(name, on, commit);
  assert.deepEqual([await releaseOf('asks'), await releaseOf('other')], [1, 1], 'the list came with the join');
  assert.equal((await fleet.configMap('dev', fleet.ns('other'), 'other'))?.data?.['has'], 'true');
  const { apis } = (await fleet.get(Cluster, { name: 'dev' }))?.status ?? {};
  assert.ok((apis?.count ?? 0) > 50, JSON.stringify(apis));

  const from = performance.now();
  await fleet.member('dev').handle.apply(definition('Lamp'));
  await waitFor('the lamp', () => lives('dev', 'asks', 'lamps', 'lamp'), { timeoutMs: 30_000, intervalMs: 20 });
  const ms = Math.round(performance.now() - from);
  t.diagnostic(`from the CRD to the object that waited for it: ${ms} ms, without a commit`);
  assert.ok(ms < 10_000, String(ms));
  await fleet.ready('asks', 'dev', commit);
  assert.deepEqual([await releaseOf('asks'), await releaseOf('other')], [2, 1]);
  assert.equal(await lives('far', 'asks', 'lamps', 'lamp'), false);
  const diff = await fleet.cli(['diff', 'asks']);
  assert.match(diff.stdout.toString(), /no change/, diff.stderr);
});

test('what installs a CRD and waits for it comes to rest, also where it asks for the absence of its own', { skip }, async () => {
  const commit = await fleet.commit({
    'owns/Chart.yaml': chart('owns'),
    'owns/crds/owned.yaml': definition('Owned'),
    'owns/templates/all.yaml': `${map('owns')}---\n${gated(`${group()}/v1/Owned`, 'Owned', 'mine')}`,
    'shy/Chart.yaml': chart('shy'),
    'shy/templates/all.yaml': `${map('shy')}---\n{{ if not (.Capabilities.APIVersions.Has "${group()}/v1/Absent") }}\n${definition('Absent')}\n{{ end }}\n`,
  });
  for (const name of ['owns', 'shy']) await fleet.application(name, { targets: [{ clusterSelector: {} }] });
  await waitFor('the object that waits for its own CRD', () => lives('dev', 'owns', 'owneds', 'mine'), { timeoutMs: 60_000 });
  await waitFor('the same elsewhere', () => lives('far', 'owns', 'owneds', 'mine'), { timeoutMs: 60_000 });
  await fleet.ready('owns', 'dev', commit);
  await fleet.ready('owns', 'far', commit);
  await waitFor('the chart to see its own CRD', async () => ((await releaseOf('shy')) ?? 0) >= 2, { timeoutMs: 60_000 });
  // What it no longer holds is a CRD, which no agent deletes unasked: so it stays, and the answer with it.
  await fleet.reason('shy', 'dev', 'FL_HOLD_PROTECTED');
  await systemClock.sleep(2_000);
  const before = [await releaseOf('owns'), await releaseOf('shy')];
  // Longer than it takes for something to be believed gone.
  await systemClock.sleep(30_000);
  assert.deepEqual([await releaseOf('owns'), await releaseOf('shy')], before);
  const crd = await fleet.live('dev', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/absents.${group()}`);
  assert.notEqual(crd, undefined);
});
