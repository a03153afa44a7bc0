import type { Clock } from '#base';

interface Due {
  readonly key: string;
  readonly atMs: number;
}

/**
 * Keys to look at later: one time per key, the newest counts. A binary heap in which replaced entries stay until they come
 * up, with one sleeper for the earliest.
 */
export class DueKeys {
  readonly #at = new Map<string, number>();
  #heap: Due[] = [];
  #rearm: (() => void) | undefined;

  /** At `atMs` of the clock; replaces an earlier wish for the same key. */
  set(key: string, atMs: number): void {
    this.#at.set(key, atMs);
    this.#push({ key, atMs });
    if (this.#heap[0]?.key === key) this.#rearm?.();
    // Keys that are set over and over must not fill the heap.
    if (this.#heap.length > 64 + 4 * this.#at.size) this.#rebuild();
  }

  delete(key: string): void {
    this.#at.delete(key);
  }

  get size(): number {
    return this.#at.size;
  }

  /** When the next key is due. */
  next(): number | undefined {
    this.#dropReplaced();
    return this.#heap[0]?.atMs;
  }

  /** Hands every key to `onDue` when its time has come, until the signal aborts. */
  async run(clock: Clock, signal: AbortSignal, onDue: (key: string) => void): Promise<void> {
    while (!signal.aborted) {
      const atMs = this.next();
      if (atMs !== undefined && atMs <= clock.now()) {
        const due = this.#pop();
        if (due === undefined) continue;
        this.#at.delete(due.key);
        onDue(due.key);
        continue;
      }
      const rearmed = new AbortController();
      this.#rearm = () => rearmed.abort();
      const until = AbortSignal.any([signal, rearmed.signal]);
      // With nothing due the sleep is only ended by a new key or the end.
      await clock.sleep(atMs === undefined ? 3_600_000 : atMs - clock.now(), until).catch(() => undefined);
    }
  }

  #dropReplaced(): void {
    for (let top = this.#heap[0]; top !== undefined && this.#at.get(top.key) !== top.atMs; top = this.#heap[0]) this.#pop();
  }

  #rebuild(): void {
    this.#heap = [];
    for (const [key, atMs] of this.#at) this.#push({ key, atMs });
  }

  #push(due: Due): void {
    const heap = this.#heap;
    let at = heap.push(due) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || above.atMs <= due.atMs) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = due;
  }

  #pop(): Due | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      let least = last;
      let next = at;
      for (const child of [left, right]) {
        const candidate = heap[child];
        if (candidate !== undefined && candidate.atMs < least.atMs) {
          least = candidate;
          next = child;
        }
      }
      if (next === at) break;
      heap[at] = least;
      at = next;
    }
    heap[at] = last;
    return top;
  }
}
