import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newUid, systemClock } from '#base';
import { AgentIdentity, API_VERSION, Cluster, type Key, type Kind, type LiveState, type PlaneObject } from '#api';
import type { Reader } from '#plane/engine';
import { ClusterController } from './cluster-controller.ts';

const metadata = { name: 'far', uid: 'u', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' };
const empty: Cluster = { apiVersion: API_VERSION, kind: 'Cluster', metadata: { ...metadata, resourceVersion: '1' }, spec: {} };
const joined: Cluster = {
  ...empty,
  metadata: { ...metadata, resourceVersion: '2' },
  status: { agent: { version: '1', capability: 1, joinedAt: '2026-01-01T00:00:00Z', keyId: 'k' } },
};
const identity: AgentIdentity = {
  apiVersion: API_VERSION,
  kind: 'AgentIdentity',
  metadata: { ...metadata, resourceVersion: '3' },
  spec: {
    signingKey: 's',
    keyId: 'k',
    sealingKey: 'a',
    kubeSystemUid: 'u',
    joinedAt: '2026-01-01T00:00:00Z',
    receipt: { payloadType: 't', payload: '', signatures: [] },
  },
};

/** A database of which the first read sees `before`, and every later one `after`. */
function between(before: readonly PlaneObject[], after: readonly PlaneObject[]): Reader {
  let reads = 0;
  return {
    get: <S, T>(kind: Kind<S, T>, _key: Key) => {
      const found = (reads++ === 0 ? before : after).find((one) => one.kind === kind.kind);
      return Promise.resolve(found as PlaneObject<S, T> | undefined); // of this kind, as found
    },
    list: () => Promise.resolve({ items: [], revision: 1 }),
    blobs: () => Promise.resolve(new Map()),
    missingBlobs: () => Promise.resolve([]),
    sealedDigests: () => Promise.resolve(new Map()),
    pulses: () => Promise.resolve(new Map()),
  };
}

const live = {
  contact: () => ({ state: 'unknown' }),
  lane: () => undefined,
  subscribe: () => () => undefined,
} as unknown as LiveState; // what the controller asks of it

const reconcile = (read: Reader) =>
  new ClusterController({ live, newUid }).reconcile('far', { read, clock: systemClock, signal: new AbortController().signal });

/** Whether it makes the agent one that was detached. */
const detaches = async (read: Reader): Promise<boolean> => {
  const { commit, chunks = [] } = await reconcile(read);
  return [...(commit === undefined ? [] : [commit]), ...chunks].some((one) =>
    one.write?.some((write) => write.op === 'put' && write.kind === AgentIdentity),
  );
};

test('an agent that joins, or comes back, between two reads is not taken for one that is left over', async () => {
  assert.equal(await detaches(between([empty], [joined, identity])), false);
  assert.equal(await detaches(between([], [joined, identity])), false);
});

test('an agent that is left over is detached only as long as its Cluster is as it was seen', async () => {
  for (const [cluster, revision] of [
    [empty, 1],
    [undefined, 'absent'],
  ] as const) {
    const all = [identity, ...(cluster === undefined ? [] : [cluster])];
    assert.equal(await detaches(between(all, all)), true);
    const { commit, chunks } = await reconcile(between(all, all));
    const expected = (commit ?? chunks?.[0])?.expect?.find((one) => one.kind === Cluster);
    assert.equal(expected?.revision, revision);
  }
});
