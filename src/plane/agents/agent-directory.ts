import type { KeyObject } from 'node:crypto';
import { AgentIdentity, Cluster, DesiredStateRow, publicKeyObject, type DesiredPosition } from '#api';
import { codeOf, FairleadError, type Log, type Service } from '#base';
import type { Change, Store } from '#plane/store';
import { clusterKey } from './compose-inputs.ts';

/** What the gateway keeps of one agent between requests. */
export interface AgentEntry {
  /** Undefined: this plane does not know the agent. */
  readonly identity: { readonly keyId: string; readonly key: KeyObject; readonly detached: boolean } | undefined;
  /** Whether its Cluster exists: one that was just deleted is as good as detached. */
  readonly clusterExists: boolean;
  readonly position: DesiredPosition | undefined;
}

type Waiter = (why: 'news' | 'over') => void;

const MAX_ENTRIES = 30_000;
const MAX_WAITERS_PER_CLUSTER = 4;

/**
 * Identities and newest positions by cluster, read once and then kept right by the change feed; and who waits for news of
 * a cluster. Waiting costs the store nothing. While the feed is down nothing is kept, so that nothing stale is believed.
 */
export class AgentDirectory implements Service {
  readonly id = 'agent-directory';
  readonly #store: Store;
  readonly #log: Log;
  readonly #entries = new Map<string, AgentEntry>();
  readonly #waiters = new Map<string, Set<Waiter>>();
  /** Raised by every change of a cluster: a read that began before it must not be kept. */
  readonly #versions = new Map<string, number>();
  readonly #onGone: (cluster: string) => void;
  #isFollowing = false;

  constructor(options: { readonly store: Store; readonly log: Log; readonly onGone: (cluster: string) => void }) {
    this.#store = options.store;
    this.#log = options.log;
    this.#onGone = options.onGone;
  }

  /** How many requests wait. */
  get waiting(): number {
    let count = 0;
    for (const waiters of this.#waiters.values()) count += waiters.size;
    return count;
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      const from = this.#store.revision();
      this.#entries.clear();
      this.#isFollowing = true;
      for (const cluster of this.#waiters.keys()) this.wake(cluster);
      for await (const batch of this.#store.changes(from, [AgentIdentity, Cluster, DesiredStateRow], signal)) {
        for (const change of batch) this.#follow(change);
      }
    } catch (error) {
      if (codeOf(error) !== 'FL_STORE_COMPACTED') throw error;
      this.#log.warn({ error }, 'the gateway fell behind the change log and starts over');
    } finally {
      this.#isFollowing = false;
      this.#entries.clear();
    }
  }

  async find(cluster: string): Promise<AgentEntry> {
    const known = this.#entries.get(cluster);
    if (known !== undefined) return known;
    const version = this.#versions.get(cluster);
    const key = clusterKey(cluster);
    // First: read after its Cluster, an agent that comes back meanwhile would look as if its Cluster had been deleted.
    const identity = await this.#store.get(AgentIdentity, key);
    const [found, row] = await Promise.all([this.#store.get(Cluster, key), this.#store.get(DesiredStateRow, key)]);
    const entry: AgentEntry = {
      identity: identity === undefined ? undefined : identityOf(identity),
      clusterExists: found !== undefined,
      position: row?.spec.position,
    };
    // Strangers leave no trace here, whatever names they try.
    if (identity !== undefined && this.#isFollowing && this.#versions.get(cluster) === version) this.#keep(cluster, entry);
    return entry;
  }

  /**
   * Resolves with 'news' at the next news of the cluster; with 'over' after `waitMs`, when the signal aborts, or when too many
   * wait for the same cluster. Look at what there is after calling this and before awaiting it, or news in between are missed.
   */
  news(cluster: string, waitMs: number, signal: AbortSignal): { readonly arrived: Promise<'news' | 'over'>; cancel(): void } {
    const waiters = this.#waiters.get(cluster) ?? new Set<Waiter>();
    this.#waiters.set(cluster, waiters);
    const { promise, resolve } = Promise.withResolvers<'news' | 'over'>();
    const end: Waiter = (why) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', over);
      waiters.delete(end);
      if (waiters.size === 0 && this.#waiters.get(cluster) === waiters) this.#waiters.delete(cluster);
      resolve(why);
    };
    const over = (): void => end('over');
    const timer = setTimeout(over, waitMs);
    signal.addEventListener('abort', over, { once: true });
    waiters.add(end);
    if (signal.aborted) over();
    // An agent needs one; more are leftovers of cut connections, and the oldest is answered.
    if (waiters.size > MAX_WAITERS_PER_CLUSTER) [...waiters][0]?.('over');
    return { arrived: promise, cancel: over };
  }

  wake(cluster: string): void {
    for (const waiter of this.#waiters.get(cluster) ?? []) waiter('news');
  }

  #follow(change: Change): void {
    const cluster = change.key.name;
    this.#versions.delete(cluster);
    this.#versions.set(cluster, change.revision);
    if (this.#versions.size > MAX_ENTRIES) drop(this.#versions);
    const entry = this.#entries.get(cluster);
    const isGone = change.type === 'deleted';
    // The texts are what this plane stored under these kinds.
    switch (change.kind) {
      case DesiredStateRow.kind: {
        const position = isGone ? undefined : (JSON.parse(change.after) as DesiredStateRow).spec.position;
        if (entry !== undefined) this.#keep(cluster, { ...entry, position });
        this.wake(cluster);
        return;
      }
      case AgentIdentity.kind: {
        const identity = isGone ? undefined : identityOf(JSON.parse(change.after) as AgentIdentity);
        if (entry !== undefined) this.#keep(cluster, { ...entry, identity });
        if (identity === undefined || identity.detached) this.#onGone(cluster);
        this.wake(cluster);
        return;
      }
      case Cluster.kind:
        if (change.type === 'modified') return;
        if (entry !== undefined) this.#keep(cluster, { ...entry, clusterExists: !isGone });
        this.wake(cluster);
        return;
      default:
    }
  }

  #keep(cluster: string, entry: AgentEntry): void {
    this.#entries.delete(cluster);
    this.#entries.set(cluster, entry);
    if (this.#entries.size > MAX_ENTRIES) drop(this.#entries);
  }
}

function drop(map: Map<string, unknown>): void {
  const [oldest] = map.keys();
  if (oldest !== undefined) map.delete(oldest);
}

function identityOf(identity: AgentIdentity): NonNullable<AgentEntry['identity']> {
  const { keyId, signingKey, detached } = identity.spec;
  return { keyId, key: publicKeyObject(signingKey), detached: detached === true };
}

export function unknownAgent(cluster: string): FairleadError {
  return new FairleadError('FL_AGENT_UNKNOWN', `the plane does not know the agent of ${cluster}; show the receipt`, {
    kind: 'unauthenticated',
  });
}
