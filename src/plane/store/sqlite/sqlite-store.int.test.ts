import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Gadget, Widget, type DatabaseUnderTest } from '../testing/contract-kit.ts';
import { storeContract } from '../testing/store-contract.ts';
import { openSqliteStore } from './sqlite-store.ts';

storeContract('sqlite', createDatabase);

async function createDatabase(): Promise<DatabaseUnderTest> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-store-'));
  return {
    open: (options = {}) => openSqliteStore({ dir, kinds: [Widget, Gadget], ...options }),
    location: { dir },
    meddle: async (sql) => {
      const database = new DatabaseSync(join(dir, 'fairlead.db'));
      database.exec(sql);
      database.close();
    },
    destroy: () => rm(dir, { recursive: true, force: true }),
  };
}
