export interface Budget {
  /** What may come at once. */
  readonly burst: number;
  /** What may come per second in the long run. */
  readonly perSecond: number;
}

const MAX_BUCKETS = 50_000;

/** Token buckets by key, bounded: the one idle for longest goes first, and an idle bucket is a full one. */
export class TokenBuckets {
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  /** Takes one token; 0, or after how many ms there is one. */
  take(key: string, budget: Budget, nowMs: number): number {
    const bucket = this.#buckets.get(key) ?? { tokens: budget.burst, atMs: nowMs };
    const passed = Math.max(0, nowMs - bucket.atMs) / 1000;
    bucket.tokens = Math.min(budget.burst, bucket.tokens + passed * budget.perSecond);
    bucket.atMs = nowMs;
    // Re-inserted, so that the map's order is the order of use.
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > MAX_BUCKETS) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) / budget.perSecond) * 1000);
    bucket.tokens -= 1;
    return 0;
  }
}
