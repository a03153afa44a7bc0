import { Link } from '@tanstack/react-router';
import type { DeliveryCell } from '#api';
import { DataTable } from './data-table.tsx';
import { StateBadge } from './state-mark.tsx';
import { Age } from './time.tsx';

/** `web`, or `shop/web` outside of the default project. */
export function applicationText(project: string, name: string): string {
  return project === 'default' ? name : `${project}/${name}`;
}

/** Deliveries as rows; `by` says which half of the pair the page does not already name. */
export function DeliveryTable({
  cells,
  by,
}: {
  readonly cells: readonly DeliveryCell[];
  readonly by: 'cluster' | 'application' | 'both';
}): React.ReactNode {
  return (
    <DataTable
      label="Deliveries"
      rows={cells}
      keyOf={(cell) => `${cell.project}/${cell.application}/${cell.cluster}`}
      head={{
        title: by === 'cluster' ? 'Cluster' : by === 'application' ? 'Application' : 'Delivery',
        cell: (cell) => (
          <Link
            data-row=""
            to="/d/$project/$application/$cluster"
            params={{ project: cell.project, application: cell.application, cluster: cell.cluster }}
          >
            {by === 'cluster'
              ? cell.cluster
              : `${applicationText(cell.project, cell.application)}${by === 'both' ? ` on ${cell.cluster}` : ''}`}
          </Link>
        ),
      }}
      columns={[
        { title: 'State', cell: (cell) => <StateBadge state={cell.state} />, look: 'nowrap' },
        { title: 'Why', cell: (cell) => (cell.state === 'ready' ? '' : cell.sentence), look: 'words' },
        { title: 'Release', cell: (cell) => cell.release ?? '', look: 'mono' },
        { title: 'Since', cell: (cell) => <Age at={cell.since} />, look: 'nowrap' },
      ]}
    />
  );
}
