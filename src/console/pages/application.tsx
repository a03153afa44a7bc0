import { useParams } from '@tanstack/react-router';
import type { ApplicationView } from '#api';
import { useView } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { DeliveryTable } from '../parts/delivery-table.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { Age } from '../parts/time.tsx';
import { useTitle } from '../title.ts';

export function ApplicationPage(): React.ReactNode {
  const { project, application } = useParams({ from: '/a/$project/$application' });
  useTitle(application);
  const query = useView<ApplicationView>(`applications/${encodeURIComponent(project)}/${encodeURIComponent(application)}`);
  return (
    <Loaded query={query}>
      {(view) => (
        <>
          <p className="crumb">Application in {view.project}</p>
          <h1>
            {view.name} <StateBadge state={view.state} />
          </h1>
          <p className="lead">{view.sentence}</p>
          {view.problem === undefined ? null : (
            <p className="muted">
              for <Age at={view.problem.since} /> · who can act: {view.problem.actor}
            </p>
          )}
          {view.suspended ? <p className="stale">Suspended: no new release is made or assigned until it is resumed.</p> : null}
          <dl className="facts">
            <dt>Source</dt>
            <dd>
              {view.source.kind} {view.source.name}, <span className="mono">{view.source.path}</span>
            </dd>
            <dt>Release</dt>
            <dd className="mono">{view.release ?? 'none yet'}</dd>
            <dt>Commit</dt>
            <dd>
              <span className="mono">{view.commit?.slice(0, 10) ?? 'none yet'}</span> {view.subject ?? ''}
            </dd>
            <dt>Ready</dt>
            <dd>
              {view.ready} of {view.total} clusters
            </dd>
          </dl>
          <h2>Where it goes</h2>
          {view.deliveries.length === 0 ? (
            <p className="muted">No cluster matches its targets.</p>
          ) : (
            <DeliveryTable cells={view.deliveries} by="cluster" />
          )}
          <h2>Releases</h2>
          {view.releases.length === 0 ? (
            <p className="muted">None yet.</p>
          ) : (
            <table>
              <thead>
                <tr>
                  <th scope="col">Release</th>
                  <th scope="col">Commit</th>
                  <th scope="col">Author</th>
                  <th scope="col">Content</th>
                  <th scope="col">Rendered</th>
                </tr>
              </thead>
              <tbody>
                {view.releases.map((release) => (
                  <tr key={release.name}>
                    <th scope="row" className="mono">
                      {release.name}
                    </th>
                    <td className="words">
                      <span className="mono">{release.commit.slice(0, 10)}</span> {release.subject ?? ''}
                    </td>
                    <td>{release.author ?? ''}</td>
                    <td className="nowrap">
                      {release.bundles} {release.bundles === 1 ? 'bundle' : 'bundles'} for {release.clusters}{' '}
                      {release.clusters === 1 ? 'cluster' : 'clusters'}
                    </td>
                    <td className="nowrap">
                      <Age at={release.renderedAt} suffix=" ago" />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )}
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
