import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitFor } from '#base';
import { Cluster, Delivery } from '#api';
import { PlaneRooms } from './testing/plane-rooms.ts';

const within = { timeoutMs: 20_000, intervalMs: 20 };

/** Every phase a slow application goes through costs at most six rows (architecture.md, section 9), an idle fleet none. */
test('a release costs at most six rows per application and cluster', async () => {
  await using plane = await PlaneRooms.start();
  await plane.createProject();
  const agents = await Promise.all(['a', 'b', 'c'].map((name) => plane.joined(name)));
  await plane.deliver('web', 1, ['a', 'b', 'c']);
  const goThrough = async (number: number): Promise<void> => {
    await Promise.all(
      agents.map(async (agent) => {
        await waitFor(
          `release ${number}`,
          async () => {
            if (agent.held?.document.applications[0]?.number === number) return true;
            await agent.sync(1000);
            return agent.held?.document.applications[0]?.number === number;
          },
          within,
        );
        const steps = [
          { phase: 'fetching' as const, health: 'unknown' as const },
          { phase: 'applying' as const, health: 'unknown' as const },
          {
            phase: 'applying' as const,
            health: 'unknown' as const,
            objects: { total: 9, applied: 4, healthy: 0, failed: 0, drifted: 0 },
          },
          {
            phase: 'applying' as const,
            health: 'unknown' as const,
            objects: { total: 9, applied: 8, healthy: 0, failed: 0, drifted: 0 },
          },
          { phase: 'settling' as const, health: 'progressing' as const },
          {},
        ];
        for (const step of steps) await agent.report([agent.steady('default', 'web', step)]);
      }),
    );
    await waitFor(
      'all to be ready and counted',
      async () => {
        const deliveries = (await plane.store.list(Delivery, {})).items;
        const clusters = (await plane.store.list(Cluster, {})).items;
        return (
          deliveries.every((one) => one.status?.phase === 'Healthy' && one.status.journey?.release === `web.${number}`) &&
          clusters.every((one) => one.status?.deliveries?.ready === 1)
        );
      },
      within,
    );
    // Counts are written a second later; what comes and goes within it is not.
    await new Promise((resolve) => setTimeout(resolve, 1_300));
    await waitFor('calm', () => plane.engine.isIdle(), within);
  };
  await goThrough(1);
  const before = plane.store.revision();
  await plane.deliver('web', 2, ['a', 'b', 'c']);
  await goThrough(2);
  const rows = plane.store.revision() - before - 1;
  assert.ok(rows <= 6 * agents.length, `${rows} rows for ${agents.length} clusters`);

  const idle = plane.store.revision();
  for (const agent of agents) {
    await agent.sync();
    await agent.report([]);
  }
  await waitFor('calm', () => plane.engine.isIdle(), within);
  assert.equal(plane.store.revision(), idle, 'an idle fleet writes no row');
});
