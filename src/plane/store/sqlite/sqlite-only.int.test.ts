import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { codeOf, messageOf, systemClock, waitFor } from '#base';
import { openKeys } from '#plane/keys';
import type { Store } from '../types.ts';
import { commit, key, put, remove, Widget, widget } from '../testing/contract-kit.ts';
import { networkFileSystem } from './directory-lock.ts';
import { openSqliteStore } from './sqlite-store.ts';

async function inDirectory(task: (dir: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-store-'));
  try {
    await task(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

test('a second process is refused with one sentence that names the first', () =>
  inDirectory(async (dir) => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('../testing/crash-child.ts', import.meta.url)), JSON.stringify({ location: { dir }, writers: 1 })],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(child.stdout, 'data');
    await assert.rejects(openSqliteStore({ dir }), (error) => {
      assert.equal(codeOf(error), 'FL_STORE_LOCKED');
      assert.match(messageOf(error), new RegExp(`in use by process ${child.pid};`));
      return true;
    });
    child.kill('SIGKILL');
    await once(child, 'exit');
    // The kernel let go of the lock: nothing to clean up.
    await (await openSqliteStore({ dir, kinds: [Widget] })).close();
  }));

test('the same process cannot open a database twice either', () =>
  inDirectory(async (dir) => {
    const store = await openSqliteStore({ dir });
    await assert.rejects(openSqliteStore({ dir }), (error) => codeOf(error) === 'FL_STORE_LOCKED');
    await store.close();
    await (await openSqliteStore({ dir })).close();
  }));

test('network file systems are known by their magic numbers', () => {
  assert.equal(networkFileSystem(0x6969), 'nfs');
  // statfs gives the number signed on some systems.
  assert.equal(networkFileSystem(0xff534d42 | 0), 'cifs');
  assert.equal(networkFileSystem(0xef53), undefined, 'ext4 is local');
  assert.equal(networkFileSystem(0x01021994), undefined, 'tmpfs is local');
});

test('only the owner may read the database', () =>
  inDirectory(async (dir) => {
    const store = await openSqliteStore({ dir: join(dir, 'db') });
    await commit(store, { write: [put('a')] });
    assert.equal((await stat(join(dir, 'db'))).mode & 0o777, 0o700);
    for (const file of ['fairlead.db', 'fairlead.db-wal', 'lock', 'lock.pid']) {
      assert.equal((await stat(join(dir, 'db', file))).mode & 0o777, 0o600, file);
    }
    await store.close();
  }));

test('a database of a newer version is refused and left alone', () =>
  inDirectory(async (dir) => {
    await (await openSqliteStore({ dir })).close();
    const path = join(dir, 'fairlead.db');
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 999');
    database.close();
    const before = await readFile(path);
    await assert.rejects(openSqliteStore({ dir }), (error) => codeOf(error) === 'FL_STORE_NEWER');
    assert.deepEqual(await readFile(path), before);
  }));

test('a file that is no database is refused, and the lock is let go', () =>
  inDirectory(async (dir) => {
    await writeFile(join(dir, 'fairlead.db'), 'this is a text, and long enough to be taken for a header of something'.repeat(20));
    await assert.rejects(openSqliteStore({ dir }));
    await rm(join(dir, 'fairlead.db'));
    await (await openSqliteStore({ dir })).close();
  }));

test('a field that becomes selectable is found in objects stored before', () =>
  inDirectory(async (dir) => {
    const before = { ...Widget, selectable: [] };
    const first = await openSqliteStore({ dir, kinds: [before] });
    await commit(first, { write: [{ op: 'put', kind: before, object: widget('a', { spec: { cluster: 'c1' } }) }] });
    await first.close();
    const second = await openSqliteStore({ dir, kinds: [Widget] });
    const found = await second.list(Widget, { fields: [{ path: 'spec.cluster', operator: '=', value: 'c1' }] });
    assert.equal(found.items.length, 1);
    await second.close();
  }));

test('a database restored from an older copy gives out no revision a second time', () =>
  inDirectory(async (dir) => {
    const open = async () => {
      const keys = await openKeys({ dir: join(dir, 'keys'), clock: systemClock });
      return openSqliteStore({ dir: join(dir, 'db'), kinds: [Widget], revisionFloor: keys.revisionFloor });
    };
    const first = await open();
    const saved = await commit(first, { write: [put('a')] });
    await first.close();
    await cp(join(dir, 'db'), join(dir, 'copy'), { recursive: true });
    const second = await open();
    const lost = await commit(second, { write: [put('b')] });
    await second.close();
    await rm(join(dir, 'db'), { recursive: true });
    await cp(join(dir, 'copy'), join(dir, 'db'), { recursive: true });
    const restored = await open();
    assert.equal(await restored.get(Widget, key('b')), undefined);
    assert.ok((await commit(restored, { write: [put('c')] })) > lost);
    // Whoever has seen the lost commit must list again; whoever was there before goes on.
    const next = (after: number) => restored.changes(after, [Widget], AbortSignal.timeout(5_000))[Symbol.asyncIterator]().next();
    await assert.rejects(next(lost), (error) => codeOf(error) === 'FL_STORE_COMPACTED');
    assert.equal((await next(saved)).value?.[0]?.key.name, 'c');
    await restored.close();
  }));

test('a full disk refuses commits by name, serves reads, and heals by itself', async (context) => {
  await onMount(context, 'tmpfs', async (mount) => {
    const dir = join(mount, 'db');
    await using store = closing(await openSqliteStore({ dir, kinds: [Widget], logMaxBytes: 200_000 }));
    await commit(store, { write: [put('a', { spec: { size: 1 } })] });
    await writeFile(join(mount, 'ballast'), Buffer.alloc(3_000_000));
    let written = 0;
    const fill = async (): Promise<void> => {
      while (written < 1_000) {
        const text = String(written).padEnd(30_000, 'x');
        await commit(store, { write: [put(`n${written}`, { spec: { text } })] });
        written += 1;
      }
    };
    await assert.rejects(fill(), (error) => codeOf(error) === 'FL_STORE_FULL');
    assert.equal((await store.get(Widget, key('a')))?.spec.size, 1);
    assert.equal(store.revision(), written + 1);
    await rm(join(mount, 'ballast'));
    await waitFor('space to be used', () => commit(store, { write: [remove('n0')] }), { timeoutMs: 5_000 });
    assert.equal((await store.list(Widget)).items.length, written);
    assert.deepEqual(
      (await store.list(Widget)).items.filter((item) => item.metadata.name === 'n0'),
      [],
    );
  });
});

test('a file system that turned read-only refuses commits by name and serves reads', async (context) => {
  await onMount(context, 'ext4', async (mount) => {
    await using store = closing(await openSqliteStore({ dir: join(mount, 'db'), kinds: [Widget] }));
    await commit(store, { write: [put('a')] });
    // What the kernel does when the disk fails under a file system with errors=remount-ro.
    execFileSync('mount', ['-o', 'remount,abort', mount], { stdio: 'ignore' });
    await assert.rejects(store.commit({ write: [put('b')] }), (error) => codeOf(error) === 'FL_STORE_READONLY');
    assert.ok(await store.get(Widget, key('a')));
    assert.equal(store.revision(), 1);
  });
});

/** Closes the store also when an assertion failed: an open one keeps the test process alive. */
function closing(store: Store): Store & AsyncDisposable {
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() });
}

/** A small file system of its own, 5 MB in memory or 20 MB ext4 in a file; skipped where this user may not mount. */
async function onMount(
  context: { skip(message: string): void },
  type: 'tmpfs' | 'ext4',
  task: (mount: string) => Promise<void>,
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-disk-'));
  const mount = join(dir, 'mount');
  try {
    await mkdir(mount);
    if (type === 'tmpfs') {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=5m', 'tmpfs', mount], { stdio: 'ignore' });
    } else {
      await writeFile(join(dir, 'image'), '');
      await truncate(join(dir, 'image'), 20_000_000);
      execFileSync('mkfs.ext4', ['-q', join(dir, 'image')], { stdio: 'ignore' });
      execFileSync('mount', ['-o', 'loop,errors=remount-ro', join(dir, 'image'), mount], { stdio: 'ignore' });
    }
  } catch {
    await rm(dir, { recursive: true });
    context.skip('this user may not mount a file system');
    return;
  }
  try {
    await task(mount);
  } finally {
    execFileSync('umount', ['-l', mount], { stdio: 'ignore' });
    await rm(dir, { recursive: true });
  }
}
