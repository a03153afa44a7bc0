import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { waitFor } from '#base';
import { CAPABILITY, Cluster, Delivery, Event, type AgentEvent, type ReportRequest } from '#api';
import { POSTGRES_MISSING, postgresPrograms, startPostgres, type PostgresServer } from '../store/testing/postgres-server.ts';
import type { AgentClient } from './testing/agent-client.ts';
import { PlaneRooms } from './testing/plane-rooms.ts';

/*
 * Each process remembers the request tokens that it saw, and no other does. Whoever can read what an agent sends (which takes
 * the TLS key of the plane, or the memory of a process) could send it again to another process for a minute. What that does:
 */

const skip = postgresPrograms() === undefined ? POSTGRES_MISSING : false;
let server: PostgresServer;
let dir: string;
let one: PlaneRooms;
let two: PlaneRooms;

before(async () => {
  if (skip !== false) return;
  server = await startPostgres();
  dir = await mkdtemp(join(tmpdir(), 'fairlead-replay-'));
  const url = await server.createDatabase();
  one = await PlaneRooms.start({ dir, url });
  two = await PlaneRooms.start({ dir, url, isGateway: true });
  await one.createProject();
});

after(async () => {
  if (skip !== false) return;
  await two?.[Symbol.asyncDispose]();
  await one?.[Symbol.asyncDispose]();
  await server?.destroy();
  await rm(dir, { recursive: true, force: true });
});

interface Recorded {
  readonly path: string;
  readonly body: unknown;
  readonly authorization: string | undefined;
}

/** Sends to the first process, and keeps what was sent. `ageMs`: signed that long ago. */
async function record(agent: AgentClient, path: string, body: unknown, ageMs = 0): Promise<Recorded> {
  let authorization: string | undefined;
  agent.clockOffsetMs = -ageMs;
  const answer = await agent.send('POST', path, body, { onToken: (token) => (authorization = token) });
  agent.clockOffsetMs = 0;
  assert.equal(answer.status, 200, answer.body.toString());
  return { path, body, authorization };
}

/** The same bytes under the same token, to the second process. */
async function replay({ path, body, authorization }: Recorded): Promise<Record<string, unknown>> {
  const thief = two.client();
  const answer = await thief.send('POST', path, body, { authorization });
  assert.equal(answer.status, 200, answer.body.toString());
  return JSON.parse(answer.body.toString()) as Record<string, unknown>;
}

const clusterOf = (plane: PlaneRooms, name: string): Promise<Cluster | undefined> =>
  plane.store.get(Cluster, { namespace: '', name });

async function agentWith(name: string): Promise<AgentClient> {
  const agent = await one.joined(name);
  await one.deliver('web', 1, [name]);
  await waitFor(
    'release 1',
    async () => {
      await agent.sync(200);
      return agent.held?.document.applications.length === 1;
    },
    { timeoutMs: 10_000 },
  );
  return agent;
}

test('here, where it was seen, it is refused', { skip }, async () => {
  const agent = await agentWith('seen');
  const sent = await record(agent, '/agent/v1/sync', agent.syncRequest(0));
  const again = await agent.send('POST', sent.path, sent.body, { authorization: sent.authorization });
  assert.match(again.body.toString(), /FL_AGENT_REPLAY/);
});

test('a join and a return change nothing the second time', { skip }, async () => {
  await one.createCluster('joins');
  const agent = one.client();
  const token = await one.enroll('joins');
  await agent.join(token);
  const body = {
    tokenId: token.split('.')[1],
    secret: token.split('.')[2],
    signingKey: agent.signer.publicKey,
    sealingKey: 'age13ncznq8m43ak8uc8pugx7qq08jkx6hcus0u36k0zu97f0ru5cfwst0jzzy',
    kubeSystemUid: agent.kubeSystemUid,
    capability: CAPABILITY,
    version: '0',
    facts: {},
  };
  const before = (await clusterOf(one, 'joins'))?.metadata.uid;
  await replay({ path: '/agent/v1/join', body, authorization: undefined });
  const returned = await record(agent, '/agent/v1/return', {
    receipt: agent.receipt,
    capability: CAPABILITY,
    version: '0',
    facts: {},
  });
  const events = await one.store.list(Event);
  assert.deepEqual((await replay(returned))['receipt'], agent.receipt);
  assert.equal((await one.store.list(Event)).items.length, events.items.length);
  assert.equal((await clusterOf(one, 'joins'))?.metadata.uid, before);
});

test('older facts do not come back', { skip }, async () => {
  const agent = await agentWith('facts');
  const older = await record(agent, '/agent/v1/sync', agent.syncRequest(0, { facts: { nodes: '1' } }), 20_000);
  await record(agent, '/agent/v1/sync', agent.syncRequest(0, { facts: { nodes: '2' } }), 10_000);
  assert.equal((await clusterOf(one, 'facts'))?.status?.facts?.['nodes'], '2');
  await replay(older);
  assert.equal((await clusterOf(one, 'facts'))?.status?.facts?.['nodes'], '2');
  await record(agent, '/agent/v1/sync', agent.syncRequest(0, { facts: { nodes: '3' } }));
  assert.equal((await clusterOf(one, 'facts'))?.status?.facts?.['nodes'], '3', 'what the agent says itself counts');
});

function reportOf(agent: AgentClient, boot: string, changes: Partial<ReportRequest>): ReportRequest {
  return {
    boot,
    number: 1,
    full: true,
    deliveries: [],
    stateDigest: '',
    retired: [],
    orphaned: [],
    events: [],
    gap: 0,
    agent: [],
    ...(agent.held === undefined ? {} : { held: agent.held.position }),
    ...changes,
  };
}

test('a report of an earlier process of the agent does not come back, nor an older one of this process', { skip }, async () => {
  const agent = await agentWith('reports');
  const reports: Recorded[] = [];
  for (const [boot, number, ageMs] of [
    ['first', 1, 30_000],
    ['second', 1, 20_000],
    ['second', 2, 10_000],
  ] as const) {
    reports.push(await record(agent, '/agent/v1/reports', reportOf(agent, boot, { number }), ageMs));
  }
  const isNewest = (): boolean => {
    const lane = two.agents.live.reports.share('reports');
    return lane?.boot === 'second' && lane.number === 2;
  };
  await waitFor('the second process to know the newest report', isNewest, { timeoutMs: 10_000 });
  for (const old of reports.slice(0, 2)) await replay(old);
  assert.ok(isNewest());
});

test('an event counts once, and an acknowledged removal is done once', { skip }, async () => {
  const agent = await agentWith('events');
  const key = { namespace: 'default', name: 'web.events' };
  const name = (await one.store.list(Delivery)).items.find((found) => found.spec.cluster === 'events')?.metadata.name ?? '';
  const event: AgentEvent = {
    id: 'event-1',
    at: new Date().toISOString(),
    project: 'default',
    application: 'web',
    type: 'Normal',
    reason: { code: 'FL_DRIFT_CORRECTED', args: {}, since: new Date().toISOString() },
  };
  const told = await record(agent, '/agent/v1/reports', reportOf(agent, 'boot', { events: [event] }));
  const count = async (): Promise<number> =>
    (await one.store.list(Event)).items
      .filter((found) => found.spec.cluster === 'events' && found.spec.code === 'FL_DRIFT_CORRECTED')
      .reduce((sum, found) => sum + found.spec.count, 0);
  assert.equal(await count(), 1);
  await replay(told);
  assert.equal(await count(), 1);

  const at = new Date().toISOString();
  const retire = { id: 'retire-1', mode: 'Orphan' as const, reason: 'ApplicationDeleted' as const, actor: 'admin', at };
  await one.update(Delivery, { ...key, name }, (found) => ({ ...found, spec: { ...found.spec, retire } }));
  const retired = [{ id: 'retire-1', objects: 1, result: 'orphaned' as const }];
  const done = await record(agent, '/agent/v1/reports', reportOf(agent, 'boot', { number: 2, retired }));
  assert.equal(await one.store.get(Delivery, { ...key, name }), undefined);
  // Wanted again by then: the acknowledgement was of another removal.
  await one.deliver('web', 2, ['events']);
  await replay(done);
  assert.equal((await one.store.get(Delivery, { ...key, name }))?.spec.wanted?.number, 2);
});
