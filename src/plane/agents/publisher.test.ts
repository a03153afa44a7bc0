import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newUid, silentLog, systemClock } from '#base';
import {
  AgentIdentity,
  API_VERSION,
  Cluster,
  DesiredStateRow,
  type DesiredState,
  type Key,
  type Kind,
  type PlaneObject,
} from '#api';
import type { Reader } from '#plane/engine';
import type { Transaction } from '#plane/store';
import { ReleaseCache } from './compose-inputs.ts';
import type { AgentsContext } from './context.ts';
import type { LiveBook } from './live-book.ts';
import { Publisher } from './publisher.ts';

const at = '2026-01-01T00:00:00Z';
const metadata = (resourceVersion: string) => ({
  name: 'far',
  uid: 'u',
  generation: 1,
  creationTimestamp: at,
  resourceVersion,
});

function cluster(resourceVersion: string, recovery?: NonNullable<Cluster['status']>['recovery']): Cluster {
  const agent = { version: '1', capability: 1, joinedAt: at, keyId: 'k' };
  return {
    apiVersion: API_VERSION,
    kind: 'Cluster',
    metadata: metadata(resourceVersion),
    spec: {},
    status: { agent, ...(recovery === undefined ? {} : { recovery }) },
  };
}

function identity(resourceVersion: string, detached = false): AgentIdentity {
  const receipt = { payloadType: 't', payload: '', signatures: [] };
  const spec = { signingKey: 's', keyId: 'k', sealingKey: 'a', kubeSystemUid: 'u', joinedAt: at, receipt };
  return {
    apiVersion: API_VERSION,
    kind: 'AgentIdentity',
    metadata: metadata(resourceVersion),
    spec: { ...spec, ...(detached ? { detached } : {}) },
  };
}

function row(resourceVersion: string, seq: number): DesiredStateRow {
  const payload = Buffer.from(JSON.stringify({ applications: [], retire: [] })).toString('base64');
  // What the publisher reads of it.
  const spec = {
    position: { epoch: 1, seq, digest: `d${seq}` },
    content: '',
    history: [],
    envelope: { payloadType: 't', payload, signatures: [] },
  };
  return {
    apiVersion: API_VERSION,
    kind: 'DesiredStateRow',
    metadata: metadata(resourceVersion),
    spec,
  };
}

/** What is published when the first `reads` reads see `before`, and all others `after`. */
async function published(
  before: readonly PlaneObject[],
  after: readonly PlaneObject[],
  reads: number,
): Promise<Transaction | undefined> {
  let count = 0;
  const read = {
    get: <S, T>(kind: Kind<S, T>, _key: Key) => {
      const found = (count++ < reads ? before : after).find((one) => one.kind === kind.kind);
      return Promise.resolve(found as PlaneObject<S, T> | undefined); // of this kind, as found
    },
    list: () => Promise.resolve({ items: [], revision: 1 }),
    blobs: () => Promise.resolve(new Map()),
  } as unknown as Reader; // what is asked of it here
  let nowMs = 0;
  const clock = { ...systemClock, monotonic: () => (nowMs += 60_000) };
  const keys = {
    planeId: 'p',
    keySet: { version: 1 },
    signer: { keyId: 'k', publicKey: '', sign: () => Buffer.from('signed') },
  };
  const context = { keys, clock, log: silentLog, newUid, frozen: () => false } as unknown as AgentsContext; // what it uses
  const publisher = new Publisher(context, new ReleaseCache(), { noteSigned: () => undefined } as unknown as LiveBook);
  const ask = () => publisher.reconcile('far', { read, clock, signal: new AbortController().signal });
  await ask();
  return (await ask()).chunks?.at(-1);
}

function holds({ expect = [] }: Transaction, objects: readonly PlaneObject[]): boolean {
  return expect.every(({ kind, revision }) => {
    const found = objects.find((one) => one.kind === kind.kind);
    if (revision === 'absent' || found === undefined) return revision === 'absent' && found === undefined;
    return revision === 'present' || Number(found.metadata.resourceVersion) === revision;
  });
}

function isPaused(transaction: Transaction): boolean {
  const write = transaction.write?.find((one) => one.op === 'put' && one.kind === DesiredStateRow);
  assert.ok(write?.op === 'put');
  const { envelope } = (write.object as DesiredStateRow).spec;
  return (JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8')) as DesiredState).deletionsPaused;
}

test('a recovery between any two reads leaves deletions paused: what was decided without it is not published', async () => {
  const before = [identity('1'), cluster('1'), row('1', 1)];
  const recovery = { since: at, adopted: { epoch: 1, seq: 5, digest: 'd5' } };
  const after = [identity('1'), cluster('2', recovery), row('2', 6)];
  const seen: boolean[] = [];
  for (let reads = 0; reads <= 4; reads += 1) {
    const transaction = await published(before, after, reads);
    assert.ok(transaction !== undefined);
    seen.push(holds(transaction, after));
    if (holds(transaction, after)) assert.equal(isPaused(transaction), true, `the first ${reads} reads came before it`);
  }
  assert.ok(seen.includes(true) && seen.includes(false));
});

test('nothing is published for an agent that is detached, or replaced, between two reads', async () => {
  const before = [identity('1'), cluster('1'), row('1', 1)];
  for (const after of [
    [identity('2', true), cluster('2')],
    [identity('2'), cluster('2'), row('1', 1)],
  ]) {
    for (let reads = 1; reads <= 4; reads += 1) {
      const transaction = await published(before, after, reads);
      assert.equal(transaction !== undefined && holds(transaction, after), false, `the first ${reads} reads came before it`);
    }
  }
});
