import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inClusterAccess, kubeconfigAccess, loadDefaultKubeconfig, loadKubeconfig } from './kubeconfig.ts';

interface Parts {
  readonly cluster?: Record<string, unknown>;
  readonly user?: Record<string, unknown>;
  readonly context?: Record<string, unknown>;
}

function config(parts: Parts = {}, name = 'c'): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    contexts: [{ name, context: { cluster: name, user: name, ...parts.context } }],
    clusters: [{ name, cluster: { server: 'https://127.0.0.1:6443/', ...parts.cluster } }],
    users: [{ name, user: { token: 'abc', ...parts.user } }],
  });
}

function access(parts: Parts = {}): ReturnType<typeof kubeconfigAccess> {
  return kubeconfigAccess([{ path: '/home/me/config', text: config(parts) }]);
}

test('server, namespace and token come from the current context', async () => {
  const found = await access({ context: { namespace: 'web' }, cluster: { 'tls-server-name': 'kube.example' } });
  assert.equal(found.server, 'https://127.0.0.1:6443');
  assert.equal(found.namespace, 'web');
  assert.equal(found.serverName, 'kube.example');
  assert.equal((await found.token())?.reveal(), 'abc');
  assert.ok(!JSON.stringify(await found.token()).includes('abc'));
  assert.equal((await access()).namespace, 'default');
});

test('what would run a program, trust anybody or guess an identity is refused and says what to do', async () => {
  const refused: [Parts, string, RegExp][] = [
    [{ user: { exec: { command: 'aws' } } }, 'FL_KUBE_CONFIG_AUTH', /exec.*use a token/],
    [{ user: { 'auth-provider': { name: 'gcp' } } }, 'FL_KUBE_CONFIG_AUTH', /auth-provider/],
    [{ user: { username: 'a', password: 'b' } }, 'FL_KUBE_CONFIG_AUTH', /password/],
    [{ user: { as: 'root' } }, 'FL_KUBE_CONFIG_AUTH', /impersonates/],
    [{ cluster: { 'insecure-skip-tls-verify': true } }, 'FL_KUBE_CONFIG_INSECURE', /certificate authority/],
    [{ cluster: { server: 'http://127.0.0.1:8080' } }, 'FL_KUBE_CONFIG_INSECURE', /only https/],
    [{ cluster: { server: 'https://u:p@host' } }, 'FL_KUBE_CONFIG', /credentials/],
    [{ cluster: { server: 'nonsense' } }, 'FL_KUBE_CONFIG', /server URL/],
    [{ cluster: { 'proxy-url': 'http://proxy' } }, 'FL_KUBE_CONFIG_PROXY', /proxy-url/],
    [{ cluster: { 'certificate-authority-data': Buffer.from('x').toString('base64') } }, 'FL_KUBE_CONFIG', /no PEM/],
    [
      { user: { 'client-certificate-data': Buffer.from('-----BEGIN X').toString('base64') } },
      'FL_KUBE_CONFIG',
      /without its key/,
    ],
    [{ context: { cluster: 'other' } }, 'FL_KUBE_CONFIG', /no cluster named "other"/],
    [{ context: { user: 'other' } }, 'FL_KUBE_CONFIG', /no user named "other"/],
  ];
  for (const [parts, code, words] of refused) {
    await assert.rejects(access(parts), (error: Error & { code?: string }) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, words);
      return true;
    });
  }
  await assert.rejects(kubeconfigAccess([{ path: 'x', text: 'a: 1\na: 2' }]), { code: 'FL_YAML_INVALID' });
  await assert.rejects(kubeconfigAccess([{ path: 'x', text: 'clusters: []' }]), /no current-context/);
});

test('several files are read as kubectl reads them: the first to name something wins', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-kubeconfig-'));
  try {
    const [a, b] = [join(directory, 'a'), join(directory, 'b')];
    await writeFile(a, config({ user: { token: undefined, tokenFile: 'token' } }, 'first'));
    await writeFile(b, config({}, 'second'));
    await writeFile(join(directory, 'token'), 'from-file\n');
    const env = { KUBECONFIG: `${join(directory, 'missing')}:${a}:${b}` };
    const first = await loadDefaultKubeconfig({ env });
    assert.equal((await first.token())?.reveal(), 'from-file', 'paths count from the file that names them');
    const second = await loadDefaultKubeconfig({ env, context: 'second' });
    assert.equal((await second.token())?.reveal(), 'abc');
    await assert.rejects(loadDefaultKubeconfig({ env: { KUBECONFIG: join(directory, 'missing') } }), {
      code: 'FL_KUBE_CONFIG_FILE',
    });
    await assert.rejects(loadKubeconfig(join(directory, 'missing')), { code: 'FL_KUBE_CONFIG_FILE' });
  } finally {
    await rm(directory, { recursive: true });
  }
});

test('outside a pod the message says so', async () => {
  await assert.rejects(inClusterAccess({ env: {} }), { code: 'FL_KUBE_CONFIG_IN_CLUSTER' });
});
