import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newApp } from './app.ts';
import type { AppState, Drift, PlannedObject } from './model.ts';
import { takeOutcome } from './outcomes.ts';
import { restore } from './reduce.ts';

const object: PlannedObject = {
  key: '/ConfigMap/web/one',
  id: { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'web', name: 'one' },
  digest: 'sha256:one',
  stage: 'config',
  wave: 0,
  isSealed: false,
};

/** The events of an apply that makes the object, in a process that found `bundle` applied, with or without it. */
function eventsAfter(bundle: string, isInInventory: boolean, found?: Drift): string[] {
  const state = restore({ planeId: 'p', cluster: 'c', boot: 'b', records: [], retired: new Map(), outbox: [], gap: 0 });
  const app: AppState = {
    ...newApp('p', 'default', 'web', {
      project: 'default',
      name: 'web',
      uid: 'u',
      inventory: new Map(isInInventory ? [[object.key, { version: 'v1' }]] : []),
      applied: { release: 'web.1', number: 1, bundle, at: '' },
    }),
    step: { at: 'applying', index: 0, isWaiting: false },
    busy: 'apply',
    isStale: false,
    wanted: {
      project: 'default',
      name: 'web',
      uid: 'u',
      release: 'web.1',
      number: 1,
      commit: '',
      bundle: 'sha256:b',
      settings: {},
      limits: { namespaces: ['*'], clusterKinds: [], deniedKinds: [], maxDeletions: 10, maxDeletionPercent: 20 },
    },
    plan: { bundle: 'sha256:b', keys: new Set([object.key]), batches: [], unresolved: [], refused: [] },
    objects: new Map([[object.key, { object, status: 'pending', health: 'progressing', attempts: 0 }]]),
  };
  const taken = takeOutcome(
    app,
    {
      type: 'applied',
      results: [
        found === undefined
          ? { key: object.key, result: 'created', health: 'healthy' }
          : { key: object.key, result: 'configured', health: 'healthy', found },
      ],
    },
    { state, at: 1000, random: 0.5 },
  );
  return taken.events.map((event) => event.reason.code);
}

test('what was deleted or edited while no process ran is told when it is put right', () => {
  assert.deepEqual(eventsAfter('sha256:b', true), ['FL_DRIFT_DELETED']);
  const edit: Drift = { kind: 'changed', fields: ['.data.key'], manager: 'kubectl-edit', at: '2026-01-01T00:00:00Z' };
  assert.deepEqual(eventsAfter('sha256:b', true, edit), ['FL_DRIFT_CORRECTED']);
  assert.deepEqual(eventsAfter('sha256:a', true, edit), [], 'a newer bundle changes what the older one held');
  assert.deepEqual(eventsAfter('sha256:a', true), [], 'another bundle was applied: this one makes it for the first time');
  assert.deepEqual(eventsAfter('sha256:b', false), [], 'it was never there');
});
