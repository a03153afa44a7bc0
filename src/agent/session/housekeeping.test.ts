import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DesiredApplication } from '#api';
import { silentLog, systemClock, waitFor } from '#base';
import { WantedObjects } from '../apply/wanted-objects.ts';
import { newApp } from '../core/app.ts';
import type { AgentState, AppState, PlannedObject } from '../core/model.ts';
import { restore } from '../core/reduce.ts';
import type { AgentKeys } from '../link/identity.ts';
import type { AgentStore } from '../state/agent-store.ts';
import { Housekeeping } from './housekeeping.ts';

const secret = (password: string): PlannedObject => ({
  key: '/Secret/web/login',
  id: { group: '', version: 'v1', kind: 'Secret', namespace: 'web', name: 'login' },
  digest: password,
  stage: 'config',
  wave: 0,
  isSealed: true,
  isKept: false,
  isCreateOnly: false,
});
const content = (digest: string): Buffer =>
  Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'login' }, data: { password: digest } }));

const store = {
  object: content,
  isDurable: () => true,
  gap: () => 0,
  eventCount: 0,
  correcting: () => [],
  dropContentBut: () => Promise.resolve(1),
} as unknown as AgentStore; // what is asked of it here
const keys = { unseal: (bytes: Uint8Array) => Promise.resolve(bytes) } as unknown as AgentKeys; // what is asked of it here

const wanted = { project: 'default', name: 'web', bundle: 'sha256:b' } as unknown as DesiredApplication; // what is read of it here

function holding(object: PlannedObject, step: AppState['step']): AgentState {
  const app: AppState = {
    ...newApp('p', 'default', 'web'),
    isStale: false,
    step,
    wanted,
    objects: new Map([[object.key, { object, status: 'applied', health: 'healthy', attempts: 0 }]]),
  };
  const state = restore({ planeId: 'p', cluster: 'c', boot: 'b', records: [], retired: new Map(), outbox: [], gap: 0 });
  return { ...state, position: { epoch: 1, seq: 2, digest: 'd' }, apps: new Map([[app.key, app]]) };
}

async function afterCleaning(state: AgentState): Promise<readonly boolean[]> {
  const wantedObjects = new WantedObjects(store, keys);
  const { owner } = newApp('p', 'default', 'web');
  for (const digest of ['before', 'now']) await wantedObjects.prepare(secret(digest), owner);
  let slept = 0;
  const housekeeping = new Housekeeping({
    store,
    wantedObjects,
    clock: { ...systemClock, sleep: () => Promise.resolve(void (slept += 1)) },
    log: silentLog,
    signal: new AbortController().signal,
    fail: (error) => assert.ifError(error),
    onDurable: () => undefined,
  });
  housekeeping.follow(state);
  await waitFor('the cleaning', () => slept > 0, { timeoutMs: 5_000 });
  await new Promise((resolve) => setImmediate(resolve));
  return ['before', 'now'].map((digest) => wantedObjects.comparable(secret(digest), owner) !== undefined);
}

test('what was prepared of Secrets goes with their old content, once no release is on its way', async () => {
  assert.deepEqual(await afterCleaning(holding(secret('now'), { at: 'steady' })), [false, true]);
  assert.deepEqual(await afterCleaning(holding(secret('now'), { at: 'fetching' })), [true, true]);
});
