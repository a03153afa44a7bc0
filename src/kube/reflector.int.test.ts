import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { silentLog, waitFor } from '#base';
import { createCluster, sharedCluster, uniqueNamespace, type ClusterHandle, type UniqueNamespace } from '#testbed';
import type { KubeClient } from './client.ts';
import type { ResourceMapping } from './discovery.ts';
import { KubeStatusError } from './errors.ts';
import { connectThrough, connectTo, relayTo, type ClusterUnderTest } from './kube.testing.ts';
import { getIn, textOf } from './objects.ts';
import { Reflector, type ReflectorEvent, type ReflectorOptions } from './reflector.ts';

let cluster: ClusterHandle;
let under: ClusterUnderTest;
let configMaps: ResourceMapping;

before(async () => {
  cluster = await sharedCluster('a');
  under = await connectTo(cluster);
  configMaps = await under.mapper.mapping({ group: '', version: 'v1', kind: 'ConfigMap' });
});

after(() => under[Symbol.dispose]());

const WAIT = { timeoutMs: 20_000, intervalMs: 20 };

async function put(
  on: ClusterHandle,
  namespace: string,
  name: string,
  value: string,
  labels: Record<string, string> = { t: 'x' },
): Promise<void> {
  const answer = await on.request('PATCH', `/api/v1/namespaces/${namespace}/configmaps/${name}?fieldManager=test&force=true`, {
    body: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, labels }, data: { value } }),
    contentType: 'application/apply-patch+yaml',
  });
  assert.ok(answer.status < 300, answer.text);
}

async function remove(on: ClusterHandle, namespace: string, name: string): Promise<void> {
  assert.equal((await on.request('DELETE', `/api/v1/namespaces/${namespace}/configmaps/${name}`)).status, 200);
}

/** A kind that exists only from now on, and the path of its list. */
async function kindMadeLate(on: ClusterHandle): Promise<AsyncDisposable & { readonly path: string }> {
  const group = `late-${randomBytes(4).toString('hex')}.test.fairlead.dev`;
  const definition = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.${group}`;
  await on.apply(
    JSON.stringify({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `things.${group}` },
      spec: {
        group,
        names: { plural: 'things', singular: 'thing', kind: 'Thing' },
        scope: 'Namespaced',
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
      },
    }),
  );
  const path = `/apis/${group}/v1/things`;
  await waitFor('the new kind', async () => (await on.request('GET', path)).status === 200, WAIT);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await on.request('DELETE', definition);
    },
  };
}

interface Running extends AsyncDisposable {
  readonly reflector: Reflector<string>;
  readonly events: ReflectorEvent<string>[];
  readonly errors: unknown[];
  readonly synced: { times: number };
  summary(): string[];
}

/** A reflector that keeps `data.value` of labelled ConfigMaps. */
function reflect(client: KubeClient, namespace: UniqueNamespace, more: Partial<ReflectorOptions<string>> = {}): Running {
  const events: ReflectorEvent<string>[] = [];
  const errors: unknown[] = [];
  const synced = { times: 0 };
  const stop = new AbortController();
  const reflector = new Reflector<string>({
    client,
    mapping: configMaps,
    namespace: namespace.name,
    labelSelector: 't=x',
    project: (object) => textOf(getIn(object, 'data', 'value')),
    onEvent: (event) => events.push(event),
    onError: (error) => errors.push(error),
    onSynced: () => (synced.times += 1),
    log: silentLog,
    minBackoffMs: 50,
    maxBackoffMs: 500,
    ...more,
  });
  const ended = reflector.run(stop.signal);
  return {
    reflector,
    events,
    errors,
    synced,
    summary: () => events.map((e) => `${e.type} ${e.key.split('/')[1]} ${e.previous ?? '-'}>${e.value ?? '-'}`),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

function held(reflector: Reflector<string>): Record<string, string> {
  return Object.fromEntries([...reflector.entries()].map(([key, value]) => [key.split('/')[1] ?? '', value]));
}

test('a streamed list goes on as a watch; every change is one event with what was before', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-reflect');
  await put(cluster, namespace.name, 'a', '1');
  await put(cluster, namespace.name, 'other', '1', { t: 'y' });
  await using running = reflect(under.client, namespace);
  await waitFor('the first list', () => running.reflector.isSynced, WAIT);
  assert.deepEqual(running.reflector.lists, { streamed: 1, paged: 0 });
  await put(cluster, namespace.name, 'b', '1');
  await put(cluster, namespace.name, 'a', '2');
  await remove(cluster, namespace.name, 'b');
  await put(cluster, namespace.name, 'a', '2', { t: 'y' });
  await waitFor('the last change', () => running.events.length >= 5, WAIT);
  assert.deepEqual(running.summary(), ['added a ->1', 'added b ->1', 'modified a 1>2', 'deleted b 1>-', 'deleted a 2>-']);
  assert.equal(running.reflector.size, 0);
  assert.equal(running.synced.times, 1);
  assert.deepEqual(running.errors, []);
});

test('a watch that is cut goes on where it was, without a new list and without repeating anything', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-reflect');
  await using relay = await relayTo(cluster.server);
  const client = await connectThrough(cluster, relay.server);
  await put(cluster, namespace.name, 'a', '1');
  await using running = reflect(client, namespace);
  await waitFor('the first list', () => running.reflector.isSynced, WAIT);
  for (let round = 0; round < 3; round += 1) {
    relay.cut();
    await put(cluster, namespace.name, 'a', `r${round}`);
    await waitFor(`round ${round}`, () => running.reflector.get(`${namespace.name}/a`) === `r${round}`, WAIT);
  }
  assert.deepEqual(running.summary(), ['added a ->1', 'modified a 1>r0', 'modified a r0>r1', 'modified a r1>r2']);
  assert.equal(running.synced.times, 1);
  assert.ok(running.errors.length >= 3);
  client.close();
});

test('a watch the server ends in its own time is begun again silently', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-reflect');
  await using running = reflect(under.client, namespace, { watchSeconds: 1, rng: () => 0 });
  await waitFor('the first list', () => running.reflector.isSynced, WAIT);
  const before = under.client.stats.streams;
  await waitFor('two more watches', () => under.client.stats.streams >= before + 2, WAIT);
  await put(cluster, namespace.name, 'a', '1');
  await waitFor('the change', () => running.reflector.size === 1, WAIT);
  assert.equal(running.synced.times, 1);
  assert.deepEqual(running.errors, []);
});

test('after 410 a new list finds what was missed, also what is gone and what was made again', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-reflect');
  await using relay = await relayTo(cluster.server);
  const real = await connectThrough(cluster, relay.server);
  const gate = { isAged: false };
  await using late = await kindMadeLate(cluster);
  // The API server itself answers: version 1 is older than anything it remembers of a kind made after it. Of a
  // built-in kind that would hold only if something was written before its first list at the server's start.
  const client: KubeClient = {
    ...real,
    stream: async (request) => {
      if (!gate.isAged || request.query?.['sendInitialEvents'] === true) return real.stream(request);
      gate.isAged = false;
      return real.stream({ ...request, path: late.path, query: { ...request.query, resourceVersion: '1' } });
    },
  };
  for (const name of ['stays', 'changes', 'goes', 'again']) await put(cluster, namespace.name, name, '1');
  await using running = reflect(client, namespace);
  await waitFor('the first list', () => running.reflector.isSynced, WAIT);
  running.events.length = 0;
  relay.hang(true);
  await put(cluster, namespace.name, 'changes', '2');
  await remove(cluster, namespace.name, 'goes');
  await remove(cluster, namespace.name, 'again');
  await put(cluster, namespace.name, 'again', '2');
  gate.isAged = true;
  relay.cut();
  relay.hang(false);
  await waitFor('the second list', () => running.synced.times === 2, WAIT);
  assert.ok(running.errors.some((error) => error instanceof KubeStatusError && error.status === 410));
  assert.deepEqual(running.summary().sort(), [
    'added again ->2',
    'deleted again 1>-',
    'deleted goes 1>-',
    'modified changes 1>2',
  ]);
  assert.deepEqual(held(running.reflector), { stays: '1', changes: '2', again: '2' });
  real.close();
});

test('a server that cannot stream lists is read in pages', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-reflect');
  for (let i = 0; i < 7; i += 1) await put(cluster, namespace.name, `c${i}`, String(i));
  const limits: unknown[] = [];
  const client: KubeClient = {
    ...under.client,
    request: (request) => {
      limits.push(request.query?.['limit']);
      return under.client.request(request);
    },
    stream: (request) =>
      request.query?.['sendInitialEvents'] === true
        ? // Asking for a version together with a streamed list: what servers without WatchList answer too.
          under.client.stream({ ...request, query: { ...request.query, resourceVersionMatch: 'Exact' } })
        : under.client.stream(request),
  };
  await using running = reflect(client, namespace, { pageSize: 3 });
  await waitFor('the list', () => running.reflector.isSynced, WAIT);
  assert.deepEqual(running.reflector.lists, { streamed: 0, paged: 1 });
  assert.deepEqual(limits, [3, 3, 3]);
  assert.equal(running.reflector.size, 7);
  await put(cluster, namespace.name, 'c0', 'new');
  await waitFor('the watch', () => running.reflector.get(`${namespace.name}/c0`) === 'new', WAIT);
});

test('metadata alone is enough where nothing else is asked for, and what is not projected does not exist', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-reflect');
  await put(cluster, namespace.name, 'a', '1');
  await put(cluster, namespace.name, 'skip', '1');
  const kinds = new Set<string>();
  await using running = reflect(under.client, namespace, {
    metadataOnly: true,
    project: (object) => {
      kinds.add(
        `${object.apiVersion} ${object.kind} ${Object.keys(object).sort().join()} ${object.metadata.managedFields === undefined}`,
      );
      return object.metadata.name === 'skip' || object.metadata.labels?.['hide'] === 'yes'
        ? undefined
        : (object.metadata.uid ?? '');
    },
  });
  await waitFor('the list', () => running.reflector.isSynced, WAIT);
  assert.deepEqual([...kinds], ['v1 ConfigMap apiVersion,kind,metadata true']);
  assert.equal(running.reflector.size, 1);
  await put(cluster, namespace.name, 'a', '1', { t: 'x', hide: 'yes' });
  await waitFor('the object left the projection', () => running.reflector.size === 0, WAIT);
  assert.deepEqual(
    running.events.map((e) => e.type),
    ['added', 'deleted'],
  );
});

test('a handler that fails loses nothing: the next run reads everything again', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-reflect');
  await put(cluster, namespace.name, 'a', '1');
  const seen: string[] = [];
  const reflector = new Reflector<string>({
    client: under.client,
    mapping: configMaps,
    namespace: namespace.name,
    labelSelector: 't=x',
    project: (object) => object.metadata.name,
    onEvent: (event) => {
      seen.push(event.type);
      if (seen.length === 1) throw new Error('a defect');
    },
    log: silentLog,
  });
  const stop = new AbortController();
  await assert.rejects(reflector.run(stop.signal), { code: 'FL_KUBE_HANDLER' });
  const second = reflector.run(stop.signal);
  await waitFor('the second run', () => reflector.isSynced, WAIT);
  assert.deepEqual(seen, ['added', 'added']);
  stop.abort();
  await second;
});

test('a restart of the API server is invisible but for the wait', async () => {
  await using own = await createCluster({ name: 'kube-restart', nodes: 'none' });
  await using namespace = await uniqueNamespace(own, 'kube-reflect');
  using connected = await connectTo(own);
  await put(own, namespace.name, 'a', '1');
  await using running = reflect(connected.client, namespace);
  await waitFor('the first list', () => running.reflector.isSynced, WAIT);
  await own.restart();
  await put(own, namespace.name, 'a', '2');
  await remove(own, namespace.name, 'a');
  await put(own, namespace.name, 'b', '1');
  await waitFor('the changes after the restart', () => running.reflector.get(`${namespace.name}/b`) === '1', WAIT);
  assert.deepEqual(held(running.reflector), { b: '1' });
  assert.deepEqual(
    running.events.map((e) => e.type).filter((type) => type !== 'modified'),
    ['added', 'deleted', 'added'],
  );
});
