import assert from 'node:assert/strict';
import { access, readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { say } from '#api';
import { FairleadError } from '#base';
import type { GitContent } from '#testbed';
import { gitHarness, type GitHarness } from './testing/harness.ts';

/** What a person reads when `path` of `repo` is listed and read. */
async function wordsFor(h: GitHarness, repo: string, path: string, limits = {}): Promise<string> {
  const mirror = h.mirror(repo);
  const { commit } = await h.fetch(mirror, repo);
  const reader = h.reader(mirror, commit, limits);
  const error = await reader
    .list(path)
    .then((files) => reader.read(files))
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  assert.ok(error instanceof FairleadError, `${repo}: nothing was refused`);
  return say({ code: error.code, args: error.details });
}

test('a link, a submodule, a pointer or an unreadable name is one sentence that names the file', async () => {
  await using h = await gitHarness();
  const cases: readonly (readonly [string, Readonly<Record<string, GitContent>>, RegExp, (readonly Uint8Array[])?])[] = [
    ['h1', { 'app/passwd.yaml': { symlink: '/etc/passwd' } }, /app\/passwd\.yaml is a symbolic link/],
    ['h2', { 'app/a': { symlink: 'b' }, 'app/b': { symlink: 'a' } }, /app\/a is a symbolic link/],
    ['h3', { 'real/x.yaml': 'a: 1', app: { symlink: 'real' } }, /app is a symbolic link/],
    ['h6', { 'app/sub': { submodule: '1'.repeat(40) } }, /app\/sub is a submodule/],
    [
      'h9',
      { 'app/big.yaml': 'version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n' },
      /^app\/big\.yaml is a Git LFS pointer/,
    ],
    ['h5a', { 'app/new\nline.yaml': 'a: 1' }, /app\/new\\u000aline\.yaml is a file whose name holds control/],
    ['h5b', { 'app/\u202etxt.yaml': 'a: 1' }, /name holds control characters/],
    ['h5c', { [`app/${`${'d'.repeat(200)}/`.repeat(6)}x.yaml`]: 'a: 1' }, /longer than 1024/],
    ['h5d', {}, /not UTF-8/, [Buffer.concat([Buffer.from('app/'), Buffer.from([0xff, 0xfe]), Buffer.from('.yaml')])]],
    ['h0', { app: 'a file' }, /app is a file where a directory is wanted/],
    ['hn', { other: 'a file' }, /app does not exist in fleet at [0-9a-f]{12}/],
  ];
  for (const [repo, files, words, raw] of cases) {
    await h.server.createRepo(repo);
    await h.server.commit(repo, files, repo, raw === undefined ? {} : { rawPaths: raw.map((path) => [path, 'a: 1'] as const) });
    assert.match(await wordsFor(h, repo, 'app'), words);
  }
});

test('limits name what, how much and how much is allowed', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  const files = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`many/${i}.yaml`, `a: ${i}`]));
  await h.server.commit(
    'r',
    { ...files, 'big/x.yaml': 'x'.repeat(5_000), 'sum/a': 'x'.repeat(900), 'sum/b': 'y'.repeat(900) },
    'r',
  );
  assert.match(
    await wordsFor(h, 'r', 'many', { files: 10 }),
    /number of files under many is more than 10, allowed 10|is more than 10, allowed 10/,
  );
  assert.match(await wordsFor(h, 'r', 'big', { fileBytes: 1_000 }), /big\/x\.yaml, in bytes, is 5000, allowed 1000/);
  assert.match(await wordsFor(h, 'r', 'sum', { pathBytes: 1_000 }), /under sum, in bytes, is 1800, allowed 1000/);
});

test('a directory that is endless when it is walked is left in time (H10)', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('deep');
  await h.server.commit('deep', { [`app/${'d/'.repeat(300)}x.yaml`]: 'a: 1' }, 'deep');
  assert.match(await wordsFor(h, 'deep', 'app'), /depth of directories under app is more than 200, allowed 200/);
  // Ten directories, each ten times the one before: a kilobyte of objects, ten billion files.
  await h.server.createRepo('wide');
  let oid = (await h.server.git('wide', ['hash-object', '-w', '--stdin'], 'a: 1')).trim();
  let kind = '100644 blob';
  for (let level = 0; level < 10; level += 1) {
    const entries = Array.from({ length: 10 }, (_, i) => `${kind} ${oid}\td${i}${level === 0 ? '.yaml' : ''}\n`).join('');
    oid = (await h.server.git('wide', ['mktree'], entries)).trim();
    kind = '040000 tree';
  }
  const root = (await h.server.git('wide', ['mktree'], `040000 tree ${oid}\tapp\n`)).trim();
  const commit = (await h.server.git('wide', ['commit-tree', root, '-m', 'bomb'])).trim();
  await h.server.git('wide', ['update-ref', 'refs/heads/main', commit]);
  assert.match(await wordsFor(h, 'wide', 'app'), /number of files under app is more than 5000, allowed 5000/);
});

test('a path that climbs, or asks git a second question, does not exist', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  await h.server.commit('r', { 'app/a.yaml': 'a: 1' }, 'r');
  const mirror = h.mirror();
  const { commit } = await h.fetch(mirror, 'r');
  for (const path of ['../x', 'app/../..', '/etc', 'app\n', ':(glob)**', '-r', 'app\0']) {
    await assert.rejects(h.reader(mirror, commit).treeHash(path), { code: 'FL_RENDER_NO_PATH' }, JSON.stringify(path));
  }
  const reader = h.reader(mirror, commit);
  const [whole, app, same] = await Promise.all([reader.treeHash('.'), reader.treeHash('app'), reader.treeHash('./app/')]);
  assert.equal(app, same);
  assert.notEqual(whole, app);
});

test('objects that break the rules of Git do not come in (H6, H13)', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('dotdot');
  const blob = (await h.server.git('dotdot', ['hash-object', '-w', '--stdin'], 'x')).trim();
  const treeBytes = Buffer.concat([Buffer.from('100644 ..\0'), Buffer.from(blob, 'hex')]);
  const tree = (await h.server.git('dotdot', ['hash-object', '-t', 'tree', '-w', '--stdin', '--literally'], treeBytes)).trim();
  const commit = (await h.server.git('dotdot', ['commit-tree', tree, '-m', 'evil'])).trim();
  await h.server.git('dotdot', ['update-ref', 'refs/heads/main', commit]);
  await assert.rejects(h.fetch(h.mirror('dotdot'), 'dotdot'), { code: 'FL_SOURCE_REFUSED' });

  await h.server.createRepo('modules');
  await h.server.commit(
    'modules',
    { '.gitmodules': '[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch\n', 'a.yaml': 'a: 1' },
    'evil',
  );
  await assert.rejects(h.fetch(h.mirror('modules'), 'modules'), { code: 'FL_SOURCE_REFUSED' });
});

test('hooks, filters and configuration of a repository do nothing (H13)', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  const marker = `${h.dir}/ran`;
  await h.server.commit(
    'r',
    {
      '.gitattributes': '* filter=evil diff=evil\n',
      'app/.gitconfig': `[core]\n\tfsmonitor = touch ${marker}\n`,
      'app/config': `[filter "evil"]\n\tsmudge = touch ${marker}\n`,
      'app/hooks/post-checkout': { executable: `#!/bin/sh\ntouch ${marker}\n` },
      'app/a.yaml': 'a: 1\n',
    },
    'evil',
  );
  const mirror = h.mirror();
  const { commit } = await h.fetch(mirror, 'r');
  const reader = h.reader(mirror, commit);
  const contents = await reader.read(await reader.list('.'));
  assert.equal(contents.size, 5);
  await assert.rejects(access(marker));
  assert.ok(!(await readdir(mirror.dir)).includes('hooks'), 'no hook of a template either');
});

test('a blob that inflates to gigabytes is refused by its size, unread (H10)', async () => {
  await using h = await gitHarness();
  await h.server.createRepo('r');
  await h.server.commit('r', { 'app/zeros.yaml': Buffer.alloc(60 << 20) }, 'bomb');
  assert.match(await wordsFor(h, 'r', 'app'), /zeros\.yaml, in bytes, is 62914560, allowed 8388608/);
});
