import pg from 'pg';
import { fullJitter, messageOf, newUid, silentLog, systemClock, type Clock, type Log, type NewId, type Sensitive } from '#base';
import { allKinds, type Key, type Kind, type PlaneObject } from '#api';
import { AUDIT_START } from '../audit-chain.ts';
import { BaseStore, PAGE_BYTES, PAGE_MAX } from '../base-store.ts';
import { closed } from '../closed.ts';
import { compilePage } from '../compile-query.ts';
import { checkDigest, digestBytes, digestText } from '../encode.ts';
import { SWEEP_GRACE_MS } from '../recent-digests.ts';
import type { Change, ListQuery, ListResult, RevisionFloor, Store } from '../types.ts';
import { ChangeFeed } from './change-feed.ts';
import { configOf, Connection, textOf, type Row } from './connection.ts';
import { parseDatabaseUrl, type DatabaseAddress } from './connect-options.ts';
import { checkHistory, type Gap } from './history.ts';
import { migrate, writeRefusal } from './migrations.ts';
import { isLost, storeError } from './postgres-errors.ts';
import { Posts, type StoredPost } from './posts.ts';
import { Pulses } from './pulses.ts';
import { reindex } from './reindex.ts';
import { CHANNEL, readHead, storable, type LockedHead } from './write-group.ts';
import { PostgresWriter } from './writer.ts';

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database?sslmode=…`, see `parseDatabaseUrl`. */
  readonly url: Sensitive<string>;
  readonly kinds?: readonly Kind[];
  readonly log?: Log;
  readonly clock?: Clock;
  readonly newId?: NewId;
  readonly revisionFloor?: RevisionFloor;
  /** Bounds of the change log; the oldest commits go first. Defaults: 256 MiB, 1 hour. */
  readonly logMaxBytes?: number;
  readonly logMaxAgeMs?: number;
  /** Connections for reading; one more writes and one listens. Default 8. */
  readonly readers?: number;
}

const POLL_MS = 1_000;
const READ_TRIES = 4;
const REACH_MS = 1_000;
const RECONNECT = { baseMs: 100, maxMs: 3_000 };

/** Opens (and creates or migrates) the database. Errors: FL_STORE_URL, FL_STORE_LOGIN, FL_STORE_UNREACHABLE, FL_STORE_NEWER. */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  const address = parseDatabaseUrl(options.url.reveal());
  const kinds = options.kinds ?? allKinds;
  let connection: Connection | undefined;
  try {
    connection = await Connection.open(address, 'start');
    await migrate(connection);
    await connection.query('INSERT INTO head (instance_id, audit_hash) VALUES ($1, $2) ON CONFLICT DO NOTHING', [
      (options.newId ?? newUid)(),
      AUDIT_START,
    ]);
    const log = options.log ?? silentLog;
    const { head, gaps } = await checkHistory(connection, { floor: options.revisionFloor, seen: 0, log });
    await reindex(connection, kinds);
    const store = new PostgresStore(options, address, head, gaps);
    await store.start();
    return store;
  } catch (error) {
    throw storeError(error, `cannot open ${address.name}`);
  } finally {
    await connection?.close();
  }
}

class PostgresStore extends BaseStore implements Store {
  readonly instanceId: string;
  readonly replicas: Posts;
  readonly #address: DatabaseAddress;
  readonly #log: Log;
  readonly #floor: RevisionFloor | undefined;
  readonly #pool: pg.Pool;
  protected readonly writer: PostgresWriter;
  protected readonly feed: ChangeFeed;
  protected readonly heartbeats: Pulses;
  #listening: Promise<void> = Promise.resolve();
  #listener: Connection | undefined;
  #trouble: string | undefined;
  #clockOffsetMs: number;

  constructor(options: PostgresStoreOptions, address: DatabaseAddress, head: LockedHead, gaps: readonly Gap[]) {
    super(options.clock ?? systemClock);
    this.instanceId = head.instanceId;
    this.#address = address;
    this.#log = options.log ?? silentLog;
    this.#floor = options.revisionFloor;
    this.#clockOffsetMs = head.serverMs - this.clock.now();
    const id = (options.newId ?? newUid)();
    this.#pool = new pg.Pool({
      ...configOf(address, 'reads'),
      max: options.readers ?? 8,
      idleTimeoutMillis: 60_000,
      maxLifetimeSeconds: 1_800,
    });
    // An idle connection that broke; the pool makes a new one.
    this.#pool.on('error', (error) => this.#log.info({ error: messageOf(error) }, 'an idle connection to the database ended'));
    this.feed = new ChangeFeed(
      (after, rows, bytes) => this.#readChanges(after, rows, bytes),
      this.#log,
      head.revision,
      head.oldest,
      gaps,
    );
    this.writer = new PostgresWriter({
      id,
      clock: this.clock,
      log: this.#log,
      floor: options.revisionFloor,
      logMaxBytes: options.logMaxBytes ?? 256 * 1024 * 1024,
      logMaxAgeMs: options.logMaxAgeMs ?? 3_600_000,
      connect: () => this.#connect('writes'),
      onGroup: (changes, revision, oldest) => this.feed.committed(changes, revision, oldest),
    });
    this.heartbeats = new Pulses((operation) => this.writer.request(operation), this.clock, this.#log);
    this.replicas = new Posts({
      id,
      log: this.#log,
      request: (operation) => this.writer.request(operation),
      read: (seq, limit) => this.#readPosts(seq, limit),
    });
  }

  /** Follows what other replicas commit, until the store is closed. */
  async start(): Promise<void> {
    const first = Promise.withResolvers<void>();
    this.#listening = this.#listen(() => first.resolve());
    await Promise.race([first.promise, this.#listening]);
  }

  get revisionGap(): Gap | undefined {
    return this.feed.gaps.at(-1);
  }

  async reach(revision: number): Promise<void> {
    const until = performance.now() + REACH_MS;
    while (this.feed.revision < revision && performance.now() < until) {
      const [head] = await this.#rows('SELECT revision FROM head', [], 'read-revision');
      this.feed.advance(Number(head?.['revision'] ?? 0));
      if (this.feed.revision < revision) await this.#pause(50);
    }
  }

  oldestRevision(): number {
    return this.feed.oldest;
  }

  trouble(): string | undefined {
    return this.#trouble;
  }

  async get<S, T>(kind: Kind<S, T>, key: Key): Promise<PlaneObject<S, T> | undefined> {
    const rows = await this.#rows(
      'SELECT text FROM objects WHERE kind = $1 AND namespace = $2 AND name = $3',
      [kind.kind, storable(key.namespace), storable(key.name)],
      'get',
    );
    // Only objects of this kind are stored under it.
    return rows[0] === undefined ? undefined : (JSON.parse(String(rows[0]['text'])) as PlaneObject<S, T>);
  }

  async listText(kind: Kind, query: ListQuery = {}): Promise<ListResult<string>> {
    const limit = Math.min(Math.max(query.limit ?? PAGE_MAX, 1), PAGE_MAX);
    // One row more than asked for tells whether there is more.
    const page = compilePage(kind, query, query.after, limit + 1, undefined, 'postgres');
    // One statement is one state of the database; the running sum ends a page of very large objects early.
    const rows = await this.#rows(
      `SELECT h.revision AS at, p.* FROM head h LEFT JOIN (SELECT * FROM (SELECT q.*, octet_length(q.text) AS octets, sum(octet_length(q.text))` +
        ` OVER (ORDER BY q.namespace, q.name ROWS UNBOUNDED PRECEDING) - octet_length(q.text) AS before FROM (${page.sql}) q) w` +
        ` WHERE w.before <= ${PAGE_BYTES}) p ON true ORDER BY p.namespace, p.name`,
      page.parameters.map((value) => (typeof value === 'string' ? storable(value) : value)),
    );
    const revision = Number(rows[0]?.['at'] ?? 0);
    const found = rows.filter((row) => row['name'] !== null);
    const kept = found.slice(0, limit);
    const last = kept.at(-1);
    const items = kept.map((row) => String(row['text']));
    // The last row of a page that was cut is the one that made it too long.
    const isCut = last !== undefined && Number(last['before']) + Number(last['octets']) > PAGE_BYTES;
    if (last === undefined || (found.length <= limit && !isCut)) return { items, revision };
    return { items, revision, next: { namespace: String(last['namespace']), name: String(last['name']) } };
  }

  async blobs(digests: readonly string[], issuedTo?: string): Promise<ReadonlyMap<string, Uint8Array>> {
    digests.forEach(checkDigest);
    const found = new Map<string, Uint8Array>();
    for (let from = 0; from < digests.length; from += DIGESTS) {
      const chunk = digests.slice(from, from + DIGESTS);
      const rows = await this.#rows(
        issuedTo === undefined
          ? 'SELECT digest, bytes FROM blobs WHERE digest = ANY ($1::bytea[])'
          : 'SELECT b.digest, b.bytes FROM issued i JOIN blobs b ON b.digest = i.digest WHERE i.digest = ANY ($1::bytea[]) AND i.cluster = $2',
        [chunk.map(digestBytes), ...(issuedTo === undefined ? [] : [issuedTo])],
        issuedTo === undefined ? 'blobs' : 'issued-blobs',
      );
      // bytea columns.
      const bytes = new Map(rows.map((row) => [digestText(row['digest'] as Buffer), row['bytes'] as Buffer]));
      for (const digest of chunk) {
        const one = bytes.get(digest);
        if (one !== undefined) found.set(digest, one);
      }
    }
    return found;
  }

  async missingBlobs(digests: readonly string[]): Promise<readonly string[]> {
    digests.forEach(checkDigest);
    this.asked.note(digests, this.clock.now());
    const missing: string[] = [];
    for (let from = 0; from < digests.length; from += DIGESTS) {
      const chunk = digests.slice(from, from + DIGESTS);
      const rows = await this.#rows(
        'SELECT digest FROM blobs WHERE digest = ANY ($1::bytea[])',
        [chunk.map(digestBytes)],
        'has-blobs',
      );
      const there = new Set(rows.map((row) => digestText(row['digest'] as Buffer)));
      missing.push(...chunk.filter((digest) => !there.has(digest)));
    }
    return missing;
  }

  async sweepBlobs(isKept: (digest: string) => boolean, signal: AbortSignal): Promise<number> {
    let removed = 0;
    let after: Buffer = Buffer.alloc(0);
    for (;;) {
      signal.throwIfAborted();
      const beforeMs = this.clock.now() - SWEEP_GRACE_MS;
      const rows = await this.#rows('SELECT digest, at FROM blobs WHERE digest > $1 ORDER BY digest LIMIT 500', [after], 'sweep');
      const digests: string[] = [];
      for (const row of rows) {
        after = row['digest'] as Buffer;
        const digest = digestText(after);
        if (Number(row['at']) < beforeMs && !this.asked.has(digest, this.clock.now()) && !isKept(digest)) digests.push(digest);
      }
      if (digests.length > 0) {
        const value = await this.writer.request({ op: 'sweep', digests, beforeMs });
        if (value !== undefined && 'removed' in value) removed += value.removed;
      }
      if (rows.length < 500) break;
    }
    if (removed > 0) await this.#trim(signal);
    return removed;
  }

  async sealedDigests(cluster: string, equalities: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#rows(
      'SELECT equality, digest FROM sealed WHERE cluster = $1 AND equality = ANY ($2::text[])',
      [cluster, equalities],
      'sealed',
    );
    return new Map(rows.map((row) => [String(row['equality']), digestText(row['digest'] as Buffer)]));
  }

  async pulses(kind: Kind): Promise<ReadonlyMap<string, Readonly<Record<string, unknown>>>> {
    const rows = await this.#rows('SELECT key, value FROM pulses WHERE kind = $1', [kind.kind], 'read-pulses');
    return this.heartbeats.over(
      kind.kind,
      // Written by Pulses from such values.
      new Map(rows.map((row) => [String(row['key']), JSON.parse(String(row['value'])) as Readonly<Record<string, unknown>>])),
    );
  }

  protected dueRows(nowMs: number, limit: number): Promise<readonly Row[]> {
    return this.#rows(
      'SELECT id, type, key, payload, attempts FROM effects WHERE due <= $1 ORDER BY due, id LIMIT $2',
      [nowMs, limit],
      'due-effects',
    );
  }

  protected async auditHead(): Promise<{ readonly seq: number; readonly hash: string }> {
    const [head] = await this.#rows('SELECT audit_seq, audit_hash FROM head', []);
    return { seq: Number(head?.['audit_seq'] ?? 0), hash: String(head?.['audit_hash']) };
  }

  protected auditPage(seq: number, limit: number): Promise<readonly Row[]> {
    return this.#rows('SELECT seq, leaf, hash FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2', [seq, limit], 'audit-page');
  }

  protected async shutDown(): Promise<void> {
    this.feed.close();
    this.stop.abort(closed());
    await this.heartbeats.close();
    await this.replicas.close();
    await this.writer.close();
    await this.#listener?.close();
    await this.#listening;
    await this.#pool.end();
  }

  /** A connection to the history this process knows; jumps if it finds another one. */
  async #connect(name: string): Promise<Connection> {
    const connection = await Connection.open(this.#address, name);
    try {
      const { head, gaps } = await checkHistory(connection, { floor: this.#floor, seen: this.feed.revision, log: this.#log });
      if (head.instanceId !== this.instanceId) throw new Error(`another database answers at ${this.#address.name}`);
      this.feed.checked(gaps, head.revision);
      this.#clockOffsetMs = head.serverMs - this.clock.now();
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Notifications wake, the poll decides: what is missed is found a second later. */
  async #listen(onFirst: () => void): Promise<void> {
    for (let attempt = 0; !this.stop.signal.aborted; attempt++) {
      try {
        const connection = await this.#connect('listens');
        this.#listener = connection;
        connection.onNotification((payload) => {
          const [revision, posts, writer] = payload.split(' ');
          // What this process committed it knows from the commit itself.
          if (writer === this.replicas.id) return;
          if (Number.isSafeInteger(Number(revision))) this.feed.advance(Number(revision));
          if (Number.isSafeInteger(Number(posts))) this.replicas.advance(Number(posts));
        });
        await connection.query(`LISTEN ${CHANNEL}`);
        while (!connection.isLost && !this.stop.signal.aborted) {
          const head = await readHead(connection);
          this.feed.advance(head.revision);
          this.replicas.advance(head.postSeq);
          const refusal = writeRefusal(head.writersFrom)?.message;
          if (refusal !== undefined && refusal !== this.#trouble)
            this.#log.error({ error: refusal }, 'this process is too old to write');
          else if (refusal === undefined && this.#trouble !== undefined) this.#log.info({}, 'the database is reached again');
          this.#trouble = refusal;
          attempt = 0;
          onFirst();
          await this.#pause(POLL_MS, connection);
        }
        await connection.close();
      } catch (error) {
        if (this.stop.signal.aborted) return;
        const message = storeError(error, 'nothing is read or written').message;
        if (this.#trouble !== message)
          this.#log.error({ error: messageOf(error) }, 'the database cannot be reached; it is tried again');
        this.#trouble = message;
        await this.#listener?.close();
        this.#listener = undefined;
      }
      await this.#pause(fullJitter(attempt, RECONNECT));
    }
  }

  /** Real time, also under a clock of tests: the database does not wait for that one. */
  #pause(ms: number, connection?: Connection): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.stop.signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, ms);
      this.stop.signal.addEventListener('abort', end, { once: true });
      void connection?.ended().then(end);
      if (this.stop.signal.aborted) end();
    });
  }

  /** Reads are safe to repeat: a connection that broke, or a server that restarts, costs a moment. */
  async #rows(text: string, values: readonly unknown[], name?: string): Promise<readonly Row[]> {
    for (let attempt = 0; ; attempt++) {
      this.refuseClosed();
      try {
        const query = { text, values: [...values], ...(name === undefined ? {} : { name }) };
        return (await this.#pool.query<Record<string, unknown>>(query)).rows;
      } catch (error) {
        this.refuseClosed();
        if (!isLost(error) || attempt === READ_TRIES) throw storeError(error, 'nothing was read');
        await this.#pause(fullJitter(attempt + 1, RECONNECT));
      }
    }
  }

  async #trim(signal: AbortSignal): Promise<void> {
    for (let cluster = ''; ;) {
      signal.throwIfAborted();
      const [row] = await this.#rows(
        'SELECT least((SELECT min(cluster) FROM issued WHERE cluster > $1), (SELECT min(cluster) FROM sealed WHERE cluster > $1)) AS cluster',
        [cluster],
      );
      if (row === undefined || row['cluster'] === null) return;
      cluster = textOf(row['cluster']);
      await this.writer.request({ op: 'trim', cluster });
    }
  }

  async #readChanges(
    after: number,
    limit: number,
    bytes: number,
  ): Promise<{ changes: readonly Change[]; cursor: number; oldest: number; revision: number }> {
    const rows = await this.#rows(
      'WITH part AS (SELECT last, sum(bytes) OVER (ORDER BY revision) - bytes AS before FROM' +
        ' (SELECT revision, last, bytes FROM changes WHERE revision > $1 ORDER BY revision LIMIT $2) c),' +
        ' cut AS (SELECT max(last) AS last FROM part WHERE before <= $3)' +
        ' SELECT h.revision AS newest, h.oldest, c.revision, c.kind, c.namespace, c.name, c.type, c.before, c.after FROM head h' +
        ' LEFT JOIN changes c ON c.revision > $1 AND c.revision <= (SELECT last FROM cut) ORDER BY c.revision',
      [after, limit, bytes],
      'changes',
    );
    const newest = Number(rows[0]?.['newest'] ?? 0);
    const changes = rows
      .filter((row) => row['revision'] !== null)
      .map((row): Change => ({
        revision: Number(row['revision']),
        kind: String(row['kind']),
        key: { namespace: String(row['namespace']), name: String(row['name']) },
        // Written by the writer from the same union.
        type: String(row['type']) as Change['type'],
        before: row['before'] === null ? undefined : textOf(row['before']),
        after: String(row['after']),
      }));
    const cursor = changes.at(-1)?.revision ?? Math.max(after, newest);
    return { changes, cursor, oldest: Number(rows[0]?.['oldest'] ?? 0), revision: newest };
  }

  async #readPosts(seq: number, limit: number): Promise<readonly StoredPost[]> {
    const rows = await this.#rows(
      'SELECT topic, key, seq, at, poster, value FROM posts WHERE seq > $1 ORDER BY seq LIMIT $2',
      [seq, limit],
      'posts',
    );
    return rows.map((row) => ({
      topic: String(row['topic']),
      key: String(row['key']),
      seq: Number(row['seq']),
      poster: String(row['poster']),
      value: row['value'] === null ? undefined : textOf(row['value']),
      atMs: Number(row['at']) - this.#clockOffsetMs,
    }));
  }
}

const DIGESTS = 200;
