import { Link, useParams } from '@tanstack/react-router';
import type { ClusterView } from '#api';
import { useView } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { Crumbs } from '../parts/crumbs.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { applicationText, DeliveryTable } from '../parts/delivery-table.tsx';
import { Labels } from '../parts/labels.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { ObjectLink } from '../parts/object-tree.tsx';
import { Standing } from '../parts/says.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { Age } from '../parts/time.tsx';
import { objectKey, objectText } from '../objects.ts';
import { useTitle } from '../title.ts';

export function ClusterPage(): React.ReactNode {
  const { cluster } = useParams({ from: '/c/$cluster' });
  useTitle(cluster);
  const known = useView<ClusterView>(`clusters/${encodeURIComponent(cluster)}`);
  return (
    <Loaded known={known}>
      {(view) => (
        <>
          <Crumbs items={[{ href: '/clusters', title: 'Clusters' }]} />
          <h1>
            {view.name} <StateBadge state={view.state} />
          </h1>
          {view.problem === undefined ? <p className="lead">{view.sentence}</p> : <Standing problem={view.problem} />}
          {view.agentReasons.map((reason) => (
            <p key={reason.code + reason.sentence} className="stale">
              {reason.sentence}
            </p>
          ))}
          <dl className="facts">
            <dt>Contact</dt>
            <dd>{view.lastContact === undefined ? 'never' : <Age at={view.lastContact} suffix=" ago" />}</dd>
            <dt>Lag</dt>
            <dd>
              {view.lag?.sentence ?? 'nothing was signed for it yet'}
              {view.held === undefined ? null : (
                <span className="muted mono">
                  {' '}
                  {view.held.epoch}.{view.held.seq}
                </span>
              )}
            </dd>
            <dt>Agent</dt>
            <dd className="mono">{view.agentVersion ?? 'none'}</dd>
            <dt>Labels</dt>
            <dd>
              {Object.keys(view.labels).length === 0 ? (
                <span className="muted">none</span>
              ) : (
                <Labels labels={view.labels} to="/" />
              )}
            </dd>
            {Object.entries(view.facts).map(([key, value]) => (
              <Fact key={key} name={key} value={value} />
            ))}
          </dl>
          <h2>What it holds</h2>
          {view.deliveries.length === 0 ? (
            <p className="muted">No application targets this cluster.</p>
          ) : (
            <DeliveryTable cells={view.deliveries} by="application" />
          )}
          {view.total > view.deliveries.length ? (
            <p className="muted">{view.total - view.deliveries.length} more, none worse than these, are not shown.</p>
          ) : null}
          <h2>Drift</h2>
          {view.drift.length === 0 ? (
            <p className="muted">Nothing differs from Git that the agent knows of.</p>
          ) : (
            <Drift rows={view.drift} cluster={cluster} />
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
          <p>
            <Link to="/activity" search={{ cluster }}>
              What happened in {view.name}
            </Link>
          </p>
          <Copy
            commands={[
              `fairlead why cluster/${view.name}`,
              `kubectl get deliveries -A --field-selector spec.cluster=${view.name}`,
              `kubectl get cluster ${view.name} -o yaml`,
            ]}
          />
        </>
      )}
    </Loaded>
  );
}

function Drift({ rows, cluster }: { readonly rows: ClusterView['drift']; readonly cluster: string }): React.ReactNode {
  return (
    <DataTable
      label="Drift"
      rows={rows}
      keyOf={(row) => `${row.project}/${row.application}/${objectKey(row.id)}`}
      head={{
        title: 'Object',
        cell: (row) => (
          <ObjectLink at={{ project: row.project, application: row.application, cluster }} id={row.id}>
            {row.id.kind} {objectText(row.id)}
          </ObjectLink>
        ),
      }}
      columns={[
        { title: 'Application', cell: (row) => applicationText(row.project, row.application) },
        { title: 'Fields', cell: (row) => row.fields.join(', '), look: 'mono' },
        { title: 'Changed by', cell: (row) => row.manager ?? 'not known', look: 'mono' },
        { title: 'Since', cell: (row) => <Age at={row.since} />, look: 'nowrap' },
        { title: 'Why', cell: (row) => row.sentence, look: 'words' },
      ]}
    />
  );
}

/** As people call what agents report. */
const factTitles: Readonly<Record<string, string>> = { kubernetesVersion: 'Kubernetes', nodes: 'Nodes', platform: 'Platform' };

function Fact({ name, value }: { readonly name: string; readonly value: string }): React.ReactNode {
  return (
    <>
      <dt>{factTitles[name] ?? name}</dt>
      <dd className="mono">{value}</dd>
    </>
  );
}
