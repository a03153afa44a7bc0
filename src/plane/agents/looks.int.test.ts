import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  Cluster,
  lookLimits,
  open,
  payloadTypes,
  signingKeys,
  type Look,
  type LookAnswer,
  type LookOrder,
  type LookTarget,
  type SyncResponse,
} from '#api';
import { waitFor } from '#base';
import type { AgentClient } from './testing/agent-client.ts';
import { PlaneRooms } from './testing/plane-rooms.ts';

let plane: PlaneRooms;
let agent: AgentClient;
before(async () => {
  plane = await PlaneRooms.start();
  await plane.createProject();
  agent = await plane.joined('eu');
  await plane.deliver('web', 1, ['eu']);
  await waitFor('the document', async () => agent.held !== undefined || (await agent.sync(1000)).desired !== undefined, within);
});
after(() => plane[Symbol.asyncDispose]());

const signal = new AbortController().signal;
const within = { timeoutMs: 20_000, intervalMs: 5 };

function target(name: string, kind = 'ConfigMap'): LookTarget {
  return { project: 'default', application: 'web', object: { group: '', version: 'v1', kind, namespace: 'shop', name } };
}

function orderIn(response: SyncResponse, of: AgentClient = agent): LookOrder | undefined {
  if (response.looks === undefined) return undefined;
  const keys = of.keySet === undefined ? new Map<string, string>() : signingKeys(of.keySet);
  return JSON.parse(open(response.looks, payloadTypes.looks, keys).toString('utf8')) as LookOrder;
}

/** Syncs until there is an order. */
async function nextOrder(of: AgentClient = agent): Promise<LookOrder> {
  return waitFor('an order', async () => orderIn(await of.sync(3000), of), { timeoutMs: 20_000, intervalMs: 1 });
}

/** A sync that waits: one that has something new to take is over at once, and another follows. */
async function heldSync(): Promise<{ readonly held: Promise<SyncResponse> }> {
  for (;;) {
    let isOver = false;
    const held = agent.sync(10_000).finally(() => (isOver = true));
    await waitFor('the sync to be held', () => isOver || plane.agents.waiting() > 0, within);
    if (!isOver) return { held };
  }
}

function manifest(name: string, more: object = { data: { key: 'value' } }, kind = 'ConfigMap'): string {
  return JSON.stringify({ apiVersion: 'v1', kind, metadata: { name, namespace: 'shop' }, ...more });
}

function answerTo(order: LookOrder, changes: Partial<LookAnswer> = {}): LookAnswer {
  const look = order.looks[0];
  assert.ok(look);
  const { id, object } = look;
  return { id, object, seenAt: '2026-01-01T00:00:00Z', is: 'live', manifest: manifest(object.name), differences: [], ...changes };
}

const post = (answer: unknown, of: AgentClient = agent) => of.send('POST', '/agent/v1/looks', answer);
const look = (name: string, by = 'admin/ada', kind?: string): Promise<Look> =>
  plane.agents.looks.look('eu', target(name, kind), by, signal);

function answered({ outcome }: Look): LookAnswer {
  assert.equal(outcome.is, 'answered');
  return outcome.is === 'answered' ? outcome.answer : assert.fail();
}

test('a held sync is answered at once with what a person wants to see, and the answer reaches that person', async () => {
  const startedAt = performance.now();
  const { held } = await heldSync();
  const looking = look('settings');
  const response = await held;
  const order = orderIn(response);
  assert.ok(order !== undefined && response.head !== undefined);
  assert.deepEqual(order.looks[0]?.object, target('settings').object);
  assert.equal(order.looks[0]?.by, 'admin/ada');
  assert.equal((await post(answerTo(order))).status, 200);
  assert.match(answered(await looking).manifest ?? '', /"value"/);
  assert.ok(performance.now() - startedAt < 5_000);
});

test('the same look of ten people is one look; one asked for a moment later, too', async () => {
  const people = Array.from({ length: 10 }, (_, i) => look('shared', `admin/${i}`));
  const order = await nextOrder();
  assert.equal(order.looks.length, 1);
  await post(answerTo(order));
  assert.equal(new Set((await Promise.all(people)).map((one) => answered(one).manifest)).size, 1);
  answered(await look('shared', 'admin/late'));
  assert.equal(orderIn(await agent.sync(0)), undefined, 'nothing more is asked');
});

test('an answer about another object, malformed, or of nobody is not shown', async () => {
  for (const [name, wrong] of Object.entries({
    other: { manifest: manifest('another') },
    namespace: { manifest: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'namespace' } }) },
    kind: { manifest: manifest('kind', { data: { a: 'b' } }, 'Secret') },
    group: {
      manifest: JSON.stringify({ apiVersion: 'x/v1', kind: 'ConfigMap', metadata: { name: 'group', namespace: 'shop' } }),
    },
    nojson: { manifest: '{"apiVersion": ' },
    list: { manifest: '[]' },
    deep: { manifest: manifest('deep').replace('"value"', `${'['.repeat(5000)}${']'.repeat(5000)}`) },
    nothing: { manifest: undefined },
    said: { object: target('another').object },
    wanted: { wanted: manifest('another') },
  })) {
    const looking = look(name);
    const order = await nextOrder();
    const reply = await post(JSON.parse(JSON.stringify(answerTo(order, wrong as Partial<LookAnswer>))));
    assert.equal(reply.status, 400, name);
    assert.deepEqual((await looking).outcome, { is: 'wrong' }, name);
    // Its time is over: the right one comes too late.
    assert.equal((await post(answerTo(order))).status, 404);
  }
});

test('an id that nobody gave out, or gave to another cluster, is none', async () => {
  const other = await plane.joined('us');
  const looking = look('mine');
  const order = await nextOrder();
  for (const reply of [await post(answerTo(order, { id: 'made-up' })), await post(answerTo(order), other)]) {
    assert.equal(reply.status, 404);
    assert.match(reply.body.toString('utf8'), /FL_LOOK_ID/);
  }
  await post(answerTo(order));
  answered(await looking);
});

test('what is larger than an answer may be, or names more, is refused before anything of it is kept', async () => {
  const looking = look('huge');
  const order = await nextOrder();
  const large = 'x'.repeat(lookLimits.maxManifestBytes);
  assert.equal((await post(answerTo(order, { manifest: manifest('huge', { data: { large } }) }))).status, 400);
  assert.equal((await post(answerTo(order, { words: 'x'.repeat(lookLimits.maxAnswerBytes) }))).status, 413);
  const one = { path: '.a', kind: 'changed', verdict: 'drift' } as const;
  const many = Array.from({ length: lookLimits.maxDifferences + 1 }, () => one);
  assert.equal((await post(answerTo(order, { differences: many }))).status, 400);
  await post(answerTo(order));
  answered(await looking);
});

test('values of a Secret that an agent sends all the same are hidden here, and so is what it claims to differ', async () => {
  const looking = look('keys', 'admin/ada', 'Secret');
  const order = await nextOrder();
  const CANARY = 'Y2FuYXJ5LTE=';
  const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': CANARY, copy: CANARY };
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'keys', namespace: 'shop', annotations, managedFields: [CANARY] },
    data: { password: CANARY },
    spec: { password: CANARY },
  };
  const differences = [{ path: '.data.password', kind: 'changed', verdict: 'drift', want: CANARY, live: CANARY }] as const;
  const text = JSON.stringify(secret);
  await post(answerTo(order, { manifest: text, wanted: text, differences: [...differences] }));
  const shown = JSON.stringify(answered(await looking));
  assert.ok(shown.includes('password') && !shown.includes(CANARY), shown);
});

test('an order that was lost with its connection is handed out again', async () => {
  const looking = look('again');
  const lost = await nextOrder();
  const order = await nextOrder();
  assert.equal(order.looks[0]?.id, lost.looks[0]?.id);
  await post(answerTo(order));
  answered(await looking);
});

test('when the agent does not answer, what was seen a moment ago is there all the same', async () => {
  const seenMs = performance.now();
  await waitFor('what was seen to be no longer fresh', () => performance.now() - seenMs > 600, within);
  const { outcome, before: seen } = await look('again');
  assert.equal(outcome.is, 'silent');
  assert.match(seen?.manifest ?? '', /"again"/);
});

test('one person, and all together, may only ask for so much', async () => {
  const abort = new AbortController();
  const asked = Array.from({ length: 30 }, (_, i) =>
    plane.agents.looks.look('eu', target(`many-${i}`), 'admin/greedy', abort.signal),
  );
  const busy = await waitFor(
    'those beyond eight to be refused',
    async () => {
      const done = await Promise.all(asked.map((one) => Promise.race([one, Promise.resolve(undefined)])));
      const refused = done.filter((one) => one?.outcome.is === 'busy').length;
      return refused >= 22 ? refused : undefined;
    },
    within,
  );
  assert.ok(busy >= 22, `${busy} of 30 refused`);
  abort.abort();
  await Promise.all(asked);
});

test('an agent that is too old is not asked, and neither is one that is away', async () => {
  await plane.update(Cluster, { namespace: '', name: 'eu' }, (cluster) => {
    const { agent: known } = cluster.status ?? {};
    assert.ok(known);
    return { ...cluster, status: { ...cluster.status, agent: { ...known, capability: 1 } } };
  });
  assert.deepEqual((await look('old')).outcome, { is: 'old', capability: 1 });
  const away = await plane.agents.looks.look('nowhere', target('old'), 'admin/ada', signal);
  assert.deepEqual(away.outcome, { is: 'lost' });
});
