import { FairleadError } from './errors.ts';

/**
 * A bounded first-in first-out queue with one or more consumers. `push` answers false when it is full: the caller
 * decides what overload means (shed, count, answer retry-after); nothing grows in silence.
 */
export class BoundedQueue<T> {
  readonly #items: T[] = [];
  readonly #waiters: ((item: T | undefined) => void)[] = [];
  readonly #capacity: number;
  #closed = false;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get length(): number {
    return this.#items.length;
  }

  push(item: T): boolean {
    if (this.#closed) return false;
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter(item);
      return true;
    }
    if (this.#items.length >= this.#capacity) return false;
    this.#items.push(item);
    return true;
  }

  /** The next item, or undefined once the queue is closed and empty. */
  shift(): Promise<T | undefined> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  close(): void {
    this.#closed = true;
    for (const waiter of this.#waiters.splice(0)) waiter(undefined);
  }
}

/** Runs `task` over `items` with at most `limit` in flight; rejects with the first failure after all in flight have ended. */
export async function mapLimited<T, R>(
  items: readonly T[],
  limit: number,
  task: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  if (limit < 1) throw new FairleadError('FL_INTERNAL_LIMIT', `concurrency limit ${limit} is below 1`, { kind: 'internal' });
  const results: R[] = Array.from({ length: items.length });
  const failures: unknown[] = [];
  let next = 0;
  async function worker(): Promise<void> {
    while (next < items.length && failures.length === 0) {
      const index = next++;
      try {
        results[index] = await task(items[index] as T, index);
      } catch (error) {
        failures.push(error);
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
  return results;
}
