import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairleadError, sha256 } from '#base';
import { mountFiles, type Mount } from './mounted-files.ts';
import { collectFiles, treeKey } from './render-files.ts';
import type { SnapshotFiles } from './snapshot-files.ts';

/** A snapshot in memory that counts what it is asked to list. */
function snapshot(commit: string, files: Readonly<Record<string, string>>, listed: string[] = []): SnapshotFiles {
  const oid = (path: string): string => sha256(files[path] ?? '');
  const below = (path: string): [string, string][] => {
    if (path.startsWith('/') || path.split('/').includes('..')) throw absent(path, commit);
    const prefix = path === '.' || path === '' ? '' : `${path}/`;
    const found = Object.keys(files).filter((name) => name.startsWith(prefix));
    if (found.length === 0) throw absent(path, commit);
    return found.map((name) => [name.slice(prefix.length), name]);
  };
  return {
    commit,
    treeHash: async (path) => sha256(JSON.stringify(below(path).map(([name, whole]) => [name, oid(whole)]))),
    async list(path) {
      listed.push(`${commit}:${path}`);
      return below(path).map(([name, whole]) => ({ path: name, oid: oid(whole), bytes: files[whole]?.length ?? 0 }));
    },
    find: async (path) => (path in files ? { path, oid: oid(path), bytes: files[path]?.length ?? 0 } : undefined),
    async read(wanted) {
      const byOid = new Map(Object.keys(files).map((path) => [oid(path), Buffer.from(files[path] ?? '')]));
      return new Map(wanted.flatMap((file) => (byOid.has(file.oid) ? [[file.oid, byOid.get(file.oid) ?? Buffer.alloc(0)]] : [])));
    },
  };
}

function absent(path: string, commit: string): FairleadError {
  return new FairleadError('FL_RENDER_NO_PATH', path, { kind: 'not-found', details: { path, commit, source: 'a source' } });
}

const chart = { 'Chart.yaml': 'name: web', 'templates/a.yaml': 'a: 1', 'values.yaml': 'x: 1' };
const values = { 'envs/prod.yaml': 'x: 2', 'envs/dev.yaml': 'x: 3', 'secret/other.yaml': 'no' };
const mount = (at: string, files: SnapshotFiles, path = '.'): Mount => ({ at, snapshot: files, path, shown: `source at ${at}` });

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => assert.fail('it was not refused'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof FairleadError);
  return `${error.code}: ${error.message}`;
}

test('files of two sources are found side by side, and read where they are from', async () => {
  const both = await mountFiles(mount('web', snapshot('c', chart)), [mount('values', snapshot('v', values), 'envs')]);
  assert.equal(both.commit, 'c');
  assert.deepEqual(
    (await both.list('.')).map(({ path }) => path),
    ['values/dev.yaml', 'values/prod.yaml', 'web/Chart.yaml', 'web/templates/a.yaml', 'web/values.yaml'],
  );
  assert.deepEqual(
    (await both.list('web/templates')).map(({ path }) => path),
    ['a.yaml'],
  );
  const found = await both.find('values/prod.yaml');
  assert.ok(found !== undefined);
  assert.equal(found.path, 'values/prod.yaml');
  const own = await both.find('web/values.yaml');
  assert.ok(own !== undefined);
  const contents = await both.read([found, own]);
  assert.deepEqual([...contents.values()].map(String).sort(), ['x: 1', 'x: 2']);
  assert.equal(await both.find('values/other.yaml'), undefined, 'what is beside the path is not there');
});

test('no path leads out of what is mounted', async () => {
  const both = await mountFiles(mount('web', snapshot('c', chart)), [mount('values', snapshot('v', values), 'envs')]);
  assert.equal(await both.find('values/../secret/other.yaml'), undefined);
  await assert.rejects(both.list('values/../../secret'), { code: 'FL_RENDER_NO_PATH' });
  await assert.rejects(both.list('/values'), { code: 'FL_RENDER_NO_PATH' });
  await assert.rejects(both.list('elsewhere'), { code: 'FL_RENDER_NO_PATH' });
});

test('a directory that is there already, or below a file, is refused, and so is a path that does not exist', async () => {
  const taken = snapshot('c0ffee', { 'values/x.yaml': '1', conf: '1' });
  const other = snapshot('v', values);
  assert.match(
    await refusal(mountFiles(mount('', taken), [mount('values', other, 'envs')])),
    /^FL_SOURCE_FILES_TAKEN: the files of source at values cannot be at values: source at  has something there at c0ffee; choose another/,
  );
  assert.match(await refusal(mountFiles(mount('', taken), [mount('conf/eu', other)])), /^FL_SOURCE_FILES_TAKEN/);
  assert.match(await refusal(mountFiles(mount('web', snapshot('c', chart)), [mount('web', other)])), /^FL_SOURCE_FILES_TAKEN/);
  assert.match(
    await refusal(mountFiles(mount('web', snapshot('c', chart)), [mount('web/templates', other)])),
    /^FL_SOURCE_FILES_TAKEN/,
  );
  assert.match(await refusal(mountFiles(mount('', taken), [mount('free', other, 'none')])), /^FL_RENDER_NO_PATH/);
});

test('what an application reads of the other source changes its key, and nothing else does', async () => {
  const keyWith = async (more: Readonly<Record<string, string>>): Promise<string> => {
    const both = await mountFiles(mount('web', snapshot('c', chart)), [
      mount('values', snapshot('v', { ...values, ...more }), 'envs'),
    ]);
    const { outside } = await collectFiles(both, { path: 'web', named: ['values/prod.yaml'], follows: true });
    return treeKey(both, 'web', outside);
  };
  const before = await keyWith({});
  assert.equal(await keyWith({ 'envs/dev.yaml': 'changed', 'README.md': 'changed' }), before);
  assert.notEqual(await keyWith({ 'envs/prod.yaml': 'changed' }), before);
});

test('files mounted inside of a path are part of it and of its key', async () => {
  const both = async (content: string): Promise<SnapshotFiles> =>
    mountFiles(mount('', snapshot('c', { 'apps/web/a.yaml': '1' })), [
      mount('apps/web/more', snapshot('v', { 'b.yaml': content })),
    ]);
  const first = await both('1');
  assert.deepEqual(
    (await first.list('apps/web')).map(({ path }) => path),
    ['a.yaml', 'more/b.yaml'],
  );
  assert.notEqual(await first.treeHash('apps/web'), await (await both('2')).treeHash('apps/web'));
  assert.equal(await first.treeHash('apps/web'), await (await both('1')).treeHash('apps/web'));
});

test('an application that is rendered from its own source alone lists no more than before', async () => {
  const own = snapshot('c', chart);
  assert.equal(await mountFiles(mount('', own), []), own);
  const listed: string[] = [];
  const both = await mountFiles(mount('web', snapshot('c', chart, listed)), [
    mount('values', snapshot('v', values, listed), 'envs'),
  ]);
  await collectFiles(both, { path: 'web', named: ['values/prod.yaml'], follows: true });
  assert.deepEqual(listed, ['c:.'], 'the other source is asked for the one file');
});
