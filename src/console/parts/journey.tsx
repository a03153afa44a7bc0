import type { Journey as JourneyTimes } from '#api';
import { Age } from './time.tsx';

const stations = [
  ['committedAt', 'commit'],
  ['renderedAt', 'rendered'],
  ['releasedAt', 'released'],
  ['signedAt', 'signed'],
  ['fetchedAt', 'fetched'],
  ['appliedAt', 'applied'],
  ['healthyAt', 'healthy'],
] as const;

/** The way of a release to this cluster; the first station not reached says what it waits for. */
export function Journey({ times, waitsFor }: { readonly times: JourneyTimes; readonly waitsFor: string }): React.ReactNode {
  const waiting = stations.findIndex(([field]) => times[field] === undefined);
  return (
    <ol className="journey" aria-label={`Way of release ${times.release}`}>
      {stations.map(([field, word], index) => {
        const at = times[field];
        const state = at !== undefined ? 'reached' : index === waiting ? 'waiting' : 'ahead';
        return (
          <li key={field} className={`station station-${state}`}>
            <span className="station-dot" aria-hidden="true" />
            <span className="station-word">{word}</span>
            <span className="station-time">
              {at === undefined ? state === 'waiting' ? 'waiting' : '' : <Age at={at} suffix=" ago" />}
            </span>
            {state === 'waiting' ? <span className="station-why">{waitsFor}</span> : null}
          </li>
        );
      })}
    </ol>
  );
}
