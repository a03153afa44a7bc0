import { timingSafeEqual } from 'node:crypto';
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { FairleadError, messageOf, randomToken, Sensitive, type Log } from '#base';
import { authorityOf, type GuardedConnect } from './guarded-connect.ts';

export interface GrantOptions {
  readonly host: string;
  readonly port: number;
  /** Bytes from the server after which the connections are cut; default 1 GiB. */
  readonly maxBytes?: number;
}

/** The right of one child process to reach one host and port for as long as it lasts. */
export interface EgressGrant extends Disposable {
  /** `http://<user>:<secret>@127.0.0.1:<port>`, as git's http.proxy (with http.proxyAuthMethod=basic, to spare one
   * round trip) and curl take it. Goes into a child's environment, never into an argument. */
  readonly url: Sensitive<string>;
  /**
   * For ssh: a ProxyCommand without any argument from outside, and the environment it needs. It carries the bytes of one
   * connection to the granted host.
   */
  readonly ssh: { readonly proxyCommand: string; readonly env: Sensitive<Readonly<Record<string, string>>> };
  /** Why the last connection was not made, for the sentence that a person reads: the child only sees a status. */
  failure(): FairleadError | undefined;
}

export interface EgressProxy {
  grant(options: GrantOptions): EgressGrant;
  stop(): Promise<void>;
}

interface Grant {
  readonly secret: Buffer;
  readonly authority: string;
  readonly host: string;
  readonly port: number;
  readonly sockets: Set<Duplex>;
  readonly maxBytes: number;
  bytes: number;
  failure: FairleadError | undefined;
}

const maxConnections = 8;
const idleMs = 60_000;

/**
 * A forward proxy on the loopback for child processes that make their own connections (git, ssh): each use has a secret and
 * reaches exactly one host and port, by the same guarded way as everything else. It serves CONNECT, and plain requests for
 * the plane that allows http://.
 */
export async function startEgressProxy(connect: GuardedConnect, log: Log): Promise<EgressProxy> {
  const grants = new Map<string, Grant>();
  const server = createServer({ maxHeaderSize: 16_384, headersTimeout: 10_000, requestTimeout: 0 });
  server.on('request', (request, response) => void forward(grants, connect, request, response));
  server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    void tunnel(grants, connect, request, client, head).catch((error: unknown) => {
      log.debug({ error }, 'a tunnel of the egress proxy ended');
      client.destroy();
    });
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  const { port } = await listen(server);
  return {
    grant({ host, port: targetPort, maxBytes = 1 << 30 }) {
      const user = randomToken(12);
      const secret = randomToken();
      const authority = authorityOf(host, targetPort);
      const grant: Grant = {
        secret: Buffer.from(secret),
        authority,
        host,
        port: targetPort,
        sockets: new Set(),
        maxBytes,
        bytes: 0,
        failure: undefined,
      };
      grants.set(user, grant);
      return {
        url: new Sensitive(`http://${user}:${secret}@127.0.0.1:${port}`),
        ssh: {
          proxyCommand: `'${process.execPath}' --disable-warning=ExperimentalWarning '${join(import.meta.dirname, 'tunnel.main.ts')}'`,
          env: new Sensitive({
            FAIRLEAD_TUNNEL_PORT: String(port),
            FAIRLEAD_TUNNEL_TO: authority,
            FAIRLEAD_TUNNEL_AUTH: Buffer.from(`${user}:${secret}`).toString('base64'),
          }),
        },
        failure: () => grant.failure,
        [Symbol.dispose]() {
          grants.delete(user);
          for (const socket of grant.sockets) socket.destroy();
        },
      };
    },
    async stop() {
      for (const grant of grants.values()) for (const socket of grant.sockets) socket.destroy();
      grants.clear();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function listen(server: Server): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // A TCP listener has an AddressInfo.
    server.listen(0, '127.0.0.1', () => resolve(server.address() as AddressInfo));
  });
}

function grantOf(grants: ReadonlyMap<string, Grant>, request: IncomingMessage): Grant | undefined {
  const encoded = /^Basic ([A-Za-z0-9+/=]{1,512})$/i.exec(request.headers['proxy-authorization'] ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const [user = '', secret = ''] = Buffer.from(encoded, 'base64').toString('latin1').split(':');
  const grant = grants.get(user);
  const given = Buffer.from(secret);
  return grant !== undefined && given.length === grant.secret.length && timingSafeEqual(given, grant.secret) ? grant : undefined;
}

/** The connection a grant allows, counted and bounded. */
async function open(grant: Grant, authority: string, connect: GuardedConnect): Promise<Socket> {
  if (authority !== grant.authority) {
    throw new FairleadError('FL_FETCH_GRANT', `a connection to ${authority} was asked for where ${grant.authority} is granted`, {
      kind: 'denied',
    });
  }
  if (grant.sockets.size >= maxConnections) {
    throw new FairleadError('FL_FETCH_GRANT', `more than ${maxConnections} connections to ${authority} at once`, {
      kind: 'denied',
    });
  }
  const upstream = await connect({ host: grant.host, port: grant.port });
  grant.failure = undefined;
  grant.sockets.add(upstream);
  upstream.once('close', () => grant.sockets.delete(upstream));
  upstream.setTimeout(idleMs, () => upstream.destroy());
  return upstream;
}

function remember(grant: Grant, error: unknown): FairleadError {
  grant.failure =
    error instanceof FairleadError ? error : new FairleadError('FL_FETCH_CONNECT', messageOf(error), { kind: 'unavailable' });
  return grant.failure;
}

function count(grant: Grant, bytes: number, ends: readonly (Duplex | ServerResponse)[]): void {
  grant.bytes += bytes;
  if (grant.bytes <= grant.maxBytes) return;
  const what = `${grant.authority} sent more than ${grant.maxBytes} bytes`;
  grant.failure = new FairleadError('FL_FETCH_LIMIT', what, { kind: 'too-large' });
  for (const end of ends) end.destroy();
}

async function tunnel(
  grants: ReadonlyMap<string, Grant>,
  connect: GuardedConnect,
  request: IncomingMessage,
  client: Duplex,
  head: Buffer,
): Promise<void> {
  client.on('error', () => client.destroy());
  const grant = grantOf(grants, request);
  if (grant === undefined) {
    client.end(
      'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="fairlead"\r\nContent-Length: 0\r\n\r\n',
    );
    return;
  }
  const match = /^(.{1,255}):(\d{1,5})$/.exec(request.url ?? '');
  let upstream: Socket;
  try {
    upstream = await open(grant, authorityOf(match?.[1] ?? '', Number(match?.[2])), connect);
  } catch (error) {
    const { kind } = remember(grant, error);
    client.end(`HTTP/1.1 ${kind === 'denied' ? '403 Forbidden' : '502 Bad Gateway'}\r\nContent-Length: 0\r\n\r\n`);
    return;
  }
  grant.sockets.add(client);
  client.once('close', () => {
    grant.sockets.delete(client);
    upstream.destroy();
  });
  upstream.once('close', () => client.destroy());
  upstream.on('error', () => client.destroy());
  client.write('HTTP/1.1 200 Connection established\r\n\r\n');
  upstream.on('data', (chunk: Buffer) => count(grant, chunk.length, [upstream, client]));
  upstream.pipe(client);
  if (head.length > 0) upstream.write(head);
  client.pipe(upstream);
}

/** Headers that are about one connection only (RFC 9110, 7.6.1), and the secret of this one. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'upgrade']);

async function forward(
  grants: ReadonlyMap<string, Grant>,
  connect: GuardedConnect,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const grant = grantOf(grants, request);
  const refuse = (status: number): void => {
    const challenge = status === 407 ? { 'proxy-authenticate': 'Basic realm="fairlead"' } : {};
    response.writeHead(status, { 'content-length': 0, connection: 'close', ...challenge }).end();
  };
  if (grant === undefined) return refuse(407);
  if (!URL.canParse(request.url ?? '')) return refuse(400);
  const url = new URL(request.url ?? '');
  if (url.protocol !== 'http:') return refuse(400);
  let upstream: Socket;
  try {
    upstream = await open(grant, authorityOf(url.hostname, Number(url.port === '' ? '80' : url.port)), connect);
  } catch (error) {
    return refuse(remember(grant, error).kind === 'denied' ? 403 : 502);
  }
  response.once('close', () => upstream.destroy());
  const headers: Record<string, string | string[]> = { connection: 'close' };
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined && !hopByHop.has(name)) headers[name] = value;
  }
  const outgoing = httpRequest({
    method: request.method ?? 'GET',
    path: `${url.pathname}${url.search}`,
    headers,
    createConnection: () => upstream,
  });
  outgoing.once('response', (incoming) => {
    response.writeHead(incoming.statusCode ?? 502, incoming.headers);
    incoming.on('data', (chunk: Buffer) => count(grant, chunk.length, [upstream, response]));
    incoming.on('error', () => response.destroy());
    incoming.pipe(response);
  });
  outgoing.on('error', (error) => {
    remember(grant, error);
    if (response.headersSent) response.destroy();
    else refuse(502);
  });
  request.pipe(outgoing);
}
