import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { apisDigest } from '#api';
import { newUid, waitFor } from '#base';
import type { ClusterHandle } from '#testbed';
import { createPki } from '../testbed/pki.ts';
import { openLab, type Lab } from './testing/harness.ts';

const within = { timeoutMs: 20_000, intervalMs: 20 };
const long = { timeoutMs: 120_000, intervalMs: 200 };

function definition(group: string, kind: string): object {
  const plural = `${kind.toLowerCase()}s`;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      names: { plural, singular: kind.toLowerCase(), kind },
      scope: 'Namespaced',
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
    },
  };
}

function removeDefinition(cluster: ClusterHandle, group: string, kind: string): Promise<unknown> {
  const name = `${kind.toLowerCase()}s.${group}`;
  return cluster.request('DELETE', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`);
}

const serves = (lab: Lab, one: string) => (): boolean => lab.plane.served.includes(one);
const lists = (lab: Lab): number => lab.plane.reports.filter((report) => report.apis?.list !== undefined).length;

test('what the cluster serves is told at the join, and again as kinds come and go', { timeout: 120_000 }, async (t) => {
  await using lab = await openLab('b');
  const group = `g${newUid().slice(0, 8)}.example.org`;
  lab.start();
  await waitFor('the join', () => lab.plane.agent !== undefined, within);
  assert.ok(serves(lab, 'apps/v1/Deployment')(), 'told with the join, so that the first render knows');
  const told = lab.plane.apis;
  assert.equal(apisDigest(lab.plane.served), told?.digest);
  await waitFor('a full report', () => lab.plane.reports.some((report) => report.apis !== undefined), within);
  assert.equal(lists(lab), 0, 'the digest was enough');
  try {
    let from = performance.now();
    await lab.cluster.apply(JSON.stringify(definition(group, 'Widget')));
    await waitFor('the new kind', serves(lab, `${group}/v1/Widget`), within);
    t.diagnostic(`a new group was told after ${Math.round(performance.now() - from)} ms`);
    assert.ok(serves(lab, `${group}/v1`)());
    assert.ok(lists(lab) >= 1, 'the plane did not hold the list, and asked');
    // No APIService says so: the group version is there already.
    from = performance.now();
    await lab.cluster.apply(JSON.stringify(definition(group, 'Gadget')));
    await waitFor('a second kind of the group', serves(lab, `${group}/v1/Gadget`), within);
    t.diagnostic(`a new kind was told after ${Math.round(performance.now() - from)} ms`);
    from = performance.now();
    await removeDefinition(lab.cluster, group, 'Gadget');
    await waitFor('the kind to be gone', () => !serves(lab, `${group}/v1/Gadget`)(), long);
    t.diagnostic(`a removed kind was told after ${Math.round(performance.now() - from)} ms`);
    assert.ok(performance.now() - from > 15_000, 'not believed at once');
    assert.ok(serves(lab, `${group}/v1/Widget`)());
    // A plane that lost its lists gets them again.
    lab.plane.apiLists.clear();
    await lab.cluster.apply(JSON.stringify(definition(group, 'Gizmo')));
    await waitFor('the list', serves(lab, `${group}/v1/Gizmo`), within);
  } finally {
    for (const kind of ['Widget', 'Gadget', 'Gizmo']) await removeDefinition(lab.cluster, group, kind);
  }
});

/** An API server behind the aggregation layer: one kind, and no aggregated discovery of its own. */
async function extensionServer(group: string): Promise<{ readonly port: number; stop(): Promise<void>; start(): Promise<void> }> {
  const pki = await createPki('extension', Date.now());
  let server: Server | undefined;
  let port = 0;
  const start = async (): Promise<void> => {
    const next = createServer({ key: pki.serverKey, cert: pki.serverCert }, (request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? '';
      const isKnown = path === `/apis/${group}/v1`;
      const body = isKnown
        ? {
            kind: 'APIResourceList',
            apiVersion: 'v1',
            groupVersion: `${group}/v1`,
            resources: [{ name: 'lamps', singularName: 'lamp', namespaced: true, kind: 'Lamp', verbs: ['get', 'list'] }],
          }
        : { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 404, reason: 'NotFound', message: path };
      response.writeHead(isKnown ? 200 : 404, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    await new Promise<void>((resolve) => next.listen(port, '127.0.0.1', resolve));
    ({ port } = next.address() as AddressInfo);
    server = next;
  };
  await start();
  return {
    get port() {
      return port;
    },
    start,
    async stop() {
      server?.closeAllConnections();
      await new Promise((resolve) => server?.close(resolve));
    },
  };
}

test(
  'an aggregated API that does not answer stays in the list, over a restart of the agent too; one that is removed goes',
  { timeout: 300_000 },
  async (t) => {
    await using lab = await openLab('c');
    const { cluster, plane } = lab;
    const group = `x${newUid().slice(0, 8)}.example.org`;
    const server = await extensionServer(group);
    const name = `v1.${group}`;
    const service = `x-${newUid().slice(0, 8)}`;
    await cluster.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: service, namespace: lab.namespace },
        spec: { type: 'ExternalName', externalName: 'localhost' },
      }),
    );
    const isAvailable = async (): Promise<string | undefined> => {
      const found = await cluster.request('GET', `/apis/apiregistration.k8s.io/v1/apiservices/${name}`);
      const { status } = found.json() as { status?: { conditions?: { type: string; status: string }[] } };
      return status?.conditions?.find((one) => one.type === 'Available')?.status;
    };
    try {
      const agent = lab.start();
      await waitFor('the join', () => plane.agent !== undefined, within);
      const from = performance.now();
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
            service: { namespace: lab.namespace, name: service, port: server.port },
          },
        }),
      );
      await waitFor('the aggregated kind', serves(lab, `${group}/v1/Lamp`), long);
      t.diagnostic(`an aggregated kind was told after ${Math.round(performance.now() - from)} ms`);
      await server.stop();
      await waitFor('the API to be unavailable', async () => (await isAvailable()) === 'False', long);
      await agent.stop();
      plane.reports.length = 0;
      lab.start();
      await waitFor('the agent to say what is served', () => plane.reports.some((report) => report.apis !== undefined), long);
      const gone = Date.now() + 30_000;
      let forgotten: string | undefined;
      await waitFor(
        'longer than it takes for something to be gone',
        () => {
          const isKnown = serves(lab, `${group}/v1/Lamp`)() || plane.apis?.unavailable.includes(`${group}/v1`) === true;
          if (!isKnown || !serves(lab, `${group}/v1`)())
            forgotten ??= JSON.stringify([plane.apis?.unavailable, plane.served.filter((one) => one.startsWith(group))]);
          return Date.now() > gone;
        },
        { timeoutMs: 60_000, intervalMs: 500 },
      );
      assert.equal(forgotten, undefined, 'of what does not answer, either the kinds are told, or that they are not known');
      await server.start();
      await waitFor('the API to be available', async () => (await isAvailable()) === 'True', long);
      await waitFor('the kind', serves(lab, `${group}/v1/Lamp`), long);
      await cluster.request('DELETE', `/apis/apiregistration.k8s.io/v1/apiservices/${name}`);
      await waitFor('the group to be gone', () => !plane.served.some((one) => one.startsWith(group)), long);
    } finally {
      await cluster.request('DELETE', `/apis/apiregistration.k8s.io/v1/apiservices/${name}`);
      await server.stop().catch(() => undefined);
    }
  },
);
