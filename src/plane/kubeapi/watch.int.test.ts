import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { newUid, seededRng, silentLog, systemClock, waitFor } from '#base';
import { Cluster } from '#api';
import { createKubeClient, loadKubeconfig, Reflector } from '#kube';
import { getIn, scalarText, type Json } from './json.ts';
import { startKubeApiForTest, type TestKubeApi } from './testing/start-kube-api.ts';
import { planeServer, type Server } from './testing/two-servers.ts';
import { openWatch, type OpenWatch } from './testing/watch-lines.ts';

const dir = mkdtempSync(join(tmpdir(), 'fairlead-watch-'));
const path = '/apis/fairlead.dev/v1alpha1/clusters';
let plane: TestKubeApi;
let server: Server;

before(async () => {
  plane = await startKubeApiForTest({ dir, watchLimits: { maxWatchBytes: 300_000, bookmarkMs: 200 } });
  server = planeServer(plane);
});

after(async () => {
  await plane.stop();
  rmSync(dir, { recursive: true, force: true });
});

function clusterNamed(name: string, labels: Readonly<Record<string, string>> = {}, description = ''): Json {
  return { apiVersion: 'fairlead.dev/v1alpha1', kind: 'Cluster', metadata: { name, labels }, spec: { description } };
}

const seen = (watch: OpenWatch, prefix = ''): string[] =>
  watch.events
    .filter((event) => event.type !== 'BOOKMARK')
    .filter((event) => scalarText(getIn(event.object, 'metadata', 'name')).startsWith(prefix))
    .map((event) => `${event.type} ${scalarText(getIn(event.object, 'metadata', 'name'))}`);

/** Writes clusters of that many bytes without the API: a controller's commits. */
async function put(to: TestKubeApi, count: number, bytes: number): Promise<void> {
  for (let start = 0; start < count; start += 20) {
    await to.store.commit({
      write: Array.from({ length: Math.min(20, count - start) }, (_none, index) => ({
        op: 'put' as const,
        kind: Cluster,
        object: {
          apiVersion: Cluster.apiVersion,
          kind: Cluster.kind,
          metadata: { name: `big-${start + index}`, uid: newUid(), generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
          spec: { description: `${bytes}`.padEnd(bytes, 'x') },
        },
      })),
    });
  }
}

async function revision(): Promise<string> {
  return scalarText(getIn((await server('GET', path)).body, 'metadata', 'resourceVersion'));
}

test('a watch from a list misses nothing and repeats nothing', async () => {
  await server('POST', path, clusterNamed('a1'));
  const from = await revision();
  await server('POST', path, clusterNamed('a2'));
  const watch = await openWatch(plane, `${path}?watch=1&resourceVersion=${from}`);
  await server('PATCH', `${path}/a1`, { spec: { suspend: true } }, 'application/merge-patch+json');
  await server('DELETE', `${path}/a2`);
  await waitFor('the events', () => watch.events.length >= 3, { timeoutMs: 5000 });
  assert.deepEqual(seen(watch), ['ADDED a2', 'MODIFIED a1', 'DELETED a2']);
  const versions = watch.events.map((event) => Number(getIn(event.object, 'metadata', 'resourceVersion')));
  assert.deepEqual(
    versions,
    versions.toSorted((a, b) => a - b),
  );
  watch.close();
});

test('without a version everything there is comes first', async () => {
  await server('POST', path, clusterNamed('b1'));
  const watch = await openWatch(plane, `${path}?watch=true`);
  await waitFor('the list', () => seen(watch, 'b').length === 1, { timeoutMs: 5000 });
  await server('DELETE', `${path}/b1`);
  await waitFor('the deletion', () => seen(watch, 'b').length === 2, { timeoutMs: 5000 });
  assert.deepEqual(seen(watch, 'b'), ['ADDED b1', 'DELETED b1']);
  watch.close();
});

test('an object that enters or leaves the selector is added or deleted', async () => {
  const watch = await openWatch(plane, `${path}?watch=1&resourceVersion=${await revision()}&labelSelector=env%3Dprod`);
  await server('POST', path, clusterNamed('c1', { env: 'dev' }));
  const relabel = (env: string): Promise<unknown> =>
    server('PATCH', `${path}/c1`, { metadata: { labels: { env } } }, 'application/merge-patch+json');
  await relabel('prod');
  await server('PATCH', `${path}/c1`, { spec: { suspend: true } }, 'application/merge-patch+json');
  await relabel('dev');
  await server('DELETE', `${path}/c1`);
  await waitFor('three events', () => watch.events.length >= 3, { timeoutMs: 5000 });
  assert.deepEqual(seen(watch), ['ADDED c1', 'MODIFIED c1', 'DELETED c1']);
  assert.equal(getIn(watch.events[2]?.object, 'metadata', 'labels', 'env'), 'prod', 'it is shown as it was when it matched');
  watch.close();
});

test('sendInitialEvents ends with the bookmark that client-go waits for', async () => {
  await server('POST', path, clusterNamed('d1'));
  const initial = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
  const watch = await openWatch(plane, `${path}?watch=1&${initial}`);
  const ends = await waitFor('the bookmark', () => watch.events.find((event) => event.type === 'BOOKMARK'), { timeoutMs: 5000 });
  assert.equal(getIn(ends.object, 'metadata', 'annotations', 'k8s.io/initial-events-end'), 'true');
  assert.ok(seen(watch, 'd').length === 1);
  watch.close();
  const refused = await server('GET', `${path}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true`);
  assert.equal(refused.status, 422);
});

test('bookmarks carry the newest version, and a watch ends at its timeout', async () => {
  const watch = await openWatch(
    plane,
    `${path}?watch=1&allowWatchBookmarks=true&timeoutSeconds=1&resourceVersion=${await revision()}`,
  );
  await server('POST', path, clusterNamed('e1'));
  await waitFor('the end', () => watch.isEnded, { timeoutMs: 5000 });
  const last = watch.events.at(-1);
  assert.equal(last?.type, 'BOOKMARK');
  assert.ok(Number(getIn(last?.object, 'metadata', 'resourceVersion')) >= Number(await revision()) - 1);
});

test('a version that the log no longer reaches is answered with 410 in the stream, one of the future with 504', async () => {
  const future = await server('GET', `${path}?resourceVersion=${Number(await revision()) + 1000}`);
  assert.equal(future.status, 504);
  assert.equal(getIn(future.body, 'reason'), 'Timeout');
  const old = mkdtempSync(join(tmpdir(), 'fairlead-watch-old-'));
  const first = await startKubeApiForTest({ dir: old, logMaxBytes: 20_000 });
  const begun = first.store.revision();
  await put(first, 60, 2000);
  await first.stop();
  const second = await startKubeApiForTest({ dir: old, logMaxBytes: 20_000 });
  const watch = await openWatch(second, `${path}?watch=1&resourceVersion=${begun}`);
  await waitFor('the end', () => watch.isEnded, { timeoutMs: 5000 });
  assert.deepEqual(
    watch.events.map((event) => [event.type, event.object['code'], event.object['reason']]),
    [['ERROR', 410, 'Expired']],
  );
  const page = await planeServer(second)('GET', `${path}?limit=2`);
  await put(second, 60, 3000);
  const token = encodeURIComponent(scalarText(getIn(page.body, 'metadata', 'continue')));
  assert.equal((await planeServer(second)('GET', `${path}?limit=2&continue=${token}`)).status, 410);
  await second.stop();
  rmSync(old, { recursive: true });
});

test('a watch as Table sends columns once and ages', async () => {
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
  const watch = await openWatch(plane, `${path}?watch=1&resourceVersion=${await revision()}`, accept);
  await server('POST', path, clusterNamed('f1'));
  await server('PATCH', `${path}/f1`, { spec: { suspend: true } }, 'application/merge-patch+json');
  await waitFor('two tables', () => watch.events.length >= 2, { timeoutMs: 5000 });
  assert.equal(getIn(watch.events[0]?.object, 'kind'), 'Table');
  assert.ok(Array.isArray(getIn(watch.events[0]?.object, 'columnDefinitions')));
  assert.equal(getIn(watch.events[1]?.object, 'columnDefinitions'), null);
  watch.close();
});

test('a watcher that does not read is cut', async () => {
  const watch = await openWatch(plane, `${path}?watch=1&resourceVersion=${await revision()}`);
  watch.pause();
  const before = plane.api.watchers;
  // More than the buffers of two sockets hold.
  await put(plane, 300, 100_000);
  await waitFor('the cut', () => plane.api.watchers < before, { timeoutMs: 10_000 });
  watch.close();
});

test('eight writers, one watcher: every change once, in order', async () => {
  const rng = seededRng(7);
  const watch = await openWatch(plane, `${path}?watch=1&resourceVersion=${await revision()}`);
  const expected = new Map<string, number>();
  await Promise.all(
    Array.from({ length: 8 }, async (_none, writer) => {
      for (let round = 0; round < 12; round++) {
        const name = `w-${writer}-${round}`;
        await server('POST', path, clusterNamed(name));
        await systemClock.sleep(rng() * 5);
        await server(
          'PATCH',
          `${path}/${name}`,
          { metadata: { labels: { round: String(round) } } },
          'application/merge-patch+json',
        );
        if (rng() < 0.5) await systemClock.sleep(rng() * 5);
        if (round % 2 === 0) await server('DELETE', `${path}/${name}`);
        expected.set(name, round % 2 === 0 ? 3 : 2);
      }
    }),
  );
  const total = [...expected.values()].reduce((sum, count) => sum + count, 0);
  await waitFor('every event', () => seen(watch, 'w-').length >= total, { timeoutMs: 10_000 });
  const versions = watch.events.map((event) => Number(getIn(event.object, 'metadata', 'resourceVersion')));
  assert.deepEqual(
    versions,
    [...new Set(versions)].toSorted((a, b) => a - b),
    'ascending, none twice',
  );
  for (const [name, count] of expected) {
    const own = seen(watch, 'w-').filter((line) => line.endsWith(` ${name}`));
    assert.deepEqual(own, [`ADDED ${name}`, `MODIFIED ${name}`, `DELETED ${name}`].slice(0, count));
  }
  watch.close();
});

test('an informer stays in step, through WatchList and through pages', async () => {
  const client = createKubeClient({ access: await loadKubeconfig(plane.kubeconfig), userAgent: 'informer/1', log: silentLog });
  const mapping = {
    group: 'fairlead.dev',
    version: 'v1alpha1',
    kind: 'Cluster',
    resource: 'clusters',
    namespaced: false,
    verbs: ['list', 'watch'],
    hasStatus: true,
    hasScale: false,
    singular: 'cluster',
    shortNames: [],
    categories: [],
  };
  const stop = new AbortController();
  const reflectors = [false, true].map(
    (metadataOnly) =>
      new Reflector<string>({
        client,
        mapping,
        log: silentLog,
        metadataOnly,
        project: (object) => object.metadata.resourceVersion ?? '',
      }),
  );
  const running = Promise.all(reflectors.map((reflector) => reflector.run(stop.signal)));
  await server('POST', path, clusterNamed('inf-1'));
  await waitFor('the sync', () => reflectors.every((reflector) => reflector.isSynced && reflector.get('inf-1') !== undefined), {
    timeoutMs: 10_000,
  });
  assert.ok(
    reflectors.every((reflector) => reflector.lists.streamed === 1 && reflector.lists.paged === 0),
    'the list was streamed',
  );
  await server('PATCH', `${path}/inf-1`, { metadata: { labels: { a: 'b' } } }, 'application/merge-patch+json');
  const version = scalarText(getIn((await server('GET', `${path}/inf-1`)).body, 'metadata', 'resourceVersion'));
  await waitFor('the change', () => reflectors.every((reflector) => reflector.get('inf-1') === version), { timeoutMs: 5000 });
  await server('DELETE', `${path}/inf-1`);
  await waitFor('the deletion', () => reflectors.every((reflector) => reflector.get('inf-1') === undefined), { timeoutMs: 5000 });
  const count = (await plane.store.list(Cluster)).items.length;
  assert.ok(reflectors.every((reflector) => reflector.size === count));
  stop.abort();
  await running;
  client.close();
});
