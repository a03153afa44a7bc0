import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { FairleadError, must, sha256 } from '#base';
import type { PlaneObject } from '#api';
import type { CommitResult } from '../types.ts';
import { auditHash, AUDIT_START, readAuditHead } from '../audit-chain.ts';
import {
  digestBytes,
  indexOf,
  isSame,
  parseIndex,
  retext,
  textAt,
  type EncodedTransaction,
  type EncodedWrite,
} from '../encode.ts';
import type { Operation, OperationValue } from '../operations.ts';
import { migrate } from './migrations.ts';
import { environmentError, plainError } from './sqlite-errors.ts';
import type { GroupDone, Outcome, Request, WriterOptions, WriterState } from './protocol.ts';
import type { Fence } from '../types.ts';

/** What moves with every commit; put back when a transaction is rolled back. */
interface Counters {
  revision: number;
  auditSeq: number;
  auditHash: string;
  logBytes: number;
}

interface PendingChange {
  readonly revision: number;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly type: 'added' | 'modified' | 'deleted';
  readonly before: string | null;
  readonly after: string;
}

/** Rows of the change log dropped in one go: a few ms. */
const COMPACT_ROWS = 500;

/**
 * The one writer of a SQLite database: runs groups of operations, each in a savepoint of one transaction, so that all of
 * them share one fsync. Synchronous; lives in a worker thread.
 */
export class SqliteWriter {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #options: WriterOptions;
  #counters: Counters;
  #oldest: number;
  #limit: number;
  readonly #instanceId: string;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#limit = options.limit;
    this.#database = new DatabaseSync(options.path, { timeout: 5_000 });
    this.#database.exec('PRAGMA journal_mode = WAL');
    this.#database.exec(
      'PRAGMA synchronous = FULL; PRAGMA cache_size = -32000; PRAGMA journal_size_limit = 67108864; PRAGMA temp_store = MEMORY;' +
        'PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF',
    );
    migrate(this.#database);
    this.#database.exec('BEGIN IMMEDIATE');
    this.#setDefault('instanceId', options.instanceId);
    this.#setDefault('revision', '0');
    this.#setDefault('oldest', '0');
    this.#setDefault('audit', `0 ${AUDIT_START}`);
    // Nobody else has this database open, so nobody can hold a lease from before.
    this.#database.exec('UPDATE leases SET expires = 0');
    const revision = Number(this.#meta('revision'));
    if (options.floor > revision) {
      this.#sql('INSERT INTO gaps (low, high) VALUES (?, ?)').run(revision, options.floor);
      this.#setMeta('revision', String(options.floor));
    }
    this.#reindex();
    this.#database.exec('COMMIT');
    const head = readAuditHead(this.#meta('audit'));
    this.#counters = {
      revision: Number(this.#meta('revision')),
      auditSeq: head.seq,
      auditHash: head.hash,
      logBytes: Number(this.#sql('SELECT coalesce(sum(bytes), 0) AS n FROM changes').get()?.['n'] ?? 0),
    };
    this.#oldest = Number(this.#meta('oldest'));
    this.#instanceId = this.#meta('instanceId');
  }

  state(): WriterState {
    const gaps = this.#sql('SELECT low, high FROM gaps ORDER BY high').all();
    return {
      instanceId: this.#instanceId,
      revision: this.#counters.revision,
      oldest: this.#oldest,
      gaps: gaps.map((gap) => ({ from: Number(gap['low']), to: Number(gap['high']) })),
    };
  }

  raiseLimit(limit: number): void {
    this.#limit = Math.max(this.#limit, limit);
  }

  /** Runs the requests in order and returns after they are on disk. Never throws: what fails is an outcome. */
  run(requests: readonly Request[]): GroupDone {
    const before = { ...this.#counters };
    const kinds = new Set<string>();
    const outcomes: Outcome[] = [];
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      for (const request of requests) outcomes.push(this.#runOne(request, kinds));
      const { revision, auditSeq, auditHash } = this.#counters;
      if (revision !== before.revision) this.#setMeta('revision', String(revision));
      // Kept beside the chain, so that leaves cut off its end are missed.
      if (auditSeq !== before.auditSeq) this.#setMeta('audit', `${auditSeq} ${auditHash}`);
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      this.#counters = before;
      kinds.clear();
      const failed: Outcome = { ok: false, error: plainError(environmentError(error, this.#options.path) ?? error) };
      outcomes.splice(0, outcomes.length, ...requests.map(() => failed));
    }
    return {
      type: 'done',
      ids: requests.map((request) => request.id),
      outcomes,
      revision: this.#counters.revision,
      oldest: this.#oldest,
      kinds: [...kinds],
    };
  }

  #runOne(request: Request, kinds: Set<string>): Outcome {
    const before = { ...this.#counters };
    const touched = new Set<string>();
    this.#sql('SAVEPOINT one').run();
    try {
      const value = this.#execute(request.operation, request.nowMs, touched);
      this.#sql('RELEASE one').run();
      for (const kind of touched) kinds.add(kind);
      return { ok: true, value };
    } catch (error) {
      // A full disk or the like ends the whole group; SQLite may have rolled it back already.
      if (environmentError(error, this.#options.path) !== undefined || !this.#database.isTransaction) throw error;
      this.#sql('ROLLBACK TO one').run();
      this.#sql('RELEASE one').run();
      this.#counters = before;
      return { ok: false, error: plainError(error) };
    }
  }

  #execute(operation: Operation, nowMs: number, kinds: Set<string>): OperationValue {
    switch (operation.op) {
      case 'commit':
        return this.#commit(operation.transaction, operation.fence, nowMs, kinds);
      case 'effectDone':
        this.#sql('DELETE FROM effects WHERE id = ?').run(operation.id);
        return undefined;
      case 'effectFailed':
        this.#sql('UPDATE effects SET attempts = attempts + 1, due = ?, error = ? WHERE id = ?').run(
          Math.ceil(operation.retryAtMs),
          operation.message.slice(0, 1024),
          operation.id,
        );
        return undefined;
      case 'acquire':
        return this.#acquire(operation.name, operation.ttlMs, nowMs);
      case 'renew': {
        const renewed = this.#sql('UPDATE leases SET expires = ? WHERE name = ? AND token = ? AND expires > ?').run(
          Math.ceil(nowMs + operation.ttlMs),
          operation.name,
          operation.token,
          Math.floor(nowMs),
        );
        return { held: Number(renewed.changes) === 1 };
      }
      case 'release':
        // The token moves on, so that whatever is still under way with it is refused.
        this.#sql('UPDATE leases SET expires = 0, token = token + 1 WHERE name = ? AND token = ?').run(
          operation.name,
          operation.token,
        );
        return undefined;
      case 'pulses':
        for (const { kind, key, value } of operation.rows) {
          this.#sql('INSERT OR REPLACE INTO pulses (kind, key, value) VALUES (?, ?, ?)').run(kind, key, value);
        }
        return undefined;
      case 'posts':
      case 'compact':
        throw new TypeError(`SQLite has no ${operation.op}`);
      case 'sweep': {
        let removed = 0;
        for (const digest of operation.digests) {
          const gone = this.#sql('DELETE FROM blobs WHERE digest = ? AND at < ?').run(digestBytes(digest), operation.beforeMs);
          removed += Number(gone.changes);
        }
        return { removed };
      }
      case 'trim':
        this.#sql('DELETE FROM issued WHERE cluster = ? AND digest NOT IN (SELECT digest FROM blobs)').run(operation.cluster);
        this.#sql('DELETE FROM sealed WHERE cluster = ? AND digest NOT IN (SELECT digest FROM blobs)').run(operation.cluster);
        return undefined;
    }
  }

  #acquire(name: string, ttlMs: number, nowMs: number): OperationValue {
    const row = this.#sql('SELECT token, expires FROM leases WHERE name = ?').get(name);
    const expires = Number(row?.['expires'] ?? 0);
    if (expires > nowMs) return { retryAtMs: expires };
    const token = Number(row?.['token'] ?? 0) + 1;
    this.#sql('INSERT OR REPLACE INTO leases (name, token, expires) VALUES (?, ?, ?)').run(name, token, Math.ceil(nowMs + ttlMs));
    return { token };
  }

  #commit(transaction: EncodedTransaction, fence: Fence | undefined, nowMs: number, kinds: Set<string>): CommitResult {
    if (fence !== undefined) {
      const row = this.#sql('SELECT token FROM leases WHERE name = ?').get(fence.name);
      if (row === undefined || Number(row['token']) !== fence.token) return { ok: false, fenced: fence.name };
    }
    for (const { kind, namespace, name, revision } of transaction.expect) {
      const row = this.#sql('SELECT revision FROM objects WHERE kind = ? AND namespace = ? AND name = ?').get(
        kind,
        namespace,
        name,
      );
      const found = row === undefined ? undefined : Number(row['revision']);
      const holds =
        revision === 'absent' ? found === undefined : revision === 'present' ? found !== undefined : found === revision;
      if (!holds) return { ok: false, conflict: { kind, key: { namespace, name }, found } };
    }
    const changes: PendingChange[] = [];
    for (const write of transaction.write) {
      const change = write.op === 'put' ? this.#put(write) : this.#delete(write);
      if (change !== undefined) changes.push(change);
    }
    if (this.#counters.revision >= this.#limit) {
      throw new FairleadError('FL_STORE_REVISIONS', 'no revisions are reserved; check that the key directory can be written to', {
        kind: 'unavailable',
      });
    }
    this.#log(changes, nowMs, kinds);
    this.#content(transaction, nowMs);
    if (transaction.audit !== undefined) this.#audit(transaction.audit);
    for (const { type, key, payload } of transaction.effects) {
      this.#sql('DELETE FROM effects WHERE type = ? AND key = ?').run(type, key);
      this.#sql('INSERT INTO effects (type, key, payload, due) VALUES (?, ?, ?, ?)').run(type, key, payload, Math.floor(nowMs));
    }
    return { ok: true, revision: this.#counters.revision, changed: changes.length > 0 };
  }

  #put(write: EncodedWrite): PendingChange | undefined {
    const { kind, namespace, name } = write;
    const row = this.#sql('SELECT id, revision, indexed, text FROM objects WHERE kind = ? AND namespace = ? AND name = ?').get(
      kind,
      namespace,
      name,
    );
    if (row === undefined) {
      const revision = ++this.#counters.revision;
      const text = textAt(write, revision);
      this.#sql('INSERT INTO objects (kind, namespace, name, revision, indexed, text) VALUES (?, ?, ?, ?, ?, ?)').run(
        kind,
        namespace,
        name,
        revision,
        write.index,
        text,
      );
      this.#index(write, '', write.index);
      return { revision, kind, namespace, name, type: 'added', before: null, after: text };
    }
    const before = String(row['text']);
    if (isSame(before, write, Number(row['revision']))) return undefined;
    const revision = ++this.#counters.revision;
    const text = textAt(write, revision);
    this.#sql('UPDATE objects SET revision = ?, indexed = ?, text = ? WHERE id = ?').run(
      revision,
      write.index,
      text,
      Number(row['id']),
    );
    this.#index(write, String(row['indexed']), write.index);
    return { revision, kind, namespace, name, type: 'modified', before, after: text };
  }

  #delete(write: EncodedWrite): PendingChange | undefined {
    const { kind, namespace, name } = write;
    const row = this.#sql('SELECT id, revision, indexed, text FROM objects WHERE kind = ? AND namespace = ? AND name = ?').get(
      kind,
      namespace,
      name,
    );
    if (row === undefined) return undefined;
    const revision = ++this.#counters.revision;
    this.#sql('DELETE FROM objects WHERE id = ?').run(Number(row['id']));
    this.#index(write, String(row['indexed']), '');
    this.#sql('DELETE FROM pulses WHERE kind = ? AND key = ?').run(kind, namespace === '' ? name : `${namespace}/${name}`);
    const before = String(row['text']);
    return { revision, kind, namespace, name, type: 'deleted', before, after: retext(before, Number(row['revision']), revision) };
  }

  /** Moves the rows that selectors find an object by from one state to another. */
  #index(at: { readonly kind: string; readonly namespace: string; readonly name: string }, from: string, to: string): void {
    if (from === to) return;
    const old = parseIndex(from);
    const wanted = parseIndex(to);
    for (const [which, table] of ['labels', 'fields'].entries()) {
      const had = new Map(old[which]);
      const has = new Map(wanted[which]);
      for (const [key, value] of had) {
        if (has.get(key) === value) continue;
        this.#sql(`DELETE FROM ${table} WHERE kind = ? AND key = ? AND value = ? AND namespace = ? AND name = ?`).run(
          at.kind,
          key,
          value,
          at.namespace,
          at.name,
        );
      }
      for (const [key, value] of has) {
        if (had.get(key) === value) continue;
        this.#sql(`INSERT OR REPLACE INTO ${table} (kind, key, value, namespace, name) VALUES (?, ?, ?, ?, ?)`).run(
          at.kind,
          key,
          value,
          at.namespace,
          at.name,
        );
      }
    }
  }

  #log(changes: readonly PendingChange[], nowMs: number, kinds: Set<string>): void {
    const last = changes.at(-1)?.revision ?? 0;
    for (const change of changes) {
      const bytes = change.after.length + (change.before?.length ?? 0) + 100;
      this.#counters.logBytes += bytes;
      kinds.add(change.kind);
      this.#sql(
        'INSERT INTO changes (revision, last, kind, namespace, name, type, at, bytes, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      ).run(
        change.revision,
        last,
        change.kind,
        change.namespace,
        change.name,
        change.type,
        Math.floor(nowMs),
        bytes,
        change.before,
        change.after,
      );
    }
  }

  #content(transaction: EncodedTransaction, nowMs: number): void {
    for (const cluster of transaction.forget) {
      this.#sql('DELETE FROM issued WHERE cluster = ?').run(cluster);
      this.#sql('DELETE FROM sealed WHERE cluster = ?').run(cluster);
    }
    for (const { digest, bytes } of transaction.blobs) {
      if (sha256(bytes) !== digest) {
        throw new FairleadError('FL_STORE_DIGEST', `bytes given as ${digest} have another digest; nothing was written`, {
          kind: 'internal',
        });
      }
      this.#sql('INSERT INTO blobs (digest, at, bytes) VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE SET at = excluded.at').run(
        digestBytes(digest),
        Math.floor(nowMs),
        bytes,
      );
    }
    for (const { cluster, digests } of transaction.issue) {
      for (const digest of digests) {
        this.#sql('INSERT OR IGNORE INTO issued (cluster, digest) VALUES (?, ?)').run(cluster, digestBytes(digest));
      }
    }
    for (const { cluster, equality, digest } of transaction.sealed) {
      this.#sql('INSERT OR REPLACE INTO sealed (cluster, equality, digest) VALUES (?, ?, ?)').run(
        cluster,
        equality,
        digestBytes(digest),
      );
    }
  }

  #audit(rest: string): void {
    const seq = ++this.#counters.auditSeq;
    const leaf = `{"seq":${seq},"revision":${this.#counters.revision},${rest}`;
    this.#counters.auditHash = auditHash(this.#counters.auditHash, leaf);
    this.#sql('INSERT INTO audit (seq, leaf, hash) VALUES (?, ?, ?)').run(seq, leaf, this.#counters.auditHash);
  }

  /**
   * Drops the oldest commits of the change log while it is over its bounds, a few ms of work at a time. `more`: call again.
   * Never throws for a full disk (the log just stays longer).
   */
  compact(nowMs: number): { readonly oldest: number; readonly didCompact: boolean; readonly more: boolean } {
    const nothing = { oldest: this.#oldest, didCompact: false, more: false };
    const isOver = this.#counters.logBytes > this.#options.logMaxBytes;
    const first = this.#sql('SELECT at FROM changes ORDER BY revision LIMIT 1').get();
    if (first === undefined) return nothing;
    const horizon = nowMs - this.#options.logMaxAgeMs;
    if (!isOver && Number(first['at']) >= horizon) return nothing;
    const rows = this.#sql('SELECT last, at, bytes FROM changes ORDER BY revision LIMIT ?').all(COMPACT_ROWS);
    let upTo = this.#oldest;
    let left = this.#counters.logBytes;
    for (const row of rows) {
      if (left <= this.#options.logMaxBytes && Number(row['at']) >= horizon) break;
      upTo = Number(row['last']);
      left -= Number(row['bytes']);
    }
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      const freed = this.#sql('SELECT sum(bytes) AS n FROM changes WHERE revision <= ?').get(upTo);
      this.#sql('DELETE FROM changes WHERE revision <= ?').run(upTo);
      this.#sql('DELETE FROM gaps WHERE high <= ?').run(upTo);
      this.#setMeta('oldest', String(upTo));
      this.#database.exec('COMMIT');
      this.#counters.logBytes -= Number(freed?.['n'] ?? 0);
      this.#oldest = upTo;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      if (environmentError(error, this.#options.path) === undefined) throw error;
      return nothing;
    }
    return { oldest: this.#oldest, didCompact: true, more: true };
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  /** Writes the field rows anew of kinds whose selectable fields are other than those the database was written with. */
  #reindex(): void {
    for (const kind of this.#options.kinds) {
      const wanted = JSON.stringify(kind.selectable);
      const row = this.#sql('SELECT selectable FROM kinds WHERE kind = ?').get(kind.kind);
      if (row?.['selectable'] === wanted) continue;
      this.#sql('INSERT OR REPLACE INTO kinds (kind, selectable) VALUES (?, ?)').run(kind.kind, wanted);
      const objects = this.#database.prepare('SELECT id, namespace, name, indexed, text FROM objects WHERE kind = ?');
      for (const object of objects.all(kind.kind)) {
        // Stored by this room from a PlaneObject.
        const index = indexOf(kind, JSON.parse(String(object['text'])) as PlaneObject);
        const at = { kind: kind.kind, namespace: String(object['namespace']), name: String(object['name']) };
        this.#index(at, String(object['indexed']), index);
        this.#sql('UPDATE objects SET indexed = ? WHERE id = ?').run(index, Number(object['id']));
      }
    }
  }

  #meta(key: string): string {
    return String(must(this.#sql('SELECT value FROM meta WHERE key = ?').get(key), `meta row ${key}`)['value']);
  }

  #setMeta(key: string, value: string): void {
    this.#sql('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)').run(key, value);
  }

  #setDefault(key: string, value: string): void {
    this.#sql('INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)').run(key, value);
  }

  /** A prepared statement, prepared once. The texts are constants of this file. */
  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#database.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }
}
