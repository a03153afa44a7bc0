import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Application, Cluster, Delivery, Event } from '#api';
import { activityView } from './activity-view.ts';
import { fleetView } from './fleet-view.ts';
import { applicationsView, deliveriesView, pageAfter, searchView } from './list-views.ts';
import { at, delivery, event, follow, object, put, ready, withIndex } from './testing/index-world.ts';

const noFilter = {
  code: undefined,
  state: undefined,
  project: undefined,
  application: undefined,
  cluster: undefined,
  where: [],
} as const;

function application(name: string, labels: Record<string, string> = {}) {
  return object(Application, name, {
    namespace: 'default',
    labels,
    spec: { source: { sourceRef: { kind: 'GitRepository', name: 'fleet' } } },
    status: { conditions: ready('True', 'FL_APPLICATION_READY', { total: 1, commit: 'c' }) },
  });
}

test('deliveries come worst first, then oldest first, and pages join up', async () => {
  await withIndex(async (store, index) => {
    const clusters = Array.from({ length: 30 }, (_, n) => `c${String(n).padStart(2, '0')}`);
    await put(
      store,
      Cluster,
      ...clusters.map((name) => object(Cluster, name, { labels: { env: name < 'c10' ? 'dev' : 'prod' } })),
    );
    const last = await put(
      store,
      Delivery,
      ...clusters.map((name, n) =>
        n % 3 === 0
          ? delivery('web', name, 'FL_HEALTH_FAILED', { object: 'x', cluster: name, words: 'y' }, `2026-01-01T00:${59 - n}:00Z`)
          : delivery('web', name, n % 3 === 1 ? 'FL_CONTACT_LOST' : 'FL_READY', { release: 'web.1', cluster: name, since: 's' }),
      ),
    );
    await follow(index, last);
    const seen: string[] = [];
    let after: string | undefined;
    do {
      const page = deliveriesView(index, { ...noFilter, limit: 7, after }, at);
      assert.equal(page.total, 30);
      seen.push(...page.items.map((cell) => cell.cluster));
      after = page.next;
    } while (after !== undefined);
    assert.equal(new Set(seen).size, 30);
    assert.deepEqual(seen.slice(0, 3), ['c27', 'c24', 'c21'], 'the oldest failure first');
    const lost = deliveriesView(index, { ...noFilter, code: 'FL_CONTACT_LOST', limit: 50, after: undefined }, at);
    assert.equal(lost.total, 10);
    const dev = deliveriesView(
      index,
      { ...noFilter, where: [{ key: 'env', operator: 'In', values: ['dev'] }], state: 'ready', limit: 50, after: undefined },
      at,
    );
    assert.deepEqual(
      dev.items.map((cell) => cell.cluster),
      ['c02', 'c05', 'c08'],
    );
  });
});

test('a page of the smallest is the same whether all is sorted or not', () => {
  const items = Array.from({ length: 500 }, (_, n) => (n * 7919) % 500);
  const key = (n: number): string => String(n).padStart(3, '0');
  const sorted = [...items].sort((a, b) => a - b);
  assert.deepEqual(pageAfter(items, key, { limit: 10, after: undefined }).items, sorted.slice(0, 10));
  assert.deepEqual(pageAfter(items, key, { limit: 400, after: key(9) }).items, sorted.slice(10, 410));
  assert.equal(pageAfter(items, key, { limit: 10, after: key(489) }).next, undefined);
});

test('applications are chosen by label and come worst first when asked', async () => {
  await withIndex(async (store, index) => {
    await put(store, Application, application('a-well', { team: 'one' }), application('b-bad', { team: 'two' }));
    await put(store, Cluster, object(Cluster, 'eu', {}));
    const last = await put(
      store,
      Delivery,
      delivery('a-well', 'eu', 'FL_READY', { release: 'a-well.1' }),
      delivery('b-bad', 'eu', 'FL_HEALTH_FAILED', { object: 'x', cluster: 'eu', words: 'y' }),
    );
    await follow(index, last);
    const query = { limit: 10, after: undefined, project: undefined, where: [] };
    const names = (sort: 'name' | 'worst') => applicationsView(index, { ...query, sort }, at).items.map((one) => one.name);
    assert.deepEqual(names('name'), ['a-well', 'b-bad']);
    assert.deepEqual(names('worst'), ['b-bad', 'a-well']);
    const ofOne = applicationsView(
      index,
      { ...query, sort: 'name', where: [{ key: 'team', operator: 'In', values: ['one'] }] },
      at,
    );
    assert.deepEqual([ofOne.total, ofOne.items[0]?.name], [1, 'a-well']);
    const found = searchView(index, 'bad EU', [], at).items;
    assert.deepEqual(
      found.map((one) => one.kind),
      ['delivery'],
    );
    assert.deepEqual(
      searchView(index, 'abc', [{ commit: 'abc123', subject: 'Change' }], at).items.map((one) => one.kind),
      ['commit'],
    );
  });
});

test('the first screen names what a small fleet holds, and a large one only counts', async () => {
  await withIndex(async (store, index) => {
    const names = Array.from({ length: 41 }, (_, n) => `c${String(n).padStart(2, '0')}`);
    const before = await put(store, Cluster, ...names.slice(0, 40).map((name) => object(Cluster, name, {})));
    await put(
      store,
      Delivery,
      delivery('web', 'c00', 'FL_READY', { release: 'web.1' }),
      delivery('api', 'c00', 'FL_HEALTH_FAILED', { object: 'x', cluster: 'c00', words: 'y' }),
    );
    await follow(index, before + 2);
    const query = { group: '', where: [], project: undefined, limit: 100 };
    const [worstCell] = fleetView(index, query, at, false).groups[0]?.cells ?? [];
    assert.equal(worstCell?.cluster, 'c00');
    assert.deepEqual(
      worstCell?.deliveries?.map((one) => `${one.application} ${one.state}`),
      ['api failed', 'web ready'],
    );
    assert.match(worstCell?.sentence ?? '', /^api: /);
    const last = await put(store, Cluster, object(Cluster, 'c40', {}));
    await follow(index, last);
    const large = fleetView(index, { ...query, limit: 10 }, at, false).groups[0];
    assert.equal(large?.clusters, 41);
    assert.equal(large?.cells.length, 10);
    assert.equal(large?.cells[0]?.cluster, 'c00');
    assert.equal(large?.cells[0]?.deliveries, undefined);
  });
});

test('activity is newest first, filtered, and its pages join up; a repeated event moves to the front', async () => {
  await withIndex(async (store, index) => {
    const events = Array.from({ length: 9 }, (_, n) =>
      event(`e${n}`, {
        about: n % 2 === 0 ? 'web.eu' : 'api.us',
        cluster: n % 2 === 0 ? 'eu' : 'us',
        type: n === 4 ? 'Warning' : 'Normal',
        at: `2026-01-01T00:00:0${n}Z`,
      }),
    );
    await follow(index, await put(store, Event, ...events));
    const query = {
      project: undefined,
      application: undefined,
      cluster: undefined,
      kind: undefined,
      type: undefined,
      limit: 4,
      before: undefined,
    };
    const seen: string[] = [];
    let before: string | undefined;
    do {
      const page = activityView(index, { ...query, before }, at);
      seen.push(...page.items.map((item) => item.sentence.slice(0, 2)));
      before = page.next;
    } while (before !== undefined);
    assert.deepEqual(seen, ['e8', 'e7', 'e6', 'e5', 'e4', 'e3', 'e2', 'e1', 'e0']);
    const web = activityView(index, { ...query, limit: 50, application: 'web', type: 'Warning' }, at);
    assert.deepEqual(
      web.items.map((item) => item.sentence),
      ['e4 happened'],
    );
    await follow(index, await put(store, Event, event('e0', { about: 'web.eu', cluster: 'eu', at: '2026-01-01T00:01:00Z' })));
    assert.equal(activityView(index, query, at).items[0]?.sentence, 'e0 happened');
  });
});
