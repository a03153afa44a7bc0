import { childController, type Clock } from '#base';
import type { Key, Kind, PlaneObject } from '#api';
import { auditHash, AUDIT_START } from './audit-chain.ts';
import { closed } from './closed.ts';
import { encodeTransaction } from './encode.ts';
import { holdLease } from './lease.ts';
import type { Operation, OperationValue } from './operations.ts';
import { RecentDigests } from './recent-digests.ts';
import type { Change, CommitResult, Fence, Lease, ListQuery, ListResult, StoredEffect, Transaction } from './types.ts';

export const PAGE_MAX = 10_000;
/** A page ends early, with `next`, when its texts are longer than this. */
export const PAGE_BYTES = 64 * 1024 * 1024;
/** After so long in one turn of the event loop the rest waits for the next one. */
export const SLICE_MS = 4;
const AUDIT_PAGE = 500;

interface Writer {
  request(operation: Operation): Promise<OperationValue>;
}

interface Feed {
  readonly revision: number;
  changes(after: number, kinds: readonly Kind[], signal: AbortSignal): AsyncIterable<readonly Change[]>;
}

interface Pulses {
  set(kind: string, key: Key, value: Readonly<Record<string, unknown>>): void;
  delete(kind: string, key: Key): void;
}

/** A row as either driver gives it. */
export type StoreRow = Readonly<Record<string, unknown>>;

/** What a store does alike on both databases, over its writer, its feed and its pulses. */
export abstract class BaseStore {
  protected abstract readonly writer: Writer;
  protected abstract readonly feed: Feed;
  protected abstract readonly heartbeats: Pulses;
  protected readonly clock: Clock;
  /** Digests that somebody was told are missing: not swept before they had time to write them. */
  protected readonly asked = new RecentDigests();
  protected readonly stop = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  abstract listText(kind: Kind, query?: ListQuery): Promise<ListResult<string>>;
  protected abstract dueRows(nowMs: number, limit: number): Promise<readonly StoreRow[]>;
  protected abstract auditHead(): Promise<{ readonly seq: number; readonly hash: string }>;
  /** `seq, leaf, hash` of at most `limit` leaves after `seq`, in order. */
  protected abstract auditPage(seq: number, limit: number): Promise<readonly StoreRow[]>;
  protected abstract shutDown(): Promise<void>;

  revision(): number {
    return this.feed.revision;
  }

  async list<S, T>(kind: Kind<S, T>, query: ListQuery = {}): Promise<ListResult<PlaneObject<S, T>>> {
    const page = await this.listText(kind, query);
    const items: PlaneObject<S, T>[] = [];
    let stopAt = performance.now() + SLICE_MS;
    for (const text of page.items) {
      // Only objects of this kind are stored under it.
      items.push(JSON.parse(text) as PlaneObject<S, T>);
      if ((items.length & 31) === 0 && performance.now() > stopAt) {
        await nextTurn();
        stopAt = performance.now() + SLICE_MS;
      }
    }
    return { ...page, items };
  }

  async commit(transaction: Transaction, fence?: Fence): Promise<CommitResult> {
    this.refuseClosed();
    const encoded = encodeTransaction(transaction);
    const named = fence === undefined ? undefined : { name: fence.name, token: fence.token };
    const result = await this.writer.request({ op: 'commit', transaction: encoded, fence: named });
    if (result === undefined || !('ok' in result)) throw new TypeError('the writer answers a commit with a CommitResult');
    if (result.ok) {
      for (const write of transaction.write ?? []) if (write.op === 'delete') this.heartbeats.delete(write.kind.kind, write.key);
    }
    return result;
  }

  changes(after: number, kinds: readonly Kind[], signal: AbortSignal): AsyncIterable<readonly Change[]> {
    return this.feed.changes(after, kinds, signal);
  }

  lease(name: string, ttlMs: number, signal: AbortSignal): Promise<Lease> {
    this.refuseClosed();
    return holdLease(name, ttlMs, childController(this.stop.signal), signal, this.clock, (operation) =>
      this.writer.request(operation),
    );
  }

  pulse(kind: Kind, key: Key, value: Readonly<Record<string, unknown>>): void {
    this.refuseClosed();
    this.heartbeats.set(kind.kind, key, value);
  }

  async dueEffects(nowMs: number, limit: number): Promise<readonly StoredEffect[]> {
    this.refuseClosed();
    const rows = await this.dueRows(Math.floor(nowMs), Math.min(limit, 1_000));
    return rows.map((row) => ({
      id: Number(row['id']),
      type: String(row['type']),
      key: String(row['key']),
      payload: JSON.parse(String(row['payload'])) as unknown,
      attempts: Number(row['attempts']),
    }));
  }

  async effectDone(id: number): Promise<void> {
    await this.writer.request({ op: 'effectDone', id });
  }

  async effectFailed(id: number, retryAtMs: number, message: string): Promise<void> {
    await this.writer.request({ op: 'effectFailed', id, retryAtMs, message });
  }

  async verifyAudit(): Promise<{ readonly leaves: number; readonly brokenAt?: number }> {
    this.refuseClosed();
    // Read first: leaves that are added meanwhile lie behind it.
    const head = await this.auditHead();
    let seq = 0;
    let hash = AUDIT_START;
    for (;;) {
      const rows = await this.auditPage(seq, AUDIT_PAGE);
      for (const row of rows) {
        hash = auditHash(hash, String(row['leaf']));
        const isHead = seq + 1 === head.seq;
        if (Number(row['seq']) !== seq + 1 || hash !== row['hash'] || (isHead && hash !== head.hash)) {
          return { leaves: seq, brokenAt: seq + 1 };
        }
        seq += 1;
      }
      if (rows.length < AUDIT_PAGE) return seq < head.seq ? { leaves: seq, brokenAt: seq + 1 } : { leaves: seq };
      await nextTurn();
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.shutDown();
    return this.#closing;
  }

  protected refuseClosed(): void {
    if (this.#closing !== undefined) throw closed();
  }
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
