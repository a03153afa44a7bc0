import { createHash, timingSafeEqual } from 'node:crypto';
import { randomToken, type Clock } from '#base';
import type { RequestHead } from './types.ts';

/** A browser that logged in. */
export interface Session {
  readonly name: string;
  /** To be sent as X-Fairlead-Csrf with every write. */
  readonly csrf: string;
  readonly expiresAtMs: number;
}

const SESSION_MS = 12 * 3_600_000;
const LINK_MS = 10 * 60_000;
const MAX_SESSIONS = 1000;
const MAX_LINKS = 100;

/**
 * Sessions of the console, in memory: a restart of the plane logs everybody out. Only hashes of tokens are kept, so that a
 * core dump opens no door. A browser sends cookies of 127.0.0.1 to every port: a program that listens on another port of
 * this machine could see the cookie, which is why the plain listener is for one's own machine only.
 */
export class Sessions {
  readonly #clock: Clock;
  readonly #sessions = new Map<string, Session>();
  readonly #links = new Map<string, { readonly name: string; readonly expiresAtMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  create(name: string): { readonly token: string; readonly session: Session } {
    const token = randomToken();
    const session: Session = { name, csrf: randomToken(16), expiresAtMs: this.#clock.now() + SESSION_MS };
    bound(this.#sessions, MAX_SESSIONS);
    this.#sessions.set(hash(token), session);
    return { token, session };
  }

  find(token: string): Session | undefined {
    const session = this.#sessions.get(hash(token));
    return session !== undefined && session.expiresAtMs > this.#clock.now() ? session : undefined;
  }

  end(token: string): void {
    this.#sessions.delete(hash(token));
  }

  /** A token that opens one session within ten minutes. */
  createLink(name: string): string {
    const token = randomToken();
    bound(this.#links, MAX_LINKS);
    this.#links.set(hash(token), { name, expiresAtMs: this.#clock.now() + LINK_MS });
    return token;
  }

  /** The name it was made for, once. */
  redeemLink(token: string): string | undefined {
    const key = hash(token);
    const link = this.#links.get(key);
    this.#links.delete(key);
    return link !== undefined && link.expiresAtMs > this.#clock.now() ? link.name : undefined;
  }
}

function hash(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}

/** Maps keep the order of insertion: the oldest goes. */
function bound(map: Map<string, unknown>, max: number): void {
  for (const key of map.keys()) {
    if (map.size < max) return;
    map.delete(key);
  }
}

/** The cookie's name: `__Host-` binds it to this origin over TLS; the port keeps two planes on one machine apart. */
export function cookieName(isTls: boolean, port: number): string {
  return isTls ? '__Host-fairlead-session' : `fairlead-session-${port}`;
}

export function cookieOf(head: Pick<RequestHead, 'headers'>, name: string): string | undefined {
  for (const part of (head.headers.cookie ?? '').split(';')) {
    const [key, ...value] = part.trim().split('=');
    if (key === name) return value.join('=');
  }
  return undefined;
}

export function setCookie(name: string, token: string, isTls: boolean): string {
  return `${name}=${token}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${SESSION_MS / 1000}${isTls ? '; Secure' : ''}`;
}

export function clearCookie(name: string, isTls: boolean): string {
  return `${name}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0${isTls ? '; Secure' : ''}`;
}

/** Why a request that rides on a cookie must be refused: another site may have made the browser send it. */
export function crossSiteFault(head: RequestHead, session: Session, origin: string): string | undefined {
  const site = head.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return 'the request comes from another site';
  if (head.headers.origin !== undefined && head.headers.origin !== origin) return 'the request comes from another origin';
  if (head.method === 'GET' || head.method === 'HEAD' || head.method === 'OPTIONS') return undefined;
  const sent = head.headers['x-fairlead-csrf'];
  if (typeof sent !== 'string' || !sameText(sent, session.csrf))
    return 'the header X-Fairlead-Csrf is missing or old; reload the page';
  return undefined;
}

function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
