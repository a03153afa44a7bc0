import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock, waitFor, type Clock } from '#base';
import { Cluster, conditionOf, Delivery } from '#api';
import { Refused } from './testing/agent-client.ts';
import { PlaneRooms } from './testing/plane-rooms.ts';

const within = { timeoutMs: 15_000, intervalMs: 20 };

/** The system's clock, moved forward by as much as a test says. */
function movable(): Clock & { shiftMs: number } {
  const clock = {
    ...systemClock,
    shiftMs: 0,
    now: () => systemClock.now() + clock.shiftMs,
    monotonic: () => systemClock.monotonic() + clock.shiftMs,
  };
  return clock;
}

test('contact is lost after its time and comes back with the next request; nothing is written in between', async () => {
  const clock = movable();
  await using plane = await PlaneRooms.start({ clock });
  await plane.createProject();
  const agent = await plane.joined('far', { now: () => clock.now() });
  await plane.deliver('web', 1, ['far']);
  await waitFor(
    'the document',
    async () => (await agent.sync(500)).desired !== undefined && agent.held?.document.applications.length === 1,
    within,
  );
  await agent.report([agent.steady('default', 'web')]);
  const readiness = async () => {
    const [cluster, delivery] = await Promise.all([
      plane.store.get(Cluster, { namespace: '', name: 'far' }),
      plane.store.get(Delivery, { namespace: 'default', name: 'web.far' }),
    ]);
    return [cluster, delivery].map((one) => (one === undefined ? '' : conditionOf(one, 'Ready')?.status)).join(' ');
  };
  const is = (wanted: string) => waitFor(wanted, async () => (await readiness()) === wanted, within);
  await is('True True');

  clock.shiftMs += 60_000;
  await agent.sync();
  clock.shiftMs += 60_000;
  await agent.sync();
  await waitFor('calm', () => plane.engine.isIdle(), within);
  // Positions follow once in half a minute of the plane's time; what is asked for here is that heartbeats write nothing.
  await waitFor(
    'positions to be written',
    async () => {
      const before = plane.store.revision();
      clock.shiftMs += 31_000;
      await agent.sync();
      await new Promise((resolve) => setTimeout(resolve, 300));
      return plane.store.revision() === before;
    },
    within,
  );
  const before = plane.store.revision();
  for (let index = 0; index < 20; index++) await agent.sync();
  assert.equal(plane.store.revision(), before, 'heartbeats touch no revision');

  clock.shiftMs += 95_000;
  await is('Unknown Unknown');
  await waitFor(
    'the count to follow',
    async () => (await plane.store.get(Cluster, { namespace: '', name: 'far' }))?.status?.deliveries?.ready === 0,
    within,
  );
  const lost = plane.store.revision();
  clock.shiftMs += 600_000;
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal(plane.store.revision(), lost, 'lost is written once');
  const cluster = await plane.store.get(Cluster, { namespace: '', name: 'far' });
  assert.match(
    conditionOf(
      cluster ?? { metadata: { name: '', uid: '', generation: 1, creationTimestamp: '' }, apiVersion: '', kind: '', spec: {} },
      'Ready',
    )?.message ?? '',
    /^far was last heard of 20/,
  );
  await agent.sync();
  await is('True True');
});

test('a restarted plane keeps its verdicts until agents have spoken, and takes nobody for lost at once', async () => {
  const first = await PlaneRooms.start();
  try {
    await first.createProject();
    const agent = await first.joined('keeps');
    await first.deliver('web', 1, ['keeps']);
    await waitFor(
      'the document',
      async () => (await agent.sync(500)).desired !== undefined && agent.held?.document.applications.length === 1,
      within,
    );
    await agent.report([agent.steady('default', 'web')]);
    await waitFor('ready', async () => (await first.delivery('web', 'keeps'))?.status?.phase === 'Healthy', within);
    await waitFor(
      'calm',
      async () => (await first.store.get(Cluster, { namespace: '', name: 'keeps' }))?.status?.deliveries?.ready === 1,
      within,
    );
    await first.stop();

    await using plane = await PlaneRooms.start({ dir: first.dir });
    await waitFor('the engine', () => plane.engine.isIdle(), within);
    const revision = (await plane.delivery('web', 'keeps'))?.metadata.resourceVersion;
    assert.equal(plane.agents.live.lane('keeps'), undefined);
    assert.equal(plane.agents.live.contact('keeps').state, 'silent');
    const back = plane.client({ signer: agent.signer, kubeSystemUid: agent.kubeSystemUid });
    back.cluster = agent.cluster;
    back.keySet = agent.keySet;
    back.held = agent.held;
    const answer = await back.sync(20_000);
    assert.equal(answer.resync, true, 'asked at once for the whole state lane');
    assert.ok(answer.head !== undefined);
    await back.report([
      back.steady('default', 'web', {
        applied: { release: 'web.1', bundle: back.held?.document.applications[0]?.bundle ?? '', at: '2026-01-01T00:00:00Z' },
      }),
    ]);
    await waitFor('calm', () => plane.engine.isIdle(), within);
    const delivery = await plane.delivery('web', 'keeps');
    assert.equal(delivery?.status?.phase, 'Healthy');
    assert.equal(delivery?.metadata.resourceVersion, revision, 'saying the same again writes nothing');
  } finally {
    const { rm } = await import('node:fs/promises');
    await rm(first.dir, { recursive: true, force: true });
  }
});

test('overload is answered with when to come again', async () => {
  await using plane = await PlaneRooms.start({
    budgets: { sync: { burst: 3, perSecond: 0.5 }, join: { burst: 2, perSecond: 0.1 } },
  });
  const agent = await plane.joined('busy');
  const refused = await waitFor(
    'a refusal',
    () =>
      agent.sync().then(
        () => undefined,
        (error: unknown) => (error instanceof Refused ? error : undefined),
      ),
    { timeoutMs: 5_000, intervalMs: 0 },
  );
  assert.deepEqual([refused.status, refused.code], [429, 'FL_AGENT_BUSY']);
  const wait = refused.problem.retryAfterMs ?? 0;
  assert.ok(wait > 0 && wait <= 2_000, String(wait));
  await plane.createCluster('next');
  const token = await plane.enroll('next');
  await assert.rejects(
    (async () => {
      for (let index = 0; index < 4; index++)
        await plane
          .client()
          .join(token.replace('fl1.', 'fl1.x'))
          .catch((error: unknown) => {
            if (error instanceof Refused && error.code === 'FL_AGENT_BUSY') throw error;
          });
    })(),
    (error: unknown) => error instanceof Refused && error.status === 429,
  );
});
