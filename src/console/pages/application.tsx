import { Link, useParams } from '@tanstack/react-router';
import type { ApplicationView, MatrixView } from '#api';
import { useView } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { Crumbs } from '../parts/crumbs.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { DeliveryTable } from '../parts/delivery-table.tsx';
import { FilesFrom } from '../parts/files-from.tsx';
import { Labels } from '../parts/labels.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { Matrix } from '../parts/matrix.tsx';
import { Standing } from '../parts/says.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { Age } from '../parts/time.tsx';
import { useTitle } from '../title.ts';

export function ApplicationPage(): React.ReactNode {
  const { project, application } = useParams({ from: '/a/$project/$application' });
  useTitle(application);
  const path = `${encodeURIComponent(project)}/${encodeURIComponent(application)}`;
  const known = useView<ApplicationView>(`applications/${path}`);
  const matrix = useView<MatrixView>(`matrix/${path}`);
  return (
    <Loaded known={known}>
      {(view) => (
        <>
          <Crumbs items={[{ href: '/applications', title: 'Applications' }]} />
          <h1>
            {view.name} <StateBadge state={view.state} />
          </h1>
          {view.problem === undefined ? <p className="lead">{view.sentence}</p> : <Standing problem={view.problem} />}
          {view.suspended ? <p className="stale">Suspended: no new release is made or assigned until it is resumed.</p> : null}
          <dl className="facts">
            <dt>Project</dt>
            <dd>{view.project}</dd>
            <dt>Source</dt>
            <dd>
              {view.source.kind} {view.source.name}, <span className="mono">{view.source.path}</span>
              {view.source.url === undefined ? null : <span className="muted"> {view.source.url}</span>}
            </dd>
            <dt>Release</dt>
            <dd className="mono">{view.release ?? 'none yet'}</dd>
            <dt>Commit</dt>
            <dd>
              <CommitLink commit={view.commit} /> {view.subject ?? ''}
              <FilesFrom files={view.releases[0]?.files ?? []} />
            </dd>
            {view.notices.length === 0 ? null : (
              <>
                <dt>To know</dt>
                <dd>
                  {view.notices.map((notice) => (
                    <span key={notice} className="line">
                      {notice}
                    </span>
                  ))}
                </dd>
              </>
            )}
            <dt>As Git says</dt>
            <dd>
              {view.ready} of {view.total} clusters
            </dd>
            {Object.keys(view.labels).length === 0 ? null : (
              <>
                <dt>Labels</dt>
                <dd>
                  <Labels labels={view.labels} to="/applications" />
                </dd>
              </>
            )}
          </dl>
          <h2>Objects by cluster</h2>
          <Loaded known={matrix}>{(found) => <Matrix view={found} project={project} application={application} />}</Loaded>
          <h2>Where it goes</h2>
          {view.deliveries.length === 0 ? (
            <p className="muted">No cluster matches its targets.</p>
          ) : (
            <DeliveryTable cells={view.deliveries} by="cluster" />
          )}
          {view.total > view.deliveries.length ? (
            <p className="muted">{view.total - view.deliveries.length} more, none worse than these, are not shown.</p>
          ) : null}
          <h2>Releases</h2>
          {view.releases.length === 0 ? <p className="muted">None yet.</p> : <Releases releases={view.releases} />}
          <p>
            <Link to="/activity" search={{ project, application }}>
              What happened to {view.name}
            </Link>
          </p>
          <Copy
            commands={[
              `fairlead why ${view.name} -n ${view.project}`,
              `fairlead tree ${view.name} -n ${view.project}`,
              `kubectl get application ${view.name} -n ${view.project} -o yaml`,
            ]}
          />
        </>
      )}
    </Loaded>
  );
}

function Releases({ releases }: { readonly releases: ApplicationView['releases'] }): React.ReactNode {
  return (
    <DataTable
      label="Releases"
      rows={releases}
      keyOf={(release) => release.name}
      head={{ title: 'Release', cell: (release) => release.name, look: 'mono' }}
      columns={[
        {
          title: 'Commit',
          cell: (release) => (
            <>
              <CommitLink commit={release.commit} /> {release.subject ?? ''}
              <FilesFrom files={release.files} />
            </>
          ),
          look: 'words',
        },
        { title: 'Author', cell: (release) => release.author ?? '' },
        {
          title: 'Content',
          cell: (release) =>
            `${release.bundles} ${release.bundles === 1 ? 'bundle' : 'bundles'} for ${release.clusters} ${release.clusters === 1 ? 'cluster' : 'clusters'}`,
          look: 'nowrap',
        },
        { title: 'Rendered', cell: (release) => <Age at={release.renderedAt} suffix=" ago" />, look: 'nowrap' },
      ]}
    />
  );
}

export function CommitLink({ commit }: { readonly commit: string | undefined }): React.ReactNode {
  if (commit === undefined) return <span className="muted">none yet</span>;
  return (
    <Link className="mono" to="/commits/$commit" params={{ commit }}>
      {commit.slice(0, 10)}
    </Link>
  );
}
