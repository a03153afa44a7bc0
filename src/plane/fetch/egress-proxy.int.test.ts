import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exec, silentLog, type ExecResult } from '#base';
import { startGitServer, type GitServer } from '../../testbed/git-server.ts';
import { EgressPolicy } from './egress-policy.ts';
import { startEgressProxy, type EgressGrant, type EgressProxy } from './egress-proxy.ts';
import { createGuardedConnect } from './guarded-connect.ts';

let dir: string;
let git: GitServer;
let open: EgressProxy;
let closed: EgressProxy;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'fairlead-egress-'));
  git = await startGitServer({ dir });
  await git.createRepo('fleet');
  await git.commit('fleet', { 'a.yaml': 'a: 1\n' }, 'first');
  open = await startEgressProxy(createGuardedConnect(new EgressPolicy({ allow: ['127.0.0.0/8'] })), silentLog);
  closed = await startEgressProxy(createGuardedConnect(new EgressPolicy()), silentLog);
});
after(async () => {
  await open.stop();
  await closed.stop();
  await git.stop();
  await rm(dir, { recursive: true, force: true });
});

function lsRemote(url: string, proxy: string): Promise<ExecResult> {
  return exec('git', ['ls-remote', url], {
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: dir,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'http.proxy',
      GIT_CONFIG_VALUE_0: proxy,
    },
    timeoutMs: 20_000,
    maxOutputBytes: 1 << 20,
  });
}

const target = (): { host: string; port: number } => ({ host: '127.0.0.1', port: Number(new URL(git.url).port) });

test('git reaches the granted host through the proxy and nothing else', async () => {
  using grant = open.grant(target());
  const listed = await lsRemote(git.repoUrl('fleet'), grant.url.reveal());
  assert.equal(listed.exitCode, 0, `${listed.stderr} ${grant.failure()?.message}`);
  assert.match(listed.stdout.toString(), /refs\/heads\/main/);
  assert.equal(grant.failure(), undefined);

  using other = open.grant({ host: '127.0.0.1', port: 1 });
  const refused = await lsRemote(git.repoUrl('fleet'), other.url.reveal());
  assert.match(refused.stderr, /403/);
  assert.equal(other.failure()?.code, 'FL_FETCH_GRANT');
});

test('an address that the policy refuses is refused to git too, and the grant knows why', async () => {
  using grant = closed.grant(target());
  const refused = await lsRemote(git.repoUrl('fleet'), grant.url.reveal());
  assert.notEqual(refused.exitCode, 0);
  assert.match(grant.failure()?.message ?? '', /loopback address, which takes --allow-egress/);
});

test('without the secret, or after the grant has ended, nothing is carried', async () => {
  const grant: EgressGrant = open.grant(target());
  const url = new URL(grant.url.reveal());
  url.password = 'another';
  assert.match((await lsRemote(git.repoUrl('fleet'), url.href)).stderr, /407/);
  grant[Symbol.dispose]();
  assert.match((await lsRemote(git.repoUrl('fleet'), grant.url.reveal())).stderr, /407/);
});

test('a server that sends more than its grant allows is cut off', async () => {
  using grant = open.grant({ ...target(), maxBytes: 10 });
  assert.notEqual((await lsRemote(git.repoUrl('fleet'), grant.url.reveal())).exitCode, 0);
  assert.equal(grant.failure()?.code, 'FL_FETCH_LIMIT');
});

test("ssh's ProxyCommand carries a connection to the granted host", async () => {
  const echo = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  try {
    const { port } = echo.address() as AddressInfo;
    const run = async (proxy: EgressProxy): Promise<ExecResult> => {
      using grant = proxy.grant({ host: 'localhost', port });
      return await exec('/bin/sh', ['-c', `exec ${grant.ssh.proxyCommand}`], {
        env: { ...grant.ssh.env.reveal() },
        timeoutMs: 20_000,
        maxOutputBytes: 1 << 20,
        input: 'SSH-2.0-test\r\n',
      });
    };
    const carried = await run(open);
    assert.equal(carried.stdout.toString(), 'SSH-2.0-test\r\n');
    assert.equal(carried.exitCode, 0);
    const answer = await run(closed);
    assert.equal(answer.exitCode, 1);
    assert.match(answer.stderr, /the egress proxy answered 403/);
  } finally {
    echo.close();
  }
});
