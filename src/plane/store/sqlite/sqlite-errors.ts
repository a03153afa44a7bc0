import { rmSync, writeFileSync } from 'node:fs';
import { codeOf, FairleadError, messageOf } from '#base';

/** Primary result codes that say the surroundings failed, not the statement. https://sqlite.org/rescode.html */
const SQLITE_BUSY = 5;
const SQLITE_NOMEM = 7;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;

function primaryCode(error: unknown): number | undefined {
  if (codeOf(error) !== 'ERR_SQLITE_ERROR' || typeof error !== 'object' || error === null) return undefined;
  return 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 0xff : undefined;
}

/**
 * The error of the whole group when disk, permissions or memory failed; undefined when the statement itself is at fault.
 * `path` is the database's: SQLite calls writing to a read-only file system an I/O error, so it is looked at.
 */
export function environmentError(error: unknown, path: string): FairleadError | undefined {
  const unavailable = (code: string, message: string): FairleadError =>
    new FairleadError(code, message, { kind: 'unavailable', retryAfterMs: 1_000, cause: error });
  const readOnly = (): FairleadError =>
    unavailable(
      'FL_STORE_READONLY',
      'nothing was written: the database cannot be written to (read-only file system or permissions); writing resumes by itself when it can',
    );
  switch (primaryCode(error)) {
    case SQLITE_FULL:
      return unavailable(
        'FL_STORE_FULL',
        'nothing was written: the disk of the database is full; free space, writing resumes by itself',
      );
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return readOnly();
    case SQLITE_IOERR:
      if (!isWritable(path)) return readOnly();
      return unavailable(
        'FL_STORE_IO',
        `nothing was written: the disk of the database failed (${messageOf(error)}); check the disk`,
      );
    case SQLITE_BUSY:
    case SQLITE_NOMEM:
      return unavailable('FL_STORE_BUSY', `nothing was written: the database is overloaded (${messageOf(error)}); try again`);
    case SQLITE_CORRUPT:
      return new FairleadError('FL_STORE_CORRUPT', 'the database file is damaged; stop the plane and restore a backup', {
        kind: 'internal',
        cause: error,
      });
    default:
      return undefined;
  }
}

/** Asked with a file of its own: closing the database file here would drop the locks that SQLite holds on it. */
function isWritable(path: string): boolean {
  try {
    writeFileSync(`${path}-probe`, '', { mode: 0o600 });
    rmSync(`${path}-probe`);
    return true;
  } catch (error) {
    return codeOf(error) !== 'EROFS' && codeOf(error) !== 'EACCES' && codeOf(error) !== 'EPERM';
  }
}

/** Errors as they cross the thread boundary, where classes are lost. */
export interface PlainError {
  readonly code: string;
  readonly message: string;
  readonly kind: FairleadError['kind'];
  readonly retryAfterMs: number | undefined;
}

export function plainError(error: unknown): PlainError {
  if (error instanceof FairleadError) {
    return { code: error.code, message: error.message, kind: error.kind, retryAfterMs: error.retryAfterMs };
  }
  return {
    code: 'FL_STORE_INTERNAL',
    message: `the store failed: ${messageOf(error)}`,
    kind: 'internal',
    retryAfterMs: undefined,
  };
}

export function revive(plain: PlainError): FairleadError {
  return new FairleadError(plain.code, plain.message, {
    kind: plain.kind,
    ...(plain.retryAfterMs === undefined ? {} : { retryAfterMs: plain.retryAfterMs }),
  });
}
