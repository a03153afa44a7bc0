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

/**
 * How long to wait before asking again somebody who may have said when: never less than they asked for and spread over as much
 * again, so that those who were sent away together do not come back together; full jitter where nothing was said.
 */
export function retryDelay(attempt: number, askedMs: number, options: BackoffOptions, rng: Rng = Math.random): number {
  return askedMs > 0 ? askedMs + Math.max(askedMs, options.baseMs) * rng() : fullJitter(attempt, options, rng);
}

/** `ms` spread by ±`fraction`; for intervals that should not fall into step across a fleet. */
export function jittered(ms: number, fraction = 0.1, rng: Rng = Math.random): number {
  return ms * (1 - fraction + 2 * fraction * rng());
}
