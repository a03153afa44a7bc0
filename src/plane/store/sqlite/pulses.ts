import { formatKey, type Key } from '#api';
import type { Clock, Log } from '#base';
import type { SqliteReader } from './reader.ts';
import type { WriterClient } from './writer-client.ts';

type Value = Readonly<Record<string, unknown>>;

const FLUSH_MS = 1_000;
const FLUSH_ROWS = 5_000;

/** Heartbeats: kept in memory, written once a second in one transaction, the last second lost when the process dies. */
export class Pulses {
  readonly #values = new Map<string, Map<string, Value>>();
  readonly #dirty = new Map<string, Set<string>>();
  readonly #writer: WriterClient;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #flushing: Promise<void> | undefined;

  constructor(reader: SqliteReader, writer: WriterClient, clock: Clock, log: Log) {
    this.#writer = writer;
    this.#clock = clock;
    this.#log = log;
    for (const row of reader.sql('SELECT kind, key, value FROM pulses').iterate()) {
      // Written by flush from a Value.
      this.#of(String(row['kind'])).set(String(row['key']), JSON.parse(String(row['value'])) as Value);
    }
  }

  set(kind: string, key: Key, value: Value): void {
    const name = formatKey(key);
    this.#of(kind).set(name, value);
    let dirty = this.#dirty.get(kind);
    if (dirty === undefined) this.#dirty.set(kind, (dirty = new Set()));
    dirty.add(name);
    this.#flushing ??= this.#flushLater();
  }

  all(kind: string): ReadonlyMap<string, Value> {
    return new Map(this.#values.get(kind));
  }

  /** An object is gone, and its pulse with it. */
  delete(kind: string, key: Key): void {
    const name = formatKey(key);
    this.#values.get(kind)?.delete(name);
    this.#dirty.get(kind)?.delete(name);
  }

  /** Writes what is not written yet. */
  async flush(): Promise<void> {
    const rows: { kind: string; key: string; value: string }[] = [];
    for (const [kind, keys] of this.#dirty) {
      for (const key of keys) {
        const value = this.#values.get(kind)?.get(key);
        if (value !== undefined) rows.push({ kind, key, value: JSON.stringify(value) });
      }
    }
    this.#dirty.clear();
    for (let from = 0; from < rows.length; from += FLUSH_ROWS) {
      await this.#writer.request({ op: 'pulses', rows: rows.slice(from, from + FLUSH_ROWS) });
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#flushing;
    await this.flush().catch((error: unknown) => this.#log.warn({ error }, 'the last heartbeats were not written'));
  }

  async #flushLater(): Promise<void> {
    try {
      await this.#clock.sleep(FLUSH_MS, this.#stop.signal);
    } catch {
      return;
    }
    this.#flushing = undefined;
    await this.flush().catch((error: unknown) =>
      this.#log.warn({ error }, 'heartbeats were not written; the next second tries again'),
    );
  }

  #of(kind: string): Map<string, Value> {
    let values = this.#values.get(kind);
    if (values === undefined) this.#values.set(kind, (values = new Map()));
    return values;
  }
}
