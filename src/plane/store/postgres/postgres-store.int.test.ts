import { after, test } from 'node:test';
import { Gadget, Widget, type DatabaseUnderTest } from '../testing/contract-kit.ts';
import { POSTGRES_MISSING, postgresPrograms, startPostgres } from '../testing/postgres-server.ts';
import { storeContract } from '../testing/store-contract.ts';
import { openPostgresStore } from './postgres-store.ts';

if (postgresPrograms() === undefined) test('postgres: the contract of the store', { skip: POSTGRES_MISSING }, () => undefined);
else {
  const server = await startPostgres();
  after(() => server.destroy());
  storeContract('postgres', async (): Promise<DatabaseUnderTest> => {
    const url = await server.createDatabase();
    return {
      open: (options = {}) => openPostgresStore({ url, kinds: [Widget, Gadget], ...options }),
      location: { url: url.reveal() },
      meddle: async (text) => void server.sql(url, text),
      destroy: async () => void server.sql(url, 'SELECT 1'),
    };
  });
}
