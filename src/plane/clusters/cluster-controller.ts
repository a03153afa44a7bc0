import { rfc3339, type NewId } from '#base';
import {
  AgentIdentity,
  Cluster,
  conditionOf,
  Delivery,
  DesiredStateRow,
  JoinToken,
  type Key,
  type Kind,
  type LiveState,
} from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { Transaction, Write } from '#plane/store';
import { decideCluster, urgencyOf } from './decide-cluster.ts';

/** Counts of deliveries are written at most this often: what comes and goes within it is not written at all. */
const COUNTS_MS = 1_000;
/** Positions alone are worth a write after this long. */
const POSITIONS_MS = 30_000;
const CHUNK = 200;

export interface ClusterControllerOptions {
  readonly live: LiveState;
  readonly newUid: NewId;
}

/**
 * Keeps the status of every Cluster, and detaches what belongs to one that was deleted: the agent's identity becomes a
 * tombstone, so that its receipt cannot bring the Cluster back by itself; what the cluster runs stays.
 */
export class ClusterController implements Controller {
  readonly name = 'clusters';
  readonly #live: LiveState;
  /** Woken by something that is not only a count. */
  readonly #urgent = new Set<string>();
  /** When a difference that can wait was first seen. */
  readonly #waiting = new Map<string, { readonly sinceMs: number; readonly forMs: number }>();

  constructor(options: ClusterControllerOptions) {
    this.#live = options.live;
  }

  readonly wakes = [
    wakeOn(Cluster, ({ before, after, type }) => {
      const seen = (one: Cluster | undefined): string =>
        JSON.stringify([
          one?.metadata.generation,
          one?.metadata.annotations,
          one?.status?.agent,
          one?.status?.recovery,
          one?.status?.kubeSystemUid,
        ]);
      return type === 'modified' && seen(before) === seen(after) ? [] : this.#now(after.metadata.name);
    }),
    wakeOn(AgentIdentity, ({ after }) => this.#now(after.metadata.name)),
    wakeOn(Delivery, ({ before, after, type }) => {
      const isReady = (one: Delivery | undefined): boolean => one !== undefined && isCounted(one);
      return type === 'modified' && isReady(before) === isReady(after) ? [] : [after.spec.cluster];
    }),
    wakeOn(DesiredStateRow, ({ after }) => [after.metadata.name]),
  ];

  #now(name: string): readonly string[] {
    this.#urgent.add(name);
    return [name];
  }

  listen(wake: (key: string) => void, signal: AbortSignal): void {
    const stop = this.#live.subscribe((change) => {
      if (change.of !== 'cluster') return;
      this.#urgent.add(change.cluster);
      wake(change.cluster);
    });
    signal.addEventListener('abort', stop, { once: true });
  }

  async initial(read: Reader): Promise<readonly string[]> {
    const names = new Set<string>();
    const kinds: readonly Kind[] = [Cluster, AgentIdentity];
    for (const kind of kinds) {
      let after: Key | undefined;
      do {
        const page = await read.list(kind, { limit: 1000, ...(after === undefined ? {} : { after }) });
        for (const object of page.items) names.add(object.metadata.name);
        after = page.next;
      } while (after !== undefined);
    }
    for (const name of names) this.#urgent.add(name);
    return [...names];
  }

  async reconcile(name: string, { read, clock }: ReconcileContext): Promise<ReconcileResult> {
    const nowMs = clock.now();
    const isUrgent = this.#urgent.delete(name);
    const waiting = this.#waiting.get(name);
    // Nothing is read for what can wait until its time has come.
    if (!isUrgent && waiting !== undefined && waiting.forMs <= COUNTS_MS) {
      const leftMs = waiting.sinceMs + waiting.forMs - nowMs;
      if (leftMs > 0) return { againMs: leftMs };
    }
    const key = { namespace: '', name };
    // In this order: both come with one commit, and what is read first may be the older. A joining agent is not taken for one
    // that is left over.
    const identity = await read.get(AgentIdentity, key);
    const cluster = await read.get(Cluster, key);
    if (cluster === undefined) return this.#detach(name, identity, read, nowMs);
    // Made anew after a deletion, before the tombstone was written: the old agent must not slip into it.
    if (identity !== undefined && identity.spec.detached !== true && cluster.status?.agent === undefined) {
      return { commit: tombstone(identity, cluster, await tokensOf(read, name), nowMs) };
    }
    const deliveries = await deliveriesTo(read, name);
    const row = await read.get(DesiredStateRow, key);
    const status = decideCluster({
      cluster,
      contact: this.#live.contact(name),
      lane: this.#live.lane(name),
      deliveries: { total: deliveries.filter(isKept).length, ready: deliveries.filter(isCounted).length },
      desired: row?.spec.position,
      now: rfc3339(nowMs),
    });
    const urgency = urgencyOf(cluster.status, status);
    if (urgency === 'none') {
      this.#waiting.delete(name);
      return {};
    }
    if (urgency !== 'now') {
      const forMs = urgency === 'counts' ? COUNTS_MS : POSITIONS_MS;
      const since = waiting?.sinceMs ?? nowMs;
      const leftMs = since + forMs - nowMs;
      if (leftMs > 0) {
        this.#waiting.set(name, { sinceMs: since, forMs });
        return { againMs: leftMs };
      }
    }
    this.#waiting.delete(name);
    return {
      commit: {
        expect: [{ kind: Cluster, key, revision: Number(cluster.metadata.resourceVersion) }],
        write: [{ op: 'put', kind: Cluster, object: { ...cluster, status } }],
      },
    };
  }

  async #detach(name: string, identity: AgentIdentity | undefined, read: Reader, nowMs: number): Promise<ReconcileResult> {
    this.#waiting.delete(name);
    const chunks: Transaction[] = [];
    if (identity !== undefined && identity.spec.detached !== true) chunks.push(tombstone(identity, undefined, [], nowMs));
    const key = { namespace: '', name };
    const tokens = await tokensOf(read, name);
    if (tokens.length > 0) chunks.push({ expect: [{ kind: Cluster, key, revision: 'absent' }], write: tokens });
    if ((await read.get(DesiredStateRow, key)) !== undefined)
      chunks.push({
        expect: [{ kind: Cluster, key, revision: 'absent' }],
        write: [{ op: 'delete', kind: DesiredStateRow, key }],
      });
    const deletes = (await deliveriesTo(read, name)).map(({ metadata }): Write => ({
      op: 'delete',
      kind: Delivery,
      key: { namespace: metadata.namespace ?? '', name: metadata.name },
    }));
    for (let at = 0; at < deletes.length; at += CHUNK) {
      chunks.push({ expect: [{ kind: Cluster, key, revision: 'absent' }], write: deletes.slice(at, at + CHUNK) });
    }
    return chunks.length === 0 ? {} : { chunks };
  }
}

/** The identity stays, so that its receipt cannot bring the cluster back; its desired state goes. */
function tombstone(identity: AgentIdentity, cluster: Cluster | undefined, writes: readonly Write[], nowMs: number): Transaction {
  const { name } = identity.metadata;
  const key = { namespace: '', name };
  return {
    expect: [
      { kind: AgentIdentity, key, revision: Number(identity.metadata.resourceVersion) },
      // Who joins or comes back meanwhile is not left over.
      { kind: Cluster, key, revision: cluster === undefined ? 'absent' : Number(cluster.metadata.resourceVersion) },
    ],
    write: [
      { op: 'put', kind: AgentIdentity, object: { ...identity, spec: { ...identity.spec, detached: true } } },
      { op: 'delete', kind: DesiredStateRow, key },
      ...writes,
    ],
    // Another cluster may take the name later: it must not find this one's content under it.
    forget: [name],
    audit: {
      actor: 'system:fairlead:clusters',
      verb: 'detach',
      object: `Cluster//${name}`,
      at: new Date(nowMs).toISOString(),
      details: { keyId: identity.spec.keyId },
    },
  };
}

/** Join tokens of a Cluster that is no more must not open one that is made under its name. */
async function tokensOf(read: Reader, name: string): Promise<readonly Write[]> {
  const { items } = await read.list(JoinToken, { fields: [{ path: 'spec.cluster', operator: '=', value: name }], limit: 500 });
  return items.map(({ metadata }): Write => ({ op: 'delete', kind: JoinToken, key: { namespace: '', name: metadata.name } }));
}

function isKept(delivery: Delivery): boolean {
  return delivery.spec.retire === undefined;
}

function isCounted(delivery: Delivery): boolean {
  return isKept(delivery) && conditionOf(delivery, 'Ready')?.status === 'True';
}

async function deliveriesTo(read: Reader, cluster: string): Promise<readonly Delivery[]> {
  const found: Delivery[] = [];
  let after: Key | undefined;
  do {
    const page = await read.list(Delivery, {
      fields: [{ path: 'spec.cluster', operator: '=', value: cluster }],
      ...(after === undefined ? {} : { after }),
    });
    found.push(...page.items);
    after = page.next;
  } while (after !== undefined);
  return found;
}
