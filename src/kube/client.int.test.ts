import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FakeClock, Sensitive, silentLog } from '#base';
import { sharedCluster, uniqueNamespace, type ClusterHandle } from '#testbed';
import { createKubeClient } from './client.ts';
import { KubeStatusError } from './errors.ts';
import { createEventRecorder } from './events.ts';
import { connectThrough, connectTo, relayTo, type ClusterUnderTest } from './kube.testing.ts';
import { inClusterAccess, loadKubeconfig } from './kubeconfig.ts';
import { createLease } from './lease.ts';

let cluster: ClusterHandle;
let under: ClusterUnderTest;

before(async () => {
  cluster = await sharedCluster('b');
  under = await connectTo(cluster);
});

after(() => under[Symbol.dispose]());

test('connections are kept and shared, never more than allowed', async () => {
  const client = createKubeClient({
    access: await loadKubeconfig(cluster.kubeconfig),
    userAgent: 'fairlead-test/0',
    maxSockets: 4,
    log: silentLog,
  });
  await Promise.all(Array.from({ length: 40 }, () => client.request({ method: 'GET', path: '/version' })));
  assert.equal(client.stats.requests, 40);
  assert.ok(client.stats.connections <= 4, `${client.stats.connections} connections`);
  client.close();
  await assert.rejects(client.request({ method: 'GET', path: '/version' }), { code: 'FL_KUBE_CLOSED' });
});

test('deadline, cancellation and byte limit each end a call with a code of their own', async () => {
  await using relay = await relayTo(cluster.server);
  const client = await connectThrough(cluster, relay.server);
  relay.hang(true);
  await assert.rejects(client.request({ method: 'GET', path: '/version', timeoutMs: 100 }), {
    code: 'FL_KUBE_DEADLINE',
    retryable: true,
  });
  const stop = new AbortController();
  const cancelled = client.request({ method: 'GET', path: '/version', signal: stop.signal });
  stop.abort();
  await assert.rejects(cancelled, { code: 'FL_KUBE_CANCELLED' });
  relay.hang(false);
  await assert.rejects(under.client.request({ method: 'GET', path: '/api/v1/namespaces', maxResponseBytes: 100 }), {
    code: 'FL_KUBE_RESPONSE_TOO_LARGE',
  });
  await assert.rejects(
    client.stream({
      path: '/api/v1/namespaces',
      query: { watch: true },
      maxDurationMs: 5000,
      maxLineBytes: 50,
      onLine: () => undefined,
    }),
    {
      code: 'FL_KUBE_LINE_TOO_LARGE',
    },
  );
  await assert.rejects(
    client.stream({
      path: '/api/v1/namespaces',
      query: { watch: true, resourceVersion: '' },
      maxDurationMs: 300,
      onLine: () => undefined,
    }),
    { code: 'FL_KUBE_DEADLINE' },
  );
  await assert.rejects(client.request({ method: 'GET', path: '/api/../version' }), { code: 'FL_KUBE_PATH' });
  client.close();
});

test('a kept connection that died is replaced without the caller noticing', async () => {
  await using relay = await relayTo(cluster.server);
  const client = await connectThrough(cluster, relay.server);
  for (let i = 0; i < 5; i += 1) {
    assert.equal((await client.request({ method: 'GET', path: '/version' })).status, 200);
    relay.cut();
  }
  client.close();
});

test('a server that is not there, or is not who it should be, is told apart', async () => {
  const access = await loadKubeconfig(cluster.kubeconfig);
  const make = (more: object): ReturnType<typeof createKubeClient> =>
    createKubeClient({ access: { ...access, ...more }, userAgent: 'fairlead-test/0', log: silentLog });
  const nobody = make({ server: 'https://127.0.0.1:1' });
  await assert.rejects(nobody.request({ method: 'GET', path: '/version' }), { code: 'FL_KUBE_UNREACHABLE', retryable: true });
  const stranger = make({ ca: undefined });
  await assert.rejects(stranger.request({ method: 'GET', path: '/version' }), { code: 'FL_KUBE_TLS' });
  const misnamed = make({ serverName: 'other.example' });
  await assert.rejects(misnamed.request({ method: 'GET', path: '/version' }), { code: 'FL_KUBE_TLS' });
  for (const client of [nobody, stranger, misnamed]) client.close();
});

test('a token that was rotated is read again when the old one is refused', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-kube-'));
  try {
    const url = new URL(cluster.server);
    const clock = new FakeClock();
    await writeFile(join(directory, 'ca.crt'), cluster.caPem);
    await writeFile(join(directory, 'namespace'), 'agents\n');
    await writeFile(join(directory, 'token'), 'old-and-refused');
    const env = { KUBERNETES_SERVICE_HOST: url.hostname, KUBERNETES_SERVICE_PORT: url.port };
    const access = await inClusterAccess({ env, directory, clock });
    assert.equal(access.namespace, 'agents');
    const client = createKubeClient({ access, userAgent: 'fairlead-test/0', log: silentLog });
    await assert.rejects(client.request({ method: 'GET', path: '/api/v1/namespaces' }), { code: 'FL_KUBE_UNAUTHENTICATED' });
    await access.token();
    await writeFile(join(directory, 'token'), `${cluster.adminToken}\n`);
    assert.equal((await access.token())?.reveal(), 'old-and-refused', 'reads are cached');
    assert.equal((await client.request({ method: 'GET', path: '/api/v1/namespaces' })).status, 200);
    await writeFile(join(directory, 'token'), 'new');
    await clock.advance(61_000);
    assert.equal((await access.token())?.reveal(), 'new');
    await rm(join(directory, 'token'));
    await clock.advance(61_000);
    assert.equal((await access.token())?.reveal(), 'new', 'a missing file does not take a working token away');
    assert.equal(JSON.stringify(await access.token()), '"[redacted]"');
    client.close();
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('impersonation reaches the API server as the identity given, and only through us', async () => {
  const response = await under.client.request({
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/selfsubjectreviews',
    body: JSON.stringify({ apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }),
    impersonate: { user: 'system:serviceaccount:web:deployer' },
  });
  const review = JSON.parse(response.body.toString()) as { status: { userInfo: { username: string; groups: string[] } } };
  assert.equal(review.status.userInfo.username, 'system:serviceaccount:web:deployer');
  assert.ok(!review.status.userInfo.groups.includes('system:masters'));
  await assert.rejects(
    under.client.request({ method: 'GET', path: '/api/v1/secrets', impersonate: { user: 'jane', groups: ['dev', 'ops'] } }),
    (error) => error instanceof KubeStatusError && error.code === 'FL_KUBE_FORBIDDEN' && error.said.includes('jane'),
  );
  for (const user of ['', ' ', 'a\r\nImpersonate-Group: system:masters', 'ü']) {
    await assert.rejects(under.client.request({ method: 'GET', path: '/api', impersonate: { user } }), {
      code: 'FL_KUBE_IMPERSONATION',
    });
  }
});

test('an API server message about a Secret shows no value of it', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-client');
  const secret = 'c3VwZXJzZWNyZXQtY2FuYXJ5LXZhbHVl';
  const send = (body: unknown): Promise<unknown> =>
    under.client.request({ method: 'POST', path: `/api/v1/namespaces/${namespace.name}/secrets`, body: JSON.stringify(body) });
  for (const bad of [
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' }, type: 'kubernetes.io/tls', data: { 'tls.crt': secret } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' }, data: { a: `${secret}!` } },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'x' },
      type: 'kubernetes.io/dockerconfigjson',
      data: { '.dockerconfigjson': secret },
    },
  ]) {
    await assert.rejects(send(bad), (error: Error & { causes?: unknown }) => {
      const everything = `${error.message} ${JSON.stringify(error)} ${JSON.stringify(error.causes ?? '')}`;
      assert.doesNotMatch(everything, /c3VwZXJz|supersecret/);
      return true;
    });
  }
});

test('of two that want a lease one gets it, the other when it was not renewed or was given up', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-lease');
  const clocks = { a: new FakeClock(), b: new FakeClock() };
  const make = (who: 'a' | 'b'): ReturnType<typeof createLease> =>
    createLease({
      client: under.client,
      namespace: namespace.name,
      name: 'applier',
      identity: who,
      durationSeconds: 60,
      clock: clocks[who],
    });
  const [a, b] = [make('a'), make('b')];
  const [first, second] = await Promise.all([a.acquire(), b.acquire()]);
  assert.equal([first, second].filter((state) => state.isHeld).length, 1);
  const [holder, other, holderClock, otherClock] = first.isHeld ? [a, b, clocks.a, clocks.b] : [b, a, clocks.b, clocks.a];
  const transitions = (first.isHeld ? first : second).transitions;

  const waiting = await other.acquire();
  assert.equal(waiting.isHeld, false);
  assert.ok(waiting.expiresInMs > 50_000);
  await otherClock.advance(59_000);
  await holder.acquire();
  assert.equal((await other.acquire()).isHeld, false, 'a renewal starts the wait anew');
  assert.equal(holder.isHeld(), true);
  await holderClock.advance(41_000);
  assert.equal(holder.isHeld(), false, 'the holder stops believing before anybody may take it');
  await otherClock.advance(61_000);
  const taken = await other.acquire();
  assert.deepEqual([taken.isHeld, taken.transitions], [true, transitions + 1]);
  // The agent that waits says so on the Lease: that is no sign of life of the holder.
  const note = async (): Promise<void> => {
    await cluster.kubectl(['annotate', '--overwrite', '-n', namespace.name, 'lease', 'applier', `waiting=${Math.random()}`]);
  };
  const lost = await holder.acquire();
  await note();
  await holderClock.advance(59_000);
  assert.equal((await holder.acquire()).isHeld, false);
  await note();
  await holderClock.advance(2000);
  const inherited = await holder.acquire();
  assert.deepEqual([inherited.isHeld, inherited.transitions], [true, transitions + 2], 'notes on the object prolong nothing');
  await holder.release();
  await other.acquire();
  assert.deepEqual([lost.isHeld, lost.holder !== '', lost.transitions], [false, true, transitions + 1]);
  await other.release();
  assert.equal(other.isHeld(), false);
  const back = await holder.acquire();
  assert.deepEqual([back.isHeld, back.transitions], [true, transitions + 4]);
});

test('the same event again raises a count, and a flood about one object is cut', async () => {
  await using namespace = await uniqueNamespace(cluster, 'kube-events');
  const recorder = createEventRecorder({ client: under.client, component: 'fairlead-agent', log: silentLog });
  const about = { apiVersion: 'v1', group: '', kind: 'ConfigMap', namespace: namespace.name, name: 'settings', uid: 'u1' };
  for (let i = 0; i < 3; i += 1)
    await recorder.record({ about, type: 'Warning', reason: 'DriftCorrected', message: 'data.a was changed' });
  await recorder.record({ about, type: 'Normal', reason: 'Applied', message: 'applied; password=hunter22' });
  const result = await cluster.kubectl(['events', '-n', namespace.name, '--for', 'configmap/settings', '-o', 'json']);
  const events = (
    JSON.parse(result.stdout) as { items: { reason: string; count: number; message: string; source: { component: string } }[] }
  ).items;
  const seen = events.map((e) => [e.reason, e.count, e.source.component]).sort(([a], [b]) => String(a).localeCompare(String(b)));
  assert.deepEqual(seen, [
    ['Applied', 1, 'fairlead-agent'],
    ['DriftCorrected', 3, 'fairlead-agent'],
  ]);
  assert.ok(!events.some((e) => e.message.includes('hunter22')));
  for (let i = 0; i < 40; i += 1) await recorder.record({ about, type: 'Normal', reason: 'Flood', message: `n${i}` });
  assert.equal(recorder.dropped, 19);
  await recorder.record({ about: { ...about, namespace: 'no-such-namespace' }, type: 'Normal', reason: 'X', message: 'nowhere' });
  assert.equal(recorder.dropped, 20, 'an event that cannot be written is counted, not thrown');
});

test('without credentials nobody is let in, and a client certificate that cannot be read is refused at once', async () => {
  const access = await loadKubeconfig(cluster.kubeconfig);
  const anonymous = createKubeClient({
    access: { ...access, token: () => Promise.resolve(undefined) },
    userAgent: 'fairlead-test/0',
    log: silentLog,
  });
  await assert.rejects(
    anonymous.request({ method: 'GET', path: '/api/v1/namespaces' }),
    (error) => error instanceof KubeStatusError && [401, 403].includes(error.status),
  );
  anonymous.close();
  assert.throws(() =>
    createKubeClient({
      access: { ...access, clientCertificate: { cert: 'x', key: new Sensitive('y') } },
      userAgent: 'x',
      log: silentLog,
    }),
  );
});
