import { randomBytes } from 'node:crypto';
import type { IncomingMessage, Server as HttpServer, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Server as TlsServer } from 'node:tls';
import fastify, { type FastifyInstance } from 'fastify';
import { WebSocketServer, type WebSocket } from 'ws';
import { FairleadError, newUid, systemClock, type Clock, type Log } from '#base';
import { AGENT_RESOURCE, authorize, type Attributes, type Authorizer } from './authorize.ts';
import { readBody } from './body.ts';
import { ConnectionGate, type ConnectionGateLimits } from './connection-gate.ts';
import { ConsoleFiles } from './console-files.ts';
import { SessionRoutes } from './console-session.ts';
import { errorResponse } from './errors.ts';
import { HealthListener } from './health-listener.ts';
import { InFlight, type SurfaceLimits } from './in-flight.ts';
import { Metrics } from './metrics.ts';
import { isLoopback, readHead } from './request-head.ts';
import { sendResponse } from './respond.ts';
import { RouteTable, type Permission, type Route } from './routes.ts';
import { readiness, systemRoutes, type ReadinessCheck } from './system-routes.ts';
import { cookieName, cookieOf, crossSiteFault, Sessions, type Session } from './sessions.ts';
import { actorOf, type Authenticator, type HttpRequest, type Principal, type RequestHead, type Surface } from './types.ts';

export interface HttpLimits {
  readonly surfaces?: Partial<Record<Surface, Partial<SurfaceLimits>>>;
  readonly maxHeaderBytes?: number;
  readonly maxConnections?: number;
  /** How new TLS connections are let in. */
  readonly gate?: Partial<ConnectionGateLimits>;
  /** From the first byte of a request to the last of its headers. */
  readonly headersTimeoutMs?: number;
  /** From the first byte of a request to the last of its body. */
  readonly requestTimeoutMs?: number;
  /** How long a stop waits for what is in flight. */
  readonly drainMs?: number;
}

export interface HttpOptions {
  readonly log: Log;
  readonly clock?: Clock;
  readonly limits?: HttpLimits;
  /** Signs sessions of the console: with the same one they outlive a restart. Default: a new one. */
  readonly sessionSecret?: Uint8Array;
  /** Directory of the built console (`dist/console`); absent: no console. */
  readonly consoleDir?: string;
  /** Answer of /version. */
  readonly version: Readonly<Record<string, string>>;
}

export interface TlsMaterial {
  /** PEM, the leaf first. */
  readonly cert: string;
  readonly key: string;
}

export interface Listener {
  /** `https://127.0.0.1:8443` */
  readonly url: string;
  readonly port: number;
}

export interface LiveRoute {
  readonly path: string;
  readonly permission: Permission;
  /** Owns the socket until it is closed. Messages over 64 KiB close it. */
  handler(
    socket: WebSocket,
    request: { readonly head: RequestHead; readonly principal: Principal; readonly signal: AbortSignal },
  ): void;
}

export interface Http {
  readonly metrics: Metrics;
  readonly authorizer: Authorizer;
  /** Every registered route, with its permission. */
  readonly routes: readonly Route[];
  /** Asked in the order of registration; the first principal counts. */
  authenticate(authenticator: Authenticator): void;
  route(route: Route): void;
  live(route: LiveRoute): void;
  /** What /readyz asks: a sentence for what is not ready. */
  readiness(name: string, check: () => string | undefined | Promise<string | undefined>): void;
  /** Whether every readiness check is fine. */
  isReady(): Promise<boolean>;
  /** TLS for every surface. Port 0 takes a free one. */
  listenTls(options: { readonly host: string; readonly port: number; readonly tls: TlsMaterial }): Promise<Listener>;
  /** Plain HTTP for probes: /healthz, /livez and /readyz and nothing else, from anywhere, never behind TLS handshakes. */
  listenHealth(options: { readonly host: string; readonly port: number }): Promise<Listener>;
  /** Plain HTTP for the console, the API, the views and doorbells; refuses anything but loopback. */
  listenLoopback(options: { readonly host?: '127.0.0.1' | '::1'; readonly port: number }): Promise<Listener>;
  /** New certificates for connections from now on; those that are open go on. */
  renewTls(tls: TlsMaterial): void;
  /** A path (`/login#…`) that opens one session within ten minutes. */
  createLoginPath(name: string): string;
  /** Takes no new connection, ends what waits, gives the rest `drainMs`. */
  stop(): Promise<void>;
}

const LOOPBACK_SURFACES: ReadonlySet<Surface> = new Set(['kubernetes', 'views', 'live', 'system', 'console']);
const TLS_SURFACES: ReadonlySet<Surface> = new Set(['kubernetes', 'views', 'live', 'agent', 'hooks', 'system', 'console']);
const MIN_TLS = 'TLSv1.2';
const MAX_BODY_BYTES = 3 * 1024 * 1024;
// client-go keeps idle connections for 90 s: closing them first would fail requests that are just being written.
const KEEP_ALIVE_MS = 120_000;

interface ListenerContext {
  readonly isTls: boolean;
  readonly surfaces: ReadonlySet<Surface>;
  port: number;
}

export async function createHttp(options: HttpOptions): Promise<Http> {
  const plane = new PlaneHttp(options);
  await plane.readConsole();
  return plane;
}

class PlaneHttp implements Http {
  readonly metrics = new Metrics();
  readonly authorizer: Authorizer = authorize;
  readonly #options: HttpOptions;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #table = new RouteTable();
  readonly #live: LiveRoute[] = [];
  readonly #authenticators: Authenticator[] = [];
  readonly #checks = new Map<string, ReadinessCheck>();
  readonly #sessions: Sessions;
  readonly #sessionRoutes: SessionRoutes;
  readonly #inFlight: InFlight;
  readonly #apps: FastifyInstance[] = [];
  readonly #gates: ConnectionGate[] = [];
  readonly #health: HealthListener[] = [];
  readonly #tlsServers: Pick<TlsServer, 'setSecureContext'>[] = [];
  readonly #stopping = new AbortController();
  /** Of every request under way. */
  readonly #open = new Set<AbortController>();
  readonly #sockets = new WebSocketServer({ noServer: true, maxPayload: 64 * 1024, clientTracking: true });
  readonly #requests;
  readonly #seconds;
  #console: ConsoleFiles | undefined;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log;
    this.#inFlight = new InFlight(options.limits?.surfaces ?? {}, () => this.#clock.monotonic());
    this.#sessions = new Sessions(this.#clock, options.sessionSecret ?? randomBytes(32));
    this.#sessionRoutes = new SessionRoutes({
      sessions: this.#sessions,
      clock: this.#clock,
      verifyToken: (token, request) => this.#authenticateBy({ ...request, headers: { authorization: `Bearer ${token}` } }),
    });
    this.#requests = this.metrics.counter('fairlead_http_requests_total', 'Requests answered, by surface and status.');
    this.#seconds = this.metrics.histogram(
      'fairlead_http_request_seconds',
      'Time from head to the end of the answer, without what waits on purpose.',
      [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    );
    this.metrics.read('fairlead_http_connections_waiting', 'Connections that wait for their TLS handshake.', () =>
      this.#gates.reduce((sum, gate) => sum + gate.waiting, 0),
    );
    this.metrics.read('fairlead_http_websockets', 'Open WebSockets.', () => this.#sockets.clients.size);
    const { version } = options;
    const isStopping = (): boolean => this.#stopping.signal.aborted;
    for (const route of systemRoutes({ version, metrics: this.metrics, checks: this.#checks, isStopping })) this.route(route);
  }

  async readConsole(): Promise<void> {
    const { consoleDir } = this.#options;
    if (consoleDir === undefined) return;
    this.#console = await ConsoleFiles.read(consoleDir);
    const files = this.#console;
    this.route({
      surface: 'console',
      method: 'GET',
      path: '/*',
      permission: { allow: 'public' },
      handler: (request) => {
        // An unknown path of another surface is no page of the console.
        if (surfaceOf(request.path) !== 'console') throw notFound();
        return files.answer(request);
      },
    });
  }

  get routes(): readonly Route[] {
    return this.#table.routes;
  }

  authenticate(authenticator: Authenticator): void {
    this.#authenticators.push(authenticator);
  }

  route(route: Route): void {
    this.#table.add(route);
  }

  live(route: LiveRoute): void {
    this.#live.push(route);
  }

  readiness(name: string, check: () => string | undefined | Promise<string | undefined>): void {
    this.#checks.set(name, check);
  }

  async isReady(): Promise<boolean> {
    return (await readiness(this.#checks, this.#stopping.signal.aborted)).isReady;
  }

  createLoginPath(name: string): string {
    return `/login#${this.#sessions.createLink(name)}`;
  }

  async listenTls(options: { host: string; port: number; tls: TlsMaterial }): Promise<Listener> {
    const context: ListenerContext = { isTls: true, surfaces: TLS_SURFACES, port: options.port };
    const app = fastify({
      ...this.#fastifyOptions(),
      https: { ...options.tls, minVersion: MIN_TLS, ...this.#serverOptions() },
    });
    // Both kinds of server have the members used here; Fastify's types tell them apart.
    const plain = app as unknown as FastifyInstance;
    this.#gate(plain.server);
    const listener = await this.#listen(plain, context, options.host, options.port);
    this.#tlsServers.push(app.server);
    return listener;
  }

  async listenLoopback(options: { host?: '127.0.0.1' | '::1'; port: number }): Promise<Listener> {
    const host = options.host ?? '127.0.0.1';
    if (!isLoopback(host)) {
      throw new FairleadError('FL_HTTP_LOOPBACK', `plain HTTP is served on this machine only, not on ${options.host ?? ''}`, {
        kind: 'invalid',
      });
    }
    const context: ListenerContext = { isTls: false, surfaces: LOOPBACK_SURFACES, port: options.port };
    const app = fastify({ ...this.#fastifyOptions(), http: this.#serverOptions() });
    return this.#listen(app, context, host, options.port);
  }

  async listenHealth({ host, port }: { host: string; port: number }): Promise<Listener> {
    const health = new HealthListener(() => readiness(this.#checks, this.#stopping.signal.aborted));
    const listener = await health.listen(host, port);
    this.#health.push(health);
    return listener;
  }

  renewTls(tls: TlsMaterial): void {
    for (const server of this.#tlsServers) server.setSecureContext({ ...tls, minVersion: MIN_TLS });
  }

  async stop(): Promise<void> {
    this.#stopping.abort(
      new FairleadError('FL_HTTP_STOPPING', 'the plane is stopping', { kind: 'unavailable', retryAfterMs: 1000 }),
    );
    for (const one of this.#open) one.abort(this.#stopping.signal.reason);
    for (const gate of this.#gates) gate.close();
    for (const socket of this.#sockets.clients) socket.close(1001, 'the plane is stopping');
    const closed = Promise.all([...this.#apps, ...this.#health].map((one) => one.close()));
    const deadline = new AbortController();
    const drained = this.#clock.sleep(this.#options.limits?.drainMs ?? 10_000, deadline.signal).then(
      () => {
        for (const app of this.#apps) app.server.closeAllConnections();
        for (const socket of this.#sockets.clients) socket.terminate();
      },
      () => undefined,
    );
    await Promise.race([closed, drained]);
    await closed;
    deadline.abort();
  }

  /** Puts a gate before the TLS server: what it would do with a new connection it does when the gate lets that in. */
  #gate(server: HttpServer): void {
    // The one listener of a TLS server: it begins the handshake.
    const handshake = server.listeners('connection');
    server.removeAllListeners('connection');
    const gate = new ConnectionGate((socket) => {
      for (const listener of handshake) listener.call(server, socket);
    }, this.#options.limits?.gate);
    server.on('connection', (socket: Socket) => gate.enter(socket));
    this.#gates.push(gate);
  }

  #serverOptions(): ServerOptions {
    const { limits } = this.#options;
    return {
      maxHeaderSize: limits?.maxHeaderBytes ?? 32 * 1024,
      headersTimeout: limits?.headersTimeoutMs ?? 10_000,
      // How often Node looks for connections that are over their time; by itself every 30 s.
      connectionsCheckingInterval: 1000,
    };
  }

  #fastifyOptions(): { readonly [key: string]: unknown } {
    return {
      logger: false,
      exposeHeadRoutes: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      requestTimeout: this.#options.limits?.requestTimeoutMs ?? 60_000,
      forceCloseConnections: 'idle',
      routerOptions: { ignoreTrailingSlash: false },
      frameworkErrors: (_error: unknown, _request: unknown, reply: { code(n: number): { send(body: unknown): void } }) => {
        reply.code(400).send(undefined);
      },
    };
  }

  async #listen(app: FastifyInstance, context: ListenerContext, host: string, port: number): Promise<Listener> {
    const server: HttpServer = app.server;
    server.maxConnections = this.#options.limits?.maxConnections ?? 30_000;
    app.removeAllContentTypeParsers();
    // The body is read later, by the route, once it is known who sends it.
    app.addContentTypeParser('*', (_request: unknown, _payload: unknown, done: (error: null, body?: unknown) => void) =>
      done(null),
    );
    app.all('/*', (request, reply) => {
      reply.hijack();
      void this.#serve(request.raw, reply.raw, context);
    });
    server.on('upgrade', (message: IncomingMessage, socket: Duplex, head: Buffer) => {
      void this.#upgrade(message, socket, head, context);
    });
    this.#apps.push(app);
    await app.listen({ host, port });
    const address = server.address();
    context.port = typeof address === 'object' && address !== null ? address.port : port;
    const name = host.includes(':') ? `[${host}]` : host;
    return { url: `${context.isTls ? 'https' : 'http'}://${name}:${context.port}`, port: context.port };
  }

  async #serve(message: IncomingMessage, response: ServerResponse, context: ListenerContext): Promise<void> {
    const startedAt = this.#clock.monotonic();
    const gone = new AbortController();
    const end = (): void =>
      gone.abort(new FairleadError('FL_HTTP_CLIENT_GONE', 'the client closed the connection', { kind: 'cancelled' }));
    response.on('close', end);
    this.#open.add(gone);
    let surface: Surface = surfaceOf(message.url ?? '/');
    let release: (() => void) | undefined;
    let waits = false;
    let status = 500;
    try {
      response.setHeader('audit-id', newUid());
      response.setHeader('x-content-type-options', 'nosniff');
      const head = readHead(message);
      const origin = this.#checkOrigin(head, context);
      const match = this.#table.match(head.method, head, context.surfaces);
      if (match === undefined || match === 'method') {
        // Who may not ask learns nothing, not even which paths there are.
        await this.#identify(head, context, origin);
        throw match === 'method'
          ? new FairleadError('FL_HTTP_METHOD', `${head.method} is not possible on ${head.path}`, { kind: 'invalid' })
          : notFound();
      }
      const { route, params } = match;
      surface = route.surface;
      waits = route.isLongRunning?.(head) === true;
      release = this.#inFlight.enter(surface, waits);
      const { principal } = await this.#identify(head, context, origin);
      this.#authorize(principal, route.permission, head);
      const digest = principal.type === 'agent' ? principal.expectBodyDigest : undefined;
      let body: Promise<Buffer> | undefined;
      const request: HttpRequest = {
        ...head,
        principal,
        params,
        signal: gone.signal,
        held: async (wait) => {
          const leave = this.#inFlight.enter(surface, true);
          waits = true;
          release?.();
          release = leave;
          try {
            return await wait();
          } finally {
            leave();
            release = this.#inFlight.resume(surface);
          }
        },
        body: () => (body ??= readBody(message, route.maxBodyBytes ?? MAX_BODY_BYTES, digest)),
      };
      // A promised digest also covers a body that the handler does not look at.
      if (digest !== undefined) await request.body();
      const sessionAnswer = await this.#sessionRoute(request, context, origin);
      const answer = sessionAnswer ?? (await route.handler(request));
      status = answer.status;
      await sendResponse(message, response, head, answer, gone.signal);
    } catch (error) {
      const answer = errorResponse(surface, error);
      status = answer.status;
      if (status >= 500 && !(error instanceof FairleadError && error.kind !== 'internal')) {
        this.#log.error({ error, surface, method: message.method, path: pathOf(message.url ?? '') }, 'a request failed');
      }
      await sendResponse(message, response, undefined, answer, gone.signal).catch(() => response.destroy());
    } finally {
      release?.();
      response.off('close', end);
      this.#open.delete(gone);
      this.#requests.add({ surface, code: status });
      if (!waits) this.#seconds.observe({ surface }, (this.#clock.monotonic() - startedAt) / 1000);
    }
  }

  /** The origin of this listener as the client named it; refuses what a page of another name, or a proxy, sends. */
  #checkOrigin(head: RequestHead, context: ListenerContext): string {
    const host = head.headers.host ?? '';
    if (context.isTls) return `https://${host}`;
    const names = [`127.0.0.1:${context.port}`, `localhost:${context.port}`, `[::1]:${context.port}`];
    const isProxied = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'via'].some(
      (name) => head.headers[name] !== undefined,
    );
    if (!isLoopback(head.remoteAddress) || isProxied) {
      throw new FairleadError('FL_HTTP_LOOPBACK', 'plain HTTP is for programs on this machine; use https', { kind: 'denied' });
    }
    // A name that somebody else's DNS points at 127.0.0.1 would let their page read the console.
    if (!names.includes(host)) {
      throw new FairleadError(
        'FL_HTTP_HOST',
        `open the console as http://127.0.0.1:${context.port} or http://localhost:${context.port}`,
        {
          kind: 'denied',
        },
      );
    }
    return `http://${host}`;
  }

  async #identify(
    head: RequestHead,
    context: ListenerContext,
    origin: string,
  ): Promise<{ readonly principal: Principal; readonly session?: Session }> {
    if (head.headers.authorization !== undefined) {
      const principal = await this.#authenticateBy(head);
      if (principal !== undefined) return { principal };
      throw new FairleadError('FL_HTTP_UNAUTHENTICATED', 'Unauthorized', { kind: 'unauthenticated' });
    }
    const token = cookieOf(head, cookieName(context.isTls, context.port));
    const session = token === undefined ? undefined : this.#sessions.find(token);
    if (session !== undefined) {
      const fault = crossSiteFault(head, session, origin);
      if (fault !== undefined) throw new FairleadError('FL_HTTP_CROSS_SITE', fault, { kind: 'denied' });
      return { principal: { type: 'admin', name: session.name }, session };
    }
    return { principal: { type: 'anonymous' } };
  }

  async #authenticateBy(head: RequestHead): Promise<Principal | undefined> {
    for (const authenticator of this.#authenticators) {
      const principal = await authenticator(head);
      if (principal !== undefined) return principal;
    }
    return undefined;
  }

  #authorize(principal: Principal, permission: Permission, head: RequestHead): void {
    if (permission.allow === 'public') return;
    const attributes: Attributes =
      permission.allow === 'agent'
        ? { verb: 'use', resource: AGENT_RESOURCE, ...(principal.type === 'agent' ? { name: principal.cluster } : {}) }
        : permission.attributes(head);
    const decision = this.authorizer(principal, attributes);
    if (decision.allowed) return;
    if (principal.type === 'anonymous')
      throw new FairleadError('FL_HTTP_UNAUTHENTICATED', 'Unauthorized', { kind: 'unauthenticated' });
    const what =
      attributes.path ?? [attributes.resource, attributes.name].filter((part) => part !== undefined && part !== '').join('/');
    throw new FairleadError('FL_HTTP_FORBIDDEN', `${actorOf(principal)} may not ${attributes.verb} ${what}: ${decision.reason}`, {
      kind: 'denied',
    });
  }

  /** The session routes need the listener; their entries in the table say their permission. */
  async #sessionRoute(
    request: HttpRequest,
    context: ListenerContext,
    origin: string,
  ): Promise<Awaited<ReturnType<Route['handler']>> | undefined> {
    if (request.path !== '/session') return undefined;
    switch (request.method) {
      case 'POST':
        return this.#sessionRoutes.login(request, context.port, context.isTls, origin);
      case 'DELETE':
        return this.#sessionRoutes.logout(request, context.port, context.isTls);
      default: {
        const token = cookieOf(request, cookieName(context.isTls, context.port));
        return this.#sessionRoutes.show(token === undefined ? undefined : this.#sessions.find(token));
      }
    }
  }

  async #upgrade(message: IncomingMessage, socket: Duplex, head: Buffer, context: ListenerContext): Promise<void> {
    socket.on('error', () => socket.destroy());
    const refuse = (error: unknown): void => {
      const answer = errorResponse('live', error);
      const body = typeof answer.body === 'string' ? answer.body : '';
      socket.end(
        `HTTP/1.1 ${answer.status} Refused\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
      this.#requests.add({ surface: 'live', code: answer.status });
    };
    try {
      const request = readHead(message);
      const origin = this.#checkOrigin(request, context);
      const route = this.#live.find((one) => one.path === request.path);
      if (route === undefined)
        throw new FairleadError('FL_HTTP_NOT_FOUND', `${request.path} takes no WebSocket`, { kind: 'not-found' });
      // Browsers send Origin with every WebSocket and apply no other rule to it.
      if (request.headers.origin !== undefined && request.headers.origin !== origin) {
        throw new FairleadError('FL_HTTP_CROSS_SITE', 'the WebSocket comes from another origin', { kind: 'denied' });
      }
      const { principal } = await this.#identify(request, context, origin);
      this.#authorize(principal, route.permission, request);
      const release = this.#inFlight.enter('live', true);
      this.#sockets.handleUpgrade(message, socket, head, (opened) => {
        const closed = new AbortController();
        opened.on('close', () => {
          release();
          closed.abort();
        });
        opened.on('error', () => opened.terminate());
        this.#requests.add({ surface: 'live', code: 101 });
        route.handler(opened, { head: request, principal, signal: closed.signal });
      });
    } catch (error) {
      refuse(error);
    }
  }
}

function notFound(): FairleadError {
  return new FairleadError('FL_HTTP_NOT_FOUND', 'the server could not find the requested resource', { kind: 'not-found' });
}

function pathOf(url: string): string {
  const mark = url.indexOf('?');
  return mark < 0 ? url : url.slice(0, mark);
}

/** Of a request that no route took: in whose form the error is written. */
function surfaceOf(url: string): Surface {
  const first = pathOf(url).split('/')[1] ?? '';
  if (first === 'views' || first === 'agent' || first === 'hooks' || first === 'live') return first;
  return ['api', 'apis', 'openapi', 'version', 'healthz', 'livez', 'readyz', 'metrics'].includes(first)
    ? 'kubernetes'
    : 'console';
}
