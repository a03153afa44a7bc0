import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Sensitive, silentLog, systemClock } from '#base';
import { say, type GitRepository, type Kind, type PlaneObject } from '#api';
import { createGuardedConnect, EgressPolicy, startEgressProxy, type EgressProxy } from '#plane/fetch';
import { fingerprintOf, makeSshKey, sshdMissing, startSshServer, type SshServer } from '#testbed';
import { Git } from './git.ts';
import { look, type Finding } from './look.ts';
import { defaultSourceLimits, Mirror } from './mirror.ts';
import { gitHarness, type GitHarness } from './testing/harness.ts';
import { spyOnProcesses } from './testing/spy.ts';
import { Verifier } from './verify.ts';

const skip = sshdMissing();
const stack = new AsyncDisposableStack();
let h: GitHarness;
let ssh: SshServer;
let commit: string;
let open: EgressProxy;

before(async () => {
  if (skip !== false) return;
  h = stack.use(await gitHarness());
  ssh = await startSshServer({ dir: join(h.dir, 'ssh') });
  stack.defer(() => ssh.stop());
  open = await proxy(['127.0.0.0/8']);
  await h.server.createRepo('fleet');
  await h.server.commit('fleet', { 'app/a.yaml': 'a: 1\n' }, 'one');
  commit = await h.server.commit('fleet', { 'app/a.yaml': 'a: 2\n' }, 'two');
  await h.server.tag('fleet', 'v1.2.0', commit);
});

after(() => stack.disposeAsync());

async function proxy(allow: readonly string[]): Promise<EgressProxy> {
  const egress = await startEgressProxy(createGuardedConnect(new EgressPolicy({ allow })), silentLog);
  stack.defer(() => egress.stop());
  return egress;
}

interface Given {
  readonly url?: string;
  readonly identity?: string;
  readonly knownHosts?: string;
  readonly hosts?: readonly string[];
  readonly type?: 'ssh' | 'basic';
  readonly ref?: GitRepository['spec']['ref'];
  readonly path?: string;
  readonly egress?: EgressProxy;
  /** No credential at all. */
  readonly isBare?: boolean;
}

/** One look as the plane makes it. */
async function lookAt(given: Given): Promise<Finding> {
  const url = given.url ?? ssh.url(h.server.path('fleet'));
  const objects = new Map<string, unknown>([
    ['Project', { spec: { sources: ['ssh://**'] } }],
    [
      'Credential',
      {
        metadata: { name: 'key', namespace: 'default' },
        spec: { type: given.type ?? 'ssh', ...(given.hosts === undefined ? {} : { hosts: given.hosts }) },
      },
    ],
  ]);
  const read = {
    // What is read here is what was put there.
    get: <S, T>(kind: Kind<S, T>) => Promise.resolve(objects.get(kind.kind) as PlaneObject<S, T> | undefined),
  };
  const repository = {
    metadata: { name: 'fleet', namespace: 'default' },
    spec: {
      url,
      ...(given.ref === undefined ? {} : { ref: given.ref }),
      ...(given.isBare === true ? {} : { credential: { name: 'key' } }),
    },
  } as GitRepository;
  const git = new Git({ home: h.dir, protocols: 'ssh', ...(given.path === undefined ? {} : { path: given.path }) });
  const mirror = new Mirror(join(h.dir, 'ssh-mirror.git'), git, defaultSourceLimits);
  try {
    const [finding] = await look(repository, [given.ref], mirror, {
      read,
      clock: systemClock,
      log: silentLog,
      signal: new AbortController().signal,
      policy: { allowFileUrls: false, allowHttp: false },
      verifier: new Verifier(git, h.dir),
      egress: given.egress ?? open,
      decrypt: () => new Sensitive({ identity: given.identity ?? ssh.identity, knownHosts: given.knownHosts ?? ssh.knownHosts }),
    });
    assert.ok(finding !== undefined);
    return finding;
  } finally {
    mirror.objects.close();
  }
}

async function refused(given: Given): Promise<string> {
  const finding = await lookAt(given);
  assert.ok('reason' in finding, JSON.stringify(finding));
  return `${finding.reason.code}: ${say(finding.reason)}`;
}

test('a repository is read over ssh: branch, tag, range and commit, in both forms of the address', { skip }, async () => {
  for (const ref of [undefined, { tag: 'v1.2.0' }, { semver: '^1' }, { commit }]) {
    const finding = await lookAt(ref === undefined ? {} : { ref });
    assert.ok('snapshot' in finding, JSON.stringify(finding));
    assert.equal(finding.snapshot.commit, commit);
  }
  // The short form knows no port, so what can be shown of it here is where it goes.
  assert.match(await refused({ url: `${ssh.user}@127.0.0.1:nowhere.git`, ref: { branch: 'x' } }), /UNREACHABLE|HOST_KEY/);
});

test('a host that knownHosts does not name is not spoken to; the reason names it and its fingerprint', { skip }, async () => {
  for (const [knownHosts, finding] of [
    ['', 'does not list this host'],
    [ssh.knownHosts.replace(String(ssh.port), '1'), 'does not list this host'],
    [
      '@cert-authority * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJUDOyAhbBkn7bRvrOCBCWPkwDaCxHtbQqzzNEV8dgHf',
      'does not list this host',
    ],
  ] as const) {
    const words = await refused({ knownHosts });
    assert.match(words, /^FL_SOURCE_HOST_KEY/);
    assert.ok(words.includes(`127.0.0.1:${ssh.port} showed the ssh host key ssh-ed25519 ${ssh.fingerprint}`), words);
    assert.ok(words.includes(finding), words);
  }
  await makeSshKey(join(h.dir, 'other'));
  const other = (await readFile(join(h.dir, 'other.pub'), 'utf8')).split(' ').slice(0, 2).join(' ');
  const changed = await refused({ knownHosts: `[127.0.0.1]:${ssh.port} ${other}\n` });
  assert.match(changed, /^FL_SOURCE_HOST_KEY.*lists another key for this host/);
  assert.ok(changed.includes(ssh.fingerprint) && !changed.includes(await fingerprintOf(join(h.dir, 'other.pub'))), changed);
});

test('what is wrong with the credential is said before or after the server is asked', { skip }, async () => {
  await makeSshKey(join(h.dir, 'stranger'));
  await makeSshKey(join(h.dir, 'locked'), 'secret words');
  assert.match(await refused({ identity: await readFile(join(h.dir, 'stranger'), 'utf8') }), /^FL_SOURCE_DENIED.*credential key/);
  assert.match(await refused({ identity: await readFile(join(h.dir, 'locked'), 'utf8') }), /^FL_SOURCE_URL.*with a passphrase/);
  assert.match(await refused({ identity: 'ssh-ed25519 AAAA' }), /^FL_SOURCE_URL.*no private key/);
  assert.match(await refused({ type: 'basic' }), /^FL_SOURCE_URL.*of type basic; ssh takes/);
  assert.match(await refused({ isBare: true }), /^FL_SOURCE_URL.*Credential of type ssh/);
  assert.match(await refused({ hosts: ['git.example.com'] }), /^FL_SOURCE_URL.*may not be sent to 127\.0\.0\.1/);
  assert.match(await refused({ path: join(h.dir, 'nothing') }), /git/);
  const pasted = ssh.identity.trimEnd().replaceAll('\n', '\r\n');
  assert.ok('snapshot' in (await lookAt({ identity: pasted })), 'a pasted key');
  assert.match(await refused({ url: ssh.url('/nowhere.git') }), /^FL_SOURCE_UNREACHABLE.*nowhere\.git/);
});

test('the key is in no file, argument or environment while git and ssh run', { skip }, async () => {
  const secret = ssh.identity.split('\n')[2] ?? '';
  assert.ok(secret.length > 40);
  const { looks, leaks } = await spyOnProcesses([secret], async () => {
    for (let i = 0; i < 3; i += 1) assert.ok('snapshot' in (await lookAt({})));
  });
  assert.deepEqual(leaks, []);
  assert.ok(looks > 0, 'git and ssh were seen');
  const { stdout } = await promisify(execFile)('grep', ['-rlF', secret, h.dir]).catch((error: { stdout: string }) => error);
  assert.deepEqual(stdout.trim().split('\n'), [join(h.dir, 'ssh', 'user')], "only the testbed's own copy");
  assert.deepEqual(
    (await readdir(h.dir)).filter((name) => name.startsWith('.private')),
    [],
  );
});

test('an address that the plane may not connect to is not connected to', { skip }, async () => {
  const closed = await proxy([]);
  const words = await refused({ egress: closed });
  assert.match(words, /^FL_SOURCE_ADDRESS: the plane does not connect to ssh:.*127\.0\.0\.1 is a loopback address/);
});
