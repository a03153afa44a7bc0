import { messageOf, type Clock, type Log } from '#base';
import { formatKey, type Key } from '#api';
import type { Operation, OperationValue } from '../operations.ts';

type Value = Readonly<Record<string, unknown>>;

const FLUSH_MS = 1_000;
const FLUSH_ROWS = 1_000;

/** Heartbeats: gathered for a second and written in one transaction; the last second is lost when the process dies. */
export class Pulses {
  readonly #dirty = new Map<string, Map<string, Value>>();
  readonly #request: (operation: Operation) => Promise<OperationValue>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #stop = new AbortController();
  #flushing: Promise<void> | undefined;

  constructor(request: (operation: Operation) => Promise<OperationValue>, clock: Clock, log: Log) {
    this.#request = request;
    this.#clock = clock;
    this.#log = log;
  }

  set(kind: string, key: Key, value: Value): void {
    this.#of(kind).set(formatKey(key), value);
    this.#flushing ??= this.#flushLater();
  }

  /** What is not written yet, over what is. */
  over(kind: string, stored: Map<string, Value>): ReadonlyMap<string, Value> {
    for (const [key, value] of this.#dirty.get(kind) ?? []) stored.set(key, value);
    return stored;
  }

  /** An object is gone, and its pulse with it. */
  delete(kind: string, key: Key): void {
    this.#dirty.get(kind)?.delete(formatKey(key));
  }

  async flush(): Promise<void> {
    const rows = [...this.#dirty].flatMap(([kind, values]) => [...values].map(([key, value]) => ({ kind, key, value })));
    for (let from = 0; from < rows.length; from += FLUSH_ROWS) {
      const chunk = rows.slice(from, from + FLUSH_ROWS);
      await this.#request({ op: 'pulses', rows: chunk.map((row) => ({ ...row, value: JSON.stringify(row.value) })) });
      // Set anew meanwhile: the next flush writes it.
      for (const { kind, key, value } of chunk) if (this.#of(kind).get(key) === value) this.#of(kind).delete(key);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#flushing;
    await this.flush().catch((error: unknown) =>
      this.#log.warn({ error: messageOf(error) }, 'the last heartbeats were not written'),
    );
  }

  async #flushLater(): Promise<void> {
    try {
      await this.#clock.sleep(FLUSH_MS, this.#stop.signal);
    } catch {
      return;
    }
    await this.flush().catch((error: unknown) =>
      this.#log.warn({ error: messageOf(error) }, 'heartbeats were not written; the next second tries again'),
    );
    this.#flushing = undefined;
    if ([...this.#dirty.values()].some((values) => values.size > 0)) this.#flushing = this.#flushLater();
  }

  #of(kind: string): Map<string, Value> {
    let values = this.#dirty.get(kind);
    if (values === undefined) this.#dirty.set(kind, (values = new Map()));
    return values;
  }
}
