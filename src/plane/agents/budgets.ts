import { FairleadError } from '#base';
import { agentRefusals } from '#api';

export interface Budget {
  /** Requests that may come at once. */
  readonly burst: number;
  /** Requests per second in the long run. */
  readonly perSecond: number;
}

export type Verb = 'join' | 'return' | 'sync' | 'bundles' | 'objects' | 'reports';

/** Per cluster; join and return per remote address. An agent that behaves never comes near. */
export const budgets: Readonly<Record<Verb, Budget>> = {
  join: { burst: 10, perSecond: 0.5 },
  return: { burst: 10, perSecond: 0.5 },
  sync: { burst: 60, perSecond: 5 },
  bundles: { burst: 400, perSecond: 20 },
  objects: { burst: 100, perSecond: 10 },
  reports: { burst: 60, perSecond: 10 },
};

/** For all addresses together: a whole fleet may come back at once, and a flood is spread. */
export const totalBudgets: Readonly<Partial<Record<Verb, Budget>>> = {
  join: { burst: 200, perSecond: 50 },
  return: { burst: 500, perSecond: 100 },
};

const MAX_BUCKETS = 50_000;

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Token buckets by (verb, who), bounded: the bucket idle for longest goes first, and an idle bucket is a full one. */
export class Budgets {
  readonly #buckets = new Map<string, Bucket>();
  readonly #perKey: Readonly<Record<Verb, Budget>>;
  readonly #total: Readonly<Partial<Record<Verb, Budget>>>;

  constructor(perKey: Readonly<Record<Verb, Budget>> = budgets, total: Readonly<Partial<Record<Verb, Budget>>> = totalBudgets) {
    this.#perKey = perKey;
    this.#total = total;
  }

  /** Errors: FL_AGENT_BUSY with the time after which one more is welcome. */
  spend(verb: Verb, who: string, nowMs: number): void {
    this.#take(`${verb} ${who}`, this.#perKey[verb], verb, nowMs);
    const total = this.#total[verb];
    if (total !== undefined) this.#take(verb, total, verb, nowMs);
  }

  #take(key: string, budget: Budget, verb: Verb, nowMs: number): void {
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
    if (bucket.tokens < 1) {
      const retryAfterMs = Math.ceil(((1 - bucket.tokens) / budget.perSecond) * 1000);
      throw new FairleadError(agentRefusals.busy, `too many ${verb} requests; try again in ${Math.ceil(retryAfterMs / 1000)} s`, {
        kind: 'unavailable',
        retryAfterMs,
      });
    }
    bucket.tokens -= 1;
  }
}
