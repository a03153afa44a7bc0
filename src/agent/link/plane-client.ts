import { Agent, request as httpsRequest, type AgentOptions, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { Signer } from '#api';
import {
  askedWait,
  FairleadError,
  newUid,
  parseProxy,
  parseRetryAfter,
  sha256,
  type Clock,
  type ErrorKind,
  type ProxyAddress,
} from '#base';

/** An answer of the plane other than 2xx, or none at all. */
export class PlaneError extends FairleadError {
  /** 0 when there was no answer. */
  readonly status: number;
  /** Code of the RFC 9457 problem, or ''. */
  readonly problem: string;

  constructor(
    status: number,
    problem: string,
    message: string,
    kind: ErrorKind,
    retryAfterMs: number | undefined,
    cause?: unknown,
  ) {
    super(problem === '' ? 'FL_PLANE_UNREACHABLE' : problem, message, {
      kind,
      retryable: kind === 'unavailable',
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(cause === undefined ? {} : { cause }),
    });
    this.status = status;
    this.problem = problem;
  }
}

export interface PlaneClientOptions {
  /** `https://host:port`, perhaps with a path prefix. */
  readonly url: string;
  readonly userAgent: string;
  readonly clock: Clock;
  /** HTTP proxy that tunnels to the plane (`CONNECT`): `http://[user:password@]host:port`. TLS is with the plane, through it. */
  readonly proxy?: string;
}

/** How a caller proves who it is; undefined only for `keys` and `join`. */
export interface Credentials {
  readonly signer: Signer;
  readonly planeId: string;
  readonly cluster: string;
}

export interface PlaneCall {
  readonly method: 'GET' | 'POST';
  /** From `/agent/v1/…`. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly credentials?: Credentials;
  readonly timeoutMs: number;
  readonly maxResponseBytes: number;
  readonly signal?: AbortSignal;
}

/** Calls to one plane over TLS that chains to the authorities of its key set. Follows no redirect. */
export interface PlaneClient {
  readonly url: string;
  /** PEM certificates to chain to; empty: the system's. Connections made before are closed. */
  trust(authorities: readonly string[]): void;
  /** Plane time minus own time, ms; what a signed head said. */
  clockOffsetMs: number;
  call(call: PlaneCall): Promise<Buffer>;
  /** `call` without checking the certificate. Only for what proves itself: the key set against a pinned hash. */
  callUntrusted(call: PlaneCall): Promise<Buffer>;
  close(): void;
}

const SKEW_WORTH_LEARNING_MS = 20_000;

/** Errors: `FL_PLANE_URL`, `FL_PLANE_PROXY` for addresses that are none. */
export function createPlaneClient(options: PlaneClientOptions): PlaneClient {
  const base = new URL(options.url);
  if (base.protocol !== 'https:') {
    throw new FairleadError('FL_PLANE_URL', `the plane is reached by https only, not by ${base.protocol}//; correct --plane`, {
      kind: 'invalid',
    });
  }
  const prefix = base.pathname.replace(/\/+$/, '');
  const proxy = options.proxy === undefined ? undefined : proxyOf(options.proxy);
  const way = proxy === undefined ? {} : { proxyEnv: { HTTPS_PROXY: proxy.url.reveal() } };
  const through = proxy === undefined ? '' : ` (through the proxy ${proxy.host}:${proxy.port})`;
  const agentWith = (tls: AgentOptions): Agent => new Agent({ keepAlive: true, maxSockets: 4, ...way, ...tls });
  let agent = agentWith({});

  async function call(given: PlaneCall, isTrusted: boolean): Promise<Buffer> {
    const body = given.body === undefined ? undefined : Buffer.from(JSON.stringify(given.body));
    const path = `${prefix}${given.path}`;
    const token =
      given.credentials === undefined
        ? undefined
        : requestToken(given.credentials, given.method, path, body, options.clock.now() + client.clockOffsetMs);
    const requestOptions: RequestOptions = {
      host: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port === '' ? 443 : Number(base.port),
      method: given.method,
      path,
      agent: isTrusted ? agent : agentWith({ keepAlive: false, rejectUnauthorized: false }),
      headers: {
        accept: 'application/json',
        'user-agent': options.userAgent,
        ...(token === undefined ? {} : { authorization: `Fairlead ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length }),
      },
    };
    const response = await send(requestOptions, body, given, through);
    if (isTrusted) learnSkew(response.date);
    if (response.status >= 200 && response.status < 300) return response.body;
    throw problemOf(given, response);
  }

  /** A plane whose clock differs by more than it tolerates refuses every request; the Date of its refusal says by how much. */
  function learnSkew(date: string | undefined): void {
    const at = date === undefined ? Number.NaN : Date.parse(date);
    if (Number.isNaN(at)) return;
    const offset = at - options.clock.now();
    if (Math.abs(offset - client.clockOffsetMs) > SKEW_WORTH_LEARNING_MS) client.clockOffsetMs = offset;
  }

  const client: PlaneClient = {
    url: options.url,
    clockOffsetMs: 0,
    trust(authorities) {
      agent.destroy();
      agent = agentWith(authorities.length === 0 ? {} : { ca: [...authorities] });
    },
    call: (given) => call(given, true),
    callUntrusted: (given) => call(given, false),
    close: () => agent.destroy(),
  };
  return client;
}

/** The message never repeats the address: it may hold a password. */
function proxyOf(text: string): ProxyAddress {
  const proxy = parseProxy(text);
  if (proxy !== undefined) return proxy;
  throw new FairleadError(
    'FL_PLANE_PROXY',
    'the proxy is no address like http://proxy.example.com:3128; correct --proxy (a % in a password is written %25)',
    { kind: 'invalid' },
  );
}

/** Compact JWS (EdDSA) over plane, cluster, method, path, body digest and time. */
export function requestToken(
  who: Credentials,
  method: string,
  path: string,
  body: Uint8Array | undefined,
  nowMs: number,
): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = {
    aud: who.planeId,
    sub: who.cluster,
    method,
    path,
    body: sha256(body ?? ''),
    iat: Math.floor(nowMs / 1000),
    jti: newUid(),
  };
  const signed = `${part({ alg: 'EdDSA', kid: who.signer.keyId })}.${part(claims)}`;
  return `${signed}.${who.signer.sign(Buffer.from(signed)).toString('base64url')}`;
}

export interface Answer {
  readonly status: number;
  readonly date: string | undefined;
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
}

function send(requestOptions: RequestOptions, body: Buffer | undefined, given: PlaneCall, through: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const title = `${given.method} ${given.path}`;
    let isOver = false;
    const request = httpsRequest(requestOptions);
    const finish = (settle: () => void): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      given.signal?.removeEventListener('abort', onAbort);
      settle();
    };
    const fail = (why: string, cause?: unknown): void =>
      finish(() => {
        reject(new PlaneError(0, '', `${title}: ${why}${through}`, 'unavailable', undefined, cause));
        request.destroy();
      });
    const onAbort = (): void =>
      finish(() => {
        reject(new FairleadError('FL_PLANE_CANCELLED', `${title} was cancelled`, { kind: 'cancelled' }));
        request.destroy();
      });
    const timer = setTimeout(() => fail(`no answer within ${given.timeoutMs} ms`), given.timeoutMs);
    request.on('error', (error) => fail(error.message, error));
    given.signal?.addEventListener('abort', onAbort, { once: true });
    if (given.signal?.aborted === true) return onAbort();
    request.on('response', (response: IncomingMessage) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > given.maxResponseBytes) fail(`the answer is larger than ${given.maxResponseBytes} bytes`);
        else chunks.push(chunk);
      });
      response.on('error', (error) => fail(error.message, error));
      response.on('aborted', () => fail('the answer was cut off'));
      response.on('end', () =>
        finish(() =>
          resolve({
            status: response.statusCode ?? 0,
            date: response.headers.date,
            retryAfter: response.headers['retry-after'],
            body: Buffer.concat(chunks),
          }),
        ),
      );
    });
    request.end(body);
  });
}

/** The error that an answer which is no success means, whoever between us and the plane gave it. */
export function problemOf(given: Pick<PlaneCall, 'method' | 'path'>, answer: Answer): PlaneError {
  let problem = '';
  let words = `status ${answer.status}`;
  let retryAfterMs = parseRetryAfter(answer.retryAfter);
  try {
    const value: unknown = JSON.parse(answer.body.toString('utf8'));
    if (typeof value === 'object' && value !== null) {
      if ('code' in value && typeof value.code === 'string' && /^FL_[A-Z_]{1,60}$/.test(value.code)) problem = value.code;
      if ('detail' in value && typeof value.detail === 'string') words = value.detail.slice(0, 500);
      else if ('title' in value && typeof value.title === 'string') words = value.title.slice(0, 500);
      const askedMs = 'retryAfterMs' in value ? askedWait(value.retryAfterMs) : 0;
      if (askedMs > 0) retryAfterMs = askedMs;
    }
  } catch {
    // No problem document: something between us and the plane answered.
  }
  const kind: ErrorKind =
    answer.status === 401
      ? 'unauthenticated'
      : answer.status === 403
        ? 'denied'
        : answer.status === 404
          ? 'not-found'
          : answer.status === 409
            ? 'conflict'
            : answer.status === 413
              ? 'too-large'
              : answer.status === 400 || answer.status === 422
                ? 'invalid'
                : 'unavailable';
  return new PlaneError(
    answer.status,
    problem === '' ? 'FL_PLANE_REFUSED' : problem,
    `${given.method} ${given.path}: ${words}`,
    kind,
    retryAfterMs,
  );
}
