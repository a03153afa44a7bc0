import type { Rng } from './ids.ts';

export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
}

/**
 * Exponential back-off with full jitter: uniform in [0, min(max, base·2^attempt)), never under a tenth of the cap of
 * that attempt, so that a herd spreads but nobody spins.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function fullJitter(attempt: number, options: BackoffOptions, rng: Rng = Math.random): number {
  const cap = Math.min(options.maxMs, options.baseMs * 2 ** Math.min(attempt, 30));
  return cap * (0.1 + 0.9 * rng());
}

/** Nobody is believed who asks for a longer silence, ms. */
export const MAX_ASKED_MS = 3_600_000;

/** What the other side asked to wait, ms, from whatever it sent: 0 for what is no time to come, at most `MAX_ASKED_MS`. */
export function askedWait(value: unknown): number {
  return typeof value === 'number' && value > 0 ? Math.min(value, MAX_ASKED_MS) : 0;
}

/** Of the header `Retry-After`, in seconds as Kubernetes and the plane send it; undefined for anything else. */
export function parseRetryAfter(header: string | undefined): number | undefined {
  if (header === undefined || !/^[0-9]{1,9}$/.test(header.trim())) return undefined;
  return Math.min(Number(header) * 1000, MAX_ASKED_MS);
}

/**
 * How long to wait before asking again somebody who may have said when: never less than they asked for (up to `MAX_ASKED_MS`) and
 * spread over as much again, so that those who were sent away together do not come back together; full jitter where nothing was
 * said.
 */
export function retryDelay(attempt: number, askedMs: number, options: BackoffOptions, rng: Rng = Math.random): number {
  const waitMs = askedWait(askedMs);
  if (waitMs === 0) return fullJitter(attempt, options, rng);
  return Math.max(waitMs + Math.max(waitMs, options.baseMs) * rng(), options.baseMs / 10);
}

/** `ms` spread by ±`fraction`; for intervals that should not fall into step across a fleet. */
export function jittered(ms: number, fraction = 0.1, rng: Rng = Math.random): number {
  return ms * (1 - fraction + 2 * fraction * rng());
}
