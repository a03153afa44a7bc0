import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { payloadTypes, seal, type Envelope } from '#api';
import { newUid, waitFor } from '#base';
import { loadKubeconfig } from '#kube';
import { sharedCluster } from '#testbed';
import { configMap, openLab, type Lab } from './testing/harness.ts';
import { TestPlane } from './testing/plane.ts';

async function joined(lab: Lab): Promise<void> {
  await waitFor('the agent to join', () => lab.plane.agent !== undefined, { timeoutMs: 15_000 });
}

const agentReason = (lab: Lab, code: string): Promise<Readonly<Record<string, unknown>>> =>
  waitFor(code, () => lab.plane.reports.at(-1)?.agent.find((one) => one.code === code)?.args, { timeoutMs: 15_000 });

test('what no key of the plane has signed for this cluster is refused, reported and never held', async () => {
  await using lab = await openLab('b');
  const { plane, namespace } = lab;
  lab.start();
  await joined(lab);
  await plane.deliver('web', [configMap('web', namespace)]);
  await plane.untilReady('web');
  const held = { ...plane.position };

  const refuse = async (what: string, code: string, tamper: (envelope: Envelope) => Envelope): Promise<void> => {
    plane.tamper = tamper;
    plane.publish();
    await agentReason(lab, code);
    assert.equal(plane.syncs.at(-1)?.held?.digest, held.digest, what);
    plane.tamper = undefined;
  };
  const resigned = (change: object): ((envelope: Envelope) => Envelope) => {
    return () => seal(payloadTypes.desired, Buffer.from(JSON.stringify({ ...plane.document(), ...change })), [plane.signer]);
  };
  await refuse('changed bytes', 'FL_DOCUMENT_SIGNATURE', (envelope) => ({
    ...envelope,
    payload: Buffer.from(JSON.stringify({ ...plane.document(), applications: [] })).toString('base64'),
  }));
  await refuse('another cluster', 'FL_DOCUMENT_FOREIGN', resigned({ cluster: 'other' }));
  await refuse('unknown crit', 'FL_DOCUMENT_CRITICAL', resigned({ crit: ['approvals'] }));
  await refuse('a replay', 'FL_DOCUMENT_OLD', resigned({ seq: held.seq - 1 }));
  await refuse('a fork', 'FL_DOCUMENT_OLD', resigned({ seq: held.seq, labels: { forked: 'yes' } }));
  await refuse('another plane', 'FL_DOCUMENT_FOREIGN', resigned({ planeId: newUid() }));
  assert.equal((await lab.configMap('web'))?.data['key'], 'value');
  // And the next good one is taken.
  plane.seq += 1;
  await plane.deliver('web', [configMap('web', namespace, { key: '2' })]);
  await plane.untilReady('web');
  await waitFor('the reasons to go', () => plane.reports.at(-1)?.agent.length === 0, { timeoutMs: 10_000 });
});

test('a frozen plane that repeats an old answer is noticed', async () => {
  await using lab = await openLab('b');
  lab.start({ firstWaitMs: 300 });
  await joined(lab);
  await lab.plane.deliver('web', [configMap('web', lab.namespace)]);
  await lab.plane.untilReady('web');
  const head = {
    planeId: lab.plane.planeId,
    cluster: lab.plane.cluster,
    position: lab.plane.position,
    nonce: 'old',
    time: Date.now(),
  };
  lab.plane.frozenHead = seal(payloadTypes.head, Buffer.from(JSON.stringify(head)), [lab.plane.signer]);
  await agentReason(lab, 'FL_DOCUMENT_SIGNATURE');
});

test('a join token of another plane is refused before anything is shown to it', async () => {
  await using lab = await openLab('b');
  await using other = await TestPlane.start();
  const agent = lab.start({ joinToken: other.joinToken() });
  await assert.rejects(agent.done, { code: 'FL_KEYSET_ROOT' });
  assert.ok(!lab.plane.requests.some((request) => request.includes('join')));
});

test('a rotation of keys is followed, the old key counts no more', async () => {
  await using lab = await openLab('b');
  lab.start();
  await joined(lab);
  const { plane, namespace } = lab;
  await plane.deliver('web', [configMap('web', namespace)]);
  await plane.untilReady('web');
  const old = plane.signer;
  plane.rotateKeys();
  await plane.deliver('web', [configMap('web', namespace, { key: '2' })]);
  await plane.untilReady('web');
  plane.tamper = () =>
    seal(payloadTypes.desired, Buffer.from(JSON.stringify({ ...plane.document(), seq: plane.seq + 10 })), [old]);
  plane.publish();
  await agentReason(lab, 'FL_DOCUMENT_SIGNATURE');
});

test('pointed at another cluster it writes nothing, and says so', async () => {
  await using lab = await openLab('b');
  const first = lab.start();
  await joined(lab);
  await lab.plane.deliver('web', [configMap('web', lab.namespace)]);
  await lab.plane.untilReady('web');
  await first.stop();
  const wrong = await sharedCluster('c');
  lab.start({ access: await loadKubeconfig(wrong.kubeconfig) });
  await agentReason(lab, 'FL_CONTACT_WRONG_CLUSTER');
  await lab.plane.deliver('web', [configMap('web', lab.namespace, { key: 'elsewhere' })]);
  await waitFor('another sync', () => lab.plane.syncs.length > 3, { timeoutMs: 10_000 });
  assert.equal((await wrong.request('GET', `/api/v1/namespaces/${lab.namespace}`)).status, 404);
  assert.equal((await lab.configMap('web'))?.data['key'], 'value');
});

test('a plane that forgot this agent is shown the receipt; a detached agent keeps healing', async () => {
  await using lab = await openLab('b');
  const { plane, namespace } = lab;
  lab.start({ firstWaitMs: 300 });
  await joined(lab);
  await plane.deliver('web', [configMap('web', namespace)]);
  await plane.untilReady('web');
  plane.isUnknown = true;
  await waitFor('the agent to come back', () => plane.returned === 1, { timeoutMs: 15_000 });
  await plane.deliver('web', [configMap('web', namespace, { key: '2' })]);
  await plane.untilReady('web');

  plane.fault = () => ({ status: 403, code: 'FL_AGENT_DETACHED' });
  await waitFor('the agent to say so', () => lab.logs.some((line) => line.includes('FL_AGENT_DETACHED')), { timeoutMs: 15_000 });
  await lab.cluster.request('DELETE', `/api/v1/namespaces/${namespace}/configmaps/web`);
  await waitFor('the object to be back', async () => (await lab.configMap('web'))?.data['key'] === '2', { timeoutMs: 10_000 });
});

test('the plane away, the agent restarted: drift is healed, nothing is pruned, and it goes on when the plane is back', async () => {
  await using lab = await openLab('b');
  const { plane, namespace } = lab;
  const first = lab.start();
  await joined(lab);
  await plane.deliver('web', [configMap('web', namespace), configMap('two', namespace)]);
  await plane.untilReady('web');
  const said = plane.events.length;
  await plane.goAway();
  await first.stop();
  await lab.cluster.request('DELETE', `/api/v1/namespaces/${namespace}/configmaps/web`);
  const before = (await lab.configMap('two'))?.metadata.resourceVersion;
  const second = lab.start({ joinToken: 'no longer needed' });
  await waitFor('the object to be back', async () => (await lab.configMap('web')) !== undefined, { timeoutMs: 15_000 });
  assert.equal((await lab.configMap('two'))?.metadata.resourceVersion, before);
  await plane.listen();
  await plane.deliver('web', [configMap('web', namespace, { key: '2' }), configMap('two', namespace)]);
  await plane.untilReady('web', 60_000);
  assert.ok(plane.events.length > said);
  await second.stop();
  // A restart without any change says nothing twice and writes nothing.
  const version = (await lab.configMap('web'))?.metadata.resourceVersion;
  const applied = (): number => plane.events.filter((one) => one.reason.code === 'FL_APPLIED').length;
  const count = applied();
  plane.deliveries.clear();
  lab.start();
  await plane.untilReady('web');
  assert.equal((await lab.configMap('web'))?.metadata.resourceVersion, version);
  assert.equal(applied(), count);
});

test('the state lost: joined anew it takes over what carries its marks, and prunes what the bundle no longer lists', async () => {
  await using lab = await openLab('b');
  const { plane, namespace } = lab;
  const first = lab.start();
  await joined(lab);
  const app = await plane.deliver('web', [configMap('web', namespace), configMap('old', namespace)]);
  await plane.untilReady('web');
  await first.stop();
  const uid = (await lab.configMap('web'))?.metadata.uid;
  await plane.setApp('web', [configMap('web', namespace)], { uid: app.uid });
  plane.publish();
  lab.start({ state: { kind: 'directory', directory: join(lab.stateDir, 'fresh') }, joinToken: plane.joinToken() });
  await plane.untilReady('web');
  assert.equal((await lab.configMap('web'))?.metadata.uid, uid);
  assert.equal(await lab.configMap('old'), undefined);
});

test('of two with one identity one applies; the other waits, is reported, and takes over', async () => {
  await using lab = await openLab('b');
  const { plane, namespace } = lab;
  const state = { kind: 'secrets', namespace: lab.agentNamespace, name: 'state' } as const;
  const first = lab.start({ state, leaseDurationSeconds: 3 });
  await joined(lab);
  await plane.deliver('web', [configMap('web', namespace)]);
  await plane.untilReady('web');
  lab.start({ state, leaseDurationSeconds: 3 });
  const said = await agentReason(lab, 'FL_CONTACT_TWIN');
  assert.notEqual(said['holder'], said['other']);
  await first.stop();
  await plane.deliver('web', [configMap('web', namespace, { key: '2' })]);
  await plane.untilReady('web');
  assert.equal((await lab.configMap('web'))?.data['key'], '2');
});
