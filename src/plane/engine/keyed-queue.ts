/**
 * Keys to look at. A key is in it at most once, and runs at most once at a time; asked for again while it runs, it comes
 * back afterwards. So its length is bounded by the number of different keys, and no wake-up is ever lost.
 */
export class KeyedQueue {
  readonly #queued = new Set<string>();
  readonly #running = new Set<string>();
  readonly #again = new Set<string>();

  add(key: string): void {
    if (this.#running.has(key)) this.#again.add(key);
    else this.#queued.add(key);
  }

  /** The key that has waited longest; it counts as running until `done`. */
  take(): string | undefined {
    const next = this.#queued.values().next();
    if (next.done === true) return undefined;
    this.#queued.delete(next.value);
    this.#running.add(next.value);
    return next.value;
  }

  /** Whether somebody has asked for it meanwhile: then it is queued already. */
  done(key: string): boolean {
    this.#running.delete(key);
    const isAsked = this.#again.delete(key);
    if (isAsked) this.#queued.add(key);
    return isAsked;
  }

  get queued(): number {
    return this.#queued.size;
  }

  get running(): number {
    return this.#running.size;
  }
}
