import { mkdir, open, readFile, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { FairleadError } from '#base';

/** f_type of file systems whose locks or fsync cannot be trusted. Source: linux/magic.h, statfs(2). */
const networkFileSystems: ReadonlyMap<number, string> = new Map([
  [0x6969, 'nfs'],
  [0xff534d42, 'cifs'],
  [0xfe534d42, 'smb2'],
  [0x517b, 'smb'],
  [0x564c, 'ncp'],
  [0x65735546, 'fuse'],
  [0x01021997, '9p'],
  [0x00c36400, 'ceph'],
  [0x5346414f, 'afs'],
  [0x0bd00bd0, 'lustre'],
  [0x47504653, 'gpfs'],
  [0xaad7aaea, 'panfs'],
]);

export function networkFileSystem(type: number): string | undefined {
  return networkFileSystems.get(type >>> 0);
}

/**
 * Makes `dir` ours alone until the returned function is called or this process dies. The kernel keeps the lock (a SQLite
 * transaction on a file of its own), so no stale lock is ever left. Errors: FL_STORE_LOCKED, FL_STORE_NETWORK_FS.
 */
export async function lockDirectory(dir: string): Promise<() => void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const network = networkFileSystem((await statfs(dir)).type);
  if (network !== undefined) {
    throw new FairleadError(
      'FL_STORE_NETWORK_FS',
      `the database directory ${dir} is on ${network}, where SQLite is not safe; use a local disk, or PostgreSQL`,
      { kind: 'invalid' },
    );
  }
  const path = join(dir, 'lock');
  await (await open(path, 'a', 0o600)).close();
  const lock = new DatabaseSync(path, { timeout: 0 });
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    lock.close();
    const owner = await readFile(join(dir, 'lock.pid'), 'utf8').catch(() => 'unknown');
    throw new FairleadError(
      'FL_STORE_LOCKED',
      `the database in ${dir} is in use by process ${owner.trim()}; stop that process, or give this one another directory`,
      { kind: 'conflict', cause },
    );
  }
  await writeFile(join(dir, 'lock.pid'), `${process.pid}\n`, { mode: 0o600 });
  return () => lock.close();
}
