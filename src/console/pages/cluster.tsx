import { Link, useParams } from '@tanstack/react-router';
import type { ClusterView } from '#api';
import { useView } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { DeliveryTable } from '../parts/delivery-table.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { Age } from '../parts/time.tsx';
import { useTitle } from '../title.ts';

export function ClusterPage(): React.ReactNode {
  const { cluster } = useParams({ from: '/c/$cluster' });
  useTitle(cluster);
  const query = useView<ClusterView>(`clusters/${encodeURIComponent(cluster)}`);
  return (
    <Loaded query={query}>
      {(view) => (
        <>
          <p className="crumb">Cluster</p>
          <h1>
            {view.name} <StateBadge state={view.state} />
          </h1>
          <p className="lead">{view.sentence}</p>
          {view.joined ? null : <Copy commands={[`fairlead enroll ${view.name}`]} />}
          {view.agentReasons.map((reason) => (
            <p key={reason.code + reason.sentence} className="stale">
              {reason.sentence}
            </p>
          ))}
          <dl className="facts">
            <dt>Contact</dt>
            <dd>{view.lastContact === undefined ? 'never' : <Age at={view.lastContact} suffix=" ago" />}</dd>
            <dt>Desired state</dt>
            <dd className="mono">{position(view.desired)}</dd>
            <dt>Held by the agent</dt>
            <dd className="mono">{position(view.held)}</dd>
            <dt>Agent</dt>
            <dd className="mono">{view.agentVersion ?? ''}</dd>
            {Object.entries(view.facts).map(([key, value]) => (
              <Fact key={key} name={key} value={value} />
            ))}
            <dt>Labels</dt>
            <dd>
              {Object.entries(view.labels).map(([key, value]) => (
                <Link key={key} className="chip" to="/" search={{ where: `${key}=${value}` }}>
                  {key}={value}
                </Link>
              ))}
            </dd>
          </dl>
          <h2>What it holds</h2>
          {view.deliveries.length === 0 ? (
            <p className="muted">No application targets this cluster.</p>
          ) : (
            <DeliveryTable cells={view.deliveries} by="application" />
          )}
          {view.orphaned.length === 0 ? null : (
            <>
              <h2>Left behind</h2>
              <ul>
                {view.orphaned.map((entry) => (
                  <li key={`${entry.project}/${entry.application}`}>
                    {entry.objects} objects of {entry.project}/{entry.application}: nothing wants or removes them
                  </li>
                ))}
              </ul>
            </>
          )}
          <Copy commands={[`fairlead why cluster/${view.name}`, `kubectl get cluster ${view.name} -o yaml`]} />
        </>
      )}
    </Loaded>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }): React.ReactNode {
  return (
    <>
      <dt>{name}</dt>
      <dd className="mono">{value}</dd>
    </>
  );
}

function position(value: { readonly epoch: number; readonly seq: number } | undefined): string {
  return value === undefined ? 'none yet' : `${value.epoch}.${value.seq}`;
}
