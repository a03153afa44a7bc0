import { chmodSync, copyFileSync, existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { FairleadError, type Log, type Sensitive } from '#base';
import { AUDIT_START, readAuditHead } from '../audit-chain.ts';
import { parseIndex } from '../encode.ts';
import { Connection } from '../postgres/connection.ts';
import { parseDatabaseUrl } from '../postgres/connect-options.ts';
import { checkHistory } from '../postgres/history.ts';
import { migrate } from '../postgres/migrations.ts';
import { storeError } from '../postgres/postgres-errors.ts';
import { lockHead, storable } from '../postgres/write-group.ts';
import { lockDirectory } from '../sqlite/directory-lock.ts';
import type { RevisionFloor } from '../types.ts';
import { readBackupInfo, type BackupInfo } from './backup-file.ts';
import type { DatabasePlace } from './backup-store.ts';
import { tables, type Table } from './tables.ts';

/** Without a floor nobody knows how far the lost history went. */
const JUMP = 1_000_000_000;

export interface RestoreOptions {
  /** A database that holds a plane is replaced; without this it is refused. */
  readonly replace: boolean;
  readonly floor: RevisionFloor | undefined;
  readonly log: Log;
}

/**
 * Puts a backup in the place of the database. Revisions go on beyond everything that may have been given out since; what the
 * clusters hold by now they prove themselves, and no cluster goes back. On PostgreSQL the processes of the plane may run:
 * their connections are ended, and they start over from what was restored.
 * Errors: FL_BACKUP_DAMAGED, FL_RESTORE_EXISTS, FL_STORE_LOCKED, those of opening a store.
 */
export async function restoreStore(place: DatabasePlace, from: string, options: RestoreOptions): Promise<BackupInfo> {
  const info = readBackupInfo(from);
  if (place.url === undefined) await toSqlite(place.dir ?? '', from, options.replace);
  else await toPostgres(place.url, from, info, options);
  return info;
}

function exists(where: string): FairleadError {
  return new FairleadError(
    'FL_RESTORE_EXISTS',
    `the database ${where} holds a plane; to put the backup in its place, give --replace`,
    { kind: 'conflict' },
  );
}

/** The revision floor in the key directory makes the next start jump. */
async function toSqlite(dir: string, from: string, replace: boolean): Promise<void> {
  const unlock = await lockDirectory(dir);
  try {
    const path = join(dir, 'fairlead.db');
    if (existsSync(path) && !replace) throw exists(`in ${dir}`);
    const fresh = `${path}.restored`;
    copyFileSync(from, fresh);
    chmodSync(fresh, 0o600);
    for (const side of ['-wal', '-shm']) rmSync(`${path}${side}`, { force: true });
    renameSync(fresh, path);
  } finally {
    unlock();
  }
}

async function toPostgres(url: Sensitive<string>, from: string, info: BackupInfo, options: RestoreOptions): Promise<void> {
  const address = parseDatabaseUrl(url.reveal());
  const file = new DatabaseSync(from, { readOnly: true });
  let connection: Connection | undefined;
  try {
    connection = await Connection.open(address, 'restore');
    await migrate(connection);
    await connection.query('INSERT INTO head (instance_id, audit_hash) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
      info.instanceId,
      AUDIT_START,
    ]);
    // Notes which server this is.
    await checkHistory(connection, { floor: undefined, seen: 0, log: options.log });
    await connection.query('BEGIN');
    // Nobody commits from here on.
    const head = await lockHead(connection);
    const [objects] = await connection.rows('SELECT EXISTS (SELECT 1 FROM objects) AS some');
    if (objects?.['some'] === true && !options.replace) throw exists(address.name);
    await connection.query(`TRUNCATE changes, gaps, labels, fields, ${tables.map(({ name }) => name).join(', ')}`);
    for (const table of tables) await copyTable(file, connection, table);
    const audit = readAuditHead(String(file.prepare(`SELECT value FROM meta WHERE key = 'audit'`).get()?.['value'] ?? ''));
    const floorAt = options.floor?.read() ?? 0;
    const revision = Math.max(info.revision, head.revision, floorAt) + (options.floor === undefined ? JUMP : 1_000_000);
    await connection.query(
      'UPDATE head SET instance_id = $1, revision = $2, reserved = $2, oldest = $3, audit_seq = $4, audit_hash = $5, log_bytes = 0',
      [info.instanceId, revision, info.revision, audit.seq, audit.hash],
    );
    options.floor?.reserve(revision);
    await connection.query('INSERT INTO gaps (low, high) VALUES ($1, $2)', [info.revision, revision]);
    await connection.query('UPDATE leases SET expires = 0, token = token + 1');
    await connection.query(`SELECT setval('effect_ids', greatest(1, (SELECT coalesce(max(id), 0) FROM effects)) + 1)`);
    await connection.query('COMMIT');
    // What the processes of the plane remember is of the other history.
    await connection.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()` +
        ` AND application_name LIKE 'fairlead %'`,
    );
  } catch (error) {
    throw storeError(error, 'nothing was restored');
  } finally {
    file.close();
    await connection?.close();
  }
}

async function copyTable(file: DatabaseSync, connection: Connection, table: Table): Promise<void> {
  const names = table.columns.map(([name]) => name);
  const insert = async (into: string, columns: Table['columns'], rows: readonly (readonly unknown[])[]): Promise<void> => {
    if (rows.length === 0) return;
    const values = columns.map((_, at) => rows.map((row) => row[at]));
    await connection.query(
      `INSERT INTO ${into} (${columns.map(([name]) => name).join(', ')}) SELECT * FROM unnest(${columns.map(([, type], at) => `$${at + 1}::${type}[]`).join(', ')})`,
      values,
    );
  };
  const flush = async (page: readonly (readonly unknown[])[]): Promise<void> => {
    await insert(table.name, table.columns, page);
    if (table.name !== 'objects') return;
    for (const [which, into] of ['labels', 'fields'].entries()) {
      const rows = page.flatMap(([kind, namespace, name, , indexed]) =>
        (parseIndex(String(indexed))[which] ?? []).map(([key, value]) => [kind, storable(key), storable(value), namespace, name]),
      );
      await insert(into, indexColumns, rows);
    }
  };
  let page: unknown[][] = [];
  const statement = file.prepare(`SELECT ${names.join(', ')} FROM ${table.name} ORDER BY ${table.key.join(', ')}`);
  for (const row of statement.iterate()) {
    page.push(
      names.map((name) => {
        const value = row[name];
        return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value;
      }),
    );
    if (page.length < table.page) continue;
    await flush(page);
    page = [];
  }
  await flush(page);
}

const indexColumns: Table['columns'] = [
  ['kind', 'text'],
  ['key', 'text'],
  ['value', 'text'],
  ['namespace', 'text'],
  ['name', 'text'],
];
