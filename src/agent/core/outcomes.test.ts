import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DesiredApplication } from '#api';
import { newApp } from './app.ts';
import type { Outcome } from './messages.ts';
import type { AppState, Drift, PlannedObject } from './model.ts';
import { takeOutcome } from './outcomes.ts';
import { reduce, restore } from './reduce.ts';

const object: PlannedObject = {
  key: '/ConfigMap/web/one',
  id: { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'web', name: 'one' },
  digest: 'sha256:one',
  stage: 'config',
  wave: 0,
  isSealed: false,
  isKept: false,
  isCreateOnly: false,
};

const state = restore({ planeId: 'p', cluster: 'c', boot: 'b', records: [], retired: new Map(), outbox: [], gap: 0 });

const wanted: DesiredApplication = {
  project: 'default',
  name: 'web',
  uid: 'u',
  release: 'web.1',
  number: 1,
  commit: '',
  bundle: 'sha256:b',
  settings: {},
  limits: { namespaces: ['*'], clusterKinds: [], deniedKinds: [], maxDeletions: 10, maxDeletionPercent: 20 },
};

/** An application in the middle of applying its one object, in a process that found `bundle` applied, with or without it. */
function applying(bundle: string, isInInventory: boolean): AppState {
  return {
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
    wanted,
    plan: {
      bundle: 'sha256:b',
      wanted,
      keys: new Set([object.key]),
      batches: [],
      hooks: [],
      isTakeover: false,
      unresolved: [],
      refused: [],
    },
    objects: new Map([[object.key, { object, status: 'pending', health: 'progressing', attempts: 0 }]]),
  };
}

function eventsAfter(bundle: string, isInInventory: boolean, found?: Drift): string[] {
  const taken = takeOutcome(
    applying(bundle, isInInventory),
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

test('a correction that a killed process had begun is told once, whether that process had made it or not', () => {
  const edit: Drift = { kind: 'changed', fields: ['.data.key'], manager: 'kubectl-edit', at: '2026-01-01T00:00:00Z' };
  const app = { ...applying('sha256:b', true), begun: new Map([[object.key, edit]]) };
  for (const found of [undefined, edit]) {
    const result = found === undefined ? 'unchanged' : 'configured';
    const outcome: Outcome = {
      type: 'applied',
      results: [{ key: object.key, result, health: 'healthy', ...(found === undefined ? {} : { found }) }],
    };
    const taken = takeOutcome(app, outcome, { state, at: 1000, random: 0.5 });
    assert.deepEqual(
      taken.events.map((event) => [event.reason.code, event.reason.args['manager']]),
      [['FL_DRIFT_CORRECTED', 'kubectl-edit']],
    );
    assert.equal(taken.app.begun?.size, 0);
  }
});

test('an answer about what was wanted before does not pass for one about what is wanted now', () => {
  const late: readonly { readonly busy: AppState['busy']; readonly outcome: Outcome }[] = [
    { busy: 'fetch', outcome: { type: 'fetched' } },
    { busy: 'plan', outcome: { type: 'planned', objects: [], hooks: [], isTakeover: false, unresolved: [], refused: [] } },
    { busy: 'fetch', outcome: { type: 'failed', reason: { code: 'FL_APPLY_UNAVAILABLE', args: {}, since: '' } } },
  ];
  for (const { busy, outcome } of late) {
    const before: AppState = { ...applying('sha256:a', true), ...(busy === undefined ? {} : { busy }), isStale: true };
    const { app, events } = takeOutcome(before, outcome, { state, at: 1000, random: 0.5 });
    const { busy: _done, ...rest } = before;
    assert.deepEqual(app, rest, `${outcome.type}: nothing of it counts but that the command has ended`);
    assert.deepEqual(events, []);
    // What is wanted now is begun from its start: an empty plan of before would have pruned the object.
    const apps = new Map([[before.key, before]]);
    const next = reduce({ ...state, apps }, { type: 'outcome', app: before.key, outcome, at: 1000, random: 0.5 });
    assert.deepEqual(
      next.commands.map((command) => command.type),
      ['fetch'],
    );
  }
});

test('an object that fails the same way again and again has failed since the first time', () => {
  const failed = (app: AppState, code: 'FL_APPLY_INVALID' | 'FL_APPLY_FORBIDDEN', at: number): AppState => {
    const since = new Date(at).toISOString();
    const result = { key: object.key, result: 'failed', reason: { code, args: {}, since }, retry: 'soon' } as const;
    return takeOutcome({ ...app, busy: 'apply' }, { type: 'applied', results: [result] }, { state, at, random: 0.5 }).app;
  };
  const planned = (app: AppState, at: number): AppState => {
    const outcome: Outcome = { type: 'planned', objects: [object], hooks: [], isTakeover: false, unresolved: [], refused: [] };
    return takeOutcome({ ...app, step: { at: 'planning' }, busy: 'plan' }, outcome, { state, at, random: 0.5 }).app;
  };
  const sinceOf = (app: AppState): string | undefined => app.objects.get(object.key)?.reason?.since;
  let app = failed(applying('sha256:b', true), 'FL_APPLY_INVALID', 1000);
  for (const at of [1_000_000, 2_000_000, 3_000_000]) {
    app = planned(app, at);
    assert.equal(app.objects.get(object.key)?.status, 'pending');
    app = failed(app, 'FL_APPLY_INVALID', at);
    assert.equal(sinceOf(app), '1970-01-01T00:00:01.000Z');
  }
  app = failed(planned(app, 4_000_000), 'FL_APPLY_FORBIDDEN', 4_000_000);
  assert.equal(sinceOf(app), '1970-01-01T01:06:40.000Z');
});
