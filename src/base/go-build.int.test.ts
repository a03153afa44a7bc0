import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { exec } from './exec.ts';
import { goBuild, type GoBuildOptions } from './go-build.ts';

async function moduleOf(t: TestContext, main: string): Promise<GoBuildOptions> {
  const directory = await mkdtemp(join(tmpdir(), 'fairlead-go-build-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const sourceDir = join(directory, 'source');
  await mkdir(sourceDir);
  await writeFile(join(sourceDir, 'go.mod'), 'module example.org/hello\n\ngo 1.26.0\n');
  await writeFile(join(sourceDir, 'main.go'), main);
  return { name: 'hello', sourceDir, args: ['-trimpath', '.'], outName: 'hello', cacheDir: join(directory, 'cache') };
}

const hello = (text: string): string => `package main\n\nfunc main() { println("${text}") }\n`;

async function says(program: string): Promise<string> {
  const result = await exec(program, [], { env: {}, timeoutMs: 10_000, maxOutputBytes: 1_000 });
  return result.stderr.trim();
}

test('a program is built once per content, by one of those who want it', async (t) => {
  const options = await moduleOf(t, hello('one'));
  let builds = 0;
  const onProgress = (line: string): void => void (builds += line.startsWith('built ') ? 1 : 0);
  const paths = await Promise.all([1, 2, 3].map(() => goBuild({ ...options, onProgress })));
  assert.equal(new Set(paths).size, 1);
  assert.equal(builds, 1);
  assert.equal(await says(paths[0] ?? ''), 'one');
  assert.equal(await goBuild({ ...options, onProgress }), paths[0]);
  assert.equal(builds, 1);
  await writeFile(join(options.sourceDir, 'main_test.go'), 'package main\n');
  assert.equal(await goBuild({ ...options, onProgress }), paths[0], 'tests are no source');
  await writeFile(join(options.sourceDir, 'main.go'), hello('two'));
  const other = await goBuild({ ...options, onProgress });
  assert.notEqual(other, paths[0]);
  assert.equal(await says(other), 'two');
  const left = await readdir(join(options.cacheDir ?? '', 'hello'));
  assert.deepEqual(
    left.filter((name) => !/^[0-9a-f]{32}$/.test(name)),
    ['build.lock'],
    'no half-built directory is left',
  );
});

test('what a killed build left is removed by the next, and only the last few builds are kept', async (t) => {
  const options = { ...(await moduleOf(t, hello('0'))), alsoAs: ['greet'] };
  const root = join(options.cacheDir ?? '', 'hello');
  await mkdir(join(root, 'building-abc'), { recursive: true });
  let path = '';
  for (let build = 0; build < 5; build += 1) {
    await writeFile(join(options.sourceDir, 'main.go'), hello(String(build)));
    path = await goBuild(options);
  }
  assert.equal((await readdir(root)).filter((name) => name !== 'build.lock').length, 4);
  assert.equal(await says(join(dirname(path), 'greet')), '4');
});

test('a compile error is named with its place, and leaves nothing', async (t) => {
  const options = await moduleOf(t, 'package main\n\nfunc main() { nothing() }\n');
  await assert.rejects(goBuild(options), (error: Error & { code?: string }) => {
    assert.equal(error.code, 'FL_BUILD_FAILED');
    assert.match(error.message, /main\.go:3:15: undefined: nothing/);
    return true;
  });
  assert.deepEqual(await readdir(join(options.cacheDir ?? '', 'hello')), ['build.lock']);
});

test('without Go it says what is missing and how to get it', async (t) => {
  const options = await moduleOf(t, hello('one'));
  const path = process.env['PATH'];
  process.env['PATH'] = '/nonexistent';
  t.after(() => (process.env['PATH'] = path));
  await assert.rejects(goBuild(options), {
    code: 'FL_BUILD_GO_MISSING',
    message:
      'cannot build hello: the go command is not on PATH; install Go 1.26 or later from https://go.dev/dl and put its bin directory on PATH',
  });
});
