import { OverloadError } from './errors.ts';
import type { Surface } from './types.ts';

export interface SurfaceLimits {
  /** Requests being answered at the same time. */
  readonly inFlight: number;
  /** Watches, long polls and sockets beside them. */
  readonly longRunning: number;
}

const DEFAULTS: Readonly<Record<Surface, SurfaceLimits>> = {
  kubernetes: { inFlight: 400, longRunning: 5000 },
  // People who wait for an agent to show an object.
  views: { inFlight: 200, longRunning: 500 },
  live: { inFlight: 0, longRunning: 5000 },
  // What a thousand agents ask at once is answered in parts, so that people are answered in between.
  agent: { inFlight: 500, longRunning: 20_000 },
  hooks: { inFlight: 50, longRunning: 0 },
  system: { inFlight: 100, longRunning: 0 },
  console: { inFlight: 200, longRunning: 0 },
};

const WINDOW_MS = 1000;
const MIN_RETRY_MS = 1000;
const MAX_RETRY_MS = 15_000;

interface Place {
  taken: number;
  /** Of the current second and the one before. */
  windowAtMs: number;
  ended: number;
  endedBefore: number;
  refused: number;
  refusedBefore: number;
}

/** Counts what each surface has under way; one surface's overload is not another's. */
export class InFlight {
  readonly #limits: Record<Surface, SurfaceLimits>;
  readonly #places = new Map<string, Place>();
  readonly #nowMs: () => number;

  /** `nowMs`: monotonic. */
  constructor(limits: Partial<Record<Surface, Partial<SurfaceLimits>>>, nowMs: () => number) {
    const merged = { ...DEFAULTS };
    for (const surface of Object.keys(limits) as Surface[]) merged[surface] = { ...DEFAULTS[surface], ...limits[surface] };
    this.#limits = merged;
    this.#nowMs = nowMs;
  }

  /** Takes a place and gives the way to leave it; throws OverloadError when all are taken. */
  enter(surface: Surface, waits: boolean): () => void {
    const limits = this.#limits[surface];
    const place = this.#place(surface, waits);
    if (place.taken >= (waits ? limits.longRunning : limits.inFlight)) {
      place.refused += 1;
      throw new OverloadError(surface, retryAfterMs(place));
    }
    return this.#take(place);
  }

  /** A place for a request that was let in before, and goes on: it is never refused. */
  resume(surface: Surface): () => void {
    return this.#take(this.#place(surface, false));
  }

  #take(place: Place): () => void {
    place.taken += 1;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      place.taken -= 1;
      place.ended += 1;
    };
  }

  #place(surface: Surface, waits: boolean): Place {
    const key = `${surface}/${waits ? 'long' : 'short'}`;
    const nowMs = this.#nowMs();
    const place = this.#places.get(key) ?? {
      taken: 0,
      windowAtMs: nowMs,
      ended: 0,
      endedBefore: 0,
      refused: 0,
      refusedBefore: 0,
    };
    this.#places.set(key, place);
    const passedMs = nowMs - place.windowAtMs;
    if (passedMs >= WINDOW_MS) {
      const isNext = passedMs < 2 * WINDOW_MS;
      place.endedBefore = isNext ? place.ended : 0;
      place.refusedBefore = isNext ? place.refused : 0;
      place.ended = 0;
      place.refused = 0;
      place.windowAtMs = nowMs;
    }
    return place;
  }
}

/** As long as it takes, at the pace of the last seconds, to answer those who were sent away before. */
function retryAfterMs({ ended, endedBefore, refused, refusedBefore }: Place): number {
  const perSecond = Math.max(1, ended, endedBefore);
  const waitMs = ((refused + refusedBefore) / perSecond) * 1000;
  return Math.round(Math.min(MAX_RETRY_MS, Math.max(MIN_RETRY_MS, waitMs)));
}
