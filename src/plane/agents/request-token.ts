import { verify, type KeyObject } from 'node:crypto';
import { FairleadError } from '#base';
import { agentRefusals, type RequestClaims } from '#api';

/** A compact JWS as received: read, not yet believed. */
export interface ParsedToken {
  readonly kid: string;
  readonly claims: RequestClaims;
  readonly signed: Buffer;
  readonly signature: Buffer;
}

const SCHEME = 'Fairlead ';
const MAX_TOKEN_CHARS = 4096;
export const CLOCK_TOLERANCE_MS = 60_000;

function refuse(why: string): never {
  throw new FairleadError(agentRefusals.token, `refused a request token: ${why}`, { kind: 'unauthenticated' });
}

/** The token of an Authorization header, or undefined when it is of another scheme. Errors: FL_AGENT_TOKEN. */
export function parseToken(authorization: string | undefined): ParsedToken | undefined {
  if (authorization === undefined || !authorization.startsWith(SCHEME)) return undefined;
  const text = authorization.slice(SCHEME.length).trim();
  const parts = text.split('.');
  const [header = '', payload = '', signature = ''] = parts;
  if (parts.length !== 3 || text.length > MAX_TOKEN_CHARS) return refuse('it is not a compact JWS');
  const { alg, kid, crit } = readPart(header);
  // The algorithm is ours to say, never the token's; RFC 7515 4.1.11 has unknown `crit` refused.
  if (alg !== 'EdDSA' || typeof kid !== 'string' || crit !== undefined) return refuse('its header is not {alg: EdDSA, kid}');
  const { aud, sub, method, path, body, iat, jti } = readPart(payload);
  const texts = [aud, sub, method, path, body, jti];
  if (!texts.every((one) => typeof one === 'string') || typeof iat !== 'number' || !Number.isSafeInteger(iat))
    return refuse('claims are missing');
  if (typeof jti !== 'string' || jti.length < 8 || jti.length > 100) return refuse('its jti is not 8 to 100 characters long');
  return {
    kid,
    // Checked above, one by one.
    claims: { aud, sub, method, path, body, iat, jti } as RequestClaims,
    signed: Buffer.from(`${header}.${payload}`),
    signature: Buffer.from(signature, 'base64url'),
  };
}

function readPart(part: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  return refuse('it is not a compact JWS');
}

export interface TokenContext {
  readonly planeId: string;
  readonly method: string;
  /** Path and query exactly as sent. */
  readonly url: string;
  readonly nowMs: number;
}

/**
 * Believes a token: signature first, then plane, method, path and time. Errors: FL_AGENT_TOKEN, FL_AGENT_CLOCK (with the
 * plane's time in `details.time`, so that the agent learns its offset).
 */
export function verifyToken(token: ParsedToken, key: KeyObject, context: TokenContext): void {
  if (!verify(null, token.signed, key, token.signature)) refuse('its signature is not by the key of this agent');
  const { claims } = token;
  if (claims.aud !== context.planeId) refuse('it was made for another plane');
  if (claims.method !== context.method || claims.path !== context.url) refuse('it was made for another request');
  if (!/^sha256:[0-9a-f]{64}$/.test(claims.body)) refuse('it does not name the digest of the body');
  const offMs = claims.iat * 1000 - context.nowMs;
  // `iat` is in whole seconds: up to one more.
  if (Math.abs(offMs) > CLOCK_TOLERANCE_MS + 1000) {
    throw new FairleadError(
      agentRefusals.clock,
      `the request token was made ${Math.round(Math.abs(offMs) / 1000)} s ${offMs > 0 ? 'ahead of' : 'behind'} the plane's clock; correct the offset by the time named here`,
      { kind: 'unauthenticated', details: { time: context.nowMs } },
    );
  }
}
