import assert from 'node:assert/strict';
import { rm, rename, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitFor } from '#base';
import { AgentIdentity, Cluster, conditionOf, CONFIRM_RECOVERY_ANNOTATION, Delivery } from '#api';
import { Refused, type AgentClient } from './testing/agent-client.ts';
import { PlaneRooms } from './testing/plane-rooms.ts';

const within = { timeoutMs: 10_000, intervalMs: 10 };

/** Syncs until what is held is so. */
async function holds(agent: AgentClient, what: string, isSo: () => boolean | undefined): Promise<void> {
  await waitFor(
    what,
    async () => {
      if (isSo() === true) return true;
      await agent.sync(200);
      return isSo();
    },
    within,
  );
}

const numberOf = (agent: AgentClient, name: string): number | undefined =>
  agent.held?.document.applications.find((one) => one.name === name)?.number;

async function restored(dir: string, backup: string): Promise<PlaneRooms> {
  await rm(join(dir, 'data'), { recursive: true });
  await rename(join(dir, backup), join(dir, 'data'));
  return PlaneRooms.start({ dir });
}

test('a plane restored from an older copy rolls nothing back, pauses deletions, and goes on after a person confirms', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-recovery-'));
  try {
    const first = await PlaneRooms.start({ dir });
    await first.createProject();
    const before = await first.joined('prod');
    await first.deliver('web', 1, ['prod']);
    await holds(before, 'release 1', () => numberOf(before, 'web') === 1);
    await first.stop();
    await PlaneRooms.copyData(dir, 'backup');

    // A newer history: further releases, and a second application.
    const newer = await PlaneRooms.start({ dir });
    const agent = again(newer, before);
    await newer.deliver('web', 2, ['prod'], ['two']);
    await newer.deliver('web', 3, ['prod'], ['three']);
    await newer.deliver('api', 1, ['prod']);
    await newer.update(Cluster, { namespace: '', name: 'prod' }, (one) => ({
      ...one,
      metadata: { ...one.metadata, labels: { tier: 'gold' } },
    }));
    await holds(
      agent,
      'the newer state',
      () => numberOf(agent, 'web') === 3 && numberOf(agent, 'api') === 1 && agent.held?.document.labels['tier'] === 'gold',
    );
    await newer.stop();

    await using plane = await restored(dir, 'backup');
    const back = again(plane, agent);
    const top = back.held?.position;
    assert.ok(top);
    assert.equal((await plane.delivery('web', 'prod'))?.spec.wanted?.number, 1);
    const asked = await back.sync();
    assert.equal(asked.need, 'held');
    await back.sync();
    assert.deepEqual([back.held?.position.epoch, back.held?.position.seq], [top.epoch, top.seq + 1]);
    assert.equal(back.held?.document.deletionsPaused, true);
    assert.deepEqual([numberOf(back, 'web'), numberOf(back, 'api')], [3, 1]);
    assert.equal((await plane.delivery('web', 'prod'))?.spec.wanted?.number, 3);
    assert.equal((await plane.delivery('api', 'prod'))?.spec.wanted?.number, 1, 'the missing Delivery is made');

    const key = { namespace: '', name: 'prod' };
    const recovering = await waitFor(
      'the cluster to say so',
      async () => {
        const one = await plane.store.get(Cluster, key);
        return one !== undefined && conditionOf(one, 'Recovering')?.status === 'True' ? one : undefined;
      },
      within,
    );
    assert.equal(recovering.metadata.labels?.['tier'], 'gold');
    const wants = `${CONFIRM_RECOVERY_ANNOTATION}=${top.epoch}.${top.seq}`;
    assert.ok(conditionOf(recovering, 'Ready')?.message.includes(wants), conditionOf(recovering, 'Ready')?.message);

    // A retirement meanwhile stays without effect; a confirmation of something else changes nothing.
    const confirm = (position: string) =>
      plane.update(Cluster, key, (one) => ({
        ...one,
        metadata: { ...one.metadata, annotations: { [CONFIRM_RECOVERY_ANNOTATION]: position } },
      }));
    await confirm('1.1');
    const retire = { id: 'r', mode: 'Delete' as const, reason: 'TargetExit' as const, actor: 'a', at: new Date().toISOString() };
    await plane.update(Delivery, { namespace: 'default', name: 'api.prod' }, (one) => ({
      ...one,
      spec: { ...one.spec, retire },
    }));
    await holds(back, 'the retirement', () => back.held?.document.retire.length === 1);
    assert.equal(back.held?.document.deletionsPaused, true);
    await confirm(`${top.epoch}.${top.seq}`);
    await holds(back, 'the end of the pause', () => back.held?.document.deletionsPaused === false);
    assert.equal((await plane.store.get(Cluster, key))?.status?.recovery, undefined);

    // The plane has no Release 3: what was proven goes on until a newer one is made.
    await plane.deliver('web', 4, ['prod'], ['four']);
    await holds(back, 'release 4', () => numberOf(back, 'web') === 4);
    assert.equal((await plane.store.verifyAudit()).brokenAt, undefined);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test('an agent that a restored plane does not know comes back by its receipt', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-return-'));
  try {
    const first = await PlaneRooms.start({ dir });
    await first.createProject();
    await first.stop();
    await PlaneRooms.copyData(dir, 'backup');
    const newer = await PlaneRooms.start({ dir });
    const agent = await newer.joined('edge');
    await newer.update(Cluster, { namespace: '', name: 'edge' }, (one) => ({
      ...one,
      metadata: { ...one.metadata, labels: { site: 'north' } },
    }));
    await newer.deliver('web', 7, ['edge']);
    await holds(agent, 'release 7', () => numberOf(agent, 'web') === 7 && agent.held?.document.labels['site'] === 'north');
    await newer.stop();

    await using plane = await restored(dir, 'backup');
    const back = again(plane, agent);
    await assert.rejects(
      back.sync(),
      (error: unknown) => error instanceof Refused && error.code === 'FL_AGENT_UNKNOWN' && error.status === 401,
    );
    const stranger = plane.client();
    stranger.cluster = 'edge';
    stranger.keySet = agent.keySet;
    stranger.receipt = agent.receipt;
    await assert.rejects(stranger.comeBack(), (error: unknown) => error instanceof Refused && error.code === 'FL_AGENT_TOKEN');
    const forged = { ...(agent.receipt ?? { payloadType: '', signatures: [] }), payload: Buffer.from('{}').toString('base64') };
    const thief = again(plane, agent);
    thief.receipt = forged;
    await assert.rejects(thief.comeBack(), (error: unknown) => error instanceof Refused && error.code === 'FL_SIGNATURE');

    const answer = await back.comeBack();
    assert.equal(answer.cluster, 'edge');
    assert.deepEqual(await back.comeBack(), answer);
    const cluster = await plane.store.get(Cluster, { namespace: '', name: 'edge' });
    assert.deepEqual(cluster?.metadata.labels, { site: 'north' });
    assert.ok(cluster?.status?.recovery !== undefined);
    assert.equal((await plane.store.get(AgentIdentity, { namespace: '', name: 'edge' }))?.spec.keyId, agent.signer.keyId);
    await holds(back, 'the paused state', () => back.held?.document.deletionsPaused === true);
    assert.equal(numberOf(back, 'web'), 7);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});

test('a frozen plane signs nothing and believes nothing', async () => {
  let frozen = false;
  await using plane = await PlaneRooms.start({ frozen: () => frozen });
  await plane.createProject();
  const agent = await plane.joined('ice');
  await agent.sync(1000);
  const before = agent.held?.position;
  frozen = true;
  await plane.deliver('web', 1, ['ice']);
  await assert.rejects(
    agent.sync(),
    (error: unknown) => error instanceof Refused && error.code === 'FL_PLANE_FROZEN' && error.status === 503,
  );
  await assert.rejects(agent.report([]), { code: 'FL_PLANE_FROZEN' });
  await assert.rejects(agent.comeBack(), { code: 'FL_PLANE_FROZEN' });
  frozen = false;
  await agent.sync(200);
  assert.deepEqual(agent.held?.position, before, 'nothing was signed meanwhile');
});

/** The same agent, talking to a plane that was started again. */
function again(plane: PlaneRooms, agent: AgentClient): AgentClient {
  const client = plane.client({ signer: agent.signer, kubeSystemUid: agent.kubeSystemUid });
  client.cluster = agent.cluster;
  client.receipt = agent.receipt;
  client.keySet = agent.keySet;
  client.held = agent.held;
  return client;
}
