import { changeContract } from './contract-changes.ts';
import { commitContract } from './contract-commits.ts';
import { contentContract } from './contract-content.ts';
import { crashContract } from './contract-crash.ts';
import type { CreateDatabase } from './contract-kit.ts';
import { queryContract } from './contract-queries.ts';

/** What every database behind `Store` must hold; run once per database. */
export function storeContract(name: string, create: CreateDatabase): void {
  commitContract(name, create);
  changeContract(name, create);
  queryContract(name, create);
  contentContract(name, create);
  crashContract(name, create);
}
