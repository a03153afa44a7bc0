import { existsSync, readdirSync } from 'node:fs';
import { installDebian } from './debian.ts';

const root = '/usr/lib/postgresql';

function isThere(): boolean {
  return existsSync(root) && readdirSync(root).some((version) => existsSync(`${root}/${version}/bin/initdb`));
}

/** Whether tests can start PostgreSQL servers of their own; installed where it can be. */
export function ensurePostgres(say: (line: string) => void): boolean {
  if (isThere()) return true;
  const missing = installDebian('PostgreSQL', 'for tests of the shared database (about half a minute)', ['postgresql'], say);
  if (missing !== undefined) say(missing);
  return isThere();
}
