import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Delivery, deliveryName, deliveryStates } from '#api';
import { delivery, follow, put, withIndex } from './testing/index-world.ts';

const codes = ['FL_READY', 'FL_HEALTH_FAILED', 'FL_CONTACT_LOST', 'FL_APPLYING'] as const;

/** However deliveries come, change and go, what is counted is what is there. */
test('tallies are those of the deliveries, whatever happened to them', async () => {
  await withIndex(async (store, index) => {
    const step = fc.record({
      application: fc.constantFrom('a', 'b'),
      cluster: fc.constantFrom('x', 'y', 'z'),
      code: fc.option(fc.constantFrom(...codes)),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        for (const { application, cluster, code } of steps) {
          const key = { namespace: 'default', name: deliveryName(application, cluster) };
          const done =
            code === null
              ? await store.commit({ write: [{ op: 'delete', kind: Delivery, key }] })
              : {
                  ok: true,
                  revision: await put(store, Delivery, delivery(application, cluster, code, { release: 'r', cluster })),
                };
          assert.ok(done.ok);
          await follow(index, done.revision);
        }
        const all = [...index.deliveries.values()];
        for (const cluster of ['x', 'y', 'z']) {
          const tally = index.ofCluster(cluster);
          const own = all.filter((one) => one.cluster === cluster);
          assert.equal(tally.total, own.length);
          for (const state of deliveryStates) assert.equal(tally.count(state), own.filter((one) => one.state === state).length);
        }
        for (const application of ['a', 'b'])
          assert.equal(
            index.ofApplication('default', application).total,
            all.filter((one) => one.application === application).length,
          );
        assert.deepEqual(new Set(index.unready), new Set(all.filter((one) => one.state !== 'ready')));
      }),
      { numRuns: 15 },
    );
  });
});
