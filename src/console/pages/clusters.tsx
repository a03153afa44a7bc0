import { Link } from '@tanstack/react-router';
import type { ClustersView } from '#api';
import { useView } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { Age } from '../parts/time.tsx';
import { useTitle } from '../title.ts';

export function ClustersPage(): React.ReactNode {
  useTitle('Clusters');
  const query = useView<ClustersView>('clusters');
  return (
    <>
      <h1>Clusters</h1>
      <Loaded query={query}>
        {(view) => (
          <>
            {view.items.length === 0 ? (
              <p className="muted">No cluster yet.</p>
            ) : (
              <table>
                <thead>
                  <tr>
                    <th scope="col">Cluster</th>
                    <th scope="col">State</th>
                    <th scope="col">Why</th>
                    <th scope="col">Labels</th>
                    <th scope="col">Ready</th>
                    <th scope="col">Contact</th>
                    <th scope="col">Kubernetes</th>
                  </tr>
                </thead>
                <tbody>
                  {view.items.map((item) => (
                    <tr key={item.name}>
                      <th scope="row">
                        <Link to="/c/$cluster" params={{ cluster: item.name }}>
                          {item.name}
                        </Link>
                      </th>
                      <td>
                        <StateBadge state={item.state} />
                      </td>
                      <td className="words">{item.sentence}</td>
                      <td>
                        {Object.entries(item.labels).map(([key, value]) => (
                          <Link key={key} className="chip" to="/" search={{ where: `${key}=${value}` }}>
                            {key}={value}
                          </Link>
                        ))}
                      </td>
                      <td className="nowrap">
                        {item.ready} of {item.total}
                      </td>
                      <td className="nowrap">
                        {item.lastContact === undefined ? 'never' : <Age at={item.lastContact} suffix=" ago" />}
                      </td>
                      <td className="mono">{item.kubernetesVersion ?? ''}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
            <Copy commands={['fairlead enroll my-cluster --label env=dev', 'kubectl get clusters']} />
          </>
        )}
      </Loaded>
    </>
  );
}
