import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
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
const MAX_ENDED = 10_000;
const MAX_LINKS = 100;
const MAX_TOKEN = 4_096;

/**
 * Sessions of the console. A token carries its session, signed with a secret of the plane: it is good over a restart and for
 * every process of the plane, for twelve hours. Logging out is remembered by this process alone, in memory. Links are of one
 * process too. A browser sends cookies of 127.0.0.1 to every port: a program that listens on another port of this machine
 * could see the cookie, which is why the plain listener is for one's own machine only.
 */
export class Sessions {
  readonly #clock: Clock;
  readonly #secret: Uint8Array;
  /** Ids of sessions that were ended, with the time when they would have ended by themselves. */
  readonly #ended = new Map<string, number>();
  readonly #links = new Map<string, { readonly name: string; readonly expiresAtMs: number }>();

  constructor(clock: Clock, secret: Uint8Array) {
    this.#clock = clock;
    this.#secret = secret;
  }

  create(name: string): { readonly token: string; readonly session: Session } {
    const id = randomToken(16);
    const expiresAtMs = this.#clock.now() + SESSION_MS;
    const payload = Buffer.from(JSON.stringify({ id, name, expiresAtMs })).toString('base64url');
    return { token: `${payload}.${this.#mac('session', payload)}`, session: this.#session(id, name, expiresAtMs) };
  }

  find(token: string): Session | undefined {
    const opened = this.#open(token);
    if (opened === undefined || this.#ended.has(opened.id) || opened.expiresAtMs <= this.#clock.now()) return undefined;
    return this.#session(opened.id, opened.name, opened.expiresAtMs);
  }

  end(token: string): void {
    const opened = this.#open(token);
    if (opened === undefined) return;
    const now = this.#clock.now();
    for (const [id, expiresAtMs] of this.#ended) if (expiresAtMs <= now) this.#ended.delete(id);
    bound(this.#ended, MAX_ENDED);
    this.#ended.set(opened.id, opened.expiresAtMs);
  }

  #session(id: string, name: string, expiresAtMs: number): Session {
    return { name, csrf: this.#mac('csrf', id), expiresAtMs };
  }

  #mac(purpose: string, text: string): string {
    return createHmac('sha256', this.#secret).update(`${purpose}\n${text}`).digest('base64url');
  }

  /** What we signed; undefined for anything else. */
  #open(token: string): { readonly id: string; readonly name: string; readonly expiresAtMs: number } | undefined {
    const [payload = '', mac = '', ...rest] = token.split('.');
    if (token.length > MAX_TOKEN || rest.length > 0 || !sameText(mac, this.#mac('session', payload))) return undefined;
    // Written by create().
    return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as ReturnType<Sessions['create']>['session'] & {
      readonly id: string;
    };
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
