import { codeOf, FairleadError, fullJitter, messageOf, type Clock, type Log } from '#base';
import { digestBytes } from '../encode.ts';
import type { Operation, OperationValue } from '../operations.ts';
import type { Change, RevisionFloor } from '../types.ts';
import type { Connection } from './connection.ts';
import { isLost, storeError, unreachable } from './postgres-errors.ts';
import { isAlone, planGroup, type GroupPlan, type GroupRequest } from './plan-group.ts';
import { closed } from '../closed.ts';
import { beginGroup, lockHead, writePlan, writePosts, type LockedHead } from './write-group.ts';

/** What may wait for the database; above it new work is refused and may come back. */
const PENDING_REQUESTS = 20_000;
const PENDING_BYTES = 256 * 1024 * 1024;
/** What one group may hold: the lock is kept for as long as it takes. */
const GROUP_REQUESTS = 256;
const GROUP_WRITES = 1_000;
const GROUP_BYTES = 8 * 1024 * 1024;
/** Work that waited this long for a database that is away is given back; nothing of it was written. */
const GIVE_UP_MS = 20_000;
/** Work whose commit was cut off waits longer: only the database knows what became of it. */
const UNKNOWN_MS = 60_000;
const RECONNECT = { baseMs: 100, maxMs: 3_000 };
/** Revisions are reserved in blocks, the next one when less than half is left. */
export const RESERVE_BLOCK = 1_000_000;
const COMPACT_ROWS = 2_000;
const COMPACT_SOON_MS = 200;

interface Pending extends GroupRequest {
  readonly bytes: number;
  readonly askedAt: number;
  resolve(value: OperationValue): void;
  reject(error: Error): void;
}

export interface WriterParts {
  /** Which writer this is, in the database and to other replicas. */
  readonly id: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly floor: RevisionFloor | undefined;
  readonly logMaxBytes: number;
  readonly logMaxAgeMs: number;
  /** A connection that was checked to reach this database's own history. */
  connect(): Promise<Connection>;
  /** After a commit, before its promises are resolved: the changes it made, and where the log stands. */
  onGroup(changes: readonly Change[], revision: number, oldest: number): void;
}

/**
 * The one writer of this process: runs groups of operations, each group one transaction under the lock of the head row, in
 * two round trips. While one group waits for the disk the next one gathers.
 *
 * A group whose connection died before COMMIT was sent is run again. One whose COMMIT was sent is looked up first, by its
 * number, behind the same lock: whatever the server was still doing with it has ended by then. So nothing is lost or doubled.
 */
export class PostgresWriter {
  readonly #parts: WriterParts;
  readonly #queue: Pending[] = [];
  #bytes = 0;
  #connection: Connection | undefined;
  #running: Promise<void> | undefined;
  #group = 0;
  /** Server's clock minus ours, ms; leases of all replicas are timed by the server's. */
  #clockOffsetMs: number | undefined;
  #closed = false;
  #compactLater: NodeJS.Timeout | undefined;

  constructor(parts: WriterParts) {
    this.#parts = parts;
  }

  /** Runs one operation in the next group; resolves after it is on the database's disk. */
  request(operation: Operation): Promise<OperationValue> {
    if (this.#closed) return Promise.reject(closed());
    const bytes = operation.op === 'commit' ? operation.transaction.bytes : 0;
    if (this.#queue.length >= PENDING_REQUESTS || (this.#bytes > 0 && this.#bytes + bytes > PENDING_BYTES)) {
      return Promise.reject(
        new FairleadError('FL_STORE_BUSY', 'nothing was written: too many commits are waiting for the database; try again', {
          kind: 'unavailable',
          retryAfterMs: 1_000,
        }),
      );
    }
    this.#bytes += bytes;
    const { promise, resolve, reject } = Promise.withResolvers<OperationValue>();
    const askedAt = performance.now();
    this.#queue.push({ operation, nowMs: this.#parts.clock.now(), bytes, askedAt, resolve, reject });
    this.#start();
    return promise;
  }

  /** After everything that was asked for is written, or a few seconds have passed. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#compactLater);
    await this.#running;
    await this.#connection?.close();
  }

  #start(): void {
    // Gathers what is asked for in the same turn.
    this.#running ??= Promise.resolve().then(async () => {
      await this.#run();
      this.#running = undefined;
      if (this.#queue.length > 0) this.#start();
    });
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const group = this.#nextGroup();
      await this.#settle(group);
      for (const { bytes } of group) this.#bytes -= bytes;
    }
  }

  #nextGroup(): Pending[] {
    let bytes = 0;
    let writes = 0;
    let count = 0;
    for (const request of this.#queue) {
      const { operation } = request;
      bytes += request.bytes;
      writes += operation.op === 'commit' ? operation.transaction.write.length : 1;
      const isFull = bytes > GROUP_BYTES || writes > GROUP_WRITES || count === GROUP_REQUESTS;
      if (count > 0 && (isFull || isAlone(operation))) break;
      count += 1;
      if (isAlone(operation)) break;
    }
    return this.#queue.splice(0, count);
  }

  /** Runs a group until the database has said yes or no to it. */
  async #settle(group: readonly Pending[]): Promise<void> {
    /** Set while it is not known whether the group was committed. */
    let unknown: { readonly number: number; readonly plan: GroupPlan | undefined; readonly value: OperationValue } | undefined;
    for (let attempt = 0; ; attempt++) {
      let isSent = false;
      const number = this.#group + 1;
      let plan: GroupPlan | undefined;
      let value: OperationValue;
      try {
        const connection = await this.#connected();
        if (unknown !== undefined) {
          if (await this.#wasCommitted(connection, unknown.number)) {
            this.#done(group, unknown.plan, unknown.value);
            return;
          }
          unknown = undefined;
        }
        const alone = group[0]?.operation;
        if (alone !== undefined && isAlone(alone)) {
          ({ plan, value } = await this.#runAlone(connection, group, number, (made, result) => {
            [plan, value, isSent] = [made, result, true];
          }));
        } else {
          plan = await this.#runGroup(connection, group, number, (made) => {
            [plan, isSent] = [made, true];
          });
        }
        this.#group = number;
        this.#done(group, plan, value);
        return;
      } catch (error) {
        if (!isLost(error) && unknown === undefined) {
          await this.#rollBack();
          await this.#refuse(group, error);
          return;
        }
        this.#drop();
        if (isSent) {
          unknown = { number, plan, value };
          this.#group = number;
        }
        const waitedMs = performance.now() - Math.min(...group.map((one) => one.askedAt));
        if (waitedMs > (unknown === undefined ? GIVE_UP_MS : UNKNOWN_MS) || (this.#closed && waitedMs > 3_000)) {
          const failure = unknown === undefined ? unreachable('nothing was written', error) : unknownFate(error);
          for (const one of group) one.reject(failure);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, fullJitter(attempt, RECONNECT)));
      }
    }
  }

  #done(group: readonly Pending[], plan: GroupPlan | undefined, value: OperationValue): void {
    if (plan !== undefined) {
      this.#parts.onGroup(plan.log, plan.head.revision, plan.head.oldest);
      if (plan.log.length > 0 && !this.#closed) this.#compactSoon();
    }
    for (const [index, one] of group.entries()) {
      const outcome = plan?.outcomes[index];
      if (outcome === undefined) one.resolve(value);
      else if (outcome.ok) one.resolve(outcome.value);
      else one.reject(outcome.error);
    }
  }

  /** A value was refused: the database is asked about each request alone, so that one does not fail its neighbours. */
  async #refuse(group: readonly Pending[], error: unknown): Promise<void> {
    const [only] = group;
    // Data exceptions, constraints, limits: one request's own fault. Anything else would be the same for each of them.
    const isOwnFault = /^(?:22|23|54)/.test(codeOf(error) ?? '');
    if (group.length === 1 || only === undefined || !isOwnFault) {
      for (const one of group) one.reject(storeError(error, 'nothing was written'));
      return;
    }
    for (const one of group) await this.#settle([one]);
  }

  async #connected(): Promise<Connection> {
    if (this.#connection?.isLost === true) this.#drop();
    this.#connection ??= await this.#parts.connect();
    return this.#connection;
  }

  #drop(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    this.#clockOffsetMs = undefined;
    if (connection !== undefined) void connection.close();
  }

  async #rollBack(): Promise<void> {
    await this.#connection?.query('ROLLBACK').catch(() => this.#drop());
  }

  /** Whether the group is there. The lock makes sure that it cannot come any more if it is not. */
  async #wasCommitted(connection: Connection, number: number): Promise<boolean> {
    const [, , rows] = await Promise.all([
      connection.query('BEGIN'),
      lockHead(connection),
      connection.rows('SELECT last_group FROM writers WHERE id = $1', [this.#parts.id], 'last-group'),
      connection.query('COMMIT'),
    ]);
    const isThere = Number(rows[0]?.['last_group'] ?? 0) >= number;
    this.#parts.log.warn({ committed: isThere }, 'the connection was lost during a commit; its fate was looked up');
    return isThere;
  }

  async #runGroup(
    connection: Connection,
    group: readonly GroupRequest[],
    number: number,
    onSend: (plan: GroupPlan) => void,
  ): Promise<GroupPlan> {
    const { head, state } = await beginGroup(connection, group);
    const sent: Promise<unknown>[] = [];
    const limit = this.#limitOf(connection, head, sent);
    this.#clockOffsetMs ??= head.serverMs - this.#parts.clock.now();
    const offset = this.#clockOffsetMs;
    const plan = planGroup(group, { head, ...state }, limit, (nowMs) => nowMs + offset);
    sent.push(...writePlan(connection, plan, head, this.#parts.id), ...writePosts(connection, plan, this.#parts.id));
    if (sent.length === 0) {
      // Nothing to keep: refused, or the same as before.
      await connection.query('COMMIT');
      return plan;
    }
    onSend(plan);
    await this.#commit(connection, number, sent);
    return plan;
  }

  /** Leaves the group's number and commits. */
  async #commit(connection: Connection, number: number, sent: Promise<unknown>[]): Promise<void> {
    const mark = connection.query(
      'INSERT INTO writers (id, last_group, at) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET last_group = excluded.last_group, at = excluded.at',
      [this.#parts.id, number, Math.floor(this.#parts.clock.now())],
      'mark-group',
    );
    const commit = connection.query('COMMIT');
    const answers = await Promise.allSettled([...sent, mark, commit]);
    const refused = answers.find((answer) => answer.status === 'rejected');
    // What a server that fell back says to COMMIT after a refused statement is ROLLBACK: the refusal is what counts.
    if (refused !== undefined) throw refused.reason;
    if ((await commit).command !== 'COMMIT') throw new Error('the database rolled back a commit without saying why');
  }

  /** Below which number revisions may be given out. The floor outside the database is raised under the lock. */
  #limitOf(connection: Connection, head: LockedHead, sent: Promise<unknown>[]): number {
    const { floor, log } = this.#parts;
    if (floor === undefined) return Number.MAX_SAFE_INTEGER;
    if (head.reserved - head.revision > RESERVE_BLOCK / 2) return head.reserved;
    const upTo = head.revision + RESERVE_BLOCK;
    try {
      floor.reserve(upTo);
    } catch (error) {
      log.error({ error }, 'cannot reserve revisions in the key directory; writing stops when the reserved ones are used up');
      return head.reserved;
    }
    sent.push(connection.query('UPDATE head SET reserved = $1', [upTo], 'reserve'));
    return upTo;
  }

  async #runAlone(
    connection: Connection,
    group: readonly GroupRequest[],
    number: number,
    onSend: (plan: GroupPlan | undefined, value: OperationValue) => void,
  ): Promise<{ readonly plan: GroupPlan | undefined; readonly value: OperationValue }> {
    const operation = group[0]?.operation;
    switch (operation?.op) {
      case 'compact':
        await this.#compact(connection);
        return { plan: undefined, value: undefined };
      case 'sweep': {
        const digests = operation.digests.map(digestBytes);
        const swept = await connection.query('DELETE FROM blobs WHERE digest = ANY ($1::bytea[]) AND at < $2', [
          digests,
          Math.floor(operation.beforeMs),
        ]);
        return { plan: undefined, value: { removed: swept.rowCount ?? 0 } };
      }
      case 'trim':
        for (const table of ['issued', 'sealed']) {
          await connection.query(
            `DELETE FROM ${table} t WHERE t.cluster = $1 AND NOT EXISTS (SELECT 1 FROM blobs b WHERE b.digest = t.digest)`,
            [operation.cluster],
          );
        }
        return { plan: undefined, value: undefined };
      default:
        return { plan: await this.#runGroup(connection, group, number, (plan) => onSend(plan, undefined)), value: undefined };
    }
  }

  #compactSoon(): void {
    this.#compactLater ??= setTimeout(() => {
      this.#compactLater = undefined;
      this.request({ op: 'compact' }).catch((error: unknown) =>
        this.#parts.log.warn({ error: messageOf(error) }, 'the change log was not shortened; it is tried again'),
      );
    }, COMPACT_SOON_MS).unref();
  }

  /** Drops the oldest commits of the change log while it is over its bounds, a few rows at a time. */
  async #compact(connection: Connection): Promise<void> {
    const { clock, logMaxBytes, logMaxAgeMs } = this.#parts;
    const horizon = clock.now() - logMaxAgeMs;
    const first = await connection.rows(
      'SELECT c.at, h.log_bytes FROM head h LEFT JOIN LATERAL (SELECT at FROM changes ORDER BY revision LIMIT 1) c ON true',
    );
    const [found] = first;
    if (found === undefined || found['at'] === null) return;
    if (Number(found['log_bytes']) <= logMaxBytes && Number(found['at']) >= horizon) return;
    await connection.query('BEGIN');
    const head = await lockHead(connection);
    const rows = await connection.rows('SELECT last, at, bytes FROM changes ORDER BY revision LIMIT $1', [COMPACT_ROWS]);
    let upTo = head.oldest;
    let left = head.logBytes;
    for (const row of rows) {
      if (left <= logMaxBytes && Number(row['at']) >= horizon) break;
      upTo = Number(row['last']);
      left -= Number(row['bytes']);
    }
    const sent = [
      connection.query(
        'WITH gone AS (DELETE FROM changes WHERE revision <= $1 RETURNING bytes)' +
          ' UPDATE head SET oldest = greatest(oldest, $1), log_bytes = log_bytes - (SELECT coalesce(sum(bytes), 0)::bigint FROM gone)',
        [upTo],
      ),
      connection.query('DELETE FROM gaps WHERE high <= $1', [upTo]),
      // What replicas took away from each other, and writers of processes that are gone.
      connection.query('DELETE FROM posts WHERE value IS NULL AND at < $1', [Math.floor(head.serverMs - 3_600_000)]),
      connection.query('DELETE FROM writers WHERE at < $1', [Math.floor(clock.now() - 86_400_000)]),
      connection.query('COMMIT'),
    ];
    await Promise.all(sent);
    this.#parts.onGroup([], head.revision, Math.max(head.oldest, upTo));
    if (rows.length === COMPACT_ROWS && !this.#closed) this.#compactSoon();
  }
}

function unknownFate(error: unknown): FairleadError {
  return new FairleadError(
    'FL_STORE_UNKNOWN',
    `the connection to the database was lost during a commit and did not come back (${messageOf(error)}): it may have been written or not; look before repeating it`,
    { kind: 'unavailable', retryable: false, cause: error },
  );
}
