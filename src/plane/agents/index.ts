/**
 * agents: the plane's end of the agent protocol (`/agent/v1`) and everything signed for clusters. Enrolment by join token or
 * receipt, authentication of every request, the publisher of desired states, long polls, content by digest, reports, contact
 * and recovery. Guarantees: a cluster sees only what was issued to it; positions only grow; a plane restored from an older
 * copy rolls nothing back. It decides nothing about what is delivered (Deliveries say that) nor about how it stands
 * (`deliveries` does).
 */
import { Cluster } from '#api';
import type { Budget, Service } from '#base';
import type { Controller } from '#plane/engine';
import type { Http } from '#plane/http';
import { ApiListJanitor } from './api-list-janitor.ts';
import { AgentDirectory } from './agent-directory.ts';
import { AgentAuthentication } from './authenticator.ts';
import { Budgets, type Verb } from './budgets.ts';
import { ReleaseCache } from './compose-inputs.ts';
import type { AgentsContext } from './context.ts';
import { EventJanitor } from './event-janitor.ts';
import { LiveBook } from './live-book.ts';
import { LookBook } from './look-book.ts';
import { Publisher } from './publisher.ts';
import { Reports } from './reports.ts';
import { addAgentRoutes } from './routes.ts';
import { SharedLive } from './shared-live.ts';
import { ServedApisBook } from './served-apis.ts';
import { Syncs } from './sync.ts';

export type { AgentKeys, AgentsContext } from './context.ts';
export { LiveBook } from './live-book.ts';
export { hideLook } from './read-look.ts';
export { hashSecret } from './enrolment.ts';

export interface Agents {
  readonly live: LiveBook;
  readonly looks: Pick<LookBook, 'look'>;
  readonly controllers: readonly Controller[];
  /** To be supervised: following the change log, and finding out who is not heard of any more. */
  readonly services: readonly Service[];
  /** How many agents wait for news. */
  readonly waiting: () => number;
}

const SWEEP_MS = 1_000;

/** Builds the room and registers its routes. */
export async function createAgents(
  context: AgentsContext,
  http: Pick<Http, 'route' | 'authenticate' | 'metrics'>,
  limits: {
    readonly budgets?: Readonly<Partial<Record<Verb, Budget>>>;
    readonly totalBudgets?: Readonly<Partial<Record<Verb, Budget>>>;
  } = {},
): Promise<Agents> {
  const live = new LiveBook(context.clock);
  for (const [key, value] of await context.store.pulses(Cluster)) {
    const { lastContact } = value;
    if (typeof lastContact === 'number') live.contacts.remember(key, lastContact);
  }
  const releases = new ReleaseCache();
  const directory = new AgentDirectory({ store: context.store, log: context.log, onGone: (cluster) => live.forget(cluster) });
  const looks = new LookBook(context, live, (cluster) => directory.wake(cluster));
  const { replicas } = context.store;
  if (replicas !== undefined) live.shared = new SharedLive(replicas, live, looks, context.log);
  const authentication = new AgentAuthentication(context, directory);
  const syncs = new Syncs(context, directory, live, releases, looks);
  const reports = new Reports(context, live, new ServedApisBook(context));
  const budgets = new Budgets(limits.budgets, limits.totalBudgets);
  addAgentRoutes(http, { context, authentication, syncs, reports, looks, releases, budgets });
  const sweeper: Service = {
    id: 'contact-sweep',
    async run(signal) {
      while (!signal.aborted) {
        await context.clock.sleep(SWEEP_MS, signal);
        for (const cluster of live.contacts.sweep(context.clock.now())) live.tell({ of: 'cluster', cluster });
        looks.sweep(context.clock.now());
      }
    },
  };
  return {
    live,
    looks,
    controllers: [new Publisher(context, releases, live), new EventJanitor(), new ApiListJanitor()],
    services: [directory, sweeper, ...(live.shared === undefined ? [] : [live.shared])],
    waiting: () => directory.waiting,
  };
}
