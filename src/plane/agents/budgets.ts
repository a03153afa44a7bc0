import { FairleadError, TokenBuckets, type Budget } from '#base';
import { agentRefusals } from '#api';

export type Verb = 'join' | 'return' | 'sync' | 'bundles' | 'objects' | 'reports' | 'looks';

/** Per cluster; join and return per remote address. An agent that behaves never comes near: one commit to 500 applications of a cluster is 500 requests of each. */
export const budgets: Readonly<Record<Verb, Budget>> = {
  join: { burst: 60, perSecond: 2 },
  return: { burst: 60, perSecond: 2 },
  sync: { burst: 60, perSecond: 5 },
  bundles: { burst: 2_000, perSecond: 50 },
  objects: { burst: 2_000, perSecond: 50 },
  reports: { burst: 60, perSecond: 10 },
  looks: { burst: 60, perSecond: 10 },
};

/** For all addresses together: a whole fleet may come back at once, and a flood is spread. */
export const totalBudgets: Readonly<Partial<Record<Verb, Budget>>> = {
  join: { burst: 200, perSecond: 50 },
  return: { burst: 500, perSecond: 100 },
};

export class Budgets {
  readonly #buckets = new TokenBuckets();
  readonly #each: Readonly<Record<Verb, Budget>>;
  readonly #total: Readonly<Partial<Record<Verb, Budget>>>;

  constructor(each: Readonly<Partial<Record<Verb, Budget>>> = {}, total: Readonly<Partial<Record<Verb, Budget>>> = {}) {
    this.#each = { ...budgets, ...each };
    this.#total = { ...totalBudgets, ...total };
  }

  /** Errors: FL_AGENT_BUSY with the time after which one more is welcome. */
  spend(verb: Verb, who: string, nowMs: number): void {
    const total = this.#total[verb];
    const waitMs =
      this.#buckets.take(`${verb} ${who}`, this.#each[verb], nowMs) ||
      (total === undefined ? 0 : this.#buckets.take(verb, total, nowMs));
    if (waitMs === 0) return;
    throw new FairleadError(agentRefusals.busy, `too many ${verb} requests; try again in ${Math.ceil(waitMs / 1000)} s`, {
      kind: 'unavailable',
      retryAfterMs: waitMs,
    });
  }
}
