import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { newUid, silentLog, systemClock, type Clock } from '#base';
import { ApiList, apiListKey, apisDigest, Cluster, type ServedApis } from '#api';
import { ApiListJanitor } from './api-list-janitor.ts';
import { POSTGRES_MISSING, postgresPrograms, startPostgres } from '../store/testing/postgres-server.ts';
import { ServedApisBook } from './served-apis.ts';
import { PlaneRooms } from './testing/plane-rooms.ts';

const BASE = ['apps/v1', 'apps/v1/Deployment', 'v1', 'v1/Pod'];
const WITH_LAMPS = ['apps/v1', 'apps/v1/Deployment', 'light.example/v1', 'light.example/v1/Lamp', 'v1', 'v1/Pod'];

function served(list: readonly string[], unavailable: readonly string[] = []): Required<ServedApis> {
  return { digest: apisDigest(list), unavailable: [...unavailable], list: [...list] };
}

function digestOnly({ digest, unavailable }: ServedApis): ServedApis {
  return { digest, unavailable };
}

async function apisOf(plane: PlaneRooms, name: string): Promise<NonNullable<Cluster['status']>['apis']> {
  return (await plane.store.get(Cluster, { namespace: '', name }))?.status?.apis;
}

async function listOf(plane: PlaneRooms, name: string): Promise<readonly string[] | undefined> {
  const apis = await apisOf(plane, name);
  return (await plane.store.get(ApiList, apiListKey(apis?.digest ?? '')))?.spec.versions;
}

test('a list is asked for once, shared by the clusters that serve the same, and survives a restart', async () => {
  let dir: string;
  {
    const plane = await PlaneRooms.start();
    ({ dir } = plane);
    try {
      const a = await plane.joined('a');
      const b = await plane.joined('b');
      assert.equal(await apisOf(plane, 'a'), undefined, 'not reported yet');
      assert.equal((await a.report([], { apis: digestOnly(served(BASE)) })).needsApis, true);
      assert.equal((await a.report([], { apis: served(BASE) })).needsApis, undefined);
      assert.deepEqual(await listOf(plane, 'a'), BASE);
      assert.equal((await b.report([], { apis: digestOnly(served(BASE)) })).needsApis, undefined, 'known from the other cluster');
      assert.equal((await plane.store.list(ApiList)).items.length, 1);
      const revision = plane.store.revision();
      await b.report([], { apis: digestOnly(served(BASE)) });
      assert.equal(plane.store.revision(), revision, 'the same again writes nothing');
    } finally {
      await plane.stop();
    }
  }
  await using plane = await PlaneRooms.start({ dir });
  assert.deepEqual(await listOf(plane, 'b'), BASE);
});

test('of a group that does not answer, what was known stays, until its server says that it is gone', async () => {
  await using plane = await PlaneRooms.start();
  const agent = await plane.joined('a');
  await agent.report([], { apis: served(WITH_LAMPS) });
  const bare = served([...BASE, 'light.example/v1'].sort(), ['light.example/v1']);
  await agent.report([], { apis: bare });
  assert.deepEqual(await listOf(plane, 'a'), WITH_LAMPS);
  assert.deepEqual((await apisOf(plane, 'a'))?.unavailable, ['light.example/v1']);
  // A new process of the agent, in a cluster where everything has just started, still knows nothing of it.
  await agent.report([], { apis: served(BASE, ['light.example/v1']) });
  assert.deepEqual(await listOf(plane, 'a'), WITH_LAMPS);
  await agent.report([], { apis: served(BASE) });
  assert.deepEqual(await listOf(plane, 'a'), BASE);
});

test('lists that are not what they say, or not bounded, are refused', async () => {
  await using plane = await PlaneRooms.start();
  const agent = await plane.joined('a');
  const refused = async (apis: ServedApis, words: RegExp): Promise<void> => {
    await assert.rejects(agent.report([], { apis }), (error: Error) => words.test(error.message), String(words));
    assert.equal(await apisOf(plane, 'a'), undefined);
  };
  await refused({ ...served(BASE), digest: apisDigest(WITH_LAMPS) }, /not what its digest says/);
  await refused(served(BASE.toReversed()), /not sorted/);
  await refused(served(['v1', 'v1']), /not sorted/);
  await refused(served(['v1/Pod\nkind: Secret']), /apis\/list/);
  await refused(served(['x'.repeat(500)]), /apis\/list/);
  const many = Array.from({ length: 16_001 }, (_, index) => `g${String(index).padStart(6, '0')}.example/v1`);
  await refused(served(many), /apis\/list/);
  const long = Array.from({ length: 4_000 }, (_, index) => `g${String(index).padStart(6, '0')}${'x'.repeat(200)}/v1`);
  await refused(served(long), /longer than any/);
  await refused({ ...served(BASE), unavailable: Array.from({ length: 501 }, () => 'v1') }, /apis\/unavailable/);
});

test('what never answers does not pile up: a list stays as it is rather than to outgrow its bound', async () => {
  await using plane = await PlaneRooms.start();
  const agent = await plane.joined('a');
  const group = (name: string): string[] => {
    const kinds = Array.from({ length: 9_000 }, (_, index) => `${name}.example/v1/K${String(index).padStart(5, '0')}`);
    return [`${name}.example/v1`, ...kinds];
  };
  await agent.report([], { apis: served(group('a')) });
  assert.equal((await listOf(plane, 'a'))?.length, 9_001);
  await agent.report([], { apis: served(group('b'), ['a.example/v1']) });
  assert.deepEqual(await listOf(plane, 'a'), group('a'), 'both together are more than a list may have');
  assert.equal((await apisOf(plane, 'a'))?.count, 9_001);
  await agent.report([], { apis: served(group('b')) });
  assert.deepEqual(await listOf(plane, 'a'), group('b'), 'it says now that the others are gone');
});

test('a cluster whose list changes without end is heard seldom', async () => {
  await using plane = await PlaneRooms.start();
  const agent = await plane.joined('a');
  let taken = 0;
  for (let round = 0; round < 40; round += 1) {
    const { needsApis } = await agent.report([], { apis: served([`g${String(round).padStart(2, '0')}.example/v1`]) });
    if (needsApis !== true) taken += 1;
  }
  assert.ok(taken >= 20 && taken <= 22, String(taken));
});

test('lists that nobody refers to are removed later, and not while somebody begins to', async () => {
  await using plane = await PlaneRooms.start();
  const agent = await plane.joined('a');
  await agent.report([], { apis: served(WITH_LAMPS) });
  await agent.report([], { apis: served(BASE) });
  let shiftMs = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + shiftMs };
  const janitor = new ApiListJanitor();
  const look = async (): Promise<boolean> => {
    const { chunks = [] } = await janitor.reconcile('all', { read: plane.store, clock, signal: AbortSignal.timeout(10_000) });
    const results: boolean[] = [];
    for (const chunk of chunks) results.push((await plane.store.commit(chunk)).ok);
    return results.every(Boolean);
  };
  const isThere = async (list: readonly string[]): Promise<boolean> =>
    (await plane.store.get(ApiList, apiListKey(apisDigest(list)))) !== undefined;
  await look();
  shiftMs += 1_000_000;
  await look();
  assert.ok(await isThere(WITH_LAMPS));
  // Somebody begins to use it between the look of the janitor and its commit.
  shiftMs += 1_000_000;
  const { chunks = [] } = await janitor.reconcile('all', { read: plane.store, clock, signal: AbortSignal.timeout(10_000) });
  assert.equal((await agent.report([], { apis: digestOnly(served(WITH_LAMPS)) })).needsApis, undefined);
  for (const chunk of chunks) assert.equal((await plane.store.commit(chunk)).ok, false, 'the removal gives way');
  assert.deepEqual(await listOf(plane, 'a'), WITH_LAMPS);
  await look();
  shiftMs += 2_000_000;
  await look();
  assert.ok(await isThere(WITH_LAMPS));
  assert.ok(!(await isThere(BASE)), 'nobody refers to the other one');
});

test(
  'on PostgreSQL, by two replicas at once: many clusters bring the same new list, and it is stored once',
  { skip: postgresPrograms() === undefined ? POSTGRES_MISSING : false },
  async () => {
    await using stack = new AsyncDisposableStack();
    const server = await startPostgres();
    stack.defer(() => server.destroy());
    const url = await server.createDatabase();
    const dir = await mkdtemp(join(tmpdir(), 'fairlead-apis-'));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const leader = stack.use(await PlaneRooms.start({ dir, url }));
    const other = stack.use(await PlaneRooms.start({ dir, url, isGateway: true }));
    const names = Array.from({ length: 8 }, (_, index) => `c${index}`);
    for (const name of names) await leader.joined(name);
    const book = (plane: PlaneRooms): ServedApisBook =>
      new ServedApisBook({
        store: plane.store,
        keys: plane.keys,
        clock: systemClock,
        log: silentLog,
        newUid,
        frozen: () => false,
      });
    const books = [book(leader), book(other)];
    const taken = await Promise.all(names.map(async (name, index) => books[index % 2]?.take(name, served(WITH_LAMPS))));
    assert.deepEqual(
      taken,
      names.map(() => true),
    );
    assert.equal((await leader.store.list(ApiList)).items.length, 1);
    // What one replica took, the other completes what is unavailable with.
    assert.equal(await books[1]?.take('c0', served(BASE, ['light.example/v1'])), true);
    assert.deepEqual(await listOf(leader, 'c0'), WITH_LAMPS);
  },
);
