import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { buildAgent } from '#agent';
import { Application, Cluster, GitRepository } from '#api';
import { must, newUid, silentLog, waitFor } from '#base';
import { createKubeClient, loadKubeconfig } from '#kube';
import { sharedCluster, startGitServer, testbedMissing, type ClusterHandle } from '#testbed';
import { stageImage } from '../../../tools/image.ts';
import { POSTGRES_MISSING, postgresPrograms, startPostgres } from '../../plane/store/testing/postgres-server.ts';
import { startChild } from '../demo/child.ts';
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
  restrictedNamespace,
  withPorts,
  type Pod,
} from './charts.ts';
import { configMapYaml } from './fleet.ts';
import { sandboxMissing, startSandbox, type Sandbox } from './pod-sandbox.ts';
import { Balancer } from './replicated.testing.ts';

const skip =
  testbedMissing() !== false ? testbedMissing() : postgresPrograms() === undefined ? POSTGRES_MISSING : sandboxMissing();
const root = resolve(import.meta.dirname, '..', '..', '..');
const id = `t${newUid().slice(0, 6)}`;
const namespace = `${id}-plane`;
let cluster: ClusterHandle;
let dir: string;

before(async () => {
  if (skip !== false) return;
  cluster = await sharedCluster('a');
  dir = await mkdtemp(join(tmpdir(), 'fairlead-charts-'));
});

after(async () => {
  if (skip !== false) return;
  for (const name of ['plane', 'web', 'agent']) await cluster.request('DELETE', `/api/v1/namespaces/${id}-${name}`);
  await rm(dir, { recursive: true, force: true });
});

/** Data of a Secret of the cluster, in clear. */
async function secretOf(name: string): Promise<Readonly<Record<string, Buffer>>> {
  const answer = await cluster.request('GET', `/api/v1/namespaces/${namespace}/secrets/${name}`);
  const { data } = answer.json() as { data: Record<string, string> };
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64')]));
}

/** The environment that a kubelet gives the container: every value and Secret that the pod names. */
async function environmentOf(pod: Pod): Promise<Record<string, string>> {
  const env: Record<string, string> = environmentOfImage('fairlead');
  for (const { name, value, valueFrom } of pod.spec.containers[0]?.env ?? []) {
    const from = valueFrom?.secretKeyRef;
    env[name] = from === undefined ? (value ?? '') : must((await secretOf(from.name))[from.key], from.key).toString('utf8');
  }
  return env;
}

/** A Secret volume as a kubelet lays it out: links into a directory that it swaps, files of root for the group of the pod. */
async function secretVolume(pod: Pod, volume: string, at: string): Promise<void> {
  const secret = must(pod.spec.volumes?.find((one) => one.name === volume)?.secret, `volume ${volume} of a Secret`);
  mkdirSync(join(at, '..one'), { recursive: true });
  symlinkSync('..one', join(at, '..data'));
  for (const [name, bytes] of Object.entries(await secretOf(secret.secretName))) {
    const file = join(at, '..one', name);
    writeFileSync(file, bytes);
    chmodSync(file, secret.defaultMode);
    chownSync(file, 0, 65532);
    symlinkSync(join('..data', name), join(at, name));
  }
  for (const path of [at, join(at, '..one')]) {
    chownSync(path, 0, 65532);
    chmodSync(path, 0o2775);
  }
}

test(
  'on PostgreSQL, with the database and the keys in Secrets, both pods run as the chart says, and each goes on without the other',
  { skip, timeout: 300_000 },
  async () => {
    await using stack = new AsyncDisposableStack();
    const server = await startPostgres();
    stack.defer(() => server.destroy());
    const url = await server.createDatabase();
    const urlFile = join(dir, 'url');
    writeFileSync(urlFile, url.reveal(), { mode: 0o600 });

    // The keys are made once by a plane that may write them, as the chart's README says.
    const made = join(dir, 'made');
    const maker = startChild(
      [
        join(root, 'src/cli/main.ts'),
        'plane',
        '--data',
        made,
        '--database-url-file',
        urlFile,
        '--listen',
        `127.0.0.1:${await freePort(0)}`,
        '--console',
        'off',
      ],
      join(dir, 'maker.log'),
    );
    stack.defer(() => maker.stop());
    await waitFor('the keys to be made', async () => (await readFile(maker.log, 'utf8')).includes('the plane is up'), {
      timeoutMs: 60_000,
    });
    await maker.stop();
    await restrictedNamespace(cluster, namespace);
    for (const [name, from] of [
      ['fairlead-keys', join(made, 'keys')],
      ['fairlead-database', `url=${urlFile}`],
    ] as const) {
      const created = await cluster.kubectl(['-n', namespace, 'create', 'secret', 'generic', name, `--from-file=${from}`]);
      assert.equal(created.exitCode, 0, created.stderr);
    }

    const portsOfPod = async () => ({ api: await freePort(0), health: await freePort(0), page: await freePort(0) });
    const ports = [await portsOfPod(), await portsOfPod()];
    const balancer = await Balancer.listen(ports.map((one) => one.api));
    stack.defer(() => balancer.close());
    const values = {
      image: { repository: 'registry.example/fairlead' },
      replicas: 2,
      database: { existingSecret: 'fairlead-database' },
      keys: { existingSecret: 'fairlead-keys' },
      externalUrl: `https://127.0.0.1:${balancer.port}`,
      egress: { allow: ['127.0.0.0/8'] },
    };
    await applyWithoutWarning(cluster, await helmTemplate({ chart: 'fairlead', namespace, values }));
    const pods = await readyPods(cluster, namespace, 2);
    const staged = join(dir, 'image');
    await stageImage('plane', staged);

    const start = async (n: number): Promise<Sandbox> => {
      const pod = must(pods[n], 'a pod');
      const at = join(dir, `pod-${n}`);
      const [data, scratch, keys] = [join(at, 'data'), join(at, 'scratch'), join(at, 'keys')];
      for (const path of [data, scratch]) mkdirSync(path, { recursive: true });
      await secretVolume(pod, 'keys', keys);
      const args = withPorts(pod.spec.containers[0]?.args ?? [], must(ports[n], 'ports'));
      assert.equal(args.join(' ').includes(url.reveal()), false, 'whoever lists processes learns no password');
      const sandbox = await startSandbox({
        root: join(at, 'root'),
        mounts: { ...imageBase, '/fairlead': staged, '/keys': keys },
        writable: { '/data': data, '/tmp': scratch },
        files: imageFiles,
        env: await environmentOf(pod),
        command: [...entrypointOf('fairlead'), ...args, '--allow-http-urls'],
        log: join(at, 'log'),
      });
      stack.defer(() => sandbox.stop());
      return sandbox;
    };
    const ready = (n: number): Promise<unknown> =>
      waitFor(
        `pod ${n} to be ready`,
        async () =>
          (await fetch(`http://127.0.0.1:${ports[n]?.health ?? 0}/readyz`)).status === 200 &&
          (await readFile(join(dir, `pod-${n}`, 'log'), 'utf8')).includes('kubeconfig: '),
        { timeoutMs: 90_000, intervalMs: 100 },
      ).catch(async (error: unknown) => {
        throw new Error(await readFile(join(dir, `pod-${n}`, 'log'), 'utf8'), { cause: error });
      });
    const running = [await start(0), await start(1)];
    await Promise.all([ready(0), ready(1)]);

    const git = await startGitServer({ dir: join(dir, 'git') });
    stack.defer(() => git.stop());
    await git.createRepo('fleet');
    await git.commit('fleet', { 'web/one.yaml': configMapYaml('one', { n: '1' }) }, 'first');
    // Of either pod: the keys are the same, and the address is that of the balancer.
    const client = createKubeClient({
      access: await loadKubeconfig(join(dir, 'pod-0', 'data', 'admin.kubeconfig')),
      userAgent: 'fairlead-test/0',
      log: silentLog,
    });
    stack.defer(() => client.close());
    await make(client, Cluster, 'far', {});
    const enrolled = await client.request({
      method: 'POST',
      path: `/apis/${Cluster.apiVersion}/clusters/far/enroll`,
      body: '{}',
    });
    const { token } = JSON.parse(enrolled.body.toString('utf8')) as { token: string };
    await restrictedNamespace(cluster, `${id}-agent`);
    const agent = startChild(
      [
        await buildAgent(),
        '--plane',
        values.externalUrl,
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
    stack.defer(() => agent.stop());
    await make(client, GitRepository, 'fleet', { url: git.repoUrl('fleet'), ref: { branch: 'main' }, interval: '2s' });
    await make(client, Application, 'web', {
      source: { sourceRef: { kind: 'GitRepository', name: 'fleet' }, path: 'web' },
      targets: [{ clusterSelector: {} }],
      defaultNamespace: `${id}-web`,
    });
    const shows = (n: number): Promise<unknown> =>
      waitFor(
        `version ${n} in the cluster`,
        async () => {
          const found = await cluster.request('GET', `/api/v1/namespaces/${id}-web/configmaps/one`);
          return found.status === 200 && (found.json() as { data: { n: string } }).data.n === String(n);
        },
        { timeoutMs: 90_000 },
      ).catch(async (error: unknown) => {
        throw new Error(await readFile(agent.log, 'utf8'), { cause: error });
      });
    await waitFor('a Release, which takes Git and the renderer', () => releaseOf(client), { timeoutMs: 60_000 });
    await shows(1);
    assert.equal(balancer.taken.size, 2, 'both pods answer');

    // As a rolling upgrade does: one goes and comes back, then the other.
    for (const [n, version] of [
      [0, 2],
      [1, 3],
    ] as const) {
      await running[n]?.stop();
      await git.commit('fleet', { 'web/one.yaml': configMapYaml('one', { n: String(version) }) }, `version ${version}`);
      await shows(version);
      await rm(join(dir, `pod-${n}`), { recursive: true, force: true });
      running[n] = await start(n);
      await ready(n);
    }
  },
);
