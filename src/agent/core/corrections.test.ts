import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newApp } from './app.ts';
import type { ObjectOutcome, Reduction, Signal } from './messages.ts';
import type { AgentState, Drift, PlannedObject } from './model.ts';
import { reduce, restore } from './reduce.ts';

const KEY = '/ConfigMap/web/one';
const object: PlannedObject = {
  key: KEY,
  id: { group: '', version: 'v1', kind: 'ConfigMap', namespace: 'web', name: 'one' },
  digest: 'sha256:one',
  stage: 'config',
  wave: 0,
  isSealed: false,
  isKept: false,
  isCreateOnly: false,
};
const drift: Drift = { kind: 'changed', fields: ['.data.key'], manager: 'kubectl-edit', at: '2026-01-01T00:00:00Z' };

/** An application that is applied and at rest. */
function steady(mode: 'Correct' | 'Alert' = 'Correct'): AgentState {
  const state = restore({ planeId: 'p', cluster: 'c', boot: 'b', records: [], retired: new Map(), outbox: [], gap: 0 });
  const record = {
    project: 'default',
    name: 'web',
    uid: 'u',
    inventory: new Map([[KEY, { version: 'v1' }]]),
    applied: { release: 'web.1', number: 1, bundle: 'sha256:b', at: '' },
  };
  const wanted = {
    project: 'default',
    name: 'web',
    uid: 'u',
    release: 'web.1',
    number: 1,
    commit: '',
    bundle: 'sha256:b',
    settings: { drift: { mode } },
    limits: { namespaces: ['*'], clusterKinds: [], deniedKinds: [], maxDeletions: 10, maxDeletionPercent: 20 },
  };
  const app = {
    ...newApp('p', 'default', 'web', record),
    step: { at: 'steady' as const },
    isStale: false,
    wanted,
    plan: {
      bundle: 'sha256:b',
      wanted,
      keys: new Set([KEY]),
      batches: [],
      hooks: [],
      isTakeover: false,
      unresolved: [],
      refused: [],
    },
    objects: new Map([[KEY, { object, status: 'applied' as const, health: 'healthy' as const, attempts: 0 }]]),
  };
  return { ...state, apps: new Map([[app.key, app]]) };
}

type Told = Signal extends infer S ? (S extends Signal ? Omit<S, 'at' | 'random'> : never) : never;

function after(before: AgentState, ...signals: readonly Told[]): Reduction {
  let reduction: Reduction = { state: before, commands: [] };
  for (const signal of signals) reduction = reduce(reduction.state, { ...signal, at: 1000, random: 0.5 });
  return reduction;
}

const observed = (found: Drift | undefined) => ({
  type: 'observed' as const,
  app: 'default/web',
  changes: [{ key: KEY, digest: object.digest, health: 'healthy' as const, drift: found }],
});
const applied = (result: 'configured' | 'unchanged') => ({
  type: 'outcome' as const,
  app: 'default/web',
  outcome: { type: 'applied' as const, results: [{ key: KEY, result, health: 'healthy' as const } satisfies ObjectOutcome] },
});
const codes = (state: AgentState): string[] => state.outbox.map((event) => event.reason.code);

test('a correction is said, also when the watch sees it done before its answer comes', () => {
  assert.equal(after(steady(), observed(drift)).commands[0]?.type, 'apply');
  assert.deepEqual(codes(after(steady(), observed(drift), applied('configured')).state), ['FL_DRIFT_CORRECTED']);
  const early = after(steady(), observed(drift), observed(undefined), applied('configured')).state;
  assert.deepEqual(codes(early), ['FL_DRIFT_CORRECTED']);
  assert.equal(early.outbox[0]?.reason.args['manager'], 'kubectl-edit');
});

test('what somebody put back before the correction came is not claimed', () => {
  assert.deepEqual(codes(after(steady(), observed(drift), observed(undefined), applied('unchanged')).state), []);
});

test('corrections that the watch saw first count for a fight', () => {
  let state = steady();
  for (let round = 0; round < 6; round += 1) {
    state = after(state, observed(drift), observed(undefined), applied('configured')).state;
  }
  assert.ok(codes(state).includes('FL_DRIFT_FIGHT'), JSON.stringify(codes(state)));
});

test('Alert tells of values, not of who holds them', () => {
  const unowned = observed({ ...drift, kind: 'unowned' });
  const seen = after(steady('Alert'), unowned);
  assert.deepEqual(
    [codes(seen.state), seen.commands, seen.state.apps.get('default/web')?.objects.get(KEY)?.drift],
    [[], [], undefined],
  );
  assert.deepEqual(codes(after(steady('Alert'), observed(drift)).state), ['FL_DRIFT_FOUND']);
  assert.equal(after(steady(), unowned).commands[0]?.type, 'apply');
});
