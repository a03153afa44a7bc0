import { Link, useParams } from '@tanstack/react-router';
import { useState } from 'react';
import type { DeliveryView, ObjectRow, ObjectView } from '#api';
import { useView } from '../api.ts';
import { ActivityList } from '../parts/activity-list.tsx';
import { Copy } from '../parts/copy.tsx';
import { Journey } from '../parts/journey.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { Age } from '../parts/time.tsx';
import { useTitle } from '../title.ts';

/** The atom of every view: one application on one cluster, and why it is as it is. */
export function DeliveryPage(): React.ReactNode {
  const { project, application, cluster } = useParams({ from: '/d/$project/$application/$cluster' });
  useTitle(`${application} on ${cluster}`);
  const path = `deliveries/${[project, application, cluster].map(encodeURIComponent).join('/')}`;
  const query = useView<DeliveryView>(path);
  return (
    <Loaded query={query}>
      {(view) => (
        <>
          <p className="crumb">
            <Link to="/a/$project/$application" params={{ project, application }}>
              {application}
            </Link>{' '}
            on{' '}
            <Link to="/c/$cluster" params={{ cluster }}>
              {cluster}
            </Link>
          </p>
          <h1>
            {application} on {cluster} <StateBadge state={view.state} />
          </h1>
          <p className="lead">{view.sentence}</p>
          <p className="muted">
            since <Age at={view.since} suffix=" ago" />
            {view.state === 'ready' ? null : ` · who can act: ${view.actor}`}
          </p>
          {view.journey === undefined ? null : <Journey times={view.journey} waitsFor={view.sentence} />}
          {view.why.length < 2 ? null : (
            <>
              <h2>Everything that holds</h2>
              <ul className="why">
                {view.why.map((reason) => (
                  <li key={reason.code + reason.sentence}>
                    <span className="chip">{reason.area}</span> {reason.sentence}
                  </li>
                ))}
              </ul>
            </>
          )}
          <dl className="facts">
            <dt>Wanted</dt>
            <dd>
              <span className="mono">{view.wanted?.release ?? 'nothing'}</span> {view.wanted?.commit?.slice(0, 10) ?? ''}{' '}
              {view.wanted?.subject ?? ''}
            </dd>
            <dt>Applied</dt>
            <dd>
              <span className="mono">{view.applied?.release ?? 'nothing yet'}</span>{' '}
              {view.applied === undefined ? null : <Age at={view.applied.at} suffix=" ago" />}
            </dd>
            {view.counts === undefined ? null : (
              <>
                <dt>Objects</dt>
                <dd>
                  {view.counts.applied} of {view.counts.total} applied, {view.counts.healthy} healthy
                  {view.counts.failed === 0 ? '' : `, ${view.counts.failed} refused`}
                  {view.counts.drifted === 0 ? '' : `, ${view.counts.drifted} drifted`}
                </dd>
              </>
            )}
          </dl>
          <h2>Objects</h2>
          <Objects rows={view.objects} path={path} />
          <h2>What happened</h2>
          <ActivityList items={view.events} />
          <Copy
            commands={[
              `fairlead why ${application} ${cluster} -n ${project}`,
              `kubectl describe delivery ${application}.${cluster} -n ${project}`,
            ]}
          />
        </>
      )}
    </Loaded>
  );
}

function Objects({ rows, path }: { readonly rows: readonly ObjectRow[]; readonly path: string }): React.ReactNode {
  const [open, setOpen] = useState<ObjectRow>();
  if (rows.length === 0) return <p className="muted">None yet.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Object</th>
          <th scope="col">State</th>
          <th scope="col">Why</th>
          <th scope="col">Written in</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => {
          const key = `${row.id.group}/${row.id.kind}/${row.id.namespace}/${row.id.name}`;
          const isOpen = open === row;
          return [
            <tr key={key}>
              <th scope="row">
                <button type="button" className="link" aria-expanded={isOpen} onClick={() => setOpen(isOpen ? undefined : row)}>
                  {row.id.kind}{' '}
                  <span className="mono">{row.id.namespace === '' ? row.id.name : `${row.id.namespace}/${row.id.name}`}</span>
                </button>
              </th>
              <td>{objectWords[row.state]}</td>
              <td className="words">{row.sentence ?? ''}</td>
              <td className="mono">{row.file === undefined ? '' : `${row.file}:${row.line ?? 1}`}</td>
            </tr>,
            isOpen ? (
              <tr key={`${key}/manifest`}>
                <td colSpan={4}>
                  <Manifest row={row} path={path} />
                </td>
              </tr>
            ) : null,
          ];
        })}
      </tbody>
    </table>
  );
}

const objectWords: Readonly<Record<ObjectRow['state'], string>> = {
  ready: 'as wanted',
  failed: 'refused',
  unhealthy: 'not healthy',
  drifted: 'drifted',
  waiting: 'waiting',
  deleting: 'going',
  unknown: 'not known yet',
};

function Manifest({ row, path }: { readonly row: ObjectRow; readonly path: string }): React.ReactNode {
  const { group, kind, namespace, name } = row.id;
  const query = useView<ObjectView>(`${path}/object`, { group, kind, namespace, name });
  if (query.data === undefined)
    return <p className="muted">{query.error === null ? 'Asking the plane…' : query.error.message}</p>;
  if (query.data.wanted === undefined) return <p className="muted">Its content is sealed to the cluster and cannot be shown.</p>;
  return <pre className="manifest">{JSON.stringify(JSON.parse(query.data.wanted), undefined, 2)}</pre>;
}
