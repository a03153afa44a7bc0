import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls, getCACertificates } from 'node:tls';
import { createGunzip } from 'node:zlib';
import {
  codeOf,
  FairleadError,
  fullJitter,
  messageOf,
  systemClock,
  type Clock,
  type ErrorKind,
  type Rng,
  type Sensitive,
} from '#base';
import { Gate } from './gate.ts';
import type { GuardedConnect } from './guarded-connect.ts';

export interface FetchRequest {
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * The Authorization header for an origin such as `https://charts.example.com`, asked for every hop: what is for one origin
   * is never sent to another one, redirected or not.
   */
  readonly authorize?: (origin: string) => Sensitive<string> | undefined;
  /** PEM of authorities trusted beside the system's, for the origin of `url` only. */
  readonly ca?: string | undefined;
  /** Plain http://; never after https://. */
  readonly allowHttp?: boolean;
  /** Of the body, after decompression. */
  readonly maxBytes: number;
  /** For everything together, retries and redirects included; default 60 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface FetchResponse {
  /** 200, 206, 304, or a status from 400 to 499 that is for the caller to judge. */
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Where it came from in the end. */
  readonly url: URL;
}

export interface FetcherOptions {
  readonly connect: GuardedConnect;
  readonly clock?: Clock;
  readonly rng?: Rng;
  /** Requests under way to one host and port; default 6. */
  readonly perHost?: number;
  /** Default: 10 s to connect (TLS included), 30 s to the first byte and between bytes. */
  readonly connectMs?: number;
  readonly idleMs?: number;
}

export type Fetcher = (request: FetchRequest) => Promise<FetchResponse>;

const maxRedirects = 5;
const maxAttempts = 4;
const backoff = { baseMs: 500, maxMs: 10_000 };
/** A header list beyond this is no answer. */
const maxHeaderBytes = 65_536;

/**
 * GET over the guarded way out. Follows redirects to other hosts without what is for the first; tries again what a retry may
 * mend (connection, 429, 500, 502, 503, 504), as late as the server asks within the time there is.
 *
 * Errors: `FL_FETCH_ADDRESS`, `FL_FETCH_CONNECT`, `FL_FETCH_TLS`, `FL_FETCH_TIMEOUT`, `FL_FETCH_LIMIT`, `FL_FETCH_REDIRECT`,
 * `FL_FETCH_STATUS`, `FL_FETCH_ENCODING`; those of kind `unavailable` may pass, with `retryAfterMs` where the server said so.
 */
export function createFetcher(options: FetcherOptions): Fetcher {
  const clock = options.clock ?? systemClock;
  const gate = new Gate(options.perHost ?? 6);
  return async (request) => {
    const endsAt = clock.monotonic() + (request.timeoutMs ?? 60_000);
    const deadline = AbortSignal.timeout(request.timeoutMs ?? 60_000);
    const signal = request.signal === undefined ? deadline : AbortSignal.any([request.signal, deadline]);
    for (let attempt = 0; ; attempt += 1) {
      let failure: FairleadError;
      try {
        return await follow(request, options, gate, signal);
      } catch (error) {
        if (request.signal?.aborted === true) throw error;
        failure = toFailure(error, request.url, deadline);
      }
      const waitMs = failure.retryAfterMs ?? fullJitter(attempt, backoff, options.rng);
      const isTimeLeft = clock.monotonic() + waitMs < endsAt;
      if (!failure.retryable || attempt + 1 >= maxAttempts || !isTimeLeft) throw failure;
      await clock.sleep(waitMs, signal).catch((error: unknown) => {
        throw request.signal?.aborted === true ? error : failure;
      });
    }
  };
}

async function follow(request: FetchRequest, options: FetcherOptions, gate: Gate, signal: AbortSignal): Promise<FetchResponse> {
  let { url } = request;
  for (let hop = 0; ; hop += 1) {
    refuseScheme(url, request, hop);
    const target = url;
    const response = await gate.run(target.host, () => get(target, request, options, signal), signal);
    const location = [301, 302, 303, 307, 308].includes(response.status) ? response.headers.location : undefined;
    if (location === undefined) return accept(response);
    if (hop >= maxRedirects)
      throw failed('FL_FETCH_REDIRECT', `${shown(request.url)} redirects more than ${maxRedirects} times`, 'invalid');
    if (!URL.canParse(location, url)) throw failed('FL_FETCH_REDIRECT', `${shown(url)} redirects to what is no URL`, 'invalid');
    const next = new URL(location, url);
    if (next.username !== '' || next.password !== '')
      throw failed('FL_FETCH_REDIRECT', `${shown(url)} redirects to a URL with a credential`, 'invalid');
    if (url.protocol === 'https:' && next.protocol !== 'https:')
      throw failed('FL_FETCH_REDIRECT', `${shown(url)} redirects away from https://`, 'invalid');
    url = next;
  }
}

function refuseScheme(url: URL, request: FetchRequest, hop: number): void {
  if (url.protocol === 'https:' || (url.protocol === 'http:' && request.allowHttp === true)) return;
  throw failed(hop === 0 ? 'FL_FETCH_SCHEME' : 'FL_FETCH_REDIRECT', `${shown(url)} is not read: only https:// is`, 'invalid');
}

function accept(response: FetchResponse): FetchResponse {
  const { status, headers, url } = response;
  if ([200, 206, 304].includes(status)) return response;
  if (status === 429 || [500, 502, 503, 504].includes(status)) {
    const retryAfterMs = retryAfter(headers['retry-after']);
    throw new FairleadError('FL_FETCH_STATUS', `${shown(url)} answered ${status}`, {
      kind: 'unavailable',
      details: { status },
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }
  if (status >= 400 && status < 500) return response;
  throw new FairleadError('FL_FETCH_STATUS', `${shown(url)} answered ${status}`, { kind: 'invalid', details: { status } });
}

/** Seconds, or a date. At most an hour is believed. */
function retryAfter(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - systemClock.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), 3_600_000) : undefined;
}

async function get(url: URL, request: FetchRequest, options: FetcherOptions, signal: AbortSignal): Promise<FetchResponse> {
  const connectMs = options.connectMs ?? 10_000;
  const idleMs = options.idleMs ?? 30_000;
  const port = Number(url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port);
  const isOwn = url.origin === request.url.origin;
  const socket = await options.connect({ host: url.hostname, port, signal, timeoutMs: connectMs });
  socket.setNoDelay(true);
  const stream =
    url.protocol === 'https:' ? await secure(socket, url, isOwn ? request.ca : undefined, connectMs, signal) : socket;
  try {
    const authorization = request.authorize?.(url.origin);
    const incoming = await send(stream, url, idleMs, signal, {
      'user-agent': 'fairlead',
      'accept-encoding': 'gzip',
      ...(isOwn ? request.headers : acceptOnly(request.headers)),
      ...(authorization === undefined ? {} : { authorization: authorization.reveal() }),
    });
    const body = await read(incoming, url, request.maxBytes, signal);
    return { status: incoming.statusCode ?? 0, headers: incoming.headers, body, url };
  } finally {
    stream.destroy();
    socket.destroy();
  }
}

/** To another host goes what kind of answer is wanted, and nothing else. */
function acceptOnly(headers: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return headers?.['accept'] === undefined ? {} : { accept: headers['accept'] };
}

let systemAuthorities: readonly string[] | undefined;

/** What Node trusts and what the machine does: the same as git. Read once. */
function authorities(): readonly string[] {
  systemAuthorities ??= [...new Set([...getCACertificates('default'), ...getCACertificates('system')])];
  return systemAuthorities;
}

function secure(socket: Duplex, url: URL, ca: string | undefined, timeoutMs: number, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const stream = connectTls({
      socket,
      host,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ca: [...authorities(), ...(ca === undefined ? [] : [ca])],
      minVersion: 'TLSv1.2',
      ALPNProtocols: ['http/1.1'],
    });
    const end = (error: Error): void => {
      stop();
      stream.destroy();
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(
      () => end(failed('FL_FETCH_TIMEOUT', `${url.host} did not agree on TLS within ${timeoutMs} ms`, 'unavailable')),
      timeoutMs,
    );
    const onAbort = (): void => end(signal.reason as Error);
    const stop = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    stream.once('secureConnect', () => {
      stop();
      stream.on('error', () => undefined);
      resolve(stream);
    });
    stream.once('error', (error) => {
      const isReset = ['ECONNRESET', 'EPIPE', 'ETIMEDOUT'].includes(codeOf(error) ?? '');
      end(
        failed(
          isReset ? 'FL_FETCH_CONNECT' : 'FL_FETCH_TLS',
          `no TLS connection to ${url.host}: ${messageOf(error)}${isReset ? '' : '; for a private authority put its certificate into the Credential as ca'}`,
          isReset ? 'unavailable' : 'denied',
        ),
      );
    });
  });
}

function send(
  stream: Duplex,
  url: URL,
  idleMs: number,
  signal: AbortSignal,
  headers: Readonly<Record<string, string>>,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      method: 'GET',
      host: url.hostname,
      path: `${url.pathname}${url.search}`,
      headers: { host: url.host, connection: 'close', ...headers },
      createConnection: () => stream,
      maxHeaderSize: maxHeaderBytes,
      signal,
    });
    outgoing.setTimeout(idleMs, () =>
      outgoing.destroy(failed('FL_FETCH_TIMEOUT', `${shown(url)} said nothing for ${idleMs} ms`, 'unavailable')),
    );
    outgoing.once('response', resolve);
    outgoing.on('error', reject);
    outgoing.end();
  });
}

function read(incoming: IncomingMessage, url: URL, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
  const encoding = incoming.headers['content-encoding'] ?? 'identity';
  const tooLarge = (): FairleadError =>
    new FairleadError('FL_FETCH_LIMIT', `${shown(url)} is larger than ${maxBytes} bytes`, {
      kind: 'too-large',
      details: { limit: maxBytes },
    });
  return new Promise((resolve, reject) => {
    const end = (error: Error): void => {
      reject(error);
      incoming.destroy();
    };
    if (encoding !== 'identity' && encoding !== 'gzip') {
      end(failed('FL_FETCH_ENCODING', `${shown(url)} is encoded in a way that was not asked for`, 'invalid'));
      return;
    }
    if (encoding === 'identity' && Number(incoming.headers['content-length'] ?? 0) > maxBytes) {
      end(tooLarge());
      return;
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    // Inflated chunk by chunk: a bomb is seen when it passes the cap, not when it is whole.
    const source = encoding === 'gzip' ? incoming.pipe(createGunzip()) : incoming;
    source.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) {
        end(tooLarge());
        source.destroy();
      } else chunks.push(chunk);
    });
    source.once('end', () => resolve(Buffer.concat(chunks)));
    source.once('error', (error) =>
      end(
        encoding === 'gzip' && error !== signal.reason
          ? failed('FL_FETCH_ENCODING', `${shown(url)} is no gzip`, 'invalid')
          : error,
      ),
    );
    incoming.once('error', end);
    incoming.once('aborted', () => end(failed('FL_FETCH_CONNECT', `${shown(url)} ended before its end`, 'unavailable')));
  });
}

function toFailure(error: unknown, url: URL, deadline: AbortSignal): FairleadError {
  if (deadline.aborted) return failed('FL_FETCH_TIMEOUT', `${shown(url)} was not read in the time it has`, 'unavailable', false);
  if (error instanceof FairleadError) return error;
  return failed('FL_FETCH_CONNECT', `${shown(url)}: ${messageOf(error)}`, 'unavailable');
}

function failed(code: string, message: string, kind: ErrorKind, retryable?: boolean): FairleadError {
  return new FairleadError(code, message, { kind, ...(retryable === undefined ? {} : { retryable }) });
}

/** Without user information and query: tokens travel in both. */
function shown(url: URL): string {
  return `${url.origin === 'null' ? url.protocol : url.origin}${url.pathname}`;
}
