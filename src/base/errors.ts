/** Whether the caller, the environment or we ourselves are at fault; decides log level and HTTP status at the edges. */
export type ErrorKind =
  | 'invalid' // the input cannot be accepted as it is
  | 'unauthenticated'
  | 'denied'
  | 'not-found'
  | 'conflict'
  | 'too-large'
  | 'unavailable' // a dependency is away; a retry helps
  | 'cancelled'
  | 'internal'; // our own defect

export interface ErrorDetails {
  readonly kind: ErrorKind;
  /** Whether the same call may succeed later without anybody changing anything. Default: only for `unavailable`. */
  readonly retryable?: boolean;
  /** Milliseconds after which a retry is welcome. */
  readonly retryAfterMs?: number;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/**
 * The one error class. `code` is stable (`FL_<AREA>_<WHAT>`), `message` says what happened, to which object, and what
 * to do next: lower case, no final period, never a secret.
 */
export class FairleadError extends Error {
  override readonly name = 'FairleadError';
  readonly code: string;
  readonly kind: ErrorKind;
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options: ErrorDetails) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.kind = options.kind;
    this.retryable = options.retryable ?? options.kind === 'unavailable';
    this.retryAfterMs = options.retryAfterMs;
    this.details = options.details ?? {};
  }
}

/** The message of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The system or Fairlead code of anything that was thrown, if it has one (`ENOENT`, `FL_…`). */
export function codeOf(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined;
  return typeof thrown.code === 'string' ? thrown.code : undefined;
}

/** For `default:` branches: the compiler proves that every case was handled. */
export function unreachable(value: never): never {
  throw new FairleadError('FL_INTERNAL_UNREACHABLE', `unexpected value ${JSON.stringify(value)}`, { kind: 'internal' });
}

/** Narrows away `undefined` where the program's own logic guarantees a value; the text says which guarantee broke. */
export function must<T>(value: T | null | undefined, guarantee: string): T {
  if (value === undefined || value === null) {
    throw new FairleadError('FL_INTERNAL_BROKEN_GUARANTEE', `broken guarantee: ${guarantee}`, { kind: 'internal' });
  }
  return value;
}
