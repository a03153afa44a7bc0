import { FairleadError, sha256 } from '#base';
import { auditHash } from '../audit-chain.ts';
import { isSame, parseIndex, retext, textAt, type EncodedTransaction, type EncodedWrite } from '../encode.ts';
import type { Operation, OperationValue } from '../operations.ts';
import type { Change, CommitResult, Fence } from '../types.ts';

/** The one row that every commit moves. */
export interface Head {
  readonly revision: number;
  readonly oldest: number;
  readonly auditSeq: number;
  readonly auditHash: string;
  readonly logBytes: number;
  readonly postSeq: number;
}

export interface StoredObject {
  readonly revision: number;
  readonly indexed: string;
  readonly text: string;
}

export interface StoredLease {
  readonly token: number;
  readonly expires: number;
}

/** What a group of operations names, as the database holds it under the lock. Objects by `kind\0namespace\0name`. */
export interface GroupState {
  readonly head: Head;
  readonly objects: ReadonlyMap<string, StoredObject>;
  readonly leases: ReadonlyMap<string, StoredLease>;
}

export interface GroupRequest {
  readonly operation: Operation;
  readonly nowMs: number;
}

export type Outcome =
  | { readonly ok: true; readonly value: OperationValue }
  | { readonly ok: false; readonly error: FairleadError };

export interface At {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export interface IndexRow extends At {
  readonly key: string;
  readonly value: string;
}

export interface LogRow extends Change {
  readonly last: number;
  readonly at: number;
  readonly bytes: number;
}

/** The rows that a group leaves behind, for one statement per table. */
export interface GroupPlan {
  readonly outcomes: readonly Outcome[];
  readonly head: Head;
  readonly puts: readonly (At & StoredObject)[];
  readonly deletes: readonly At[];
  readonly dropped: Readonly<Record<'labels' | 'fields', readonly IndexRow[]>>;
  readonly added: Readonly<Record<'labels' | 'fields', readonly IndexRow[]>>;
  readonly log: readonly LogRow[];
  readonly audit: readonly { readonly seq: number; readonly leaf: string; readonly hash: string }[];
  readonly leases: readonly (StoredLease & { readonly name: string })[];
  readonly content: readonly { readonly transaction: EncodedTransaction; readonly nowMs: number }[];
  readonly effects: readonly { readonly type: string; readonly key: string; readonly payload: string; readonly due: number }[];
  readonly done: readonly number[];
  readonly failed: readonly { readonly id: number; readonly due: number; readonly message: string }[];
  readonly pulses: readonly { readonly kind: string; readonly key: string; readonly value: string }[];
  readonly posts: readonly {
    readonly topic: string;
    readonly key: string;
    readonly value: string | null;
    readonly at: number;
    readonly seq: number;
  }[];
}

export function idOf({ kind, namespace, name }: At): string {
  return `${kind}\0${namespace}\0${name}`;
}

/** Whether an operation must have a group to itself, because its rows depend on what others in the group leave. */
export function isAlone({ op, ...operation }: Operation): boolean {
  if (op === 'sweep' || op === 'trim' || op === 'compact') return true;
  return op === 'commit' && 'transaction' in operation && operation.transaction.forget.length > 0;
}

/** The objects and leases that must be read before the group can be planned. */
export function namesIn(requests: readonly GroupRequest[]): {
  readonly objects: readonly At[];
  readonly leases: readonly string[];
} {
  const objects = new Map<string, At>();
  const leases = new Set<string>();
  for (const { operation } of requests) {
    if (operation.op === 'commit') {
      if (operation.fence !== undefined) leases.add(operation.fence.name);
      for (const one of [...operation.transaction.expect, ...operation.transaction.write]) {
        objects.set(idOf(one), { kind: one.kind, namespace: one.namespace, name: one.name });
      }
    } else if (operation.op === 'acquire' || operation.op === 'renew' || operation.op === 'release') leases.add(operation.name);
  }
  return { objects: [...objects.values()], leases: [...leases] };
}

/**
 * Runs the operations in order on what the database holds, in memory: each one happens wholly or not at all, as if it were
 * alone. Pure; the caller holds the lock of the head row from before reading until after writing.
 * `limit`: no revision may be given out at or above it. `leaseNow`: ms of the database's clock for the given request time.
 */
export function planGroup(
  requests: readonly GroupRequest[],
  state: GroupState,
  limit: number,
  leaseNow: (nowMs: number) => number,
): GroupPlan {
  const group = new Group(state, limit, leaseNow);
  const outcomes = requests.map((request): Outcome => {
    try {
      return { ok: true, value: group.run(request) };
    } catch (error) {
      if (error instanceof FairleadError) return { ok: false, error };
      throw error;
    }
  });
  return group.plan(outcomes);
}

/** As pulses name objects. */
export function pulseKey({ namespace, name }: Pick<At, 'namespace' | 'name'>): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

interface Touched {
  readonly at: At;
  now: StoredObject | undefined;
}

class Group {
  readonly #state: GroupState;
  readonly #limit: number;
  readonly #leaseNow: (nowMs: number) => number;
  readonly #touched = new Map<string, Touched>();
  readonly #leases = new Map<string, StoredLease>();
  readonly #effects = new Map<string, GroupPlan['effects'][number]>();
  readonly #pulses = new Map<string, GroupPlan['pulses'][number]>();
  readonly #posts = new Map<string, GroupPlan['posts'][number]>();
  readonly #log: LogRow[] = [];
  readonly #audit: { seq: number; leaf: string; hash: string }[] = [];
  readonly #content: { transaction: EncodedTransaction; nowMs: number }[] = [];
  readonly #done: number[] = [];
  readonly #failed: { id: number; due: number; message: string }[] = [];
  #head: Head;

  constructor(state: GroupState, limit: number, leaseNow: (nowMs: number) => number) {
    this.#state = state;
    this.#head = state.head;
    this.#limit = limit;
    this.#leaseNow = leaseNow;
  }

  run({ operation, nowMs }: GroupRequest): OperationValue {
    switch (operation.op) {
      case 'commit':
        return this.#commit(operation.transaction, operation.fence, nowMs);
      case 'effectDone':
        this.#done.push(operation.id);
        return undefined;
      case 'effectFailed':
        this.#failed.push({ id: operation.id, due: Math.ceil(operation.retryAtMs), message: operation.message.slice(0, 1024) });
        return undefined;
      case 'acquire': {
        const lease = this.#lease(operation.name);
        const now = this.#leaseNow(nowMs);
        if (lease !== undefined && lease.expires > now) return { retryAtMs: lease.expires - now + nowMs };
        const token = (lease?.token ?? 0) + 1;
        this.#leases.set(operation.name, { token, expires: Math.ceil(now + operation.ttlMs) });
        return { token };
      }
      case 'renew': {
        const lease = this.#lease(operation.name);
        const now = this.#leaseNow(nowMs);
        const held = lease?.token === operation.token && lease.expires > now;
        if (held) this.#leases.set(operation.name, { token: operation.token, expires: Math.ceil(now + operation.ttlMs) });
        return { held };
      }
      case 'release':
        // The token moves on, so that whatever is still under way with it is refused.
        if (this.#lease(operation.name)?.token === operation.token) {
          this.#leases.set(operation.name, { token: operation.token + 1, expires: 0 });
        }
        return undefined;
      case 'pulses':
        for (const row of operation.rows) this.#pulses.set(`${row.kind}\0${row.key}`, row);
        return undefined;
      case 'posts':
        for (const { topic, key, value } of operation.rows) {
          this.#head = { ...this.#head, postSeq: this.#head.postSeq + 1 };
          const row = { topic, key, value: value ?? null, at: Math.floor(this.#leaseNow(nowMs)), seq: this.#head.postSeq };
          this.#posts.set(`${topic}\0${key}`, row);
        }
        return undefined;
      case 'sweep':
      case 'trim':
      case 'compact':
        throw new TypeError(`${operation.op} is no operation of a group`);
    }
  }

  plan(outcomes: readonly Outcome[]): GroupPlan {
    const puts: (At & StoredObject)[] = [];
    const deletes: At[] = [];
    const dropped = { labels: [] as IndexRow[], fields: [] as IndexRow[] };
    const added = { labels: [] as IndexRow[], fields: [] as IndexRow[] };
    for (const [id, { at, now }] of this.#touched) {
      const before = this.#state.objects.get(id);
      if (now !== undefined) puts.push({ ...at, ...now });
      else if (before !== undefined) deletes.push(at);
      const [had, has] = [parseIndex(before?.indexed ?? ''), parseIndex(now?.indexed ?? '')];
      for (const [which, table] of (['labels', 'fields'] as const).entries()) {
        const old = new Map(had[which]);
        const wanted = new Map(has[which]);
        for (const [key, value] of old) if (wanted.get(key) !== value) dropped[table].push({ ...at, key, value });
        for (const [key, value] of wanted) if (old.get(key) !== value) added[table].push({ ...at, key, value });
      }
    }
    return {
      outcomes,
      head: this.#head,
      puts,
      deletes,
      dropped,
      added,
      log: this.#log,
      audit: this.#audit,
      leases: [...this.#leases].map(([name, lease]) => ({ name, ...lease })),
      content: this.#content,
      effects: [...this.#effects.values()],
      done: this.#done,
      failed: this.#failed,
      pulses: [...this.#pulses.values()],
      posts: [...this.#posts.values()],
    };
  }

  #lease(name: string): StoredLease | undefined {
    return this.#leases.get(name) ?? this.#state.leases.get(name);
  }

  #object(at: At): StoredObject | undefined {
    const touched = this.#touched.get(idOf(at));
    return touched === undefined ? this.#state.objects.get(idOf(at)) : touched.now;
  }

  #commit(transaction: EncodedTransaction, fence: Fence | undefined, nowMs: number): CommitResult {
    if (fence !== undefined && this.#lease(fence.name)?.token !== fence.token) return { ok: false, fenced: fence.name };
    for (const { kind, namespace, name, revision } of transaction.expect) {
      const found = this.#object({ kind, namespace, name })?.revision;
      const holds =
        revision === 'absent' ? found === undefined : revision === 'present' ? found !== undefined : found === revision;
      if (!holds) return { ok: false, conflict: { kind, key: { namespace, name }, found } };
    }
    // Everything that can refuse comes before everything that changes.
    for (const { digest, bytes } of transaction.blobs) {
      if (sha256(bytes) !== digest) {
        throw new FairleadError('FL_STORE_DIGEST', `bytes given as ${digest} have another digest; nothing was written`, {
          kind: 'internal',
        });
      }
    }
    if (this.#head.revision >= this.#limit) {
      throw new FairleadError('FL_STORE_REVISIONS', 'no revisions are reserved; check that the key directory can be written to', {
        kind: 'unavailable',
      });
    }
    const changes: Change[] = [];
    let { revision, logBytes, auditSeq, auditHash: hash } = this.#head;
    for (const write of transaction.write) {
      const change = this.#write(write, revision + 1);
      if (change === undefined) continue;
      revision += 1;
      changes.push(change);
    }
    for (const change of changes) {
      const bytes = change.after.length + (change.before?.length ?? 0) + 100;
      logBytes += bytes;
      this.#log.push({ ...change, last: revision, at: Math.floor(nowMs), bytes });
    }
    if (transaction.audit !== undefined) {
      auditSeq += 1;
      const leaf = `{"seq":${auditSeq},"revision":${revision},${transaction.audit}`;
      hash = auditHash(hash, leaf);
      this.#audit.push({ seq: auditSeq, leaf, hash });
    }
    for (const { type, key, payload } of transaction.effects) {
      this.#effects.set(`${type}\0${key}`, { type, key, payload, due: Math.floor(nowMs) });
    }
    const { blobs, issue, sealed, forget } = transaction;
    if (blobs.length + issue.length + sealed.length + forget.length > 0) this.#content.push({ transaction, nowMs });
    this.#head = { ...this.#head, revision, logBytes, auditSeq, auditHash: hash };
    return { ok: true, revision, changed: changes.length > 0 };
  }

  #write(write: EncodedWrite, revision: number): Change | undefined {
    const at: At = { kind: write.kind, namespace: write.namespace, name: write.name };
    const before = this.#object(at);
    const key = { namespace: at.namespace, name: at.name };
    if (write.op === 'delete') {
      if (before === undefined) return undefined;
      this.#touched.set(idOf(at), { at, now: undefined });
      this.#pulses.delete(`${at.kind}\0${pulseKey(at)}`);
      const after = retext(before.text, before.revision, revision);
      return { revision, kind: at.kind, key, type: 'deleted', before: before.text, after };
    }
    if (before !== undefined && isSame(before.text, write, before.revision)) return undefined;
    const text = textAt(write, revision);
    this.#touched.set(idOf(at), { at, now: { revision, indexed: write.index, text } });
    return { revision, kind: at.kind, key, type: before === undefined ? 'added' : 'modified', before: before?.text, after: text };
  }
}
