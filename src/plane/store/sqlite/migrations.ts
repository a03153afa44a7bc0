import type { DatabaseSync } from 'node:sqlite';
import { FairleadError } from '#base';

/**
 * Forward only, numbered by position, each in one transaction with its number. Never change one that was released: add
 * another.
 */
const migrations: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE kinds (kind TEXT PRIMARY KEY, selectable TEXT NOT NULL) WITHOUT ROWID;

  CREATE TABLE objects (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    indexed TEXT NOT NULL, -- what labels and fields hold for it, so that most updates leave them alone
    text TEXT NOT NULL,
    UNIQUE (kind, namespace, name)
  );
  -- Key order inside a value, so that a selective page needs no sort.
  CREATE TABLE labels (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (kind, key, value, namespace, name)
  ) WITHOUT ROWID;
  CREATE TABLE fields (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    PRIMARY KEY (kind, key, value, namespace, name)
  ) WITHOUT ROWID;

  CREATE TABLE changes (
    revision INTEGER PRIMARY KEY,
    last INTEGER NOT NULL, -- last revision of the same commit
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
    type TEXT NOT NULL,
    at INTEGER NOT NULL, -- ms since the epoch
    bytes INTEGER NOT NULL,
    before TEXT, after TEXT NOT NULL
  );
  -- Revisions strictly between were never given out by this database.
  CREATE TABLE gaps (low INTEGER NOT NULL, high INTEGER PRIMARY KEY);

  CREATE TABLE blobs (digest BLOB PRIMARY KEY, at INTEGER NOT NULL, bytes BLOB NOT NULL);
  CREATE TABLE issued (cluster TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (cluster, digest)) WITHOUT ROWID;
  CREATE TABLE sealed (
    cluster TEXT NOT NULL, equality TEXT NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (cluster, equality)
  ) WITHOUT ROWID;

  CREATE TABLE effects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL, key TEXT NOT NULL, payload TEXT NOT NULL,
    due INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, error TEXT,
    UNIQUE (type, key)
  );
  CREATE INDEX effects_due ON effects (due, id);

  CREATE TABLE audit (seq INTEGER PRIMARY KEY, leaf TEXT NOT NULL, hash TEXT NOT NULL);
  CREATE TABLE leases (name TEXT PRIMARY KEY, token INTEGER NOT NULL, expires INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE pulses (
    kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (kind, key)
  ) WITHOUT ROWID;
  `,
];

/** Brings the database to this version's schema. Error: FL_STORE_NEWER when a newer Fairlead has written it. */
export function migrate(database: DatabaseSync): void {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
  if (version > migrations.length) {
    throw new FairleadError(
      'FL_STORE_NEWER',
      `the database has schema ${version}, this version of Fairlead knows ${migrations.length}; start the newer version, or restore the backup made before the upgrade`,
      { kind: 'invalid' },
    );
  }
  for (let number = version; number < migrations.length; number++) {
    database.exec(`BEGIN IMMEDIATE; ${migrations[number] ?? ''}; PRAGMA user_version = ${number + 1}; COMMIT`);
  }
}
