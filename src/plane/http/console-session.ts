import { FairleadError, type Clock } from '#base';
import { clearCookie, cookieName, cookieOf, setCookie, type Session, type Sessions } from './sessions.ts';
import { jsonResponse, type HttpRequest, type PlainResponse, type Principal } from './types.ts';

const WINDOW_MS = 60_000;
const MAX_FAILURES = 10;

export interface SessionRoutesOptions {
  readonly sessions: Sessions;
  readonly clock: Clock;
  /** The principal a bearer token stands for; undefined for none. */
  readonly verifyToken: (token: string, request: HttpRequest) => Promise<Principal | undefined>;
}

/** How a browser gets and loses its session: `POST /session {token}`, `GET /session`, `DELETE /session`. */
export class SessionRoutes {
  readonly #options: SessionRoutesOptions;
  #failures: number[] = [];

  constructor(options: SessionRoutesOptions) {
    this.#options = options;
  }

  /** Takes a one-time login token, or an administrator's own. */
  async login(request: HttpRequest, port: number, isTls: boolean, origin: string): Promise<PlainResponse> {
    const { sessions, clock, verifyToken } = this.#options;
    const site = request.headers['sec-fetch-site'];
    if ((site !== undefined && site !== 'same-origin' && site !== 'none') || (request.headers.origin ?? origin) !== origin) {
      throw new FairleadError('FL_HTTP_CROSS_SITE', 'log in from the console itself', { kind: 'denied' });
    }
    this.#failures = this.#failures.filter((at) => at > clock.now() - WINDOW_MS);
    if (this.#failures.length >= MAX_FAILURES) {
      throw new FairleadError('FL_HTTP_LOGIN_LIMIT', 'too many failed logins; try again in a minute', {
        kind: 'unavailable',
        retryAfterMs: WINDOW_MS,
      });
    }
    const token = tokenOf(await request.body());
    const linked = sessions.redeemLink(token);
    const principal = linked === undefined ? await verifyToken(token, request) : undefined;
    const name = linked ?? (principal?.type === 'admin' ? principal.name : undefined);
    if (name === undefined) {
      this.#failures.push(clock.now());
      throw new FairleadError('FL_HTTP_LOGIN', 'this token opens no session; links work once and for ten minutes', {
        kind: 'unauthenticated',
      });
    }
    const { token: cookie, session } = sessions.create(name);
    return jsonResponse(200, describe(session), {
      'set-cookie': setCookie(cookieName(isTls, port), cookie, isTls),
      'cache-control': 'no-store',
    });
  }

  show(session: Session | undefined): PlainResponse {
    if (session === undefined)
      throw new FairleadError('FL_HTTP_NO_SESSION', 'this browser has no session; log in', { kind: 'unauthenticated' });
    return jsonResponse(200, describe(session), { 'cache-control': 'no-store' });
  }

  logout(request: HttpRequest, port: number, isTls: boolean): PlainResponse {
    const name = cookieName(isTls, port);
    const token = cookieOf(request, name);
    if (token !== undefined) this.#options.sessions.end(token);
    return { status: 204, headers: { 'set-cookie': clearCookie(name, isTls), 'cache-control': 'no-store' } };
  }
}

function describe(session: Session): unknown {
  return { name: session.name, csrf: session.csrf, expiresAt: new Date(session.expiresAtMs).toISOString() };
}

function tokenOf(body: Buffer): string {
  let parsed: unknown;
  try {
    parsed = JSON.parse(body.toString('utf8'));
  } catch {
    parsed = undefined;
  }
  if (typeof parsed === 'object' && parsed !== null && 'token' in parsed && typeof parsed.token === 'string') return parsed.token;
  throw new FairleadError('FL_HTTP_BAD_REQUEST', 'send {"token": "…"}', { kind: 'invalid' });
}
