/** How long a commit may take from asking which blobs are missing to naming those that are not. */
export const SWEEP_GRACE_MS = 3_600_000;
const REMEMBERED = 200_000;

/** Digests that somebody was told are there, for an hour at least and two at most. */
export class RecentDigests {
  #current = new Set<string>();
  #previous = new Set<string>();
  #turnedAtMs = 0;
  /** More than could be remembered were asked for in this hour. */
  #isOver = false;
  #wasOver = false;

  note(digests: readonly string[], nowMs: number): void {
    this.#turn(nowMs);
    for (const digest of digests) {
      if (this.#current.size < REMEMBERED) this.#current.add(digest);
      else this.#isOver = true;
    }
  }

  /** Whether the digest may have been asked for; in doubt, yes. */
  has(digest: string, nowMs: number): boolean {
    this.#turn(nowMs);
    return this.#isOver || this.#wasOver || this.#current.has(digest) || this.#previous.has(digest);
  }

  #turn(nowMs: number): void {
    if (nowMs - this.#turnedAtMs < SWEEP_GRACE_MS) return;
    // Two hours without a question: neither set counts any more.
    const isStale = nowMs - this.#turnedAtMs >= 2 * SWEEP_GRACE_MS;
    this.#previous = isStale ? new Set() : this.#current;
    this.#wasOver = isStale ? false : this.#isOver;
    this.#current = new Set();
    this.#isOver = false;
    this.#turnedAtMs = nowMs;
  }
}
