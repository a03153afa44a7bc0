import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newUid, waitFor } from '#base';
import type { AgentEvent, DeliveryReport, RetireEntry } from '#api';
import { configMap, openLab, type Lab, type RunningAgent } from './testing/harness.ts';
import type { AppOptions, Manifest, TestHook } from './testing/plane.ts';

let lab: Lab;
let agent: RunningAgent;
before(async () => {
  lab = await openLab('a');
  agent = lab.start();
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
});
after(() => lab[Symbol.asyncDispose]());

interface Made {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly creationTimestamp: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: { readonly ttlSecondsAfterFinished?: number };
}

/** A Job as a chart writes it; `podAnnotations` tell the simulated node what its pod does. */
function job(name: string, podAnnotations: Readonly<Record<string, string>> = {}, spec: object = {}): Manifest {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { ...(name.endsWith('-') ? { generateName: name } : { name }), namespace: lab.namespace },
    spec: {
      backoffLimit: 0,
      ...spec,
      template: {
        metadata: { annotations: podAnnotations },
        spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'example.test/main:1' }] },
      },
    },
  };
}

const failing = { 'testbed.fairlead.dev/outcome': 'fail' };
const hook = (manifest: Manifest, events: TestHook['events'], more: Partial<TestHook> = {}): TestHook => ({
  manifest,
  events,
  ...more,
});

async function jobs(prefix: string): Promise<readonly Made[]> {
  const list = (await lab.get(`/apis/batch/v1/namespaces/${lab.namespace}/jobs`)) as { items: Made[] } | undefined;
  return (list?.items ?? []).filter((one) => one.metadata.name.startsWith(prefix));
}

const said = (app: string): string[] =>
  lab.plane.events
    .filter((event: AgentEvent) => event.application === app && event.reason.code === 'FL_HOOK_DONE')
    .map((event) => `${String(event.reason.args['event'])} ${String(event.reason.args['object']).split('/').at(-1) ?? ''}`);

async function deliver(app: string, objects: readonly Manifest[], options: AppOptions): Promise<void> {
  await lab.plane.deliver(app, objects, options);
  await lab.plane.untilReady(app, 40_000);
}

async function retire(app: string): Promise<string> {
  const { id } = beginRetiring(app);
  await untilRetired(id);
  return id;
}

function beginRetiring(app: string): RetireEntry {
  const id = newUid();
  const uid = lab.plane.apps.get(app)?.uid ?? '';
  lab.plane.apps.delete(app);
  const entry: RetireEntry = {
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
  };
  lab.plane.retire.push(entry);
  lab.plane.publish();
  return entry;
}

async function untilRetired(id: string): Promise<void> {
  await waitFor('the acknowledgement', () => lab.plane.reports.some((report) => report.retired.some((one) => one.id === id)), {
    timeoutMs: 40_000,
  });
}

test('each hook runs once per content and event, in the order of weight, and install is not upgrade', async () => {
  const hooks = [
    hook(job('order-late'), ['pre-install'], { weight: 5 }),
    hook(job('order-first'), ['pre-install', 'pre-upgrade'], { weight: -5 }),
    hook(job('order-after'), ['post-install', 'post-upgrade']),
    hook(job('order-delete'), ['pre-delete', 'post-delete']),
  ];
  await deliver('order', [configMap('order', lab.namespace)], { hooks });
  const installed = ['pre-install order-first', 'pre-install order-late', 'post-install order-after'];
  await waitFor('the events', () => said('order').length === 3, { timeoutMs: 5000 });
  assert.deepEqual(said('order'), installed);
  const uids = (await jobs('order-')).map((one) => one.metadata.uid);
  // A new release with the same content, a comparison of everything, drift, a restart: nothing runs.
  await deliver('order', [configMap('order', lab.namespace)], { hooks });
  for (let round = 0; round < 5; round += 1)
    await deliver('order', [configMap('order', lab.namespace)], { hooks, nudge: `${round}` });
  await lab.cluster.request('DELETE', `/api/v1/namespaces/${lab.namespace}/configmaps/order`);
  await waitFor('the repair', async () => (await lab.configMap('order')) !== undefined, { timeoutMs: 10_000 });
  await agent.stop();
  agent = lab.start();
  await deliver('order', [configMap('order', lab.namespace)], { hooks });
  assert.deepEqual(said('order'), installed);
  assert.deepEqual(
    (await jobs('order-')).map((one) => one.metadata.uid),
    uids,
  );
  // Another content with the same hooks is an upgrade.
  await deliver('order', [configMap('order', lab.namespace, { key: '2' })], { hooks });
  await waitFor('the events', () => said('order').length === 5, { timeoutMs: 5000 });
  assert.deepEqual(said('order').slice(3), ['pre-upgrade order-first', 'post-upgrade order-after']);
  // Not in the inventory, so not pruned; not ours to keep so, so not repaired; theirs by a mark.
  assert.equal((await jobs('order-late')).length, 1);
  assert.equal((await jobs('order-late'))[0]?.metadata.labels?.['fairlead.dev/owner'], undefined);
  assert.notEqual((await jobs('order-late'))[0]?.metadata.labels?.['fairlead.dev/hook'], undefined);
  await retire('order');
  assert.deepEqual(said('order').slice(5), ['pre-delete order-delete', 'post-delete order-delete']);
  assert.equal(await lab.configMap('order'), undefined);
});

test('a failed hook stops the release and says whose and why; another content, or a person, lets it run again', async () => {
  await deliver('failed', [configMap('failed', lab.namespace)], {});
  const hooks = [
    hook(configMap('failed-account', lab.namespace), ['pre-upgrade'], { weight: -1, deletePolicies: ['hook-succeeded'] }),
    hook(job('failed-migrate', failing), ['pre-upgrade']),
    hook(configMap('failed-never', lab.namespace), ['post-upgrade']),
  ];
  await lab.plane.deliver('failed', [configMap('failed', lab.namespace, { key: '2' })], { hooks });
  const report = await lab.plane.until('failed', 'stopped', (one) => one.reason?.code === 'FL_HOOK_FAILED', 40_000);
  assert.match(String(report.reason?.args['object']), /failed-migrate/);
  assert.match(String(report.reason?.args['words']), /BackoffLimitExceeded/);
  assert.equal(report.phase, 'blocked');
  assert.equal((await lab.configMap('failed'))?.data['key'], 'value');
  assert.equal(await lab.configMap('failed-account'), undefined);
  const before = (await jobs('failed-migrate'))[0]?.metadata.uid;
  await agent.stop();
  agent = lab.start();
  await lab.plane.deliver('failed', [configMap('failed', lab.namespace, { key: '2' })], { hooks });
  await lab.plane.until(
    'failed',
    'stopped',
    (one) => one.release === lab.plane.apps.get('failed')?.release && one.reason?.code === 'FL_HOOK_FAILED',
  );
  assert.equal((await jobs('failed-migrate'))[0]?.metadata.uid, before, 'it did not run again by itself');
  await lab.plane.deliver('failed', [configMap('failed', lab.namespace, { key: '2' })], { hooks, nudge: 'once more' });
  await waitFor('another run', async () => ![undefined, before].includes((await jobs('failed-migrate'))[0]?.metadata.uid), {
    timeoutMs: 20_000,
  });
  await waitFor('all of the event to run again', () => said('failed').length === 2, { timeoutMs: 10_000 });
  assert.deepEqual(said('failed'), ['pre-upgrade failed-account', 'pre-upgrade failed-account']);
  const mended = [hook(job('failed-migrate'), ['pre-upgrade'])];
  await deliver('failed', [configMap('failed', lab.namespace, { key: '2' })], { hooks: mended });
  assert.equal((await lab.configMap('failed'))?.data['key'], '2');
});

test('delete policies: after the whole event, and only what they name', async () => {
  await deliver('policies', [configMap('policies', lab.namespace)], {
    hooks: [
      hook(configMap('policies-account', lab.namespace), ['pre-install'], { weight: -1, deletePolicies: ['hook-succeeded'] }),
      hook(job('policies-gone'), ['pre-install'], { deletePolicies: ['before-hook-creation', 'hook-succeeded'] }),
      hook(job('policies-stays'), ['pre-install'], { deletePolicies: ['hook-failed'] }),
      hook(job('policies-any-'), ['post-install']),
      hook(job('policies-ttl', {}, { ttlSecondsAfterFinished: 3600 }), ['post-install']),
    ],
  });
  assert.equal(await lab.configMap('policies-account'), undefined);
  await waitFor('the succeeded to go', async () => (await jobs('policies-gone')).length === 0, { timeoutMs: 10_000 });
  assert.equal((await jobs('policies-stays')).length, 1);
  assert.equal((await jobs('policies-any-')).length, 1);
  assert.equal((await jobs('policies-ttl'))[0]?.spec.ttlSecondsAfterFinished, 3600);
  // Without before-hook-creation what is left over is in the way, as with Helm.
  await lab.plane.deliver('policies', [configMap('policies', lab.namespace, { key: '2' })], {
    hooks: [hook(job('policies-stays'), ['pre-upgrade'], { deletePolicies: ['hook-failed'] })],
  });
  const report = await lab.plane.until('policies', 'stopped', (one) => one.reason?.code === 'FL_HOOK_FAILED', 20_000);
  assert.match(String(report.reason?.args['words']), /before-hook-creation/);
});

test('what merely has the name of a hook is left alone; a hook that hangs is given up at its timeout', async () => {
  await lab.cluster.apply(JSON.stringify(configMap('theirs', lab.namespace, { key: 'theirs' })));
  await lab.plane.deliver('names', [configMap('names', lab.namespace)], {
    hooks: [hook(configMap('theirs', lab.namespace), ['pre-install'])],
  });
  const refused = await lab.plane.until('names', 'stopped', (one) => one.reason?.code === 'FL_HOOK_FAILED', 20_000);
  assert.match(String(refused.reason?.args['words']), /is no hook/);
  assert.equal((await lab.configMap('theirs'))?.data['key'], 'theirs');
  const isGivenUp = (one: DeliveryReport): boolean => String(one.reason?.args['words']).includes('not complete after 2 s');
  await lab.plane.deliver('names', [configMap('names', lab.namespace)], {
    hooks: [hook(job('names-hangs', {}, { suspend: true }), ['pre-install'], { timeoutSeconds: 2 })],
  });
  const late = await lab.plane.until('names', 'given up', isGivenUp, 20_000);
  assert.equal(late.reason?.code, 'FL_HOOK_FAILED');
  assert.equal(await lab.configMap('names'), undefined);
});

test('a removal waits for its hooks, also for those that fail, until a person waives them', async () => {
  const { plane } = lab;
  await deliver('doomed', [configMap('doomed', lab.namespace)], { hooks: [hook(job('doomed-backup', failing), ['pre-delete'])] });
  const entry = beginRetiring('doomed');
  const held = await plane.until('doomed', 'held', (one) => one.reason?.code === 'FL_HOLD_HOOK', 40_000);
  assert.equal(held.reason?.args['waiver'], entry.id);
  assert.notEqual(await lab.configMap('doomed'), undefined);
  plane.retire[plane.retire.indexOf(entry)] = { ...entry, waived: true };
  plane.publish();
  await untilRetired(entry.id);
  assert.equal(await lab.configMap('doomed'), undefined);
});

test('under another name, and after the memory of the agent was lost, it is an upgrade', async () => {
  const { plane } = lab;
  const hooks = [hook(job('renamed-i-'), ['pre-install']), hook(job('renamed-u-'), ['pre-upgrade'])];
  await deliver('before', [configMap('renamed', lab.namespace)], {});
  const uid = (await lab.configMap('renamed'))?.metadata.uid;
  await plane.setApp('after', [configMap('renamed', lab.namespace)], { hooks });
  const entry = beginRetiring('before');
  await plane.untilReady('after', 40_000);
  await untilRetired(entry.id);
  assert.equal((await lab.configMap('renamed'))?.metadata.uid, uid);
  assert.deepEqual(
    said('after').map((one) => one.split(' ')[0]),
    ['pre-upgrade'],
  );
  await agent.stop();
  agent = lab.start({ state: { kind: 'directory', directory: `${lab.stateDir}/fresh` }, joinToken: plane.joinToken() });
  await waitFor('the agent to have joined again', () => plane.syncs.at(-1)?.held !== undefined, { timeoutMs: 30_000 });
  await deliver('after', [configMap('renamed', lab.namespace)], { hooks, nudge: 'x' });
  assert.equal((await jobs('renamed-i-')).length, 0);
});

test('the Project limits hold for hooks, too', async () => {
  await lab.plane.deliver('limits', [configMap('limits', lab.namespace)], {
    hooks: [hook(configMap('limits-hook', 'kube-system'), ['pre-install'])],
    limits: { namespaces: [lab.namespace] },
  });
  await lab.plane.until('limits', 'refused', (one) => one.problems[0]?.reason.code === 'FL_CLAIM_NAMESPACE', 20_000);
  assert.equal(await lab.configMap('limits'), undefined);
});
