import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Sensitive } from '#base';
import { isRefName } from './references.ts';
import { gitHarness } from './testing/harness.ts';
import { spyOnProcesses } from './testing/spy.ts';

const utf8 = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('utf8');

test('a commit is fetched once, a look that finds nothing new costs half a kilobyte', async (t) => {
  await using h = await gitHarness();
  await h.server.createRepo('fleet');
  for (let i = 0; i < 20; i += 1) await h.server.commit('fleet', { 'big.txt': `${i}`.repeat(1_000) }, `old ${i}`);
  const commit = await h.server.commit('fleet', { 'apps/web/a.yaml': 'a: 1\n', 'README.md': '# hi' }, 'first line\n\nmore', {
    author: 'Ada',
  });
  const mirror = h.mirror();
  const found = await h.fetch(mirror, 'fleet');
  assert.equal(found.commit, commit);
  assert.equal(found.subject, 'first line');
  assert.equal(found.author, 'Ada');
  const before = h.server.counters();
  const started = performance.now();
  assert.deepEqual(await h.fetch(mirror, 'fleet'), found);
  const after = h.server.counters();
  t.diagnostic(`no-op look: ${after.bytes - before.bytes} bytes, ${Math.round(performance.now() - started)} ms`);
  assert.ok(after.bytes - before.bytes < 1_500, `${after.bytes - before.bytes} bytes`);
  const next = await h.server.commit('fleet', { 'apps/web/a.yaml': 'a: 2\n' }, 'second');
  const between = h.server.counters();
  assert.equal((await h.fetch(mirror, 'fleet')).commit, next);
  t.diagnostic(`look that finds a commit: ${h.server.counters().bytes - between.bytes} bytes`);
  assert.ok(h.server.counters().bytes - between.bytes < 4_000, 'only what changed comes');
  const files = await h.reader(mirror, next).list('apps/web');
  assert.equal(utf8((await h.reader(mirror, next).read(files)).get(files[0]?.oid ?? '')), 'a: 2\n');
  // The commit before stays readable: a Release may refer to it.
  const old = await h.reader(mirror, commit).list('apps');
  assert.deepEqual(
    old.map((file) => file.path),
    ['web/a.yaml'],
  );
});

test('branches, tags, ranges and commits are resolved', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  const one = await h.server.commit('r', { a: '1' }, 'one');
  const two = await h.server.commit('r', { a: '2' }, 'two');
  const side = await h.server.commit('r', { a: '3' }, 'side', { branch: 'feature/x', parent: one });
  await h.server.tag('r', 'v1.0.0', one);
  await h.server.tag('r', 'v1.1.0', two, 'annotated');
  await h.server.tag('r', 'v2.0.0-rc.1', side);
  const mirror = h.mirror();
  assert.equal((await h.fetch(mirror, 'r', { branch: 'feature/x' })).commit, side);
  assert.equal((await h.fetch(mirror, 'r', { tag: 'v1.1.0' })).commit, two);
  const ranged = await h.fetch(mirror, 'r', { semver: '^1.0' });
  assert.deepEqual([ranged.commit, ranged.ref], [two, 'semver ^1.0 (v1.1.0)']);
  assert.equal((await h.fetch(mirror, 'r', { commit: one })).commit, one);
  const before = h.server.counters();
  await h.fetch(mirror, 'r', { commit: one });
  assert.deepEqual(h.server.counters(), before, 'a commit that is here is not asked for');
  await assert.rejects(h.fetch(mirror, 'r', { semver: '^9' }), { code: 'FL_SOURCE_NO_REF' });
  await assert.rejects(h.fetch(mirror, 'r', { commit: 'f'.repeat(40) }), { code: 'FL_SOURCE_NO_REF' });
});

test('a force-push is just another commit; a deleted branch and an emptied repository are said so', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  const first = await h.server.commit('r', { a: '1' }, 'one');
  const mirror = h.mirror();
  await h.fetch(mirror, 'r');
  const forced = await h.server.commit('r', { b: '2' }, 'rewritten', { parent: 'none' });
  assert.equal((await h.fetch(mirror, 'r')).commit, forced);
  assert.deepEqual(
    (await h.reader(mirror, forced).list('.')).map((file) => file.path),
    ['b'],
  );
  await h.server.git('r', ['branch', 'other', first]);
  await h.server.deleteRef('r', 'refs/heads/main');
  await assert.rejects(h.fetch(mirror, 'r'), { code: 'FL_SOURCE_NO_REF' });
  await h.server.deleteRef('r', 'refs/heads/other');
  await assert.rejects(h.fetch(mirror, 'r'), { code: 'FL_SOURCE_EMPTY' });
});

test('what the server refuses and where it is not is told apart', async () => {
  await using h = await gitHarness({ auth: { username: 'bob', password: 'hunter2-canary' } });
  await h.server.createRepo('r');
  await h.server.commit('r', { a: '1' }, 'one');
  const mirror = h.mirror();
  await assert.rejects(h.fetch(mirror, 'r'), { code: 'FL_SOURCE_DENIED' });
  const url = new URL(h.server.repoUrl('r'));
  const auth = (password: string) => ({
    type: 'http' as const,
    origin: url.origin,
    header: new Sensitive(`Authorization: Basic ${Buffer.from(`bob:${password}`).toString('base64')}`),
    secrets: new Sensitive([password]),
  });
  await assert.rejects(mirror.fetch({ url, reference: undefined, timeoutMs: 20_000, auth: auth('wrong') }), {
    code: 'FL_SOURCE_DENIED',
  });
  const right = auth('hunter2-canary');
  const encoded = right.header.reveal().split(' ').at(-1) ?? '';
  const { looks, leaks } = await spyOnProcesses(['hunter2-canary', encoded], async () => {
    for (let i = 0; i < 5; i += 1) await mirror.fetch({ url, reference: undefined, timeoutMs: 20_000, auth: right });
  });
  assert.deepEqual(leaks, [], 'neither arguments nor environment hold the credential');
  assert.ok(looks > 0, 'git was seen');
  const { stdout } = await promisify(execFile)('grep', ['-rl', 'hunter2-canary', h.dir]).catch(() => ({ stdout: '' }));
  assert.equal(stdout, '', 'no file holds the credential');
  await h.server.stop();
  await assert.rejects(h.fetch(mirror, 'r'), { code: 'FL_SOURCE_UNREACHABLE' });
});

test('a credential is not sent to another origin, and a redirect is not followed', async () => {
  const seen: (string | undefined)[] = [];
  const other = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  await using h = await gitHarness({
    intercept: (request, response) => {
      response.writeHead(302, { location: `http://127.0.0.1:${port}${request.url ?? ''}` }).end();
      return true;
    },
  });
  try {
    const url = new URL(h.server.repoUrl('r'));
    const auth = {
      type: 'http' as const,
      origin: url.origin,
      header: new Sensitive('Authorization: Bearer t0ken'),
      secrets: new Sensitive(['t0ken']),
    };
    await assert.rejects(h.mirror().fetch({ url, reference: undefined, timeoutMs: 20_000, auth }), {
      code: 'FL_SOURCE_UNREACHABLE',
      message: /redirects to another address, which is not followed/,
    });
    assert.deepEqual(seen, [], 'the other host was not even asked');
  } finally {
    await new Promise((resolve) => other.close(resolve));
  }
});

test('a server that hangs is left at the deadline, and the next fetch works', async () => {
  let isHanging = true;
  await using h = await gitHarness({ intercept: () => isHanging });
  await h.server.createRepo('r');
  const commit = await h.server.commit('r', { a: '1' }, 'one');
  const mirror = h.mirror();
  await assert.rejects(
    mirror.fetch({ url: new URL(h.server.repoUrl('r')), reference: undefined, timeoutMs: 300 }),
    (error: unknown) => {
      assert.match(String(error), /did not answer within 300ms/);
      return true;
    },
  );
  isHanging = false;
  assert.equal((await h.fetch(mirror, 'r')).commit, commit);
});

test('a lock that a killed git left, and a mirror that is broken, heal by themselves', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  await h.server.commit('r', { a: '1' }, 'one');
  const mirror = h.mirror();
  await h.fetch(mirror, 'r');
  await writeFile(join(mirror.dir, 'shallow.lock'), '');
  const two = await h.server.commit('r', { a: '2' }, 'two');
  assert.equal((await h.fetch(mirror, 'r')).commit, two);
  await writeFile(join(mirror.dir, 'HEAD'), 'rubbish');
  assert.equal((await h.fetch(mirror, 'r')).commit, two);
});

test('a repository over its size is refused and takes no room (H10)', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  await h.server.commit('r', { big: randomBytes(3 << 20) }, 'big');
  const mirror = h.mirror('small', { packBytes: 100_000 });
  await assert.rejects(h.fetch(mirror, 'r'), { code: 'FL_SOURCE_LIMIT' });
  await assert.rejects(h.fetch(mirror, 'r'), { code: 'FL_SOURCE_LIMIT' });
});

test('many packs become one, and what Releases name stays', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  const mirror = h.mirror('m', { packs: 4 });
  const commits: string[] = [];
  for (let i = 0; i < 5; i += 1) {
    await h.server.commit('r', { a: `${i}` }, `c${i}`);
    commits.push((await h.fetch(mirror, 'r')).commit);
  }
  const [, kept = '', gone = ''] = commits;
  assert.equal(await mirror.tidy(new Set([kept, commits[4] ?? ''])), true);
  assert.equal((await h.reader(mirror, kept).list('.')).length, 1);
  await assert.rejects(h.reader(mirror, gone).list('.'), { code: 'FL_SOURCE_GONE' });
  assert.equal(await mirror.tidy(new Set()), false, 'once is enough');
  await h.server.commit('r', { a: 'new' }, 'new');
  await h.fetch(mirror, 'r');
});

test('a name that we take, git takes too', async () => {
  await using h = await gitHarness();
  const names = [
    'a',
    'a/b',
    'a.b',
    'a-b',
    'ä',
    'a..b',
    '.a',
    'a.',
    'a.lock',
    'a@{b',
    '@',
    'a\\b',
    'a?b',
    'a/.b',
    'a//b',
    'a b',
    '-a',
    'a\u007f',
  ];
  for (const name of names.filter((n) => isRefName(`refs/heads/${n}`))) {
    const checked = await h.git.run(['check-ref-format', `refs/heads/${name}`], { timeoutMs: 5_000, maxOutputBytes: 1_000 });
    assert.equal(checked.exitCode, 0, name);
  }
});
