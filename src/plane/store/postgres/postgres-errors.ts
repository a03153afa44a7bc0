import { codeOf, FairleadError, messageOf } from '#base';

/** The connection is gone or could not be made: nothing can be said about what was under way on it. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

/** Classes and codes of PostgreSQL that mean the connection, not the statement. https://www.postgresql.org/docs/15/errcodes-appendix.html */
function isConnectionCode(code: string): boolean {
  return (
    code.startsWith('08') ||
    code.startsWith('57P') ||
    [
      '25P03',
      '25P04',
      'ECONNREFUSED',
      'ECONNRESET',
      'EPIPE',
      'ETIMEDOUT',
      'EHOSTUNREACH',
      'ENETUNREACH',
      'ENOTFOUND',
      'EAI_AGAIN',
      'ENOENT',
    ].includes(code)
  );
}

/** pg gives errors of its own connection handling no code. */
const lostWords =
  /^(?:Connection terminated|Query read timeout|timeout expired|Client has encountered a connection error|Client was closed|Cannot use a pool|The server does not support SSL|timeout exceeded when trying to connect)/;

export function isLost(error: unknown): boolean {
  if (error instanceof ConnectionLost) return true;
  if (error instanceof FairleadError) return error.code === 'FL_STORE_UNREACHABLE';
  return isConnectionCode(codeOf(error) ?? '') || lostWords.test(messageOf(error));
}

/** What went wrong, as a FairleadError that quotes no statement and no address with a password. `did`: what became of the work. */
export function storeError(error: unknown, did: string): FairleadError {
  if (error instanceof FairleadError) return error;
  const code = codeOf(error) ?? '';
  const unavailable = (name: string, message: string): FairleadError =>
    new FairleadError(name, message, { kind: 'unavailable', retryAfterMs: 1_000, cause: error });
  if (isLost(error)) return unreachable(did, error);
  switch (code) {
    case '53100':
      return unavailable('FL_STORE_FULL', `${did}: the disk of the database is full; free space, writing resumes by itself`);
    case '25006':
      return unavailable(
        'FL_STORE_READONLY',
        `${did}: the database cannot be written to (a standby, or default_transaction_read_only); writing resumes by itself when it can`,
      );
    case '55P03':
    case '57014':
    case '53300':
    case '53200':
    case '40P01':
    case '40001':
      return unavailable('FL_STORE_BUSY', `${did}: the database is overloaded (${messageOf(error)}); try again`);
    case '28000':
    case '28P01':
    case '3D000':
    case '42501':
      return new FairleadError(
        'FL_STORE_LOGIN',
        `the database lets us not in: ${messageOf(error)}; correct the database URL or the user's rights`,
        {
          kind: 'invalid',
          cause: error,
        },
      );
    default:
      return new FairleadError('FL_STORE_INTERNAL', `the store failed: ${messageOf(error)}`, { kind: 'internal', cause: error });
  }
}

export function unreachable(did: string, error: unknown): FairleadError {
  return new FairleadError(
    'FL_STORE_UNREACHABLE',
    `${did}: the database cannot be reached (${messageOf(error)}); it is tried again`,
    {
      kind: 'unavailable',
      retryAfterMs: 1_000,
      cause: error,
    },
  );
}
