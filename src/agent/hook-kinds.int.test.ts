import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { newUid, waitFor } from '#base';
import { openLab, configMap, type Lab, type RunningAgent } from './testing/harness.ts';
import type { AppOptions, Manifest, TestHook } from './testing/plane.ts';

let lab: Lab;
let agent: RunningAgent;
before(async () => {
  lab = await openLab('b');
  agent = lab.start();
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
});
after(() => lab[Symbol.asyncDispose]());

const within = { timeoutMs: 20_000, intervalMs: 20 };
const canary = `canary-${newUid()}`;

interface Live {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly data?: Readonly<Record<string, string>>;
}

function secret(name: string, password: string): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: lab.namespace },
    type: 'Opaque',
    data: { password: Buffer.from(password).toString('base64') },
  };
}

/** `annotations` tell the simulated node what becomes of it. A name that ends in `-` is generated. */
function pod(name: string, annotations: Readonly<Record<string, string>> = {}): Manifest {
  const naming = name.endsWith('-') ? { generateName: name } : { name };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...naming,
      namespace: lab.namespace,
      annotations: Object.fromEntries(Object.entries(annotations).map(([key, value]) => [`testbed.fairlead.dev/${key}`, value])),
    },
    spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'example.test/main:1' }] },
  };
}

const hook = (manifest: Manifest, events: TestHook['events'], more: Partial<TestHook> = {}): TestHook => ({
  manifest,
  events,
  ...more,
});

async function list(resource: 'pods' | 'secrets', prefix: string): Promise<readonly Live[]> {
  const found = (await lab.get(`/api/v1/namespaces/${lab.namespace}/${resource}`)) as { items: Live[] } | undefined;
  return (found?.items ?? []).filter((one) => one.metadata.name.startsWith(prefix));
}

async function passwordOf(name: string): Promise<string | undefined> {
  const [found] = await list('secrets', name);
  const text = found?.data?.['password'];
  return text === undefined ? undefined : Buffer.from(text, 'base64').toString('utf8');
}

async function deliver(app: string, value: string, options: AppOptions): Promise<void> {
  await lab.plane.deliver(app, [configMap(app, lab.namespace, { value })], options);
  await lab.plane.untilReady(app, 40_000);
}

async function retire(app: string): Promise<void> {
  const id = newUid();
  const uid = lab.plane.apps.get(app)?.uid ?? '';
  lab.plane.apps.delete(app);
  lab.plane.retire.push({
    id,
    project: 'default',
    application: app,
    uid,
    mode: 'Delete',
    reason: 'ApplicationDeleted',
    actor: 'someone',
    maxObjects: 100,
    maxDeletions: 10,
    maxDeletionPercent: 20,
    waived: false,
  });
  lab.plane.publish();
  await waitFor('the acknowledgement', () => lab.plane.reports.some((one) => one.retired.some((done) => done.id === id)), {
    timeoutMs: 40_000,
  });
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test('a Secret as hook: there while the hooks of the event run, then gone, and in clear nowhere else', async () => {
  const hooks = (password: string): TestHook[] => [
    hook(secret('credential', password), ['pre-install', 'pre-upgrade'], {
      weight: -5,
      deletePolicies: ['before-hook-creation', 'hook-succeeded'],
    }),
    hook(pod('uses-credential', { 'run-for': '1500ms' }), ['pre-install', 'pre-upgrade']),
  ];
  await lab.plane.deliver('sealed', [configMap('sealed', lab.namespace, { value: '1' })], { hooks: hooks(`${canary}-1`) });
  await waitFor('the pod to run', async () => (await list('pods', 'uses-credential')).length === 1, within);
  assert.equal(await passwordOf('credential'), `${canary}-1`);
  await lab.plane.untilReady('sealed', 40_000);
  assert.equal(await passwordOf('credential'), undefined, 'its policy says so');
  // An upgrade brings another password, and the pod another run.
  const [first] = await list('pods', 'uses-credential');
  await lab.plane.deliver('sealed', [configMap('sealed', lab.namespace, { value: '2' })], { hooks: hooks(`${canary}-2`) });
  await waitFor('the new password', async () => (await passwordOf('credential')) === `${canary}-2`, within);
  await lab.plane.untilReady('sealed', 40_000);
  assert.notEqual((await list('pods', 'uses-credential'))[0]?.metadata.uid, first?.metadata.uid);
  assert.equal(await passwordOf('credential'), undefined);
  const encoded = Buffer.from(canary).toString('base64').slice(0, 40);
  const texts = [lab.logs.join(''), JSON.stringify(lab.plane.reports), JSON.stringify(lab.plane.events)];
  for (const file of filesBelow(lab.stateDir)) texts.push(readFileSync(file, 'latin1'));
  for (const text of texts) assert.ok(!text.includes(canary) && !text.includes(encoded));
});

test('a Secret for a removal is kept sealed until then, though nobody serves it any more', async () => {
  await deliver('leaving', '1', {
    hooks: [
      hook(secret('goodbye', `${canary}-3`), ['pre-delete'], { weight: -1 }),
      hook(pod('uses-goodbye', { 'run-for': '1s' }), ['pre-delete']),
    ],
  });
  assert.equal(await passwordOf('goodbye'), undefined);
  lab.plane.blobs.clear();
  lab.plane.bundles.clear();
  await agent.stop();
  agent = lab.start();
  await retire('leaving');
  assert.equal(await passwordOf('goodbye'), `${canary}-3`, 'made, and left as its policy says');
  assert.equal((await list('pods', 'uses-goodbye')).length, 1);
  assert.equal(await lab.configMap('leaving'), undefined);
});

test('a Secret that the API server refuses is told without its content', async () => {
  const broken = { ...secret('broken', `${canary}-4`), type: 'kubernetes.io/tls' };
  await lab.plane.deliver('broken', [configMap('broken', lab.namespace)], { hooks: [hook(broken, ['pre-install'])] });
  const report = await lab.plane.until('broken', 'stopped', (one) => one.reason !== undefined && one.phase === 'blocked', 30_000);
  assert.match(JSON.stringify(report.reason), /tls\.crt/);
  assert.ok(!JSON.stringify(lab.plane.reports).includes(canary) && !lab.logs.join('').includes(canary));
  assert.equal(await lab.configMap('broken'), undefined);
});

test('a Pod as hook runs to its end, once, also for an agent that was away meanwhile', async () => {
  const hooks = [
    hook(pod('lonely', { 'run-for': '3s' }), ['pre-install']),
    hook(pod('short', {}), ['post-install'], { deletePolicies: ['hook-succeeded'] }),
  ];
  await lab.plane.deliver('pods', [configMap('pods', lab.namespace)], { hooks });
  await waitFor('the pod', async () => (await list('pods', 'lonely')).length === 1, within);
  const report = await lab.plane.until('pods', 'waiting', (one) => one.reason?.code === 'FL_HOOK_RUNNING', 10_000);
  assert.equal(report.reason?.args['limit'], '5 min');
  assert.match(String(report.reason?.args['began']), /^20/);
  const [made] = await list('pods', 'lonely');
  await agent.stop();
  agent = lab.start();
  await lab.plane.untilReady('pods', 40_000);
  assert.equal((await list('pods', 'lonely'))[0]?.metadata.uid, made?.metadata.uid);
  await waitFor(
    'the short one to go',
    async () => (await list('pods', 'short')).every((one) => one.metadata.deletionTimestamp),
    within,
  );
});

test('a Pod that fails, or is deleted while it runs, stops the release and says which and why', async () => {
  await lab.plane.deliver('fails', [configMap('fails', lab.namespace)], {
    hooks: [hook(pod('fails', { outcome: 'fail' }), ['pre-install'], { deletePolicies: ['hook-failed'] })],
  });
  const failed = await lab.plane.until('fails', 'stopped', (one) => one.reason?.code === 'FL_HOOK_FAILED', 30_000);
  assert.match(String(failed.reason?.args['object']), /Pod .*fails/);
  assert.match(String(failed.reason?.args['words']), /exit code 1/);
  await waitFor('it to go', async () => (await list('pods', 'fails')).every((one) => one.metadata.deletionTimestamp), within);
  assert.equal(await lab.configMap('fails'), undefined);

  await lab.plane.deliver('gone', [configMap('gone', lab.namespace)], {
    hooks: [hook(pod('gone', { 'run-for': '60s' }), ['pre-install'])],
  });
  await lab.plane.until('gone', 'waiting', (one) => one.reason?.code === 'FL_HOOK_RUNNING', 20_000);
  await waitFor('the pod', async () => (await list('pods', 'gone')).length === 1, within);
  await lab.cluster.request('DELETE', `/api/v1/namespaces/${lab.namespace}/pods/gone?gracePeriodSeconds=0`);
  const gone = await lab.plane.until('gone', 'stopped', (one) => one.reason?.code === 'FL_HOOK_FAILED', 30_000);
  assert.match(String(gone.reason?.args['words']), /deleted while it ran/);
});

test('Pods whose name is generated: one for each content, known by a mark, deleted by their policy', async () => {
  const hooks = (policy: readonly 'hook-succeeded'[]): TestHook[] => [
    hook(pod('many-', { 'run-for': '1s' }), ['pre-install', 'pre-upgrade'], { deletePolicies: [...policy] }),
  ];
  await lab.plane.deliver('many', [configMap('many', lab.namespace, { value: '1' })], { hooks: hooks([]) });
  await waitFor('the pod', async () => (await list('pods', 'many-')).length === 1, within);
  await agent.stop();
  agent = lab.start();
  await lab.plane.untilReady('many', 40_000);
  assert.equal((await list('pods', 'many-')).length, 1, 'found again, not made again');
  await deliver('many', '2', { hooks: hooks([]) });
  await deliver('many', '2', { hooks: hooks([]), nudge: 'compare' });
  assert.equal((await list('pods', 'many-')).length, 2);
  await deliver('many', '3', { hooks: hooks(['hook-succeeded']) });
  await waitFor(
    'the third to go',
    async () => (await list('pods', 'many-')).filter((one) => one.metadata.deletionTimestamp === undefined).length === 2,
    within,
  );
});
