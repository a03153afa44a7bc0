import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { waitFor } from '#base';
import { sharedCluster, testbedMissing, uniqueNamespace } from './shared.ts';

const skip = testbedMissing();

test('three clusters are ready, and kubectl is the stock one of their version', { skip }, async () => {
  const clusters = await Promise.all((['a', 'b', 'c'] as const).map((name) => sharedCluster(name)));
  assert.equal(new Set(clusters.map((cluster) => cluster.server)).size, 3);
  for (const cluster of clusters) {
    const version = await cluster.kubectl(['version', '--output=json']);
    const parsed = JSON.parse(version.stdout) as { clientVersion: { gitVersion: string }; serverVersion: { gitVersion: string } };
    assert.equal(parsed.clientVersion.gitVersion, 'v1.36.3');
    assert.equal(parsed.serverVersion.gitVersion, 'v1.36.3');
    assert.equal(statSync(cluster.kubeconfig).mode & 0o777, 0o600);
  }
});

test(
  'two clusters in one etcd see nothing of each other, and neither accepts the credentials or the CA of the other',
  { skip },
  async () => {
    const [a, b] = await Promise.all([sharedCluster('a'), sharedCluster('b')]);
    await using namespace = await uniqueNamespace(a, 'isolated');
    assert.equal((await a.request('GET', `/api/v1/namespaces/${namespace.name}`)).status, 200);
    assert.equal((await b.request('GET', `/api/v1/namespaces/${namespace.name}`)).status, 404);
    const uidOf = async (cluster: typeof a): Promise<string> =>
      ((await cluster.request('GET', '/api/v1/namespaces/kube-system')).json() as { metadata: { uid: string } }).metadata.uid;
    assert.notEqual(await uidOf(a), await uidOf(b));
    assert.equal((await b.request('GET', '/api/v1/namespaces', { token: a.adminToken })).status, 401);
    assert.notEqual(a.caPem, b.caPem);
    const wrongCa = await b.kubectl(['get', 'namespaces', `--certificate-authority=${a.caFile}`, '--request-timeout=5s']);
    assert.notEqual(wrongCa.exitCode, 0);
    assert.match(wrongCa.stderr, /certificate/);
  },
);

test('service accounts get tokens, RBAC decides about them, and the audit log says what they asked', { skip }, async () => {
  const cluster = await sharedCluster('a');
  await using namespace = await uniqueNamespace(cluster, 'tokens');
  const path = `/api/v1/namespaces/${namespace.name}`;
  await waitFor(
    'the default service account',
    async () => (await cluster.request('GET', `${path}/serviceaccounts/default`)).status === 200,
    {
      timeoutMs: 10_000,
    },
  );
  const answer = await cluster.request('POST', `${path}/serviceaccounts/default/token`, {
    body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 600 } },
  });
  assert.equal(answer.status, 201, answer.text);
  const { token } = (answer.json() as { status: { token: string } }).status;
  assert.equal((await cluster.request('GET', `${path}/configmaps`, { token })).status, 403);
  await cluster.apply(
    JSON.stringify({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'view' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: namespace.name }],
    }),
    namespace.name,
  );
  await waitFor(
    'the binding to count',
    async () => (await cluster.request('GET', `${path}/configmaps`, { token })).status === 200,
    {
      timeoutMs: 10_000,
    },
  );
  const user = `system:serviceaccount:${namespace.name}:default`;
  const codes = readFileSync(cluster.auditLog, 'utf8')
    .split('\n')
    .filter((line) => line.includes(user))
    .map((line) => JSON.parse(line) as { user: { username: string }; responseStatus: { code: number } })
    .filter((event) => event.user.username === user)
    .map((event) => event.responseStatus.code);
  assert.equal(codes[0], 403);
  assert.equal(codes.at(-1), 200);
  assert.match((await cluster.request('GET', '/metrics')).text, /^apiserver_request_total\{/m);
});
