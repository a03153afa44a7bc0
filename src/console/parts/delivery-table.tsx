import { Link } from '@tanstack/react-router';
import type { DeliveryCell } from '#api';
import { StateBadge } from './state-mark.tsx';
import { Age } from './time.tsx';

/** Deliveries as rows; `by` says which half of the pair the page does not already name. */
export function DeliveryTable({
  cells,
  by,
}: {
  readonly cells: readonly DeliveryCell[];
  readonly by: 'cluster' | 'application';
}): React.ReactNode {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">{by === 'cluster' ? 'Cluster' : 'Application'}</th>
          <th scope="col">State</th>
          <th scope="col">Why</th>
          <th scope="col">Release</th>
          <th scope="col">Since</th>
        </tr>
      </thead>
      <tbody>
        {cells.map((cell) => (
          <tr key={`${cell.project}/${cell.application}/${cell.cluster}`}>
            <th scope="row">
              <Link
                to="/d/$project/$application/$cluster"
                params={{ project: cell.project, application: cell.application, cluster: cell.cluster }}
              >
                {by === 'cluster'
                  ? cell.cluster
                  : cell.project === 'default'
                    ? cell.application
                    : `${cell.project}/${cell.application}`}
              </Link>
            </th>
            <td>
              <StateBadge state={cell.state} />
            </td>
            <td className="words">{cell.sentence}</td>
            <td className="mono">{cell.release ?? ''}</td>
            <td className="nowrap">
              <Age at={cell.since} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
