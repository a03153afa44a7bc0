import pg from 'pg';
import type { ClientConfig, QueryResult } from 'pg';
import type { DatabaseAddress } from './connect-options.ts';
import { ConnectionLost, isLost } from './postgres-errors.ts';

export type Row = Readonly<Record<string, unknown>>;

/** Deadlines, ms. The server's come first, so that it has let go of its locks when we give up. */
export const timeouts = {
  connect: 5_000,
  statement: 20_000,
  lock: 15_000,
  /** A writer that was stopped in the middle of a transaction holds everybody up: the server ends it. */
  idleInTransaction: 5_000,
  query: 30_000,
} as const;

/** A text column that is not NULL. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** bigint as a number: revisions stay below 2^53. Everything else as text or bytes. */
const types: NonNullable<ClientConfig['types']> = {
  getTypeParser: (oid: number, format?: string) => {
    if (oid === 20 || oid === 23) return (text: string) => Number(text);
    // The declared type of getTypeParser cannot be told apart by its overloads.
    return (pg.types.getTypeParser as (id: number, form?: string) => (text: string) => unknown)(oid, format);
  },
};

/** Settings of one connection, for reading (`pool`) or writing. */
export function configOf(address: DatabaseAddress, name: string): ClientConfig {
  return {
    ...address.client.reveal(),
    types,
    application_name: `fairlead ${name}`,
    connectionTimeoutMillis: timeouts.connect,
    query_timeout: timeouts.query,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    options: Object.entries({
      statement_timeout: timeouts.statement,
      lock_timeout: timeouts.lock,
      idle_in_transaction_session_timeout: timeouts.idleInTransaction,
      default_transaction_isolation: 'read\\ committed',
      synchronous_commit: 'on',
      client_encoding: 'UTF8',
    })
      .map(([setting, value]) => `-c ${setting}=${value}`)
      .join(' '),
  };
}

/** One connection whose statements are sent without waiting for the answers of those before them. */
export class Connection {
  readonly #client: pg.Client;
  readonly #ended = Promise.withResolvers<void>();
  #lost: Error | undefined;

  private constructor(client: pg.Client) {
    this.#client = client;
    client.on('error', (error) => this.#end(error));
    client.on('end', () => this.#end(new ConnectionLost('Connection terminated')));
  }

  #end(error: Error): void {
    this.#lost ??= error;
    this.#ended.resolve();
  }

  /** Errors as pg throws them. */
  static async open(address: DatabaseAddress, name: string): Promise<Connection> {
    const client = new pg.Client({ ...configOf(address, name), pipeline: true });
    const connection = new Connection(client);
    try {
      await client.connect();
    } catch (error) {
      void client.end().catch(() => undefined);
      throw error;
    }
    return connection;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Resolves when the connection has ended, however that came. */
  ended(): Promise<void> {
    return this.#ended.promise;
  }

  onNotification(listener: (payload: string) => void): void {
    this.#client.on('notification', (message) => listener(message.payload ?? ''));
  }

  /** `name` keeps the statement prepared. */
  async query(text: string, values: readonly unknown[] = [], name?: string): Promise<QueryResult<Record<string, unknown>>> {
    if (this.#lost !== undefined) throw new ConnectionLost(this.#lost.message, { cause: this.#lost });
    try {
      return await this.#client.query({ text, values: [...values], ...(name === undefined ? {} : { name }) });
    } catch (error) {
      // One connection of a pipeline that failed is of no use any more.
      if (isLost(error)) this.#end(error instanceof Error ? error : new ConnectionLost('Connection terminated'));
      throw error;
    }
  }

  async rows(text: string, values: readonly unknown[] = [], name?: string): Promise<readonly Row[]> {
    return (await this.query(text, values, name)).rows;
  }

  async close(): Promise<void> {
    // A server that does not answer any more must not hold us up.
    const ended = this.#client.end().catch(() => undefined);
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 1_000).unref())]);
  }
}
