import { join } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { existsSync } from 'node:fs';
import { FairleadError, rfc3339, type Clock, type Sensitive } from '#base';
import { parseIndex } from '../encode.ts';
import { Connection } from '../postgres/connection.ts';
import { parseDatabaseUrl } from '../postgres/connect-options.ts';
import { storeError } from '../postgres/postgres-errors.ts';
import { migrate } from '../sqlite/migrations.ts';
import { writeBackupFile, type BackupInfo } from './backup-file.ts';
import { tables } from './tables.ts';

/** One of the two databases. */
export interface DatabasePlace {
  readonly dir?: string;
  readonly url?: Sensitive<string>;
}

/**
 * Writes one state of the database, while the plane goes on, into a file that either database can be restored from: a
 * SQLite database. Errors: FL_BACKUP_FILE, FL_BACKUP_NOTHING, those of opening a store.
 */
export function backupStore(place: DatabasePlace, out: string, clock: Clock): Promise<BackupInfo> {
  const { url, dir } = place;
  return writeBackupFile(out, (temporary) =>
    url === undefined ? copySqlite(join(dir ?? '', 'fairlead.db'), temporary, clock) : dumpPostgres(url, temporary, clock),
  );
}

function copySqlite(from: string, to: string, clock: Clock): void {
  if (!existsSync(from)) {
    throw new FairleadError('FL_BACKUP_NOTHING', `there is no database at ${from}; give the --data directory of the plane`, {
      kind: 'not-found',
    });
  }
  // A reader beside the plane's own connections: one read transaction sees one state, and holds nobody up.
  const database = new DatabaseSync(from, { readOnly: true, timeout: 10_000 });
  try {
    database.prepare('VACUUM INTO ?').run(to);
  } finally {
    database.close();
  }
  const copy = new DatabaseSync(to);
  try {
    copy.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)').run('backupAt', rfc3339(clock.now()));
  } finally {
    copy.close();
  }
}

async function dumpPostgres(url: Sensitive<string>, to: string, clock: Clock): Promise<void> {
  const address = parseDatabaseUrl(url.reveal());
  let connection: Connection | undefined;
  const file = new DatabaseSync(to);
  try {
    migrate(file);
    connection = await Connection.open(address, 'backup');
    // One snapshot for all of it. The lock of the head row is not taken: the plane goes on writing.
    await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    // These columns are in every schema: a new program backs up what an old one keeps, before the upgrade.
    const [head] = await connection.rows('SELECT instance_id, revision, audit_seq, audit_hash FROM head');
    file.exec('BEGIN');
    const meta = file.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)');
    for (const [key, value] of [
      ['instanceId', String(head?.['instance_id'])],
      ['revision', String(head?.['revision'])],
      ['oldest', String(head?.['revision'])],
      ['audit', `${String(head?.['audit_seq'])} ${String(head?.['audit_hash'])}`],
      ['backupAt', rfc3339(clock.now())],
    ] as const) {
      meta.run(key, value);
    }
    for (const table of tables) {
      const names = table.columns.map(([name]) => name);
      const insert = file.prepare(`INSERT INTO ${table.name} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`);
      await connection.query(`DECLARE rows NO SCROLL CURSOR FOR SELECT ${names.join(', ')} FROM ${table.name}`);
      for (;;) {
        const rows = await connection.rows(`FETCH ${table.page} FROM rows`);
        for (const row of rows) {
          insert.run(...names.map((name) => (row[name] ?? null) as SQLInputValue));
          if (table.name === 'objects') indexRows(file, row);
        }
        if (rows.length < table.page) break;
      }
      await connection.query('CLOSE rows');
    }
    file.exec('COMMIT');
    await connection.query('COMMIT');
  } catch (error) {
    throw storeError(error, 'the backup was not written');
  } finally {
    file.close();
    await connection?.close();
  }
}

function indexRows(file: DatabaseSync, row: Readonly<Record<string, unknown>>): void {
  const [labels, fields] = parseIndex(String(row['indexed']));
  for (const [table, pairs] of [
    ['labels', labels],
    ['fields', fields],
  ] as const) {
    for (const [key, value] of pairs) {
      file
        .prepare(`INSERT OR REPLACE INTO ${table} (kind, key, value, namespace, name) VALUES (?, ?, ?, ?, ?)`)
        .run(String(row['kind']), key, value, String(row['namespace']), String(row['name']));
    }
  }
}
