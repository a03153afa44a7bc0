/**
 * store: the one place where the plane keeps things. Objects with revisions, their change log, content by digest, effects,
 * audit, leases; a commit is a value, acknowledged after fsync, and revision order is commit order. SQLite is one process
 * with the database to itself, PostgreSQL serves several; it is no cache and knows no business rule.
 */
export { backupStore, type DatabasePlace } from './backup/backup-store.ts';
export type { BackupInfo } from './backup/backup-file.ts';
export { restoreStore } from './backup/restore-store.ts';
export * from './open-store.ts';
export * from './types.ts';
export { transactionLimits, valueAt } from './encode.ts';
export { openPostgresStore, type PostgresStoreOptions } from './postgres/postgres-store.ts';
export { openSqliteStore, type SqliteStoreOptions } from './sqlite/sqlite-store.ts';
