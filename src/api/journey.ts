import type { Journey } from './kinds/delivery.ts';

/** The stations of a release on its way to one cluster, in order: the one list that CLI and console draw from. */
export const journeyStations = [
  { field: 'committedAt', word: 'commit' },
  { field: 'renderedAt', word: 'rendered' },
  { field: 'releasedAt', word: 'released' },
  { field: 'signedAt', word: 'signed' },
  { field: 'fetchedAt', word: 'fetched' },
  { field: 'appliedAt', word: 'applied' },
  { field: 'healthyAt', word: 'healthy' },
] as const satisfies readonly { readonly field: Exclude<keyof Journey, 'release'>; readonly word: string }[];

export interface JourneyStop {
  readonly word: (typeof journeyStations)[number]['word'];
  readonly state: 'reached' | 'waiting' | 'ahead';
  /** RFC 3339; absent where it was not reached, or the time is not known. */
  readonly at?: string;
  /** What the waiting station waits for. */
  readonly why?: string;
}

export type JourneyTimes = Omit<Journey, 'release'>;

/**
 * The way so far. A station without a time that lies before one with a time was reached all the same: a restarted plane may
 * have forgotten when. The first station not reached waits, and `why` says for what.
 */
export function journeyStops(times: JourneyTimes, why: string): readonly JourneyStop[] {
  const reached = journeyStations.findLastIndex(({ field }) => times[field] !== undefined);
  return journeyStations.map(({ field, word }, index): JourneyStop => {
    const at = times[field];
    if (index <= reached) return { word, state: 'reached', ...(at === undefined ? {} : { at }) };
    return index === reached + 1 ? { word, state: 'waiting', why } : { word, state: 'ahead' };
  });
}
