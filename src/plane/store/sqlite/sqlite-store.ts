import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { newUid, silentLog, systemClock, type Clock, type Log, type NewId } from '#base';
import { allKinds, type Key, type Kind, type PlaneObject } from '#api';
import { readAuditHead } from '../audit-chain.ts';
import { BaseStore, nextTurn, PAGE_BYTES, PAGE_MAX, SLICE_MS, type StoreRow } from '../base-store.ts';
import { closed } from '../closed.ts';
import { checkDigest, digestBytes } from '../encode.ts';
import type { ListQuery, ListResult, RevisionFloor, Store } from '../types.ts';
import { ChangeFeed } from './change-feed.ts';
import { lockDirectory } from './directory-lock.ts';
import { Pulses } from './pulses.ts';
import { SqliteReader, type Row } from './reader.ts';
import { sweepBlobs } from './sweep-blobs.ts';
import { WriterClient } from './writer-client.ts';

export interface SqliteStoreOptions {
  /** Directory of the database, on a local disk; created with mode 0700. */
  readonly dir: string;
  readonly kinds?: readonly Kind[];
  readonly log?: Log;
  readonly clock?: Clock;
  readonly newId?: NewId;
  readonly revisionFloor?: RevisionFloor;
  /** Bounds of the change log; the oldest commits go first. Defaults: 256 MiB, 1 hour. */
  readonly logMaxBytes?: number;
  readonly logMaxAgeMs?: number;
}

/** Revisions are reserved in blocks, the next one when less than half is left: a group of commits takes at most 256,000. */
const RESERVE_BLOCK = 1_000_000;
const LIST_CONNECTIONS = 3;

/** Opens (and creates or migrates) the database in `dir`. Errors: FL_STORE_LOCKED, FL_STORE_NETWORK_FS, FL_STORE_NEWER. */
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  const unlock = await lockDirectory(options.dir);
  try {
    const path = join(options.dir, 'fairlead.db');
    // SQLite gives its side files the mode of the database file.
    await (await open(path, 'a', 0o600)).close();
    return await SqliteStore.open(path, options, unlock);
  } catch (error) {
    unlock();
    throw error;
  }
}

class SqliteStore extends BaseStore implements Store {
  readonly instanceId: string;
  readonly revisionGap: { readonly from: number; readonly to: number } | undefined;
  readonly replicas = undefined;
  protected readonly writer: WriterClient;
  readonly #reader: SqliteReader;
  protected readonly feed: ChangeFeed;
  protected readonly heartbeats: Pulses;
  readonly #lists: ListConnections;
  readonly #unlock: () => void;
  #oldest: number;

  private constructor(parts: {
    readonly instanceId: string;
    readonly revisionGap: { readonly from: number; readonly to: number } | undefined;
    readonly oldest: number;
    readonly writer: WriterClient;
    readonly reader: SqliteReader;
    readonly feed: ChangeFeed;
    readonly pulses: Pulses;
    readonly clock: Clock;
    readonly path: string;
    readonly unlock: () => void;
  }) {
    super(parts.clock);
    this.instanceId = parts.instanceId;
    this.revisionGap = parts.revisionGap;
    this.#oldest = parts.oldest;
    this.writer = parts.writer;
    this.#reader = parts.reader;
    this.feed = parts.feed;
    this.heartbeats = parts.pulses;
    this.#lists = new ListConnections(parts.path);
    this.#unlock = parts.unlock;
  }

  static async open(path: string, options: SqliteStoreOptions, unlock: () => void): Promise<SqliteStore> {
    const clock = options.clock ?? systemClock;
    const log = options.log ?? silentLog;
    const floor = options.revisionFloor;
    const floorAt = floor?.read() ?? 0;
    // Set once the writer is open; the writer says nothing before it is asked.
    let store: SqliteStore | undefined;
    let reserved = floor === undefined ? Number.MAX_SAFE_INTEGER : 0;
    const { writer, state } = await WriterClient.start(
      {
        path,
        instanceId: (options.newId ?? newUid)(),
        floor: floorAt,
        limit: reserved,
        logMaxBytes: options.logMaxBytes ?? 256 * 1024 * 1024,
        logMaxAgeMs: options.logMaxAgeMs ?? 3_600_000,
        kinds: (options.kinds ?? allKinds).map(({ kind, selectable }) => ({ kind, selectable })),
        nowMs: clock.now(),
      },
      clock,
      {
        onGroup: (done) => {
          reserve(done.revision);
          store?.onGroup(done.revision, done.oldest, done.kinds);
        },
        onCompacted: (oldest) => store?.onCompacted(oldest),
      },
    );
    function reserve(revision: number): void {
      if (floor === undefined || reserved - revision > RESERVE_BLOCK / 2) return;
      try {
        floor.reserve(revision + RESERVE_BLOCK);
      } catch (error) {
        log.error({ error }, 'cannot reserve revisions in the key directory; writing stops when the reserved ones are used up');
        return;
      }
      reserved = revision + RESERVE_BLOCK;
      writer.raiseLimit(reserved);
    }
    try {
      reserve(state.revision);
      const reader = new SqliteReader(path);
      store = new SqliteStore({
        instanceId: state.instanceId,
        revisionGap: state.gaps.at(-1),
        oldest: state.oldest,
        writer,
        reader,
        feed: new ChangeFeed(reader, state.revision, state.gaps),
        pulses: new Pulses(reader, writer, clock, log),
        clock,
        path,
        unlock,
      });
      return store;
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  onGroup(revision: number, oldest: number, kinds: readonly string[]): void {
    this.#oldest = oldest;
    this.feed.advance(revision, kinds);
  }

  onCompacted(oldest: number): void {
    this.#oldest = oldest;
  }

  async reach(): Promise<void> {
    // There is no other process.
  }

  oldestRevision(): number {
    return this.#oldest;
  }

  async get<S, T>(kind: Kind<S, T>, key: Key): Promise<PlaneObject<S, T> | undefined> {
    this.refuseClosed();
    const text = this.#reader.text(kind.kind, key);
    // Only objects of this kind are stored under it.
    return text === undefined ? undefined : (JSON.parse(text) as PlaneObject<S, T>);
  }

  async listText(kind: Kind, query: ListQuery = {}): Promise<ListResult<string>> {
    return this.#page(kind, query);
  }

  async #page(kind: Kind, query: ListQuery): Promise<ListResult<string>> {
    this.refuseClosed();
    const limit = Math.min(Math.max(query.limit ?? PAGE_MAX, 1), PAGE_MAX);
    // Most answers fit into one slice: read now, in this turn.
    this.#reader.begin();
    try {
      const revision = this.#reader.revision();
      // One row more than asked for tells whether there is more.
      const slice = this.#reader.slice(kind, query, query.after, limit + 1);
      if (slice.isEnd) return pageOf(slice.rows, limit, revision, false);
    } finally {
      this.#reader.end();
    }
    return this.#lists.use(async (reader) => {
      reader.begin();
      try {
        const revision = reader.revision();
        const rows: Row[] = [];
        let bytes = 0;
        for (;;) {
          const last = rows.at(-1) ?? query.after;
          const slice = reader.slice(kind, query, last, limit + 1 - rows.length);
          rows.push(...slice.rows);
          bytes += slice.bytes;
          if (slice.isEnd || bytes > PAGE_BYTES) return pageOf(rows, limit, revision, !slice.isEnd);
          await nextTurn();
        }
      } finally {
        reader.end();
      }
    });
  }

  async blobs(digests: readonly string[], issuedTo?: string): Promise<ReadonlyMap<string, Uint8Array>> {
    const found = new Map<string, Uint8Array>();
    const sql =
      issuedTo === undefined
        ? 'SELECT bytes FROM blobs WHERE digest = ?'
        : 'SELECT b.bytes AS bytes FROM issued i JOIN blobs b ON b.digest = i.digest WHERE i.digest = ? AND i.cluster = ?';
    await this.#each(digests, (digest) => {
      const row = this.#reader.sql(sql).get(digestBytes(digest), ...(issuedTo === undefined ? [] : [issuedTo]));
      // A BLOB column.
      if (row !== undefined) found.set(digest, row['bytes'] as Uint8Array);
    });
    return found;
  }

  async missingBlobs(digests: readonly string[]): Promise<readonly string[]> {
    const missing: string[] = [];
    this.asked.note(digests, this.clock.now());
    await this.#each(digests, (digest) => {
      if (this.#reader.sql('SELECT 1 AS one FROM blobs WHERE digest = ?').get(digestBytes(digest)) === undefined)
        missing.push(digest);
    });
    return missing;
  }

  async sweepBlobs(isKept: (digest: string) => boolean, signal: AbortSignal): Promise<number> {
    return sweepBlobs({ isKept, signal, reader: this.#reader, writer: this.writer, asked: this.asked, clock: this.clock });
  }

  async sealedDigests(cluster: string, equalities: readonly string[]): Promise<ReadonlyMap<string, string>> {
    this.refuseClosed();
    const found = new Map<string, string>();
    for (const equality of equalities) {
      const row = this.#reader
        .sql('SELECT lower(hex(digest)) AS digest FROM sealed WHERE cluster = ? AND equality = ?')
        .get(cluster, equality);
      if (row !== undefined) found.set(equality, `sha256:${String(row['digest'])}`);
    }
    return found;
  }

  async pulses(kind: Kind): Promise<ReadonlyMap<string, Readonly<Record<string, unknown>>>> {
    return this.heartbeats.all(kind.kind);
  }

  protected async dueRows(nowMs: number, limit: number): Promise<readonly StoreRow[]> {
    return this.#reader
      .sql('SELECT id, type, key, payload, attempts FROM effects WHERE due <= ? ORDER BY due, id LIMIT ?')
      .all(nowMs, limit);
  }

  protected async auditHead(): Promise<{ readonly seq: number; readonly hash: string }> {
    return readAuditHead(String(this.#reader.sql(`SELECT value FROM meta WHERE key = 'audit'`).get()?.['value'] ?? ''));
  }

  protected async auditPage(seq: number, limit: number): Promise<readonly StoreRow[]> {
    return this.#reader.sql('SELECT seq, leaf, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?').all(seq, limit);
  }

  /** A disk that fails refuses each commit by name; reads go on. */
  trouble(): string | undefined {
    return undefined;
  }

  protected async shutDown(): Promise<void> {
    this.feed.close();
    this.stop.abort(closed());
    await this.heartbeats.close();
    await this.#lists.close();
    this.#reader.close();
    await this.writer.close();
    this.#unlock();
  }

  async #each(digests: readonly string[], visit: (digest: string) => void): Promise<void> {
    digests.forEach(checkDigest);
    let stopAt = performance.now() + SLICE_MS;
    for (const digest of digests) {
      this.refuseClosed();
      visit(digest);
      if (performance.now() > stopAt) {
        await nextTurn();
        stopAt = performance.now() + SLICE_MS;
      }
    }
  }
}

/** Connections for lists that need several turns of the event loop and must see one state throughout. */
class ListConnections {
  readonly #path: string;
  readonly #idle: SqliteReader[] = [];
  readonly #waiting: ((reader: SqliteReader) => void)[] = [];
  #open = 0;
  #drained: (() => void) | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async use<T>(task: (reader: SqliteReader) => Promise<T>): Promise<T> {
    const reader = await this.#take();
    try {
      return await task(reader);
    } finally {
      const next = this.#waiting.shift();
      if (next !== undefined) next(reader);
      else this.#idle.push(reader);
      if (this.#idle.length === this.#open) this.#drained?.();
    }
  }

  #take(): Promise<SqliteReader> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return Promise.resolve(idle);
    if (this.#open < LIST_CONNECTIONS) {
      this.#open += 1;
      return Promise.resolve(new SqliteReader(this.#path));
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Closes all after the lists under way have ended. */
  async close(): Promise<void> {
    if (this.#idle.length < this.#open) await new Promise<void>((resolve) => (this.#drained = resolve));
    for (const reader of this.#idle.splice(0)) reader.close();
    this.#open = 0;
  }
}

function pageOf(rows: readonly Row[], limit: number, revision: number, isCut: boolean): ListResult<string> {
  const kept = rows.length > limit ? rows.slice(0, limit) : rows;
  const last = kept.at(-1);
  const items = kept.map((row) => row.text);
  if ((rows.length > limit || isCut) && last !== undefined) {
    return { items, revision, next: { namespace: last.namespace, name: last.name } };
  }
  return { items, revision };
}
