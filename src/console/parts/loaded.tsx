import { Link } from '@tanstack/react-router';
import type { PlaneError } from '../api.ts';
import { useLive } from '../live.ts';
import { Age } from './time.tsx';

/**
 * Shows a view as soon as there is one, and goes on showing it while a newer one is fetched or cannot be had, with its age:
 * never a spinner over known data.
 */
export function Loaded<T extends { readonly at: string }>({
  known,
  children,
}: {
  readonly known: { readonly data: T | undefined; readonly error: PlaneError | undefined };
  readonly children: (view: T) => React.ReactNode;
}): React.ReactNode {
  const { data, error } = known;
  const { connected } = useLive();
  if (error?.status === 401) return <NeedsLogin />;
  if (data === undefined) {
    if (error === undefined) return <p className="muted pad">Asking the plane…</p>;
    return (
      <section className="empty" role="alert">
        <h1>{error.status === 404 ? 'Not here' : error.status === 400 ? 'This cannot be read' : 'The plane cannot show this'}</h1>
        <p>{error.message}.</p>
        <p>
          <Link to="/" data-row="">
            Back to the fleet
          </Link>
        </p>
      </section>
    );
  }
  return (
    <>
      {error !== undefined ? (
        <p className="stale">
          <span role="alert">{error.message}.</span> Below is the state of <Age at={data.at} suffix=" ago" />.
        </p>
      ) : connected === false ? (
        <p className="stale">
          No contact with the plane. This is the state of <Age at={data.at} suffix=" ago" />.
        </p>
      ) : null}
      {children(data)}
    </>
  );
}

/** The same for a list of pages: the first says how old they are. */
export function LoadedList<T extends { readonly at: string }>({
  known,
  children,
}: {
  readonly known: { readonly data: readonly T[] | undefined; readonly error: PlaneError | undefined };
  readonly children: (pages: readonly T[], first: T) => React.ReactNode;
}): React.ReactNode {
  return <Loaded known={{ data: known.data?.[0], error: known.error }}>{(first) => children(known.data ?? [], first)}</Loaded>;
}

function NeedsLogin(): React.ReactNode {
  return (
    <section className="empty">
      <h1>Please log in</h1>
      <p>
        This browser has no session with the plane. <Link to="/login">Log in</Link> with the admin token.
      </p>
    </section>
  );
}
