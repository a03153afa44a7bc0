import { FairleadError, type ErrorKind } from '#base';
import { agentRefusals, type Problem } from '#api';
import type { PlainResponse, Surface } from './types.ts';

export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

/** `metav1.Status`. */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly uid?: string;
    readonly causes?: readonly StatusCause[];
    readonly retryAfterSeconds?: number;
  };
  readonly code?: number;
}

/** An error that already knows its `metav1.Status`. */
export class StatusError extends FairleadError {
  readonly status: Status;

  constructor(status: Status, kind: ErrorKind) {
    const seconds = status.details?.retryAfterSeconds;
    super(`FL_API_${screaming(status.reason ?? 'Unknown')}`, status.message ?? '', {
      kind,
      ...(seconds === undefined ? {} : { retryAfterMs: seconds * 1000 }),
    });
    this.status = status;
  }
}

function screaming(reason: string): string {
  return reason.replace(/([a-z])([A-Z])/g, '$1_$2').toUpperCase();
}

const CODES: Readonly<Record<ErrorKind, number>> = {
  invalid: 400,
  unauthenticated: 401,
  denied: 403,
  'not-found': 404,
  conflict: 409,
  'too-large': 413,
  unavailable: 503,
  cancelled: 503,
  internal: 500,
};

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  409: 'Conflict',
  413: 'RequestEntityTooLarge',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
};

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  422: 'Unprocessable Content',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** Overload: the surface has as many requests in flight as it may have. */
export class OverloadError extends FairleadError {
  constructor(surface: Surface, retryAfterMs: number) {
    const seconds = Math.ceil(retryAfterMs / 1000);
    super('FL_HTTP_OVERLOADED', `the plane has too many requests of ${surface} in flight; try again in ${seconds} s`, {
      kind: 'unavailable',
      retryAfterMs,
    });
  }
}

function httpCode(error: FairleadError): number {
  if (error instanceof StatusError) return error.status.code ?? 500;
  if (error instanceof OverloadError || error.code === agentRefusals.busy) return 429;
  if (error.code === 'FL_HTTP_METHOD') return 405;
  return CODES[error.kind];
}

/** `metav1.Status` of any error; our own defects say no more than that. */
export function statusOf(error: unknown): Status {
  if (error instanceof StatusError) return error.status;
  const code = error instanceof FairleadError ? httpCode(error) : 500;
  const message =
    error instanceof FairleadError && error.kind !== 'internal' ? error.message : 'an internal error; the plane logged it';
  const seconds =
    error instanceof FairleadError && error.retryAfterMs !== undefined ? Math.ceil(error.retryAfterMs / 1000) : undefined;
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: REASONS[code] ?? 'Unknown',
    ...(seconds === undefined ? {} : { details: { retryAfterSeconds: seconds } }),
    code,
  };
}

/** RFC 9457 problem of any error; our own defects say no more than that. */
export function problemOf(error: unknown): Problem {
  const known = error instanceof FairleadError && error.kind !== 'internal' ? error : undefined;
  const status = known === undefined ? 500 : httpCode(known);
  return {
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    code: known?.code ?? 'FL_INTERNAL',
    detail: known?.message ?? 'an internal error; the plane logged it',
    ...(known?.retryAfterMs === undefined ? {} : { retryAfterMs: known.retryAfterMs }),
    // An agent whose clock is off learns by how much.
    ...(typeof known?.details['time'] === 'number' ? { time: known.details['time'] } : {}),
  };
}

/** The answer to an error in the form of its surface. */
export function errorResponse(surface: Surface, error: unknown): PlainResponse {
  const retryAfterMs = error instanceof FairleadError ? error.retryAfterMs : undefined;
  const headers: Record<string, string> =
    retryAfterMs === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) };
  if (surface === 'kubernetes') {
    const status = statusOf(error);
    if (status.code === 401) headers['www-authenticate'] = 'Bearer realm="fairlead"';
    return {
      status: status.code ?? 500,
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(status),
    };
  }
  const problem = problemOf(error);
  if (problem.status === 401 && surface !== 'console') headers['www-authenticate'] = 'Bearer realm="fairlead"';
  return {
    status: problem.status,
    headers: { ...headers, 'content-type': 'application/problem+json' },
    body: JSON.stringify(problem),
  };
}
