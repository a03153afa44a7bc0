import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { agentManifests, agentNodeFlags, buildAgent, type ManifestOptions } from '#agent';
import { Cluster } from '#api';
import { must } from '#base';
import { sharedCluster, testbedMissing, type ClusterHandle } from '#testbed';
import {
  applyWithoutWarning,
  entrypointOf,
  helmTemplate,
  readyPods,
  renderChart,
  restrictedNamespace,
  withoutLabels,
  type Manifest,
  type Pod,
} from './charts.ts';
import { ConnectProxy } from '../connect-proxy.ts';
import { configMapYaml, Fleet } from './fleet.ts';
import { sandboxMissing, startSandbox, type Sandbox } from './pod-sandbox.ts';

const skip = testbedMissing();
const IMAGE = 'registry.example/fairlead-agent';
const TOKEN = 'fl1.someid.0123456789abcdef0123.0123456789abcdef0123456789abcdef';
let fleet: Fleet;
let cluster: ClusterHandle;
let dir: string;
/** By which the plane reads Git. */
let egress: ConnectProxy;

before(async () => {
  if (skip !== false) return;
  cluster = await sharedCluster('a');
  dir = await mkdtemp(join(tmpdir(), 'fairlead-charts-'));
  egress = await ConnectProxy.start();
  fleet = await Fleet.start({ clusters: {}, planeArgs: ['--egress-proxy', egress.url] });
});

after(async () => {
  if (skip !== false) return;
  for (const kind of ['clusterrolebindings', 'clusterroles']) {
    const list = (await cluster.request('GET', `/apis/rbac.authorization.k8s.io/v1/${kind}`)).json() as { items: Manifest[] };
    for (const { metadata } of list.items)
      if (metadata.name.startsWith(`fairlead-agent:${fleet.id}-`))
        await cluster.request('DELETE', `/apis/rbac.authorization.k8s.io/v1/${kind}/${metadata.name}`);
  }
  const namespaces = (await cluster.request('GET', '/api/v1/namespaces')).json() as { items: Manifest[] };
  for (const { metadata } of namespaces.items)
    if (metadata.name.startsWith(`${fleet.id}-`)) await cluster.request('DELETE', `/api/v1/namespaces/${metadata.name}`);
  await fleet[Symbol.asyncDispose]();
  await egress[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

type Grant = ManifestOptions['grant'];

function valuesOf(grant: Grant, more: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const profile =
    grant.kind === 'clusterRole'
      ? { kind: 'clusterRole', clusterRole: grant.name }
      : grant.kind === 'namespaces'
        ? { kind: 'namespaces', namespaces: grant.namespaces }
        : { kind: 'admin' };
  return {
    plane: { url: 'https://plane.example:8443' },
    image: { repository: IMAGE },
    ...more,
    profile: { ...profile, ...(more['profile'] as object | undefined) },
  };
}

function byIdentity(manifests: readonly Manifest[]): Record<string, unknown> {
  return Object.fromEntries(
    manifests.map((one) => [`${one.kind} ${one.metadata.namespace ?? ''}/${one.metadata.name}`, withoutLabels(one)]),
  );
}

test('the chart grants and runs exactly what the code does, for every profile', { skip }, async () => {
  const grants: readonly Grant[] = [
    { kind: 'admin' },
    { kind: 'clusterRole', name: 'deployer' },
    { kind: 'namespaces', namespaces: ['web', 'shop'] },
  ];
  for (const grant of grants) {
    for (const impersonate of [undefined, [], ['web/deployer', 'web/other', 'shop/deployer'], ['shop/deployer']]) {
      const chart = await renderChart({
        chart: 'fairlead-agent',
        namespace: 'fairlead-system',
        values: valuesOf(grant, { joinToken: { value: TOKEN }, profile: { impersonate: impersonate ?? null } }),
      });
      const code = agentManifests({
        namespace: 'fairlead-system',
        grant,
        ...(impersonate === undefined ? {} : { impersonate }),
        planeUrl: 'https://plane.example:8443',
        image: `${IMAGE}:0.1.0`,
        joinToken: TOKEN,
      }) as unknown as readonly Manifest[]; // Kubernetes objects
      assert.deepEqual(byIdentity(chart), byIdentity(code.filter((one) => one.kind !== 'Namespace')));
    }
  }
});

test('looking at live objects is turned off by the option that the agent reads', { skip }, async () => {
  for (const [more, wanted] of [
    [{}, undefined],
    [{ liveObjects: true }, undefined],
    [{ liveObjects: false }, '--live-objects=off'],
  ] as const) {
    const values = valuesOf({ kind: 'admin' }, more);
    const chart = await renderChart({ chart: 'fairlead-agent', namespace: 'fairlead-system', values });
    const text = JSON.stringify(
      must(
        chart.find((one) => one.kind === 'Deployment'),
        'there is a Deployment',
      ),
    );
    assert.equal(/--live-objects=\w+/.exec(text)?.[0], wanted);
  }
});

test('nothing is granted that was not chosen, and the words say what to choose', { skip }, async () => {
  const refusal = async (values: Readonly<Record<string, unknown>>): Promise<string> => {
    try {
      await helmTemplate({ chart: 'fairlead-agent', namespace: 'x', values });
    } catch (error) {
      return String(error);
    }
    return 'it was rendered';
  };
  const plane = { url: 'https://plane.example' };
  const image = { repository: IMAGE };
  assert.match(await refusal({ plane, image }), /choose what the agent may do: profile\.namespaces names no namespace/);
  assert.match(await refusal({ plane, image, profile: { kind: 'clusterRole' } }), /profile\.clusterRole is missing/);
  assert.match(
    await refusal({ plane, image, profile: { kind: 'admin', namespaces: ['a'] } }),
    /says nothing with profile\.kind admin/,
  );
  assert.match(await refusal({ image, profile: { kind: 'admin' } }), /plane\.url is missing/);
  assert.match(await refusal({ plane, profile: { kind: 'admin' } }), /image\.repository is missing/);
  assert.match(await refusal({ plane: { url: 'http://plane.example' }, image }), /\/plane\/url/);
  assert.match(await refusal({ plane, image, profil: { kind: 'admin' } }), /profil/);
});

/** The agent's one pod, ready. */
async function readyPod(namespace: string): Promise<Pod> {
  const [pod] = await readyPods(cluster, namespace, 1);
  return must(pod, 'there is one');
}

test('in a namespace of restricted pods the controllers make the pod of every profile, without a warning', { skip }, async () => {
  const target = fleet.ns('target');
  await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: target } }));
  const grants: readonly Grant[] = [
    { kind: 'admin' },
    { kind: 'clusterRole', name: 'edit' },
    { kind: 'namespaces', namespaces: [target] },
  ];
  for (const grant of grants) {
    const namespace = fleet.ns(`restricted-${grant.kind.toLowerCase()}`);
    await restrictedNamespace(cluster, namespace);
    const values = valuesOf(grant, { joinToken: { value: TOKEN }, networkPolicy: { enabled: true } });
    await applyWithoutWarning(cluster, await helmTemplate({ chart: 'fairlead-agent', namespace, values }));
    const pod = await readyPod(namespace);
    assert.deepEqual(
      (pod.spec.volumes ?? []).map((one) => one.name.replace(/-\w+$/, '')),
      ['kube-api-access'],
      'no volume but the token the API server adds',
    );
    assert.equal(pod.spec.containers[0]?.ports, undefined);
    assert.equal(pod.spec.containers[0]?.securityContext.readOnlyRootFilesystem, true);
    const can = async (verb: string, resource: string, where: string): Promise<string> => {
      const as = `system:serviceaccount:${namespace}:fairlead-agent`;
      return (await cluster.kubectl(['auth', 'can-i', verb, resource, '-n', where, '--as', as])).stdout.trim();
    };
    assert.equal(await can('create', 'deployments', target), 'yes');
    assert.equal(await can('create', 'deployments', 'default'), grant.kind === 'namespaces' ? 'no' : 'yes');
    assert.equal(await can('create', 'clusterroles', 'default'), grant.kind === 'admin' ? 'yes' : 'no');
    await cluster.request('DELETE', `/api/v1/namespaces/${namespace}`);
  }
});

/** The environment the kubelet would give the container. */
async function environmentOf(pod: Pod, namespace: string): Promise<Record<string, string>> {
  const server = new URL(cluster.server);
  const env: Record<string, string> = { KUBERNETES_SERVICE_HOST: server.hostname, KUBERNETES_SERVICE_PORT: server.port };
  for (const { name, value, valueFrom } of must(pod.spec.containers[0], 'the pod has a container').env) {
    if (value !== undefined) env[name] = value;
    if (valueFrom?.fieldRef?.fieldPath === 'metadata.name') env[name] = pod.metadata.name;
    if (valueFrom?.secretKeyRef !== undefined) {
      const { name: secret, key } = valueFrom.secretKeyRef;
      const found = await cluster.request('GET', `/api/v1/namespaces/${namespace}/secrets/${secret}`);
      if (found.status !== 200) continue; // optional
      const { data } = found.json() as { data: Record<string, string> };
      env[name] = Buffer.from(data[key] ?? '', 'base64').toString();
    }
  }
  return env;
}

/** Runs the shipped bundle as the kubelet would run the pod: its arguments, its environment, its account, its file system. */
async function runAsPod(pod: Pod, namespace: string, name: string): Promise<Sandbox> {
  const answer = await cluster.request(
    'POST',
    `/api/v1/namespaces/${namespace}/serviceaccounts/${pod.spec.serviceAccountName}/token`,
    { body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: {} } },
  );
  const { status } = answer.json() as { status: { token: string } };
  const account = '/var/run/secrets/kubernetes.io/serviceaccount';
  return startSandbox({
    root: join(dir, name),
    mounts: {
      '/fairlead/node': process.execPath,
      '/fairlead/agent.mjs': await buildAgent(),
      // What a distroless image with libc and libstdc++ holds.
      '/usr/lib': '/usr/lib',
      '/usr/lib64': '/usr/lib64',
      '/lib': '/lib',
      '/lib64': '/lib64',
    },
    files: { [`${account}/ca.crt`]: cluster.caPem, [`${account}/token`]: status.token, [`${account}/namespace`]: namespace },
    env: await environmentOf(pod, namespace),
    command: [...entrypointOf('fairlead-agent'), ...must(pod.spec.containers[0], 'the pod has a container').args],
    log: join(dir, `${name}.log`),
  });
}

test(
  'the bundle, run as the pod says in a read-only root as user 65532, joins, delivers under the rights of the chart and listens on nothing',
  { skip: skip !== false ? skip : sandboxMissing() },
  async () => {
    const namespace = fleet.ns('system');
    const target = fleet.ns('web');
    await restrictedNamespace(cluster, namespace);
    await cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: target } }));
    await fleet.apply(Cluster, { name: 'pod' }, {});
    const token = await fleet.joinToken('pod');
    await cluster.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'join', namespace },
        stringData: { token: `${token}\n` },
      }),
    );
    await using proxy = await ConnectProxy.start('s3cret');
    await cluster.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'proxy', namespace },
        stringData: { url: proxy.url },
      }),
    );
    const values = valuesOf(
      { kind: 'namespaces', namespaces: [target] },
      { plane: { url: fleet.planeUrl }, proxy: { existingSecret: 'proxy' }, joinToken: { existingSecret: 'join' } },
    );
    await applyWithoutWarning(cluster, await helmTemplate({ chart: 'fairlead-agent', namespace, values }));
    const pod = await readyPod(namespace);
    assert.deepEqual(entrypointOf('fairlead-agent').slice(1, -1), agentNodeFlags);

    await fleet.commit({ 'web/one.yaml': configMapYaml('one', { greeting: 'hello' }) });
    await fleet.application('web');
    let agent = await runAsPod(pod, namespace, 'first');
    try {
      await fleet.ready('web', 'pod').catch(async (error: unknown) => {
        throw new Error(await readFile(join(dir, 'first.log'), 'utf8'), { cause: error });
      });
      const live = await cluster.request('GET', `/api/v1/namespaces/${target}/configmaps/one`);
      assert.equal((live.json() as { data: Record<string, string> }).data['greeting'], 'hello');
      assert.deepEqual(agent.listening(), []);
      const process = await readFile(`/proc/${agent.pid}/status`, 'utf8');
      assert.match(process, /^Uid:\t65532\t65532\t65532\t65532$/m);
      assert.match(process, /^CapEff:\t0+$/m);
      assert.match(process, /^NoNewPrivs:\t1$/m);
      assert.ok(
        !(await readFile(`/proc/${agent.pid}/cmdline`, 'utf8')).includes(token.slice(0, 12)),
        'no token among the arguments',
      );
      await agent.stop();

      // The token is needed once; everything else is in Secrets, so that another pod on another node goes on.
      await cluster.request('DELETE', `/api/v1/namespaces/${namespace}/secrets/join`);
      agent = await runAsPod(pod, namespace, 'second');
      const commit = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { greeting: 'again' }) });
      await fleet.ready('web', 'pod', commit);
      const log = await readFile(join(dir, 'first.log'), 'utf8');
      assert.ok(!log.includes(token) && !log.includes('s3cret'));
      assert.deepEqual(
        [...new Set(proxy.tunnels)],
        [new URL(fleet.planeUrl).host],
        'to the plane by the proxy, and nothing else',
      );
    } finally {
      await agent.stop();
    }
  },
);

test('fairlead enroll --manifests prints what kubectl applies, in a namespace it restricts itself', { skip }, async () => {
  const namespace = fleet.ns('byhand');
  const target = fleet.ns('target');
  const args = ['enroll', 'byhand', '--manifests', '--image', `${IMAGE}:0.1.0`, '--agent-namespace', namespace];
  const missing = await fleet.cli(args);
  assert.equal(missing.exitCode, 2);
  assert.match(missing.stderr, /--manifests needs --profile/);
  assert.equal(await fleet.get(Cluster, { name: 'byhand' }), undefined, 'nothing was made for a command that is not whole');
  const printed = await fleet.cli([...args, '--profile', `namespaces=${target}`, '--plane-url', 'https://plane.example']);
  assert.equal(printed.exitCode, 0, printed.stderr);
  await applyWithoutWarning(cluster, printed.stdout.toString('utf8'));
  const pod = await readyPod(namespace);
  const env = await environmentOf(pod, namespace);
  assert.match(env['FAIRLEAD_JOIN_TOKEN'] ?? '', /^fl1\./);
  assert.equal(pod.spec.containers[0]?.args[0], '--plane=https://plane.example');
});
