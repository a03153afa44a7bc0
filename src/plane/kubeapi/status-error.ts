import type { ErrorKind } from '#base';
import { StatusError, type Status, type StatusCause } from '#plane/http';
import { issueBody, type Issue } from './issues.ts';

/** Enough of a resource to speak about it: `applications.fairlead.dev`. */
export interface Named {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

export function qualified(resource: Pick<Named, 'group' | 'plural'>): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

interface Parts {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly kind: ErrorKind;
  readonly of?: Named;
  readonly name?: string;
  readonly detailsKind?: string;
  readonly causes?: readonly StatusCause[];
  readonly uid?: string;
  readonly retryAfterSeconds?: number;
  /** Empty details are sent, too: some of Kubernetes' errors have them. */
  readonly hasDetails?: boolean;
}

function make(parts: Parts): StatusError {
  const details = {
    ...(parts.name === undefined || parts.name === '' ? {} : { name: parts.name }),
    ...(parts.of === undefined || parts.of.group === '' ? {} : { group: parts.of.group }),
    ...(parts.of === undefined ? {} : { kind: parts.detailsKind ?? parts.of.plural }),
    ...(parts.causes === undefined ? {} : { causes: parts.causes }),
    ...(parts.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: parts.retryAfterSeconds }),
  };
  const status: Status = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: parts.message,
    reason: parts.reason,
    ...(Object.keys(details).length === 0 && parts.hasDetails !== true ? {} : { details }),
    code: parts.code,
  };
  return new StatusError(status, parts.kind);
}

/** The errors of this API, each as `metav1.Status` in the words of Kubernetes. */
export const failure = {
  badRequest: (message: string): StatusError => make({ code: 400, reason: 'BadRequest', kind: 'invalid', message }),
  forbidden: (of: Named, name: string, why: string): StatusError =>
    make({
      code: 403,
      reason: 'Forbidden',
      kind: 'denied',
      of,
      name,
      message: `${qualified(of)}${name === '' ? '' : ` ${JSON.stringify(name)}`} is forbidden: ${why}`,
    }),
  notFound: (of: Named, name: string): StatusError =>
    make({
      code: 404,
      reason: 'NotFound',
      kind: 'not-found',
      of,
      name,
      message: `${qualified(of)} ${JSON.stringify(name)} not found`,
    }),
  noSuchPath: (): StatusError =>
    make({ code: 404, reason: 'NotFound', kind: 'not-found', message: 'the server could not find the requested resource' }),
  methodNotAllowed: (): StatusError =>
    make({
      code: 405,
      reason: 'MethodNotAllowed',
      kind: 'invalid',
      message: 'the server does not allow this method on the requested resource',
    }),
  notAcceptable: (accepted: readonly string[]): StatusError =>
    make({
      code: 406,
      reason: 'NotAcceptable',
      kind: 'invalid',
      message: `only the following media types are accepted: ${accepted.join(', ')}`,
    }),
  unsupportedMediaType: (accepted: readonly string[]): StatusError =>
    make({
      code: 415,
      reason: 'UnsupportedMediaType',
      kind: 'invalid',
      message: `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`,
    }),
  alreadyExists: (of: Named, name: string): StatusError =>
    make({
      code: 409,
      reason: 'AlreadyExists',
      kind: 'conflict',
      of,
      name,
      message: `${qualified(of)} ${JSON.stringify(name)} already exists`,
    }),
  conflict: (of: Named, name: string, why: string, causes?: readonly StatusCause[]): StatusError =>
    make({
      code: 409,
      reason: 'Conflict',
      kind: 'conflict',
      of,
      name,
      message: `Operation cannot be fulfilled on ${qualified(of)} ${JSON.stringify(name)}: ${why}`,
      ...(causes === undefined ? {} : { causes }),
    }),
  modified: (of: Named, name: string): StatusError =>
    failure.conflict(of, name, 'the object has been modified; please apply your changes to the latest version and try again'),
  applyConflict: (message: string, causes: readonly StatusCause[]): StatusError => {
    const made = make({ code: 409, reason: 'Conflict', kind: 'conflict', message });
    return new StatusError({ ...made.status, details: { causes } }, 'conflict');
  },
  expired: (message: string): StatusError => make({ code: 410, reason: 'Expired', kind: 'conflict', message }),
  invalid: (of: Named, name: string, issues: readonly Issue[]): StatusError => {
    const causes = issues.map((issue) => ({ reason: issue.type, message: issueBody(issue), field: issue.field }));
    const texts = [...new Set(causes.map((cause) => (cause.field === '' ? cause.message : `${cause.field}: ${cause.message}`)))];
    const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
    const gk = of.group === '' ? of.kind : `${of.kind}.${of.group}`;
    return make({
      code: 422,
      reason: 'Invalid',
      kind: 'invalid',
      of,
      name,
      detailsKind: of.kind,
      causes,
      message: `${gk} ${JSON.stringify(name)} is invalid${texts.length === 0 ? '' : `: ${list}`}`,
    });
  },
  /** A patch that cannot be carried out on the object as it is. */
  unprocessable: (): StatusError =>
    make({
      hasDetails: true,
      code: 422,
      reason: 'Invalid',
      kind: 'invalid',
      message: 'the server rejected our request due to an error in our request',
    }),
  tooLargeResourceVersion: (asked: number, current: number): StatusError =>
    make({
      code: 504,
      reason: 'Timeout',
      kind: 'unavailable',
      message: `Too large resource version: ${asked}, current: ${current}`,
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version', field: '' }],
      retryAfterSeconds: 1,
    }),
  tooMany: (message: string): StatusError =>
    make({ code: 429, reason: 'TooManyRequests', kind: 'unavailable', message, retryAfterSeconds: 1 }),
  frozen: (message: string): StatusError => make({ code: 503, reason: 'ServiceUnavailable', kind: 'unavailable', message }),
  internal: (message: string): StatusError => make({ code: 500, reason: 'InternalError', kind: 'internal', message }),
};
