import type { ReasonCode } from '#api';

const slowMs = 300_000;

/**
 * When a look that failed is repeated although nothing in the store changes, in ms: a renderer that cannot start, and what a
 * chart or kustomization names elsewhere, whose server may be back, or have it, or show another key then. What is not here waits
 * for a commit, an edit, or `fairlead reconcile`: looking again would find the same.
 */
const retryMs: Partial<Readonly<Record<ReasonCode, number>>> = {
  FL_RENDER_UNAVAILABLE: 5_000,
  // Three times, then it is quarantined for an hour.
  FL_RENDER_TIMEOUT: 60_000,
  FL_RENDER_QUARANTINED: 3_600_000,
  FL_SOURCE_UNREACHABLE: 30_000,
  FL_SOURCE_DENIED: slowMs,
  FL_SOURCE_NO_CHART: slowMs,
  FL_SOURCE_NO_REF: slowMs,
  FL_SOURCE_EMPTY: slowMs,
  FL_SOURCE_MOVED: slowMs,
  FL_SOURCE_REFUSED: slowMs,
  FL_SOURCE_ADDRESS: slowMs,
  FL_SOURCE_HOST_KEY: slowMs,
  FL_SOURCE_NO_CREDENTIAL: slowMs,
  FL_SOURCE_UNVERIFIED: slowMs,
};

/** Undefined: never by itself. Pure. */
export function retryAfterMs(code: ReasonCode): number | undefined {
  return retryMs[code];
}
