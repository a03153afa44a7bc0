import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { newUid, silentLog, waitFor } from '#base';
import { sharedCluster, type ClusterHandle } from '#testbed';
import type { KubeClient } from './client.ts';
import { createRestMapper, resourcePath, type Discovered } from './discovery.ts';
import { connectTo, type ClusterUnderTest } from './kube.testing.ts';

let cluster: ClusterHandle;
let under: ClusterUnderTest;

before(async () => {
  cluster = await sharedCluster('b');
  under = await connectTo(cluster);
});

after(() => under[Symbol.dispose]());

/** The same client, asking for the documents of servers without aggregated discovery. */
function classic(client: KubeClient): KubeClient {
  return { ...client, request: (request) => client.request({ ...request, accept: 'application/json' }) };
}

function comparable(discovered: Discovered): string[] {
  return discovered.resources
    .map((m) =>
      JSON.stringify({
        ...m,
        verbs: [...m.verbs].sort(),
        categories: [...m.categories].sort(),
        shortNames: [...m.shortNames].sort(),
      }),
    )
    .sort();
}

test('aggregated and classic discovery find the same resources and the same preferences', async () => {
  const aggregated = await createRestMapper({ client: under.client, log: silentLog }).all();
  const old = await createRestMapper({ client: classic(under.client), log: silentLog }).all();
  assert.deepEqual(comparable(aggregated), comparable(old));
  assert.deepEqual(
    new Map(aggregated.groups.map((g) => [g.group, g.versions])),
    new Map(old.groups.map((g) => [g.group, g.versions])),
  );
  assert.deepEqual(aggregated.unavailable, []);
});

test('kinds are found by version, by preference and by what a person types', async () => {
  const { mapper } = under;
  const deployment = await mapper.mapping({ group: 'apps', version: '', kind: 'Deployment' });
  assert.deepEqual(
    [deployment.version, deployment.resource, deployment.namespaced, deployment.hasStatus, deployment.hasScale],
    ['v1', 'deployments', true, true, true],
  );
  for (const name of ['deploy', 'deployments', 'Deployment', 'deployment.apps', 'deployments.v1.apps'.replace('v1.', '')]) {
    assert.equal((await mapper.resolve(name))?.resource, 'deployments', name);
  }
  assert.equal((await mapper.resolve('events'))?.group, '');
  assert.equal(await mapper.resolve('nothing-like-it'), undefined);
  const { gitVersion, apiVersions } = await mapper.capabilities();
  assert.match(gitVersion, /^v1\.\d+/);
  assert.ok(apiVersions.includes('apps/v1/Deployment') && apiVersions.includes('v1'));
});

test('what is served is what Helm would list: every group version, and every kind under it, subresources too', async () => {
  const expected = new Set<string>();
  const get = async (path: string): Promise<Record<string, unknown>> =>
    (await cluster.request('GET', path)).json() as Record<string, unknown>;
  const { versions } = (await get('/api')) as { versions: string[] };
  const { groups } = (await get('/apis')) as { groups: { versions: { groupVersion: string }[] }[] };
  const groupVersions = [...versions, ...groups.flatMap((group) => group.versions.map((one) => one.groupVersion))];
  for (const groupVersion of groupVersions) {
    // Another test's group may be on its way out.
    const { resources = [] } = (await get(groupVersion.includes('/') ? `/apis/${groupVersion}` : `/api/${groupVersion}`)) as {
      resources?: { kind: string }[];
    };
    expected.add(groupVersion);
    for (const { kind } of resources) expected.add(`${groupVersion}/${kind}`);
  }
  const builtin = (one: string): boolean => !one.includes('example.');
  for (const client of [under.client, classic(under.client)]) {
    const { apiVersions } = await createRestMapper({ client, log: silentLog }).capabilities();
    assert.deepEqual(apiVersions.filter(builtin), [...expected].filter(builtin).sort());
    for (const one of ['v1', 'apps/v1/Deployment', 'apps/v1/Scale', 'v1/PodExecOptions', 'v1/Eviction'])
      assert.ok(apiVersions.includes(one), one);
  }
});

test('looking again without a change costs two requests and no body', async () => {
  const mapper = createRestMapper({ client: under.client, log: silentLog });
  await mapper.all();
  mapper.invalidate();
  const before = { ...under.client.stats };
  await mapper.all();
  assert.equal(under.client.stats.requests - before.requests, 2);
  assert.equal(under.client.stats.bytesIn - before.bytesIn, 0);
});

test('a new kind is found as soon as it is served, and misses do not become a storm', async () => {
  const group = `g${newUid().slice(0, 8)}.example.org`;
  const mapper = createRestMapper({ client: under.client, log: silentLog, minRefreshMs: 60_000 });
  const kind = { group, version: 'v1', kind: 'Widget' };
  await mapper.all();
  const before = under.client.stats.requests;
  for (let i = 0; i < 5; i += 1) {
    await assert.rejects(mapper.mapping(kind), (error: Error & { code?: string; retryable?: boolean }) => {
      assert.equal(error.code, 'FL_KUBE_NO_KIND');
      assert.equal(error.retryable, true);
      return true;
    });
  }
  assert.equal(under.client.stats.requests, before, 'within the rate limit nothing is asked');
  const crd = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `widgets.${group}` },
    spec: {
      group,
      names: { plural: 'widgets', singular: 'widget', kind: 'Widget', shortNames: ['wd'] },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: 'object' } },
        },
      ],
    },
  };
  await cluster.apply(JSON.stringify(crd));
  try {
    const mapping = await waitFor(
      'the new kind',
      () => {
        mapper.invalidate();
        return mapper.mapping(kind);
      },
      { timeoutMs: 20_000 },
    );
    assert.deepEqual(
      [mapping.resource, mapping.hasStatus, mapping.hasScale, mapping.shortNames],
      ['widgets', true, false, ['wd']],
    );
  } finally {
    await cluster.request('DELETE', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.${group}`);
  }
});

test('a group whose server does not answer is unavailable, not gone', async () => {
  const group = `a${newUid().slice(0, 8)}.example.org`;
  const name = `v1.${group}`;
  await cluster.apply(
    JSON.stringify({
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name },
      spec: {
        group,
        version: 'v1',
        groupPriorityMinimum: 100,
        versionPriority: 10,
        insecureSkipTLSVerify: true,
        service: { namespace: 'default', name: 'nobody-home' },
      },
    }),
  );
  try {
    for (const client of [under.client, classic(under.client)]) {
      const mapper = createRestMapper({ client, log: silentLog });
      await waitFor(
        'the broken group',
        async () => {
          mapper.invalidate();
          return (await mapper.all()).unavailable.includes(`${group}/v1`);
        },
        { timeoutMs: 30_000 },
      );
      await assert.rejects(mapper.mapping({ group, version: 'v1', kind: 'Thing' }), { code: 'FL_KUBE_GROUP_UNAVAILABLE' });
      assert.equal((await mapper.mapping({ group: '', version: 'v1', kind: 'Pod' })).resource, 'pods');
    }
  } finally {
    await cluster.request('DELETE', `/apis/apiregistration.k8s.io/v1/apiservices/${name}`);
  }
});

test('paths are encoded and cannot be led astray', () => {
  const pods = { group: '', version: 'v1', resource: 'pods', namespaced: true };
  const roles = { group: 'rbac.authorization.k8s.io', version: 'v1', resource: 'clusterroles', namespaced: false };
  assert.equal(resourcePath(pods, 'web', 'a', 'log'), '/api/v1/namespaces/web/pods/a/log');
  assert.equal(resourcePath(pods, undefined), '/api/v1/pods');
  assert.equal(resourcePath(roles, 'ignored', 'system:node'), '/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node');
  assert.equal(resourcePath(pods, 'web', 'a/../b?x'), '/api/v1/namespaces/web/pods/a%2F..%2Fb%3Fx');
  for (const name of ['', '.', '..']) assert.throws(() => resourcePath(pods, 'web', name), { code: 'FL_KUBE_PATH' });
  assert.throws(() => resourcePath(pods, '', 'a'), { code: 'FL_KUBE_PATH' });
});
