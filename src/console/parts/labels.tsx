import { Link } from '@tanstack/react-router';

/** Labels as chips, each a filter of the page `to`. */
export function Labels({
  labels,
  to,
}: {
  readonly labels: Readonly<Record<string, string>>;
  readonly to: '/' | '/applications';
}): React.ReactNode {
  return Object.entries(labels).map(([key, value]) => (
    <Link key={key} className="chip" to={to} search={{ where: `${key}=${value}` }}>
      {key}={value}
    </Link>
  ));
}
