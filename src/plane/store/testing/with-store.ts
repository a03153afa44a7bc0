import type { Store } from '../types.ts';
import type { CreateDatabase, DatabaseOptions, DatabaseUnderTest } from './contract-kit.ts';

/** Runs `task` on a fresh database and destroys it. */
export async function withStore(
  create: CreateDatabase,
  task: (store: Store, database: DatabaseUnderTest) => Promise<void>,
  options: DatabaseOptions = {},
): Promise<void> {
  const database = await create();
  try {
    const store = await database.open(options);
    try {
      await task(store, database);
    } finally {
      await store.close();
    }
  } finally {
    await database.destroy();
  }
}
