import { FairleadError } from '#base';
import { agentRefusals } from '#api';

export interface ReplayLimits {
  /** How long a token stays valid, both ways together, ms. */
  readonly windowMs: number;
  /** Tokens of one key within the window. */
  readonly perKey: number;
  /** Tokens of all keys within the window. */
  readonly total: number;
}

export const replayLimits: ReplayLimits = { windowMs: 130_000, perKey: 10_000, total: 400_000 };

/**
 * Remembers the ids of request tokens for as long as these are valid, so that each works once. Two generations swapped by
 * time: nothing is swept. Full, it refuses rather than forgets. Kept in memory: after a restart a recorded token of the last
 * minute would work once more, for exactly the same request.
 */
export class ReplayCache {
  readonly #limits: ReplayLimits;
  #current = new Map<string, Set<string>>();
  #former = new Map<string, Set<string>>();
  #currentCount = 0;
  #formerCount = 0;
  #swapAtMs = 0;

  constructor(limits: ReplayLimits = replayLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#currentCount + this.#formerCount;
  }

  /** Errors: FL_AGENT_REPLAY, FL_AGENT_BUSY. */
  use(key: string, id: string, nowMs: number): void {
    this.#turn(nowMs);
    const current = this.#current.get(key);
    const former = this.#former.get(key);
    if (current?.has(id) === true || former?.has(id) === true) {
      throw new FairleadError(agentRefusals.replay, 'this request token was used before; make a new one for each request', {
        kind: 'unauthenticated',
      });
    }
    const used = (current?.size ?? 0) + (former?.size ?? 0);
    if (used >= this.#limits.perKey || this.size >= this.#limits.total) {
      const retryAfterMs = Math.max(1000, this.#swapAtMs - nowMs);
      throw new FairleadError(agentRefusals.busy, `too many requests of one agent within ${this.#limits.windowMs / 1000} s`, {
        kind: 'unavailable',
        retryAfterMs,
      });
    }
    if (current === undefined) this.#current.set(key, new Set([id]));
    else current.add(id);
    this.#currentCount += 1;
  }

  #turn(nowMs: number): void {
    if (nowMs < this.#swapAtMs) return;
    const isLongAgo = nowMs >= this.#swapAtMs + this.#limits.windowMs;
    this.#former = isLongAgo ? new Map() : this.#current;
    this.#formerCount = isLongAgo ? 0 : this.#currentCount;
    this.#current = new Map();
    this.#currentCount = 0;
    this.#swapAtMs = nowMs + this.#limits.windowMs;
  }
}
