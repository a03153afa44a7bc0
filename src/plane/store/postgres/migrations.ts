import { FairleadError } from '#base';
import type { Connection } from './connection.ts';

export interface Migration {
  readonly sql: string;
  /**
   * Processes of the version before must not write beside this one: what they write would lack something. They find that out with
   * their next commit, stop writing, say so, and go on reading until they are replaced.
   */
  readonly stopsOlder?: true;
}

/**
 * Forward only, numbered by position, each in one transaction with its number. Never change one that was released: add
 * another. Replicas of the version before go on beside a newer one during a rolling upgrade: a migration only adds what
 * they do not see, and takes away nothing they use; where that cannot be, or where a kind of objects gets other selectable fields
 * (migrations.test.ts notices), it `stopsOlder`.
 *
 * Texts are compared byte by byte (COLLATE "C"), as SQLite does: key order is the same on both databases.
 */
export const migrations: readonly Migration[] = [
  {
    sql: `
  CREATE TABLE kinds (kind text COLLATE "C" PRIMARY KEY, selectable text NOT NULL);

  CREATE TABLE objects (
    kind text COLLATE "C" NOT NULL, namespace text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    indexed text NOT NULL, -- what labels and fields hold for it, so that most updates leave them alone
    text text NOT NULL,
    PRIMARY KEY (kind, namespace, name)
  );
  CREATE TABLE labels (
    kind text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, value text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, key, value, namespace, name)
  );
  CREATE TABLE fields (
    kind text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, value text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL, name text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, key, value, namespace, name)
  );

  CREATE TABLE changes (
    revision bigint PRIMARY KEY,
    last bigint NOT NULL, -- last revision of the same commit
    kind text NOT NULL, namespace text NOT NULL, name text NOT NULL,
    type text NOT NULL,
    at bigint NOT NULL, -- ms since the epoch
    bytes bigint NOT NULL,
    before text, after text NOT NULL
  );
  -- Revisions strictly between were never given out by this database.
  CREATE TABLE gaps (low bigint NOT NULL, high bigint PRIMARY KEY);

  CREATE TABLE blobs (digest bytea PRIMARY KEY, at bigint NOT NULL, bytes bytea NOT NULL);
  CREATE TABLE issued (cluster text COLLATE "C" NOT NULL, digest bytea NOT NULL, PRIMARY KEY (cluster, digest));
  CREATE TABLE sealed (
    cluster text COLLATE "C" NOT NULL, equality text COLLATE "C" NOT NULL, digest bytea NOT NULL, PRIMARY KEY (cluster, equality)
  );

  CREATE SEQUENCE effect_ids;
  CREATE TABLE effects (
    id bigint NOT NULL UNIQUE DEFAULT nextval('effect_ids'),
    type text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, payload text NOT NULL,
    due bigint NOT NULL, attempts bigint NOT NULL DEFAULT 0, error text,
    PRIMARY KEY (type, key)
  );
  CREATE INDEX effects_due ON effects (due, id);

  CREATE TABLE audit (seq bigint PRIMARY KEY, leaf text NOT NULL, hash text NOT NULL);
  CREATE TABLE leases (name text COLLATE "C" PRIMARY KEY, token bigint NOT NULL, expires bigint NOT NULL);
  CREATE TABLE pulses (kind text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, value text NOT NULL, PRIMARY KEY (kind, key));
  -- What replicas show each other: the newest value per key, in the order of commits.
  CREATE TABLE posts (
    topic text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL,
    seq bigint NOT NULL, at bigint NOT NULL, poster text NOT NULL,
    value text, -- NULL: taken away
    PRIMARY KEY (topic, key)
  );
  CREATE INDEX posts_seq ON posts (seq);
  -- The newest group that each writer committed: what a writer asks that lost its connection before it got the answer.
  CREATE TABLE writers (id text PRIMARY KEY, last_group bigint NOT NULL, at bigint NOT NULL);

  -- One row, locked by whoever commits: revision order is commit order.
  CREATE TABLE head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    instance_id text NOT NULL,
    revision bigint NOT NULL DEFAULT 0,
    oldest bigint NOT NULL DEFAULT 0,
    reserved bigint NOT NULL DEFAULT 0, -- the revisions promised outside the database, as far as this database knows
    audit_seq bigint NOT NULL DEFAULT 0,
    audit_hash text NOT NULL,
    log_bytes bigint NOT NULL DEFAULT 0,
    post_seq bigint NOT NULL DEFAULT 0,
    origin text NOT NULL DEFAULT '' -- which copy of which server this is: see history.ts
  ) WITH (fillfactor = 10);
  `,
  },
  // The oldest schema whose processes may write.
  { sql: 'ALTER TABLE head ADD COLUMN writers_from bigint NOT NULL DEFAULT 0' },
];

/** Why a process of this version must not write, or undefined. Error code: FL_STORE_SUPERSEDED. */
export function writeRefusal(writersFrom: number): FairleadError | undefined {
  if (writersFrom <= migrations.length) return undefined;
  return new FairleadError(
    'FL_STORE_SUPERSEDED',
    `nothing is written: a newer version of Fairlead has taken the database over, and processes of this version only read until they are replaced (schema ${writersFrom}, known are ${migrations.length})`,
    { kind: 'unavailable', retryAfterMs: 5_000 },
  );
}

/** Brings the database to this version's schema, one replica at a time; those that start meanwhile wait. Error: FL_STORE_NEWER when a newer Fairlead has written it. */
export async function migrate(connection: Connection, known: readonly Migration[] = migrations): Promise<void> {
  await connection.query('BEGIN');
  try {
    // Replicas that start together: one migrates, the others wait and find it done.
    await connection.query(`SELECT pg_advisory_xact_lock(hashtext('fairlead migrations'))`);
    await connection.query('CREATE TABLE IF NOT EXISTS schema_version (version bigint NOT NULL)');
    const rows = await connection.rows('SELECT version FROM schema_version');
    const version = Number(rows[0]?.['version'] ?? 0);
    if (version > known.length) {
      throw new FairleadError(
        'FL_STORE_NEWER',
        `the database has schema ${version}, this version of Fairlead knows ${known.length}; start the newer version, or restore the backup made before the upgrade`,
        { kind: 'invalid' },
      );
    }
    const missing = known.slice(version);
    for (const { sql } of missing) await connection.query(sql);
    if (version > 0 && missing.some(({ stopsOlder }) => stopsOlder)) {
      await connection.query('UPDATE head SET writers_from = $1', [known.length]);
      // They cannot give back what they hold.
      await connection.query('UPDATE leases SET expires = 0, token = token + 1');
    }
    await connection.query(
      rows.length === 0 ? 'INSERT INTO schema_version VALUES ($1)' : 'UPDATE schema_version SET version = $1',
      [known.length],
    );
    await connection.query('COMMIT');
  } catch (error) {
    await connection.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
