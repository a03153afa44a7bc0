import type { Log } from '#base';
import type { RevisionFloor } from '../types.ts';
import type { Connection } from './connection.ts';
import { lockHead, type LockedHead } from './write-group.ts';
import { RESERVE_BLOCK } from './writer.ts';

/** A copy of the database may have gone on for long under another roof: its revisions are jumped over. 2^53 bears nine million of these. */
const JUMP = 1_000_000_000;

export interface Gap {
  readonly from: number;
  readonly to: number;
}

/**
 * Looks whether this is the database that the plane left, and makes it safe if it is not: the revision jumps over everything
 * that a lost history may have given out, and the gap is kept, so that whoever remembers one of them lists again.
 *
 * Three witnesses, each enough alone: the floor in the key directory promises more than the database knows of; the database
 * says that it is a copy (another server, another timeline after recovery or failover, another database of the server); this
 * process has seen a higher revision. Returns the head as it is now, and the newest gap.
 */
export async function checkHistory(
  connection: Connection,
  options: { readonly floor: RevisionFloor | undefined; readonly seen: number; readonly log: Log },
): Promise<{ readonly head: LockedHead; readonly gaps: readonly Gap[]; readonly didJump: boolean }> {
  const origin = await originOf(connection);
  await connection.query('BEGIN');
  try {
    const head = await lockHead(connection);
    const floorAt = options.floor?.read() ?? 0;
    const isBehindFloor = floorAt > Math.max(head.reserved, head.revision);
    const isBehindSeen = options.seen > head.revision;
    const isCopy = head.origin !== '' && origin !== '' && head.origin !== origin;
    let revision = head.revision;
    if (isBehindFloor) revision = Math.max(revision, floorAt);
    if (isBehindSeen) revision = Math.max(revision, options.seen + RESERVE_BLOCK);
    if (isCopy) revision = Math.max(revision, floorAt, options.seen) + (options.floor === undefined ? JUMP : RESERVE_BLOCK);
    const didJump = revision > head.revision;
    if (didJump) {
      options.log.warn(
        { isBehindFloor, isBehindSeen, isCopy, from: head.revision, to: revision },
        'the database is a copy, was recovered or has failed over: revisions go on beyond everything that may have been given out',
      );
      await connection.query('INSERT INTO gaps (low, high) VALUES ($1, $2)', [head.revision, revision]);
      await connection.query('UPDATE head SET revision = $1, reserved = $1', [revision]);
      // Leases of processes of the other history are nobody's.
      await connection.query('UPDATE leases SET expires = 0, token = token + 1');
    }
    if (origin !== '' && head.origin !== origin) await connection.query('UPDATE head SET origin = $1', [origin]);
    const gaps = await connection.rows('SELECT low, high FROM gaps ORDER BY high');
    await connection.query('COMMIT');
    return {
      head: { ...head, revision, origin },
      gaps: gaps.map((gap) => ({ from: Number(gap['low']), to: Number(gap['high']) })),
      didJump,
    };
  } catch (error) {
    await connection.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/**
 * Which copy of which server: its identifier, its timeline (a new one after every recovery to a point in time and every
 * promotion of a standby) and the database. '' where the server does not tell, as some managed ones.
 */
async function originOf(connection: Connection): Promise<string> {
  try {
    const [row] = await connection.rows(
      'SELECT (SELECT system_identifier FROM pg_control_system())::text AS system,' +
        ' substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline,' +
        ' (SELECT oid FROM pg_database WHERE datname = current_database())::text AS database',
    );
    return row === undefined ? '' : `${String(row['system'])}/${String(row['timeline'])}/${String(row['database'])}`;
  } catch {
    return '';
  }
}
