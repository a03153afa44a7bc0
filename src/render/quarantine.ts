import { rfc3339, type Clock } from '#base';
import { contentKey } from './cache-key.ts';
import type { RenderError, RenderRequest } from './types.ts';

interface Entry {
  readonly kills: number;
  /** Milliseconds since 1970 at which the entry is forgotten. */
  readonly until: number;
}

export interface QuarantineOptions {
  readonly clock: Clock;
  readonly kills: number;
  readonly ms: number;
}

const mostEntries = 1_000;

/**
 * Remembers inputs that killed a renderer. After so many kills an input is refused unseen, until any of it changes or
 * the time is over. A project can only put its own inputs here: the project is part of the key.
 */
export class Quarantine {
  readonly #options: QuarantineOptions;
  readonly #entries = new Map<string, Entry>();

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /** Counts a kill by this input; true when that put it into quarantine. */
  count(request: RenderRequest): boolean {
    const { clock, kills, ms } = this.#options;
    this.#forget();
    const key = contentKey(request);
    const entry = { kills: (this.#entries.get(key)?.kills ?? 0) + 1, until: clock.now() + ms };
    // Deleted first, so that the map stays in the order of last kills and the oldest goes first.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    const oldest = this.#entries.keys().next().value;
    if (this.#entries.size > mostEntries && oldest !== undefined) this.#entries.delete(oldest);
    return entry.kills === kills;
  }

  /** Why an input is refused, or undefined. Costs nothing while no input has killed anything. */
  refusal(request: RenderRequest): RenderError | undefined {
    this.#forget();
    if (this.#entries.size === 0) return undefined;
    const entry = this.#entries.get(contentKey(request));
    if (entry === undefined || entry.kills < this.#options.kills) return undefined;
    return {
      code: 'FL_RENDER_QUARANTINED',
      rule: 'quarantine',
      message:
        `this input killed the renderer ${entry.kills} times and is not tried again before ${rfc3339(entry.until)}; ` +
        'change it, or split the application',
      limit: this.#options.kills,
      value: entry.kills,
    };
  }

  #forget(): void {
    const now = this.#options.clock.now();
    for (const [key, entry] of this.#entries) {
      if (entry.until > now) break;
      this.#entries.delete(key);
    }
  }
}
