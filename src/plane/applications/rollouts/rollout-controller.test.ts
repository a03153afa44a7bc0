import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newUid, systemClock } from '#base';
import { Application, Delivery, type Key, type Kind, type PlaneObject } from '#api';
import type { Reader } from '#plane/engine';
import type { Fleet } from '../fleet.ts';
import { DELIVERIES_FINALIZER } from '../names.ts';
import { aCluster, anApplication, aProject, aRelease } from '../testing/objects.ts';
import { createRolloutController } from './rollout-controller.ts';

const plain = anApplication({ targets: [{ clusterSelector: {} }] });
const application: Application = {
  ...plain,
  metadata: { ...plain.metadata, resourceVersion: '7', finalizers: [DELIVERIES_FINALIZER] },
  status: { release: { name: 'web.1', number: 1, commit: 'c' } },
};
const rows: readonly PlaneObject[] = [application, aProject(), aRelease(1, { a: 'sha256:a' })];
const read = {
  get: <S, T>(kind: Kind<S, T>, _key: Key) =>
    Promise.resolve(rows.find((one) => one.kind === kind.kind) as PlaneObject<S, T> | undefined), // of this kind, as found
  list: () => Promise.resolve({ items: [], revision: 1 }),
} as unknown as Reader; // what is asked of it here
const fleet = {
  clusters: () => Promise.resolve([aCluster('a', {})]),
  wakes: () => [],
} as unknown as Fleet; // what is asked of it here

test('a Delivery is made only for the Application as it was read: one that is deleted meanwhile gets none that nobody ends', async () => {
  const controller = createRolloutController({ fleet, newId: newUid });
  const { chunks = [] } = await controller.reconcile('default/web', {
    read,
    clock: systemClock,
    signal: new AbortController().signal,
  });
  const [chunk] = chunks;
  assert.ok(chunk?.write?.some((write) => write.op === 'put' && write.kind === Delivery) === true);
  assert.equal(chunk?.expect?.find((one) => one.kind === Application)?.revision, 7);
});
