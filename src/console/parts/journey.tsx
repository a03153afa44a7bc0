import { Link } from '@tanstack/react-router';
import type { DeliveryView } from '#api';
import { ageText, Clock } from './time.tsx';

/** The way of a release to this cluster, a time on each station; the first one not reached says what it waits for. */
export function Journey({ journey }: { readonly journey: DeliveryView['journeys'][number] }): React.ReactNode {
  const { release, commit, subject, files, stops } = journey;
  const titled = release ?? (commit === undefined ? 'the first release' : commit.slice(0, 10));
  return (
    <section className="way">
      <p className="way-title">
        {release === undefined ? null : <span className="mono">{release}</span>}
        {commit === undefined ? null : release === undefined && subject === undefined ? (
          <span className="mono">{commit.slice(0, 10)}</span>
        ) : (
          <Link className="mono" to="/commits/$commit" params={{ commit }}>
            {commit.slice(0, 10)}
          </Link>
        )}
        <span className="muted">{subject ?? ''}</span>
        {files.map((one) => (
          <span key={one.at}>
            <span className="muted">with {one.source}</span>{' '}
            <Link className="mono" to="/commits/$commit" params={{ commit: one.commit }}>
              {one.commit.slice(0, 10)}
            </Link>{' '}
            <span className="muted">{one.subject ?? ''}</span>
          </span>
        ))}
      </p>
      <ol className="journey" aria-label={`The way of ${titled}`}>
        {stops.map((stop, index) => (
          <li key={stop.word} className={`station station-${stop.state}`}>
            <span className="station-dot" aria-hidden="true" />
            <span className="station-word">
              {stop.word}
              <span className="hidden">
                {stop.state === 'reached' ? '' : stop.state === 'waiting' ? ' (waiting)' : ' (ahead)'}
              </span>
            </span>
            <span className="station-time">
              {stop.at === undefined ? stop.state === 'reached' ? 'time not known' : '' : <Clock at={stop.at} />}
            </span>
            <span className="station-took">{tookText(stops[index - 1]?.at, stop.at)}</span>
            {stop.why === undefined ? null : <span className="station-why">{stop.why}</span>}
          </li>
        ))}
      </ol>
    </section>
  );
}

/** How long it took from the station before. */
function tookText(before: string | undefined, at: string | undefined): string {
  if (before === undefined || at === undefined) return '';
  const tookMs = Date.parse(at) - Date.parse(before);
  return tookMs < 1000 ? '' : `+${ageText(0, tookMs)}`;
}
