import { Link } from '@tanstack/react-router';
import type { ActivityItem } from '#api';
import { applicationText } from './delivery-table.tsx';
import { Age } from './time.tsx';

/** What happened, newest first, each with a link to what it is about: unless the page is about just that. */
export function ActivityList({
  items,
  isOfOne = false,
}: {
  readonly items: readonly ActivityItem[];
  readonly isOfOne?: boolean;
}): React.ReactNode {
  if (items.length === 0) return <p className="muted">Nothing has happened here in the last day.</p>;
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
            {item.type === 'Warning' ? <span className="hidden">Warning: </span> : null}
            {item.sentence}
            {item.count > 1 ? <span className="muted"> ({item.count} times)</span> : null}
          </span>
          {isOfOne ? null : (
            <span className="about">
              <About item={item} />
            </span>
          )}
        </li>
      ))}
    </ul>
  );
}

function About({ item }: { readonly item: ActivityItem }): React.ReactNode {
  const { application, cluster, namespace: project } = item;
  if (item.kind === 'Delivery' && application !== undefined) {
    const at = cluster ?? item.name.slice(application.length + 1);
    return (
      <Link data-row="" to="/d/$project/$application/$cluster" params={{ project, application, cluster: at }}>
        {applicationText(project, application)} on {at}
      </Link>
    );
  }
  if (item.kind === 'Application') {
    return (
      <Link data-row="" to="/a/$project/$application" params={{ project, application: item.name }}>
        {applicationText(project, item.name)}
      </Link>
    );
  }
  if (item.kind === 'Cluster') {
    return (
      <Link data-row="" to="/c/$cluster" params={{ cluster: item.name }}>
        {item.name}
      </Link>
    );
  }
  return `${item.kind} ${item.name}`;
}
