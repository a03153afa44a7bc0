import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Key, Kind } from '#api';
import type { ListQuery } from '../types.ts';
import { compilePage } from '../compile-query.ts';

export interface Row {
  readonly namespace: string;
  readonly name: string;
  readonly text: string;
}

export interface Slice {
  readonly rows: readonly Row[];
  readonly bytes: number;
  /** Nothing comes after these rows. */
  readonly isEnd: boolean;
}

/** A read that runs longer hands the event loop back and goes on after the last row. */
const SLICE_MS = 4;
/** Texts of statements kept prepared: selectors make many. */
const STATEMENTS = 200;

/** One read-only connection. Every call is synchronous and takes a few milliseconds at most. */
export class SqliteReader {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(path: string) {
    this.#database = new DatabaseSync(path, { readOnly: true, timeout: 5_000 });
    this.#database.exec('PRAGMA cache_size = -16000; PRAGMA query_only = ON; PRAGMA temp_store = MEMORY');
  }

  /** Everything inside sees one state of the database; `begin` and `end` may lie in different turns of the event loop. */
  begin(): void {
    this.sql('BEGIN').run();
  }

  end(): void {
    if (this.#database.isTransaction) this.sql('COMMIT').run();
  }

  revision(): number {
    return Number(this.sql(`SELECT value FROM meta WHERE key = 'revision'`).get()?.['value'] ?? 0);
  }

  oldest(): number {
    return Number(this.sql(`SELECT value FROM meta WHERE key = 'oldest'`).get()?.['value'] ?? 0);
  }

  text(kind: string, key: Key): string | undefined {
    const row = this.sql('SELECT text FROM objects WHERE kind = ? AND namespace = ? AND name = ?').get(
      kind,
      key.namespace,
      key.name,
    );
    return row === undefined ? undefined : String(row['text']);
  }

  /** Rows after `after` in key order: at most `limit`, and as many as fit into a few milliseconds, but at least one. */
  slice(kind: Kind, query: ListQuery, after: Key | undefined, limit: number): Slice {
    const page = compilePage(kind, query, after, limit, (sql, parameters) =>
      Number(this.sql(sql).get(...parameters)?.['n'] ?? 0),
    );
    const rows: Row[] = [];
    let bytes = 0;
    const stopAt = performance.now() + SLICE_MS;
    const statement = this.sql(page.sql);
    // Half the cost of objects; no other call uses the statements of pages.
    statement.setReturnArrays(true);
    for (const row of statement.iterate(...page.parameters)) {
      // The columns that compilePage selects, all of them texts.
      const [namespace, name, text] = row as unknown as readonly [string, string, string];
      rows.push({ namespace, name, text });
      bytes += text.length;
      if ((rows.length & 15) === 0 && performance.now() > stopAt) return { rows, bytes, isEnd: rows.length >= limit };
    }
    return { rows, bytes, isEnd: true };
  }

  /** A prepared statement; the least recently used ones are forgotten. */
  sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) statement = this.#database.prepare(text);
    else this.#statements.delete(text);
    this.#statements.set(text, statement);
    if (this.#statements.size > STATEMENTS) {
      const oldest = this.#statements.keys().next();
      if (oldest.done !== true) this.#statements.delete(oldest.value);
    }
    return statement;
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }
}
