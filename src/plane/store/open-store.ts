import { Sensitive, type Clock, type Log } from '#base';
import type { Kind } from '#api';
import { openPostgresStore } from './postgres/postgres-store.ts';
import { openSqliteStore } from './sqlite/sqlite-store.ts';
import type { RevisionFloor, Store } from './types.ts';

export interface OpenStoreOptions {
  /** Directory of the SQLite database. */
  readonly dir?: string;
  /** `postgres://…`: PostgreSQL instead, for any number of processes. */
  readonly url?: Sensitive<string>;
  readonly kinds: readonly Kind[];
  readonly log: Log;
  readonly clock: Clock;
  readonly revisionFloor?: RevisionFloor;
}

/** Opens the plane's database. */
export function openStore({ url, dir, ...options }: OpenStoreOptions): Promise<Store> {
  if (url !== undefined) return openPostgresStore({ url, ...options });
  if (dir === undefined) throw new TypeError('a database is a directory or a URL');
  return openSqliteStore({ dir, ...options });
}
