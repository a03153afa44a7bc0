import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { openSqliteStore, type Store } from '#plane/store';
import { Gadget, Widget } from '../store/testing/contract-kit.ts';
import { runWithKills, type KillPlan, type KillRun, type KillScenario } from './testing/kill-at-every-step.ts';
import { setApp, smallFleet } from './testing/small-fleet.ts';
import { wakeOn } from './types.ts';

async function run<World>(make: (open: () => Promise<Store>) => KillScenario<World>, plan: KillPlan): Promise<KillRun> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-engine-'));
  try {
    return await runWithKills(
      make(() => openSqliteStore({ dir, kinds: [Widget, Gadget] })),
      plan,
    );
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

test('killed once at any step, the plane comes to the same end', { timeout: 120_000 }, async () => {
  const fleet = (open: () => Promise<Store>) => smallFleet(open, [setApp('one', 1, 2), setApp('one', 2, 1)]);
  const undisturbed = await run(fleet, { kills: [] });
  assert.ok(undisturbed.steps > 20, 'the fleet must have steps to be killed at');
  assert.match(JSON.stringify(undisturbed.verdict), /"one\.0",2/, 'the second version must have been applied');
  for (let step = 0; step < undisturbed.steps; step++) {
    const { verdict } = await run(fleet, { kills: [step] });
    assert.deepEqual(verdict, undisturbed.verdict, `killed at step ${step}`);
  }
});

test(
  'killed again and again, with changes coming in between, the plane comes to the same end',
  { timeout: 120_000 },
  async () => {
    const { verdict } = await run(smallFleet, { kills: [] });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(25), { maxLength: 5 }),
        fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
        async (kills, settles) => {
          assert.deepEqual((await run(smallFleet, { kills, settles })).verdict, verdict);
        },
      ),
      { numRuns: 12 },
    );
  },
);

test('the harness finds a controller that counts on being run only once', { timeout: 120_000 }, async () => {
  const careless = (open: () => Promise<Store>): KillScenario<{ calls: number }> => ({
    open,
    world: () => ({ calls: 0 }),
    controllers: (world) => [
      {
        name: 'careless',
        wakes: [wakeOn(Widget, ({ after }) => [after.metadata.name])],
        initial: async (read) => (await read.list(Widget)).items.map((item) => item.metadata.name),
        async reconcile(key, { read }) {
          const object = await read.get(Widget, { namespace: 'apps', name: key });
          if (object === undefined || object.status?.phase === 'called') return {};
          world.calls += 1;
          return { commit: { write: [{ op: 'put', kind: Widget, object: { ...object, status: { phase: 'called' } } }] } };
        },
      },
    ],
    effects: () => [],
    stimuli: [setApp('one', 1, 1)],
    verdict: async (_store, world) => world.calls,
  });
  const { verdict, steps } = await run(careless, { kills: [] });
  const verdicts = [];
  for (let step = 0; step < steps; step++) verdicts.push((await run(careless, { kills: [step] })).verdict);
  assert.equal(verdict, 1);
  assert.ok(verdicts.includes(2), 'a call before the commit must show');
});
