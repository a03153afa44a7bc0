import { FairleadError } from '#base';
import type { Key, Kind, Requirement } from '#api';
import type { ListQuery } from './types.ts';

/** SQLite keeps to the order of a CROSS JOIN; PostgreSQL plans by its statistics and numbers its parameters. */
export type Dialect = 'sqlite' | 'postgres';

export interface Compiled {
  readonly sql: string;
  readonly parameters: readonly (string | number)[];
}

/** One way into the answer: the index rows that every match must have. */
interface Driver {
  readonly table: 'labels' | 'fields';
  readonly key: string;
  /** Undefined: any value. */
  readonly values: readonly string[] | undefined;
}

/** Above this many index rows a driver that needs sorting is worse than walking the kind in key order. */
const SELECTIVE_ROWS = 5_000;

/**
 * A page of `list` as SQL: rows (namespace, name, text) in key order. The most selective equality drives the query through
 * its index, which is in key order already; what remains is asked row by row in an index, and nothing is parsed.
 * `count(sql, parameters)` answers a bounded count; without one the database is left to choose. Error: FL_STORE_FIELD for a field that is not selectable.
 */
export function compilePage(
  kind: Pick<Kind, 'kind' | 'selectable'>,
  query: ListQuery,
  after: Key | undefined,
  limit: number,
  count: Count | undefined,
  dialect: Dialect = 'sqlite',
): Compiled {
  for (const { path } of query.fields ?? []) {
    if (path !== 'metadata.name' && path !== 'metadata.namespace' && !kind.selectable.includes(path)) {
      const known = ['metadata.name', 'metadata.namespace', ...kind.selectable].join(', ');
      throw new FairleadError('FL_STORE_FIELD', `field label not supported for ${kind.kind}: ${path}; supported are ${known}`, {
        kind: 'invalid',
      });
    }
  }
  const driver = chooseDriver(kind.kind, query, count);
  const where: string[] = [];
  const parameters: (string | number)[] = [];
  const add = (sql: string, ...values: readonly (string | number)[]): void => {
    where.push(sql);
    parameters.push(...values);
  };
  const from =
    driver === undefined
      ? 'objects o'
      : `d ${dialect === 'sqlite' ? 'CROSS JOIN' : 'JOIN'} objects o ON o.kind = ? AND o.namespace = d.namespace AND o.name = d.name`;
  // The alias whose index gives the order.
  const by = driver === undefined ? 'o' : 'd';
  if (driver === undefined) add('o.kind = ?', kind.kind);
  range(by, query.namespace, after, add);
  // One pass over the key's rows for SQLite; PostgreSQL makes a join of EXISTS, but may not of IN.
  const has: Has = (table) =>
    dialect === 'sqlite'
      ? `((o.namespace, o.name) IN (SELECT namespace, name FROM ${table} WHERE kind = ? AND key = ?))`
      : `EXISTS (SELECT 1 FROM ${table} x WHERE x.kind = ? AND x.key = ? AND x.namespace = o.namespace AND x.name = o.name)`;
  for (const requirement of query.labels ?? []) labelCondition(kind.kind, requirement, driver, add, has);
  for (const { path, operator, value } of query.fields ?? []) {
    const sql = operator === '=' ? '=' : '<>';
    if (path === 'metadata.name') add(`${by}.name ${sql} ?`, value);
    else if (path === 'metadata.namespace') add(`${by}.namespace ${sql} ?`, value);
    else fieldCondition(kind.kind, path, operator, value, driver, add, has);
  }
  const condition = where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`;
  const order = ` ORDER BY ${by}.namespace, ${by}.name LIMIT ?`;
  const select = 'SELECT o.namespace AS namespace, o.name AS name, o.text AS text FROM ';
  const numbered = (sql: string): string => {
    let number = 0;
    return dialect === 'sqlite' ? sql : sql.replaceAll('?', () => `$${++number}`);
  };
  if (driver === undefined) return { sql: numbered(`${select}${from}${condition}${order}`), parameters: [...parameters, limit] };
  const rows = driverRows(kind.kind, driver);
  // One value: the index itself is in key order. Several or any: distinct keys, sorted.
  const source =
    driver.values?.length === 1
      ? `(SELECT namespace, name FROM ${rows.sql})`
      : `(SELECT DISTINCT namespace, name FROM ${rows.sql})`;
  return {
    sql: numbered(`${select}${source} ${from}${condition}${order}`),
    parameters: [...rows.parameters, kind.kind, ...parameters, limit],
  };
}

type Count = (sql: string, parameters: readonly (string | number)[]) => number;
type Has = (table: 'labels' | 'fields') => string;
type Add = (sql: string, ...values: readonly (string | number)[]) => void;

function range(by: string, namespace: string | undefined, after: Key | undefined, add: Add): void {
  if (namespace !== undefined) {
    add(`${by}.namespace = ?`, namespace);
    if (after !== undefined && after.namespace === namespace) add(`${by}.name > ?`, after.name);
    else if (after !== undefined && after.namespace > namespace) add('FALSE');
    return;
  }
  if (after !== undefined) add(`(${by}.namespace, ${by}.name) > (?, ?)`, after.namespace, after.name);
}

function driverRows(kind: string, driver: Driver): Compiled {
  const { table, key, values } = driver;
  if (values === undefined) return { sql: `${table} WHERE kind = ? AND key = ?`, parameters: [kind, key] };
  const marks = values.map(() => '?').join(', ');
  const match = values.length === 1 ? 'value = ?' : `value IN (${marks})`;
  return { sql: `${table} WHERE kind = ? AND key = ? AND ${match}`, parameters: [kind, key, ...values] };
}

function chooseDriver(kind: string, query: ListQuery, count: Count | undefined): Driver | undefined {
  // A name that must be equal is found by the objects' own index.
  if (query.fields?.some(({ path, operator }) => path === 'metadata.name' && operator === '=') === true) return undefined;
  const candidates: Driver[] = [];
  for (const { path, operator, value } of query.fields ?? []) {
    if (operator === '=' && value !== '' && !path.startsWith('metadata.')) {
      candidates.push({ table: 'fields', key: path, values: [value] });
    }
  }
  for (const { key, operator, values } of query.labels ?? []) {
    if (operator === 'In' && values.length > 0) candidates.push({ table: 'labels', key, values: [...new Set(values)] });
    if (operator === 'Exists') candidates.push({ table: 'labels', key, values: undefined });
  }
  if (count === undefined) return candidates[0];
  let best: { readonly driver: Driver; readonly rows: number } | undefined;
  for (const driver of candidates) {
    const isSorted = driver.values?.length === 1;
    if (isSorted && candidates.length === 1) return driver;
    const rows = driverRows(kind, driver);
    const found = count(`SELECT count(*) AS n FROM (SELECT 1 FROM ${rows.sql} LIMIT ${SELECTIVE_ROWS})`, rows.parameters);
    if (!isSorted && found >= SELECTIVE_ROWS) continue;
    if (best === undefined || found < best.rows) best = { driver, rows: found };
  }
  return best?.driver;
}

function labelCondition(kind: string, requirement: Requirement, driver: Driver | undefined, add: Add, has: Has): void {
  const { key, operator, values } = requirement;
  const isDriver = driver?.table === 'labels' && driver.key === key;
  const marks = values.map(() => '?').join(', ');
  const row = 'SELECT 1 FROM labels l WHERE l.kind = ? AND l.key = ? AND l.value';
  const same = 'l.namespace = o.namespace AND l.name = o.name';
  switch (operator) {
    case 'In':
      // Two requirements on one key: only the one with the driver's values is answered by it.
      if (isDriver && driver.values?.length === new Set(values).size && values.every((v) => driver.values?.includes(v))) return;
      if (values.length === 0) add('FALSE');
      else add(`EXISTS (${row} IN (${marks}) AND ${same})`, kind, key, ...values);
      return;
    case 'NotIn':
      if (values.length > 0) add(`NOT EXISTS (${row} IN (${marks}) AND ${same})`, kind, key, ...values);
      return;
    case 'Exists':
      if (isDriver) return;
      add(has('labels'), kind, key);
      return;
    case 'DoesNotExist':
      add(`NOT ${has('labels')}`, kind, key);
      return;
  }
}

/** Fields without a value have no row and count as ''. */
function fieldCondition(
  kind: string,
  path: string,
  operator: '=' | '!=',
  value: string,
  driver: Driver | undefined,
  add: Add,
  has: Has,
): void {
  if (value === '') {
    add(operator === '=' ? `NOT ${has('fields')}` : has('fields'), kind, path);
    return;
  }
  if (operator === '=' && driver?.table === 'fields' && driver.key === path && driver.values?.[0] === value) return;
  const exists = operator === '=' ? 'EXISTS' : 'NOT EXISTS';
  add(
    `${exists} (SELECT 1 FROM fields f WHERE f.kind = ? AND f.key = ? AND f.value = ? AND f.namespace = o.namespace AND f.name = o.name)`,
    kind,
    path,
    value,
  );
}
