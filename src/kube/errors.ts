import { askedWait, FairleadError, messageOf, type ErrorKind, parseRetryAfter } from '#base';
import { isRecord, itemsOf, numberOf, textOf } from './objects.ts';
import { redactMessage } from './redact.ts';

export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

export interface StatusFacts {
  readonly status: number;
  readonly reason: string;
  /** The API server's own words, redacted and at most 1 KiB. */
  readonly message: string;
  readonly causes: readonly StatusCause[];
  readonly retryAfterMs: number | undefined;
}

/** An answer of the API server other than 2xx: `metav1.Status` with a stable code of ours (`FL_KUBE_…`). */
export class KubeStatusError extends FairleadError {
  readonly status: number;
  /** `metav1.StatusReason`: `Conflict`, `Invalid`, … or '' when the answer was no Status. */
  readonly reason: string;
  /** The API server's own words. */
  readonly said: string;
  readonly causes: readonly StatusCause[];

  constructor(facts: StatusFacts, request: string) {
    const { code, words, kind, retryable } = classify(facts);
    super(code, `${request}: ${facts.message === '' ? `${words} (status ${facts.status})` : facts.message}`, {
      kind,
      retryable: retryable || facts.retryAfterMs !== undefined,
      ...(facts.retryAfterMs === undefined ? {} : { retryAfterMs: facts.retryAfterMs }),
      details: { status: facts.status, reason: facts.reason },
    });
    this.status = facts.status;
    this.reason = facts.reason;
    this.said = facts.message;
    this.causes = facts.causes;
  }
}

interface Verdict {
  readonly code: string;
  /** What the code means, said where the API server says nothing. */
  readonly words: string;
  readonly kind: ErrorKind;
  readonly retryable: boolean;
}

function verdict(code: string, words: string, kind: ErrorKind, retryable = kind === 'unavailable'): Verdict {
  return { code, words, kind, retryable };
}

const admissionDenied = verdict(
  'FL_KUBE_ADMISSION_DENIED',
  'an admission webhook or policy of the cluster refuses the object; change the object or ask who runs the policy',
  'denied',
);

const deniedByAdmission =
  /^admission webhook .* denied the request|ValidatingAdmissionPolicy '.*' with binding '.*' denied request|violates PodSecurity/;

function classify(facts: StatusFacts): Verdict {
  const has = (reason: string): boolean => facts.causes.some((cause) => cause.reason === reason);
  const { status, reason, message } = facts;
  // A webhook and a policy may answer any 4xx (a policy 422 unless it says otherwise), and say so only in their words.
  if (status >= 400 && status < 500 && deniedByAdmission.test(message)) return admissionDenied;
  switch (status) {
    case 400:
      return verdict('FL_KUBE_BAD_REQUEST', 'the API server does not understand the request', 'invalid');
    case 401:
      return verdict('FL_KUBE_UNAUTHENTICATED', 'the API server does not accept the credentials; renew them', 'unauthenticated');
    case 403:
      if (has('NamespaceTerminating')) {
        return verdict(
          'FL_KUBE_NAMESPACE_TERMINATING',
          'the namespace is being deleted; it takes nothing new until it is gone',
          'conflict',
          true,
        );
      }
      if (/exceeded quota/.test(message)) {
        return verdict('FL_KUBE_QUOTA', 'a ResourceQuota of the namespace is used up; raise it or ask for less', 'denied');
      }
      return verdict('FL_KUBE_FORBIDDEN', 'the identity may not do this; grant it by RBAC', 'denied');
    case 404:
      return verdict('FL_KUBE_NOT_FOUND', 'the object, its namespace or its kind is not there', 'not-found');
    case 405:
    case 415:
      return verdict('FL_KUBE_UNSUPPORTED', 'the API server does not support this for this kind', 'invalid');
    case 409:
      if (has('FieldManagerConflict')) {
        return verdict('FL_KUBE_FIELD_CONFLICT', 'other field managers hold fields of the object with other values', 'conflict');
      }
      if (reason === 'AlreadyExists') return verdict('FL_KUBE_EXISTS', 'an object of this name exists already', 'conflict');
      return verdict('FL_KUBE_CONFLICT', 'the object has changed in between; read it and try again', 'conflict', true);
    case 410:
      return verdict('FL_KUBE_EXPIRED', 'the API server has forgotten this version; list again', 'conflict', true);
    case 413:
      return verdict('FL_KUBE_REQUEST_TOO_LARGE', 'the object is larger than the API server takes', 'too-large');
    case 422:
      return isAboutImmutable(facts)
        ? verdict('FL_KUBE_IMMUTABLE', 'a field that cannot be changed would change; the object has to be replaced', 'invalid')
        : verdict('FL_KUBE_INVALID', 'the API server finds the object invalid; correct it', 'invalid');
    case 429:
      return verdict('FL_KUBE_THROTTLED', 'the API server is busy and asks to come back later', 'unavailable');
    case 500:
      return /failed calling webhook/.test(message)
        ? verdict(
            'FL_KUBE_WEBHOOK_FAILED',
            'an admission webhook of the cluster does not answer; look at its backend',
            'unavailable',
          )
        : verdict('FL_KUBE_SERVER', 'the API server failed', 'unavailable');
    case 503:
    case 504:
      return reason === 'Timeout'
        ? verdict('FL_KUBE_SERVER_TIMEOUT', 'the API server did not finish in time', 'unavailable')
        : verdict('FL_KUBE_UNAVAILABLE', 'the API server, or what it depends on, is away', 'unavailable');
    default:
      return status >= 500
        ? verdict('FL_KUBE_SERVER', 'the API server failed', 'unavailable')
        : verdict('FL_KUBE_REFUSED', 'the API server refuses the request', 'invalid');
  }
}

function isAboutImmutable(facts: StatusFacts): boolean {
  const pattern = /field is immutable|updates to .* are forbidden|may not be changed|may not change/;
  return pattern.test(facts.message) || facts.causes.some((cause) => pattern.test(cause.message));
}

/** Reads `metav1.Status` out of an answer; anything else becomes its first words. `request` is `GET /api/v1/…` for the message. */
export function statusError(request: string, status: number, retryAfter: string | undefined, body: Buffer): KubeStatusError {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch {
    parsed = undefined;
  }
  const facts = statusFacts(parsed, status, parseRetryAfter(retryAfter), body.toString('utf8', 0, 300), kindIn(request));
  return new KubeStatusError(facts, request);
}

/** A webhook's answer does not say what it was about; the request does. */
function kindIn(request: string): string {
  return /\/api\/v1\/(?:namespaces\/[^/?]+\/)?secrets(?:[/?]|$)/.test(request) ? 'Secret' : '';
}

/** The facts of a Status object, also of one inside a watch's ERROR event. */
export function statusFacts(
  value: unknown,
  status: number,
  retryAfterMs: number | undefined,
  otherwise = '',
  kind = '',
): StatusFacts {
  if (!isRecord(value) || value['kind'] !== 'Status') {
    return { status, reason: '', message: redactMessage(otherwise, { kind }), causes: [], retryAfterMs };
  }
  const details = isRecord(value['details']) ? value['details'] : {};
  // A message about a Secret may quote its values.
  const about = kind === '' ? (textOf(details['kind']) ?? '') : kind;
  const seconds = numberOf(details['retryAfterSeconds']);
  return {
    status: numberOf(value['code']) ?? status,
    reason: textOf(value['reason']) ?? '',
    message: redactMessage(textOf(value['message']) ?? '', { kind: about }),
    causes: itemsOf(details['causes'])
      .slice(0, 50)
      .filter((cause) => isRecord(cause))
      .map((cause) => ({
        reason: textOf(cause['reason']) ?? '',
        message: redactMessage(textOf(cause['message']) ?? '', { kind: about }),
        field: textOf(cause['field']) ?? '',
      })),
    retryAfterMs: retryAfterMs ?? (seconds === undefined || seconds <= 0 ? undefined : askedWait(seconds * 1000)),
  };
}

export interface FieldConflict {
  readonly manager: string;
  /** As the API server writes it: `.spec.replicas`. */
  readonly field: string;
}

/** Who holds the fields a server-side apply without force could not take. */
export function fieldConflicts(error: unknown): FieldConflict[] {
  if (!(error instanceof KubeStatusError)) return [];
  return error.causes
    .filter((cause) => cause.reason === 'FieldManagerConflict')
    .map((cause) => ({ manager: /^conflict with "([^"]*)"/.exec(cause.message)?.[1] ?? '', field: cause.field }));
}

export function hasStatus(error: unknown, ...statuses: readonly number[]): boolean {
  return error instanceof KubeStatusError && statuses.includes(error.status);
}

/** 504 for a resourceVersion the server has not seen yet (another replica, or a restored etcd). */
export function isTooLargeResourceVersion(error: unknown): boolean {
  return (
    error instanceof KubeStatusError &&
    (error.causes.some((cause) => cause.reason === 'ResourceVersionTooLarge') || /Too large resource version/.test(error.said))
  );
}

/** What happened below HTTP. */
export function transportError(request: string, cause: unknown): FairleadError {
  if (cause instanceof FairleadError) return cause;
  const text = messageOf(cause);
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : '';
  if (/^(CERT_|ERR_TLS|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO)|certificate/i.test(code) || /certificate/.test(text)) {
    return new FairleadError('FL_KUBE_TLS', `${request}: ${text}; check the certificate authority of the cluster access`, {
      kind: 'unavailable',
      cause,
    });
  }
  return new FairleadError('FL_KUBE_UNREACHABLE', `${request}: ${text}`, { kind: 'unavailable', cause });
}
