import type { Clock, Log } from '#base';
import type { Kind } from '#api';
import { openSqliteStore, type RevisionFloor } from './sqlite/sqlite-store.ts';
import type { Store } from './types.ts';

export interface OpenStoreOptions {
  /** Directory of the SQLite database. */
  readonly dir: string;
  readonly kinds: readonly Kind[];
  readonly log: Log;
  readonly clock: Clock;
  readonly revisionFloor?: RevisionFloor;
}

/** Opens the plane's database. */
export function openStore(options: OpenStoreOptions): Promise<Store> {
  return openSqliteStore(options);
}
