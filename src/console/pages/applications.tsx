import { Link } from '@tanstack/react-router';
import type { ApplicationsView } from '#api';
import { useView } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { useTitle } from '../title.ts';

export function ApplicationsPage(): React.ReactNode {
  useTitle('Applications');
  const query = useView<ApplicationsView>('applications');
  return (
    <>
      <h1>Applications</h1>
      <Loaded query={query}>
        {(view) => (
          <>
            {view.items.length === 0 ? (
              <p className="muted">No application yet. Apply one with kubectl, or put it into Git.</p>
            ) : (
              <table>
                <thead>
                  <tr>
                    <th scope="col">Application</th>
                    <th scope="col">State</th>
                    <th scope="col">Why</th>
                    <th scope="col">Ready</th>
                    <th scope="col">Release</th>
                  </tr>
                </thead>
                <tbody>
                  {view.items.map((item) => (
                    <tr key={`${item.project}/${item.name}`}>
                      <th scope="row">
                        <Link to="/a/$project/$application" params={{ project: item.project, application: item.name }}>
                          {item.project === 'default' ? item.name : `${item.project}/${item.name}`}
                        </Link>
                      </th>
                      <td>
                        <StateBadge state={item.state} />
                      </td>
                      <td className="words">{item.sentence}</td>
                      <td className="nowrap">
                        {item.ready} of {item.total}
                      </td>
                      <td className="mono">{item.release ?? ''}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
            <Copy commands={['kubectl get applications -A']} />
          </>
        )}
      </Loaded>
    </>
  );
}
