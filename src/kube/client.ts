import { Agent, request as httpsRequest } from 'node:https';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import { FairleadError, messageOf, type Log } from '#base';
import { KubeStatusError, statusError, transportError } from './errors.ts';
import type { ClusterAccess } from './kubeconfig.ts';
import { LineFramer } from './lines.ts';

/** The identity the API server is to act as. Written by this client only: no caller can pass `Impersonate-*` headers. */
export interface Impersonation {
  readonly user: string;
  readonly groups?: readonly string[];
}

/** A list is the same name several times. */
export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Begins with `/`; segments already encoded (see `resourcePath`). */
  readonly path: string;
  readonly query?: Query;
  /** Sent as it is. */
  readonly body?: Uint8Array | string;
  /** Default `application/json`. */
  readonly contentType?: string;
  /** Default `application/json`. */
  readonly accept?: string;
  readonly ifNoneMatch?: string;
  readonly impersonate?: Impersonation;
  readonly signal?: AbortSignal;
  /** From the call to the last byte of the answer. Default 30,000. */
  readonly timeoutMs?: number;
  /** Default 32 MiB. */
  readonly maxResponseBytes?: number;
}

export interface KubeResponse {
  /** 200 to 299, or 304. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface KubeStreamRequest {
  readonly path: string;
  readonly query?: Query;
  readonly accept?: string;
  readonly impersonate?: Impersonation;
  readonly signal?: AbortSignal;
  /** Until the head of the answer. Default 30,000. */
  readonly timeoutMs?: number;
  /** Of the whole stream; passing it is an error. */
  readonly maxDurationMs: number;
  /** Longest line that is accepted. Default 8 MiB: over five times what etcd stores per object. */
  readonly maxLineBytes?: number;
  /** Longest silence that is accepted; asked anew after every line. */
  readonly idleTimeoutMs?: () => number;
  readonly onOpen?: (headers: IncomingHttpHeaders) => void;
  /** The line without its end. Valid only during the call. Throwing ends the stream with that error. */
  readonly onLine: (line: Buffer) => void;
}

export interface KubeClient {
  readonly server: string;
  readonly namespace: string;
  /** Rejects with `KubeStatusError` on any answer other than 2xx and 304, with `FL_KUBE_*` below HTTP. Redirects are never followed. */
  request(request: KubeRequest): Promise<KubeResponse>;
  /** A GET whose body is lines (a watch). Resolves when the server ends it, rejects as `request` does. */
  stream(request: KubeStreamRequest): Promise<void>;
  /** Requests sent and bytes received since the start; for budgets and tests. */
  readonly stats: KubeClientStats;
  /** Closes idle connections and fails what is in flight. */
  close(): void;
}

export interface KubeClientStats {
  readonly requests: number;
  readonly streams: number;
  readonly bytesIn: number;
  readonly connections: number;
}

export interface KubeClientOptions {
  readonly access: ClusterAccess;
  /** `fairlead-agent/0.1.0`; the part before the slash is the default field manager in Kubernetes. */
  readonly userAgent: string;
  /** Connections for requests; streams have their own. Default 64. */
  readonly maxSockets?: number;
  readonly log: Log;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const DEFAULT_MAX_BYTES = 32 * 1024 * 1024;
const DEFAULT_MAX_LINE_BYTES = 8 * 1024 * 1024;
// A peer that vanished is found after this long of silence plus ten probes a second apart (libuv's setting).
const TCP_KEEPALIVE_MS = 15_000;
// Below the API server's own idle timeout of 90 s, so that we rarely write into a connection it is closing.
const IDLE_SOCKET_MS = 60_000;

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly query?: Query | undefined;
  readonly headers: Record<string, string | string[]>;
  readonly body?: Uint8Array | string | undefined;
  readonly agent: Agent;
}

/** A client of one API server: HTTP/1.1 over TLS with kept connections, one identity, a deadline for every call. */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  const { access, log } = options;
  const base = new URL(access.server);
  const prefix = base.pathname === '/' ? '' : base.pathname.replace(/\/+$/, '');
  const secureContext = createSecureContext({
    ...(access.ca === undefined ? {} : { ca: access.ca }),
    ...(access.clientCertificate === undefined
      ? {}
      : { cert: access.clientCertificate.cert, key: access.clientCertificate.key.reveal() }),
    minVersion: 'TLSv1.2',
  });
  const tls = { secureContext, ...(access.serverName === undefined ? {} : { servername: access.serverName }) };
  const requests = new Agent({ ...tls, keepAlive: true, maxSockets: options.maxSockets ?? 64, timeout: IDLE_SOCKET_MS });
  const streams = new Agent({ ...tls, keepAlive: false, maxSockets: Number.POSITIVE_INFINITY });
  const stats = { requests: 0, streams: 0, bytesIn: 0, connections: 0 };
  const known = new WeakSet<Socket>();
  const closed = new AbortController();

  function send(sent: Sent): ClientRequest {
    if (!sent.path.startsWith('/') || /[\s?#\\]|\/\.{1,2}(\/|$)/.test(sent.path)) {
      throw new FairleadError('FL_KUBE_PATH', `${JSON.stringify(sent.path)} is no path of the Kubernetes API`, {
        kind: 'invalid',
      });
    }
    const request = httpsRequest({
      host: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port === '' ? 443 : Number(base.port),
      method: sent.method,
      path: `${prefix}${sent.path}${formatQuery(sent.query)}`,
      headers: sent.headers,
      agent: sent.agent,
    });
    request.on('socket', (socket) => {
      if (known.has(socket)) return;
      known.add(socket);
      stats.connections += 1;
      socket.setKeepAlive(true, TCP_KEEPALIVE_MS);
    });
    return request;
  }

  async function headersFor(parts: {
    readonly accept?: string | undefined;
    readonly contentType?: string | undefined;
    readonly ifNoneMatch?: string | undefined;
    readonly impersonate?: Impersonation | undefined;
    readonly length?: number | undefined;
  }): Promise<Record<string, string | string[]>> {
    const token = await access.token();
    return {
      accept: parts.accept ?? 'application/json',
      'user-agent': options.userAgent,
      ...(token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` }),
      ...(parts.length === undefined
        ? {}
        : { 'content-type': parts.contentType ?? 'application/json', 'content-length': String(parts.length) }),
      ...(parts.ifNoneMatch === undefined ? {} : { 'if-none-match': parts.ifNoneMatch }),
      ...(parts.impersonate === undefined ? {} : impersonationHeaders(parts.impersonate)),
    };
  }

  async function once(request: KubeRequest, title: string): Promise<KubeResponse> {
    const length = request.body === undefined ? undefined : Buffer.byteLength(request.body);
    const headers = await headersFor({ ...request, length });
    stats.requests += 1;
    return new Promise((resolve, reject) => {
      const sent = send({ method: request.method, path: request.path, query: request.query, headers, agent: requests });
      const end = guard(sent, title, request.timeoutMs ?? DEFAULT_TIMEOUT_MS, [request.signal, closed.signal], (error) =>
        reject(error),
      );
      sent.on('response', (response) => {
        collect(response, request.maxResponseBytes ?? DEFAULT_MAX_BYTES, title).then(
          (body) => {
            end();
            stats.bytesIn += body.length;
            const status = response.statusCode ?? 0;
            if ((status >= 200 && status < 300) || status === 304) resolve({ status, headers: response.headers, body });
            else reject(statusError(title, status, response.headers['retry-after'], body));
          },
          (error: unknown) => {
            sent.destroy();
            end(error);
          },
        );
      });
      sent.end(request.body);
    });
  }

  return {
    server: access.server,
    namespace: access.namespace,
    stats,
    async request(request) {
      const title = `${request.method} ${request.path}`;
      try {
        return await once(request, title);
      } catch (error) {
        if (error instanceof KubeStatusError && error.status === 401) {
          access.forgetToken();
          log.debug({ path: request.path }, 'the API server refused the credentials; they are read again');
          return once(request, title);
        }
        if (isStaleConnection(error) && request.method !== 'POST' && request.signal?.aborted !== true)
          return once(request, title);
        throw error;
      }
    },
    async stream(request) {
      const title = `WATCH ${request.path}`;
      const headers = await headersFor({ accept: request.accept, impersonate: request.impersonate });
      stats.streams += 1;
      await new Promise<void>((resolve, reject) => {
        const sent = send({ method: 'GET', path: request.path, query: request.query, headers, agent: streams });
        const signals = [request.signal, closed.signal];
        const endHead = guard(sent, title, request.timeoutMs ?? DEFAULT_TIMEOUT_MS, signals, (error) => reject(error));
        sent.on('response', (response) => {
          const status = response.statusCode ?? 0;
          endHead();
          const endBody = guard(sent, title, request.maxDurationMs, signals, (error) => reject(error));
          if (status !== 200) {
            collect(response, 1024 * 1024, title).then(
              (body) => {
                endBody();
                if (status === 401) access.forgetToken();
                reject(statusError(title, status, response.headers['retry-after'], body));
              },
              (error: unknown) => endBody(error),
            );
            return;
          }
          readLines(response, request, stats).then(
            () => {
              endBody();
              sent.destroy();
              resolve();
            },
            (error: unknown) => {
              sent.destroy();
              endBody(error);
            },
          );
          request.onOpen?.(response.headers);
        });
        sent.end();
      });
    },
    close() {
      closed.abort(new FairleadError('FL_KUBE_CLOSED', `the client of ${access.server} was closed`, { kind: 'cancelled' }));
      requests.destroy();
      streams.destroy();
    },
  };
}

/**
 * Gives a request its deadline, its abort signals and its error handling. `fail` is called at most once; the returned
 * function ends the guard, with an error as a failure.
 */
function guard(
  request: ClientRequest,
  title: string,
  timeoutMs: number,
  signals: readonly (AbortSignal | undefined)[],
  fail: (error: Error) => void,
): (error?: unknown) => void {
  let isOver = false;
  const stop = (error?: unknown): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    for (const signal of signals) signal?.removeEventListener('abort', onAbort);
    request.off('error', stop);
    // A destroyed request still emits an error later; unheard it would end the process.
    request.on('error', () => undefined);
    if (error === undefined) return;
    const failure = transportError(title, error);
    if (request.reusedSocket && /ECONNRESET|EPIPE|socket hang up/.test(messageOf(error))) staleConnections.add(failure);
    fail(failure);
  };
  const onAbort = (): void => {
    const reason: unknown = signals.find((signal) => signal?.aborted)?.reason;
    stop(
      reason instanceof FairleadError
        ? reason
        : new FairleadError('FL_KUBE_CANCELLED', `${title} was cancelled`, { kind: 'cancelled' }),
    );
    request.destroy();
  };
  const timer = setTimeout(() => {
    stop(new FairleadError('FL_KUBE_DEADLINE', `${title} did not end within ${timeoutMs} ms`, { kind: 'unavailable' }));
    request.destroy();
  }, timeoutMs);
  for (const signal of signals) signal?.addEventListener('abort', onAbort, { once: true });
  request.on('error', stop);
  if (signals.some((signal) => signal?.aborted)) onAbort();
  return stop;
}

/** Failures of a kept connection that the server had closed: the request was not answered, and once again is safe if idempotent. */
const staleConnections = new WeakSet<Error>();

function isStaleConnection(error: unknown): boolean {
  return error instanceof Error && staleConnections.has(error);
}

function collect(response: IncomingMessage, maxBytes: number, title: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        reject(
          new FairleadError(
            'FL_KUBE_RESPONSE_TOO_LARGE',
            `${title} answered with more than ${maxBytes} bytes; ask for smaller pages`,
            {
              kind: 'too-large',
            },
          ),
        );
      } else chunks.push(chunk);
    });
    response.on('end', () => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)));
    response.on('error', reject);
    response.on('aborted', () => reject(new Error('the answer was cut off')));
  });
}

function readLines(response: IncomingMessage, request: KubeStreamRequest, stats: { bytesIn: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const framer = new LineFramer(request.maxLineBytes ?? DEFAULT_MAX_LINE_BYTES, request.onLine);
    let timer: NodeJS.Timeout | undefined;
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      settle();
    };
    const rearm = (): void => {
      if (request.idleTimeoutMs === undefined) return;
      clearTimeout(timer);
      const idleMs = request.idleTimeoutMs();
      timer = setTimeout(() => {
        reject(
          new FairleadError('FL_KUBE_WATCH_SILENT', `the watch of ${request.path} was silent for ${idleMs} ms`, {
            kind: 'unavailable',
          }),
        );
      }, idleMs);
    };
    rearm();
    response.on('data', (chunk: Buffer) => {
      stats.bytesIn += chunk.length;
      try {
        framer.push(chunk);
        rearm();
      } catch (error) {
        finish(() => reject(error));
      }
    });
    response.on('end', () => finish(resolve));
    response.on('error', (error) => finish(() => reject(error)));
    response.on('aborted', () => finish(() => reject(new Error('the watch was cut off'))));
  });
}

function formatQuery(query: Query | undefined): string {
  const pairs = Object.entries(query ?? {}).flatMap(([key, value]): [string, string][] => {
    const values = Array.isArray(value) ? value : value === undefined ? [] : [value];
    return values.map((one) => [key, String(one)]);
  });
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}

function impersonationHeaders(who: Impersonation): Record<string, string | string[]> {
  const groups = who.groups ?? [];
  const bad = [who.user, ...groups].find((name) => !/^[\x21-\x7e]{1,400}$/.test(name));
  if (bad !== undefined) {
    throw new FairleadError(
      'FL_KUBE_IMPERSONATION',
      `cannot act as user ${JSON.stringify(who.user)}: names must be printable ASCII without spaces and not empty`,
      { kind: 'denied' },
    );
  }
  // Whoever may impersonate this group is not bound by RBAC at all; nothing of ours ever needs it.
  if (groups.includes('system:masters')) {
    throw new FairleadError('FL_KUBE_IMPERSONATION', 'cannot act as group system:masters', { kind: 'denied' });
  }
  return { 'impersonate-user': who.user, ...(groups.length === 0 ? {} : { 'impersonate-group': [...groups] }) };
}
