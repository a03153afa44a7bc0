import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { FairleadError, messageOf } from '#base';

/** What a backup says of itself. */
export interface BackupInfo {
  readonly instanceId: string;
  readonly revision: number;
  /** RFC 3339. */
  readonly at: string;
  readonly objects: number;
  readonly blobs: number;
  readonly bytes: number;
}

/**
 * Writes a file whole or not at all: `fill` writes a temporary one beside it, which is checked, made durable and given its
 * name. Errors: FL_BACKUP_FILE.
 */
export async function writeBackupFile(path: string, fill: (temporary: string) => Promise<void> | void): Promise<BackupInfo> {
  if (existsSync(path)) {
    throw new FairleadError('FL_BACKUP_FILE', `${path} is there already; a backup overwrites nothing, give another name`, {
      kind: 'conflict',
    });
  }
  const temporary = `${path}.${process.pid}.part`;
  try {
    // Only its owner may read it.
    closeSync(openSync(temporary, 'wx', 0o600));
    await fill(temporary);
    const info = readBackupInfo(temporary);
    sync(temporary);
    renameSync(temporary, path);
    sync(dirname(path));
    return info;
  } catch (cause) {
    if (cause instanceof FairleadError) throw cause;
    throw new FairleadError('FL_BACKUP_FILE', `cannot write the backup ${path}: ${messageOf(cause)}`, {
      kind: 'unavailable',
      cause,
    });
  } finally {
    rmSync(temporary, { force: true });
    for (const side of ['-wal', '-shm', '-journal']) rmSync(`${temporary}${side}`, { force: true });
  }
}

/** Reads what a backup is and that its pages are sound. Error: FL_BACKUP_DAMAGED. */
export function readBackupInfo(path: string): BackupInfo {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path, { readOnly: true });
    const verdict = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
    if (verdict !== 'ok') throw new Error(String(verdict));
    const meta = (key: string): string => {
      const value = database?.prepare('SELECT value FROM meta WHERE key = ?').get(key)?.['value'];
      if (typeof value !== 'string') throw new Error(`it has no ${key}`);
      return value;
    };
    const count = (table: string): number => Number(database?.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']);
    const pages = Number(database.prepare('PRAGMA page_count').get()?.['page_count']);
    return {
      instanceId: meta('instanceId'),
      revision: Number(meta('revision')),
      at: meta('backupAt'),
      objects: count('objects'),
      blobs: count('blobs'),
      bytes: pages * Number(database.prepare('PRAGMA page_size').get()?.['page_size']),
    };
  } catch (cause) {
    throw new FairleadError('FL_BACKUP_DAMAGED', `${path} is no backup of a plane, or it is damaged: ${messageOf(cause)}`, {
      kind: 'invalid',
      cause,
    });
  } finally {
    database?.close();
  }
}

function sync(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
