import { digestBytes } from '../encode.ts';
import type { Connection } from './connection.ts';
import { writeRefusal } from './migrations.ts';
import {
  idOf,
  namesIn,
  pulseKey,
  type GroupPlan,
  type GroupRequest,
  type GroupState,
  type Head,
  type StoredLease,
  type StoredObject,
} from './plan-group.ts';

/** What the head row says beside the counters. */
export interface LockedHead extends Head {
  readonly instanceId: string;
  readonly reserved: number;
  readonly origin: string;
  /** The oldest schema whose processes may write. */
  readonly writersFrom: number;
  /** ms since the epoch, by the server's clock. */
  readonly serverMs: number;
}

const HEAD =
  'SELECT instance_id, revision, oldest, reserved, audit_seq, audit_hash, log_bytes, post_seq, origin, writers_from,' +
  ' (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS server_ms FROM head';

/** Takes the lock that every writer needs. Inside a transaction. Error: FL_STORE_SUPERSEDED when a newer version has the database. */
export async function lockHead(connection: Connection): Promise<LockedHead> {
  const head = headOf((await connection.rows(`${HEAD} FOR UPDATE`, [], 'lock-head'))[0]);
  const refusal = writeRefusal(head.writersFrom);
  if (refusal !== undefined) throw refusal;
  return head;
}

export async function readHead(connection: Connection): Promise<LockedHead> {
  return headOf((await connection.rows(HEAD, [], 'read-head'))[0]);
}

function headOf(row: Readonly<Record<string, unknown>> | undefined): LockedHead {
  return {
    instanceId: String(row?.['instance_id']),
    revision: Number(row?.['revision']),
    oldest: Number(row?.['oldest']),
    reserved: Number(row?.['reserved']),
    auditSeq: Number(row?.['audit_seq']),
    auditHash: String(row?.['audit_hash']),
    logBytes: Number(row?.['log_bytes']),
    postSeq: Number(row?.['post_seq']),
    origin: String(row?.['origin']),
    writersFrom: Number(row?.['writers_from']),
    serverMs: Number(row?.['server_ms']),
  };
}

/** Begins a transaction, takes the lock and reads what the group names. One round trip. */
export async function beginGroup(
  connection: Connection,
  requests: readonly GroupRequest[],
): Promise<{ readonly head: LockedHead; readonly state: Omit<GroupState, 'head'> }> {
  const names = namesIn(requests);
  const { objects: at } = names;
  // Sent together. Under READ COMMITTED each statement sees what was committed when it begins: the reads begin after the lock was had.
  const [, head, objects, leases] = await Promise.all([
    connection.query('BEGIN'),
    lockHead(connection),
    at.length === 0
      ? []
      : connection.rows(
          'SELECT o.kind, o.namespace, o.name, o.revision, o.indexed, o.text FROM unnest($1::text[], $2::text[], $3::text[])' +
            ' AS w (kind, namespace, name) JOIN objects o ON o.kind = w.kind AND o.namespace = w.namespace AND o.name = w.name',
          [at.map(({ kind }) => kind), at.map(({ namespace }) => namespace), at.map(({ name }) => name)],
          'group-objects',
        ),
    names.leases.length === 0
      ? []
      : connection.rows('SELECT name, token, expires FROM leases WHERE name = ANY ($1::text[])', [names.leases], 'group-leases'),
  ]);
  return {
    head,
    state: {
      objects: new Map(
        objects.map((row): [string, StoredObject] => [
          idOf({ kind: String(row['kind']), namespace: String(row['namespace']), name: String(row['name']) }),
          { revision: Number(row['revision']), indexed: String(row['indexed']), text: String(row['text']) },
        ]),
      ),
      leases: new Map(
        leases.map((row): [string, StoredLease] => [
          String(row['name']),
          { token: Number(row['token']), expires: Number(row['expires']) },
        ]),
      ),
    },
  };
}

const CHUNK_BYTES = 4 * 1024 * 1024;

/** Sends everything a plan leaves behind, in order, without waiting; the caller commits and awaits all of it. */
export function writePlan(connection: Connection, plan: GroupPlan, before: Head, writer: string): Promise<unknown>[] {
  const sent: Promise<unknown>[] = [];
  const send = (name: string, text: string, columns: readonly (readonly unknown[])[]): void => {
    if ((columns[0]?.length ?? 0) > 0) sent.push(connection.query(text, columns, name));
  };
  const { puts, deletes, log } = plan;
  send(
    'put-objects',
    'INSERT INTO objects (kind, namespace, name, revision, indexed, text)' +
      ' SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[])' +
      ' ON CONFLICT (kind, namespace, name) DO UPDATE SET revision = excluded.revision, indexed = excluded.indexed, text = excluded.text',
    [
      puts.map((one) => one.kind),
      puts.map((one) => one.namespace),
      puts.map((one) => one.name),
      puts.map((one) => one.revision),
      puts.map((one) => one.indexed),
      puts.map((one) => one.text),
    ],
  );
  const gone = [deletes.map((one) => one.kind), deletes.map((one) => one.namespace), deletes.map((one) => one.name)];
  send(
    'delete-objects',
    'DELETE FROM objects o USING unnest($1::text[], $2::text[], $3::text[]) AS w (kind, namespace, name)' +
      ' WHERE o.kind = w.kind AND o.namespace = w.namespace AND o.name = w.name',
    gone,
  );
  send(
    'delete-pulses',
    'DELETE FROM pulses p USING unnest($1::text[], $2::text[]) AS w (kind, key) WHERE p.kind = w.kind AND p.key = w.key',
    [deletes.map((one) => one.kind), deletes.map(pulseKey)],
  );
  for (const table of ['labels', 'fields'] as const) {
    const columns = (rows: GroupPlan['added']['labels']): readonly (readonly string[])[] => [
      rows.map((one) => one.kind),
      rows.map((one) => storable(one.key)),
      rows.map((one) => storable(one.value)),
      rows.map((one) => one.namespace),
      rows.map((one) => one.name),
    ];
    send(
      `drop-${table}`,
      `DELETE FROM ${table} t USING unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS w (kind, key, value, namespace, name)` +
        ' WHERE t.kind = w.kind AND t.key = w.key AND t.value = w.value AND t.namespace = w.namespace AND t.name = w.name',
      columns(plan.dropped[table]),
    );
    send(
      `add-${table}`,
      `INSERT INTO ${table} (kind, key, value, namespace, name)` +
        ' SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) ON CONFLICT DO NOTHING',
      columns(plan.added[table]),
    );
  }
  send(
    'log',
    'INSERT INTO changes (revision, last, kind, namespace, name, type, at, bytes, before, after) SELECT * FROM unnest' +
      '($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::text[], $10::text[])',
    [
      log.map((one) => one.revision),
      log.map((one) => one.last),
      log.map((one) => one.kind),
      log.map((one) => one.key.namespace),
      log.map((one) => one.key.name),
      log.map((one) => one.type),
      log.map((one) => one.at),
      log.map((one) => one.bytes),
      log.map((one) => one.before ?? null),
      log.map((one) => one.after),
    ],
  );
  writeContent(plan, send);
  writeRest(plan, send);
  const { head } = plan;
  if (head !== before) {
    sent.push(
      connection.query(
        'UPDATE head SET revision = $1, audit_seq = $2, audit_hash = $3, log_bytes = $4, post_seq = $5',
        [head.revision, head.auditSeq, head.auditHash, head.logBytes, head.postSeq],
        'move-head',
      ),
    );
    if (head.revision !== before.revision || head.postSeq !== before.postSeq) {
      sent.push(connection.query('SELECT pg_notify($1, $2)', [CHANNEL, `${head.revision} ${head.postSeq} ${writer}`], 'notify'));
    }
  }
  return sent;
}

/** NOTIFY only wakes; what is new is read from the tables. */
export const CHANNEL = 'fairlead';

type Send = (name: string, text: string, columns: readonly (readonly unknown[])[]) => void;

function writeContent(plan: GroupPlan, send: Send): void {
  for (const { transaction, nowMs } of plan.content) {
    const { forget, issue, sealed } = transaction;
    send('forget-issued', 'DELETE FROM issued WHERE cluster = ANY ($1::text[])', [forget]);
    send('forget-sealed', 'DELETE FROM sealed WHERE cluster = ANY ($1::text[])', [forget]);
    // A digest given twice is one blob, and one statement must not touch a row twice.
    const blobs = [...new Map(transaction.blobs.map((blob) => [blob.digest, blob.bytes]))];
    for (let from = 0; from < blobs.length;) {
      let to = from;
      for (let bytes = 0; to < blobs.length && (to === from || bytes < CHUNK_BYTES); to++)
        bytes += blobs[to]?.[1].byteLength ?? 0;
      const chunk = blobs.slice(from, to);
      from = to;
      send(
        'put-blobs',
        'INSERT INTO blobs (digest, at, bytes) SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])' +
          ' ON CONFLICT (digest) DO UPDATE SET at = excluded.at',
        [
          chunk.map(([digest]) => digestBytes(digest)),
          chunk.map(() => Math.floor(nowMs)),
          chunk.map(([, bytes]) => bufferOf(bytes)),
        ],
      );
    }
    const issued = issue.flatMap(({ cluster, digests }) => digests.map((digest) => ({ cluster, digest })));
    send(
      'put-issued',
      'INSERT INTO issued (cluster, digest) SELECT * FROM unnest($1::text[], $2::bytea[]) ON CONFLICT DO NOTHING',
      [issued.map((one) => one.cluster), issued.map((one) => digestBytes(one.digest))],
    );
    const forms = [...new Map(sealed.map((one) => [`${one.cluster}\0${one.equality}`, one])).values()];
    send(
      'put-sealed',
      'INSERT INTO sealed (cluster, equality, digest) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])' +
        ' ON CONFLICT (cluster, equality) DO UPDATE SET digest = excluded.digest',
      [forms.map((one) => one.cluster), forms.map((one) => one.equality), forms.map((one) => digestBytes(one.digest))],
    );
  }
}

function writeRest(plan: GroupPlan, send: Send): void {
  const { audit, leases, effects, done, failed, pulses } = plan;
  send('audit', 'INSERT INTO audit (seq, leaf, hash) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])', [
    audit.map((one) => one.seq),
    audit.map((one) => one.leaf),
    audit.map((one) => one.hash),
  ]);
  send('effects-done', 'DELETE FROM effects WHERE id = ANY ($1::bigint[])', [done]);
  send(
    'effects-failed',
    'UPDATE effects e SET attempts = e.attempts + 1, due = w.due, error = w.error' +
      ' FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS w (id, due, error) WHERE e.id = w.id',
    [failed.map((one) => one.id), failed.map((one) => one.due), failed.map((one) => storable(one.message))],
  );
  send(
    'effects',
    'INSERT INTO effects (type, key, payload, due) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])' +
      ' ON CONFLICT (type, key) DO UPDATE SET id = excluded.id, payload = excluded.payload, due = excluded.due, attempts = 0, error = NULL',
    [
      effects.map((one) => one.type),
      effects.map((one) => one.key),
      effects.map((one) => one.payload),
      effects.map((one) => one.due),
    ],
  );
  send(
    'leases',
    'INSERT INTO leases (name, token, expires) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])' +
      ' ON CONFLICT (name) DO UPDATE SET token = excluded.token, expires = excluded.expires',
    [leases.map((one) => one.name), leases.map((one) => one.token), leases.map((one) => one.expires)],
  );
  send(
    'pulses',
    'INSERT INTO pulses (kind, key, value) SELECT * FROM unnest($1::text[], $2::text[], $3::text[])' +
      ' ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value',
    [pulses.map((one) => one.kind), pulses.map((one) => one.key), pulses.map((one) => one.value)],
  );
}

export function writePosts(connection: Connection, plan: GroupPlan, poster: string): Promise<unknown>[] {
  const { posts } = plan;
  if (posts.length === 0) return [];
  return [
    connection.query(
      'INSERT INTO posts (topic, key, seq, at, poster, value)' +
        ' SELECT t, k, s, a, $6, v FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[]) AS w (t, k, s, a, v)' +
        ' ON CONFLICT (topic, key) DO UPDATE SET seq = excluded.seq, at = excluded.at, poster = excluded.poster, value = excluded.value',
      [
        posts.map((one) => one.topic),
        posts.map((one) => one.key),
        posts.map((one) => one.seq),
        posts.map((one) => one.at),
        posts.map((one) => one.value),
        poster,
      ],
      'posts',
    ),
  ];
}

/** PostgreSQL's texts hold no NUL; JSON escapes it, only bare values can have one. */
export function storable(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', '\ufffd') : text;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
