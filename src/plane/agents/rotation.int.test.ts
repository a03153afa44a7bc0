import assert from 'node:assert/strict';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock, waitFor } from '#base';
import { Cluster } from '#api';
import { openKeys } from '#plane/keys';
import { POSTGRES_MISSING, postgresPrograms, startPostgres } from '../store/testing/postgres-server.ts';
import { Refused, type AgentClient } from './testing/agent-client.ts';
import { PlaneRooms } from './testing/plane-rooms.ts';

const within = { timeoutMs: 10_000, intervalMs: 10 };

const signedBy = (agent: AgentClient): string | undefined => agent.held?.envelope.signatures[0]?.keyid;

async function holds(agent: AgentClient, what: string, isSo: () => boolean): Promise<void> {
  await waitFor(
    what,
    async () => {
      if (!isSo()) await agent.sync(200);
      return isSo();
    },
    within,
  );
}

/** The same agent, with what it has on disk. */
function again(plane: PlaneRooms, agent: AgentClient): AgentClient {
  const client = plane.client({ signer: agent.signer, kubeSystemUid: agent.kubeSystemUid });
  client.cluster = agent.cluster;
  client.receipt = agent.receipt;
  client.keySet = agent.keySet;
  client.held = agent.held;
  return client;
}

test('who is away during three rotations comes back: new key set first, then a document by the new key', async () => {
  await using plane = await PlaneRooms.start();
  await plane.createProject();
  const [away, stays] = [await plane.joined('away'), await plane.joined('stays')];
  await plane.deliver('web', 1, ['away', 'stays']);
  for (const agent of [away, stays]) await holds(agent, 'release 1', () => agent.held?.document.applications.length === 1);
  const first = signedBy(away);
  for (let n = 0; n < 3; n++) {
    plane.keys.rotateSigningKey({ revoke: false });
    // Nothing changed but the key: each cluster gets a document by it, while the plane runs.
    await holds(stays, `rotation ${n}`, () => signedBy(stays) === plane.keys.signer.keyId);
  }
  assert.equal(stays.keySet?.version, 4);
  assert.equal(away.keySet?.keys.length, 1);
  assert.equal(signedBy(away), first);
  await holds(away, 'what is new', () => signedBy(away) === plane.keys.signer.keyId);
  assert.equal(away.keySet?.version, 4);
  assert.equal((await plane.store.get(Cluster, { namespace: '', name: 'away' }))?.status?.recovery, undefined);
});

for (const revoke of [false, true]) {
  test(
    revoke
      ? 'a receipt by a revoked key is worth nothing'
      : 'a plane restored from an older copy believes a receipt and a proof by a key that was rotated out',
    async () => {
      const dir = await mkdtemp(join(tmpdir(), 'fairlead-rotation-'));
      try {
        const old = await PlaneRooms.start({ dir });
        await old.createProject();
        const known = await old.joined('known');
        await holds(known, 'something', () => known.held !== undefined);
        await old.stop();
        await PlaneRooms.copyData(dir, 'backup');

        const newer = await PlaneRooms.start({ dir });
        const made = await newer.joined('made');
        const kept = again(newer, known);
        await newer.deliver('web', 7, ['made', 'known']);
        for (const agent of [made, kept]) await holds(agent, 'release 7', () => agent.held?.document.applications.length === 1);
        const first = newer.keys.signer.keyId;
        for (let n = 0; n < 3; n++) newer.keys.rotateSigningKey({ revoke });
        await newer.stop();
        await rm(join(dir, 'data'), { recursive: true });
        await rename(join(dir, 'backup'), join(dir, 'data'));

        await using plane = await PlaneRooms.start({ dir });
        const back = again(plane, made);
        assert.equal(signedBy(back), first);
        if (revoke) {
          await assert.rejects(back.comeBack(), (error: unknown) => error instanceof Refused && error.code === 'FL_SIGNATURE');
          assert.equal(await plane.store.get(Cluster, { namespace: '', name: 'made' }), undefined);
          return;
        }
        await back.comeBack();
        const ahead = again(plane, kept);
        for (const agent of [back, ahead]) {
          const number = (): number | undefined => agent.held?.document.applications.find((one) => one.name === 'web')?.number;
          await holds(agent, 'the adopted state', () => agent.held?.document.deletionsPaused === true);
          assert.equal(number(), 7);
          assert.equal(signedBy(agent), plane.keys.signer.keyId);
        }
      } finally {
        await rm(dir, { recursive: true, force: true });
      }
    },
  );
}

test(
  'a process that has not looked yet hands out no document by a key it does not know: it takes the rotation over first',
  { skip: postgresPrograms() === undefined ? POSTGRES_MISSING : false },
  async () => {
    await using stack = new AsyncDisposableStack();
    const server = await startPostgres();
    stack.defer(() => server.destroy());
    const url = await server.createDatabase();
    const dir = await mkdtemp(join(tmpdir(), 'fairlead-rotation-'));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const leader = stack.use(await PlaneRooms.start({ dir, url }));
    const other = stack.use(await PlaneRooms.start({ dir, url, isGateway: true }));
    await leader.createProject();
    const joined = await leader.joined('far');
    const agent = again(other, joined);
    await leader.deliver('web', 1, ['far']);
    await holds(agent, 'release 1', () => agent.held?.document.applications.length === 1);

    // As `fairlead plane rotate-key` does: a process of its own, twice.
    const person = await openKeys({ dir: join(dir, 'keys'), clock: systemClock });
    person.rotateSigningKey({ revoke: false });
    person.rotateSigningKey({ revoke: true });
    assert.equal(leader.keys.takeOverRotation(), true);
    // Every answer of the other process is one that the agent can check.
    await holds(agent, 'a document by the new key', () => signedBy(agent) === person.signer.keyId);
    assert.equal(other.keys.keySet.version, 3);
    assert.deepEqual(
      agent.keySet?.keys.map(({ id }) => id),
      [person.signer.keyId],
    );
  },
);
