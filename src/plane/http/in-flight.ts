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
  views: { inFlight: 200, longRunning: 0 },
  live: { inFlight: 0, longRunning: 5000 },
  agent: { inFlight: 1000, longRunning: 20_000 },
  hooks: { inFlight: 50, longRunning: 0 },
  system: { inFlight: 100, longRunning: 0 },
  console: { inFlight: 200, longRunning: 0 },
};

/** Counts what each surface has under way; one surface's overload is not another's. */
export class InFlight {
  readonly #limits: Record<Surface, SurfaceLimits>;
  readonly #counts = new Map<string, number>();

  constructor(limits: Partial<Record<Surface, Partial<SurfaceLimits>>>) {
    const merged = { ...DEFAULTS };
    for (const surface of Object.keys(limits) as Surface[]) merged[surface] = { ...DEFAULTS[surface], ...limits[surface] };
    this.#limits = merged;
  }

  /** Takes a place and gives the way to leave it; throws OverloadError when all are taken. */
  enter(surface: Surface, waits: boolean): () => void {
    const key = `${surface}/${waits ? 'long' : 'short'}`;
    const limits = this.#limits[surface];
    const now = this.#counts.get(key) ?? 0;
    if (now >= (waits ? limits.longRunning : limits.inFlight)) throw new OverloadError(surface);
    this.#counts.set(key, now + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#counts.set(key, (this.#counts.get(key) ?? 1) - 1);
    };
  }
}
