import type { UseQueryResult } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { PlaneError } from '../api.ts';
import { Age } from './time.tsx';

/**
 * Shows a view as soon as there is one, and goes on showing it while a newer one is fetched or cannot be had: never a
 * spinner over known data.
 */
export function Loaded<T extends { readonly at: string }>({
  query,
  children,
}: {
  readonly query: UseQueryResult<T, PlaneError>;
  readonly children: (view: T) => React.ReactNode;
}): React.ReactNode {
  const { data, error } = query;
  if (data === undefined) {
    if (error === null) return <p className="muted pad">Asking the plane…</p>;
    if (error.status === 401) return <NeedsLogin />;
    return (
      <section className="empty" role="alert">
        <h1>{error.status === 404 ? 'Not here' : 'The plane cannot show this'}</h1>
        <p>{error.message}</p>
      </section>
    );
  }
  return (
    <>
      {error === null ? null : (
        <p className="stale" role="alert">
          {error.message}; this is the state of <Age at={data.at} suffix=" ago" />.
        </p>
      )}
      {children(data)}
    </>
  );
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
