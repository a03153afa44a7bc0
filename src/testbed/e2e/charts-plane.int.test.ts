import assert from 'node:assert/strict';
import { chmodSync, globSync, mkdirSync, statSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { buildAgent } from '#agent';
import { Application, Cluster, GitRepository } from '#api';
import { newUid, silentLog, waitFor } from '#base';
import { createKubeClient, loadKubeconfig } from '#kube';
import { sharedCluster, startGitServer, testbedMissing, type ClusterHandle, type GitServer } from '#testbed';
import { stageImage } from '../../../tools/image.ts';
import { startChild, type Child } from '../demo/child.ts';
import { freePort } from '../demo/free-port.ts';
import {
  applyWithoutWarning,
  entrypointOf,
  environmentOfImage,
  helmTemplate,
  imageBase,
  imageFiles,
  make,
  readyPods,
  releaseOf,
  renderChart,
  restrictedNamespace,
  withPorts,
  type Pod,
} from './charts.ts';
import { configMapYaml } from './fleet.ts';
import { sandboxMissing, startSandbox, type Sandbox } from './pod-sandbox.ts';

const skip = testbedMissing();
const id = `t${newUid().slice(0, 6)}`;
const image = { repository: 'registry.example/fairlead' };
let cluster: ClusterHandle;
let dir: string;
let git: GitServer | undefined;
let agent: Child | undefined;

before(async () => {
  if (skip !== false) return;
  cluster = await sharedCluster('a');
  dir = await mkdtemp(join(tmpdir(), 'fairlead-charts-'));
});

after(async () => {
  if (skip !== false) return;
  await agent?.stop();
  await git?.stop();
  for (const name of ['plane', 'several', 'web', 'agent']) await cluster.request('DELETE', `/api/v1/namespaces/${id}-${name}`);
  await cluster.request('DELETE', `/api/v1/persistentvolumes/${id}`);
  await rm(dir, { recursive: true, force: true });
});

test(
  'in a namespace of restricted pods the plane gets its volume, its pod and an address, without a warning',
  { skip },
  async () => {
    const namespace = `${id}-plane`;
    await restrictedNamespace(cluster, namespace);
    // Nobody makes volumes here, so one is made beforehand.
    await cluster.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: id },
        spec: {
          capacity: { storage: '20Gi' },
          accessModes: ['ReadWriteOnce'],
          hostPath: { path: '/nowhere' },
          claimRef: { namespace, name: 'data-fairlead-0' },
        },
      }),
    );
    await applyWithoutWarning(cluster, await helmTemplate({ chart: 'fairlead', namespace, values: { image } }));
    const [pod] = await readyPods(cluster, namespace, 1);
    assert.equal(pod?.spec.containers[0]?.securityContext.readOnlyRootFilesystem, true);
    assert.deepEqual((pod.spec.volumes ?? []).map((one) => one.name).sort(), ['data', 'scratch'], 'and no token of this cluster');
    await waitFor(
      'the Service to lead to the pod',
      async () => {
        const slices = await cluster.request('GET', `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`);
        const { items } = slices.json() as { items: { endpoints: unknown[] | null; ports: { port: number }[] | null }[] };
        return items.some((one) => (one.endpoints ?? []).length === 1 && one.ports?.[0]?.port === 8443);
      },
      { timeoutMs: 30_000 },
    );
  },
);

test('on PostgreSQL several processes are made, without a volume to keep, and a drain leaves one', { skip }, async () => {
  const namespace = `${id}-several`;
  await restrictedNamespace(cluster, namespace);
  const values = { image, replicas: 2, database: { existingSecret: 'database' }, keys: { existingSecret: 'keys' } };
  await applyWithoutWarning(cluster, await helmTemplate({ chart: 'fairlead', namespace, values }));
  await readyPods(cluster, namespace, 2);
  const claims = await cluster.request('GET', `/api/v1/namespaces/${namespace}/persistentvolumeclaims`);
  assert.deepEqual((claims.json() as { items: unknown[] }).items, []);
  await waitFor(
    'the budget to allow one to go',
    async () => {
      const budget = await cluster.request('GET', `/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets/fairlead`);
      return (budget.json() as { status?: { disruptionsAllowed?: number } }).status?.disruptionsAllowed === 1;
    },
    { timeoutMs: 30_000 },
  );
});

test('values that cannot work are refused with words', { skip }, async () => {
  const refusal = async (values: Readonly<Record<string, unknown>>): Promise<string> =>
    helmTemplate({ chart: 'fairlead', namespace: 'x', values }).then(
      () => 'it was rendered',
      (error: unknown) => String(error),
    );
  assert.match(await refusal({}), /image\.repository is missing/);
  assert.match(await refusal({ image, externalUrl: 'http://plane.example' }), /\/externalUrl/);
  assert.match(await refusal({ image, egress: { allow: ['everything'] } }), /\/egress\/allow\/0/);
  assert.match(await refusal({ image, replicas: 2 }), /replicas is 2, and SQLite has one process/);
  assert.match(await refusal({ image, database: { existingSecret: 'db' } }), /keys\.existingSecret is missing/);
  assert.match(await refusal({ image, keys: { existingSecret: 'k' } }), /keys\.existingSecret is for PostgreSQL/);
});

const inSandbox = { skip: skip !== false ? skip : sandboxMissing() };

test('the root of the sandbox is read-only, as the next test supposes', inSandbox, async () => {
  const program =
    "try { require('fs').writeFileSync('/x', ''); process.exit(3) } catch (e) { process.exit(e.code === 'EROFS' ? 0 : 4) }";
  const sandbox = await startSandbox({
    root: join(dir, 'probe'),
    mounts: { ...imageBase, '/fairlead/node': process.execPath },
    env: {},
    command: ['/fairlead/node', '-e', program],
    log: join(dir, 'probe.log'),
  });
  assert.equal(await sandbox.exited, 0, await readFile(join(dir, 'probe.log'), 'utf8'));
});

test(
  'what the image holds, run as the pod says in a read-only root as user 65532 with nothing in its environment, reads Git, renders, and comes back on its volume',
  inSandbox,
  async () => {
    const staged = join(dir, 'image');
    await stageImage('plane', staged);
    const [api, health, page] = [await freePort(0), await freePort(0), await freePort(0)];
    const rendered = await renderChart({
      chart: 'fairlead',
      namespace: 'fairlead',
      values: { image, externalUrl: `https://127.0.0.1:${api}`, egress: { allow: ['127.0.0.0/8'] } },
    });
    const workload = rendered.find((one) => one.kind === 'StatefulSet') as unknown as { spec: { template: Pick<Pod, 'spec'> } };
    const args = withPorts(workload.spec.template.spec.containers[0]?.args ?? [], { api, health, page });
    const [data, scratch] = [join(dir, 'data'), join(dir, 'scratch')];
    for (const path of [data, scratch]) mkdirSync(path);
    const start = (name: string): Promise<Sandbox> =>
      startSandbox({
        root: join(dir, name),
        mounts: { ...imageBase, '/fairlead': staged },
        writable: { '/data': data, '/tmp': scratch },
        files: imageFiles,
        env: environmentOfImage('fairlead'),
        command: [...entrypointOf('fairlead'), ...args, '--allow-http-urls'],
        log: join(dir, `${name}.log`),
      });
    const ready = async (name: string): Promise<void> => {
      await waitFor(
        'the plane to be ready', // The probe answers a moment before the API listens, after which the kubeconfig is written.
        async () =>
          (await fetch(`http://127.0.0.1:${health}/readyz`)).status === 200 &&
          (await readFile(join(dir, `${name}.log`), 'utf8')).includes('kubeconfig: '),
        {
          timeoutMs: 60_000,
          intervalMs: 100,
        },
      ).catch(async (error: unknown) => {
        throw new Error(await readFile(join(dir, `${name}.log`), 'utf8'), { cause: error });
      });
    };

    git = await startGitServer({ dir: join(dir, 'git') });
    await git.createRepo('fleet');
    await git.commit('fleet', { 'web/one.yaml': configMapYaml('one', { a: '1' }) }, 'first');
    let plane = await start('first');
    try {
      await ready('first');
      const client = createKubeClient({
        access: await loadKubeconfig(join(data, 'admin.kubeconfig')),
        userAgent: 'fairlead-test/0',
        log: silentLog,
      });
      try {
        await make(client, Cluster, 'far', {});
        // Nothing is rendered for a cluster whose agent has not joined.
        const enrolled = await client.request({
          method: 'POST',
          path: `/apis/${Cluster.apiVersion}/clusters/far/enroll`,
          body: '{}',
        });
        const { token } = JSON.parse(enrolled.body.toString('utf8')) as { token: string };
        agent = startChild(
          [
            await buildAgent(),
            '--plane',
            `https://127.0.0.1:${api}`,
            '--kubeconfig',
            cluster.kubeconfig,
            '--namespace',
            `${id}-agent`,
            '--state-dir',
            join(dir, 'state'),
          ],
          join(dir, 'agent.log'),
          { FAIRLEAD_JOIN_TOKEN: token },
        );
        await make(client, GitRepository, 'fleet', { url: git.repoUrl('fleet'), ref: { branch: 'main' }, interval: '5s' });
        await make(client, Application, 'web', {
          source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'web' },
          targets: [{ clusterSelector: {} }],
          defaultNamespace: `${id}-web`,
        });
        await waitFor('a Release, which takes Git and the renderer', () => releaseOf(client), { timeoutMs: 60_000 });
        assert.equal((await fetch(`http://127.0.0.1:${page}/`)).status, 200, 'the console is there');
      } finally {
        client.close();
      }
      const log = await readFile(join(dir, 'first.log'), 'utf8');
      assert.ok(!log.includes('login#'), 'who reads the log does not log in');
      await plane.stop();

      // A kubelet opens the files of a volume to the group when it mounts it again.
      for (const name of globSync('**', { cwd: data })) {
        const path = join(data, name);
        const found = statSync(path);
        chmodSync(path, found.isDirectory() ? 0o2770 : (found.mode & 0o777) | 0o060);
      }
      plane = await start('second');
      await ready('second');
      const again = createKubeClient({
        access: await loadKubeconfig(join(data, 'admin.kubeconfig')),
        userAgent: 'fairlead-test/0',
        log: silentLog,
      });
      try {
        assert.ok(await releaseOf(again));
      } finally {
        again.close();
      }
    } finally {
      await plane.stop();
    }
  },
);
