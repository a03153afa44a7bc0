import { Link } from '@tanstack/react-router';
import type { ActivityItem } from '#api';
import { Age } from './time.tsx';

export function ActivityList({ items }: { readonly items: readonly ActivityItem[] }): React.ReactNode {
  if (items.length === 0) return <p className="muted">Nothing has happened here yet.</p>;
  return (
    <ul className="activity">
      {items.map((item) => (
        <li
          key={`${item.at}${item.code}${item.kind}${item.name}${item.sentence}`}
          className={item.type === 'Warning' ? 'warning' : ''}
        >
          <span className="when">
            <Age at={item.at} suffix=" ago" />
          </span>
          <span className="what">
            {item.sentence}
            {item.count > 1 ? <span className="muted"> ({item.count} times)</span> : null}
          </span>
          <span className="about">
            <About item={item} />
          </span>
        </li>
      ))}
    </ul>
  );
}

function About({ item }: { readonly item: ActivityItem }): React.ReactNode {
  const [application, ...rest] = item.name.split('.');
  switch (item.kind) {
    case 'Delivery':
      return (
        <Link
          to="/d/$project/$application/$cluster"
          params={{ project: item.namespace, application: application ?? '', cluster: rest.join('.') }}
        >
          {application} on {rest.join('.')}
        </Link>
      );
    case 'Application':
      return (
        <Link to="/a/$project/$application" params={{ project: item.namespace, application: item.name }}>
          {item.name}
        </Link>
      );
    case 'Cluster':
      return (
        <Link to="/c/$cluster" params={{ cluster: item.name }}>
          {item.name}
        </Link>
      );
    default:
      return (
        <>
          {item.kind} {item.name}
        </>
      );
  }
}
