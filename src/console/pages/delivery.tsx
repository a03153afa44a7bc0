import { Link, useParams } from '@tanstack/react-router';
import type { DeliveryView } from '#api';
import { useView } from '../api.ts';
import { ActivityList } from '../parts/activity-list.tsx';
import { Copy } from '../parts/copy.tsx';
import { Crumbs, pathTo } from '../parts/crumbs.tsx';
import { Journey } from '../parts/journey.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { ObjectTree } from '../parts/object-tree.tsx';
import { Standing } from '../parts/says.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { Age } from '../parts/time.tsx';
import { useTitle } from '../title.ts';
import { FilesFrom } from '../parts/files-from.tsx';
import { CommitLink } from './application.tsx';

/** The atom of every view: one application on one cluster, and why it is as it is. */
export function DeliveryPage(): React.ReactNode {
  const { project, application, cluster } = useParams({ from: '/d/$project/$application/$cluster' });
  useTitle(`${application} on ${cluster}`);
  const known = useView<DeliveryView>(`deliveries/${[project, application, cluster].map(encodeURIComponent).join('/')}`);
  return (
    <Loaded known={known}>
      {(view) => (
        <>
          <Crumbs
            items={[
              { href: '/applications', title: 'Applications' },
              { href: pathTo.application(project, application), title: application },
            ]}
          />
          <h1>
            {application} on{' '}
            <Link className="plain" to="/c/$cluster" params={{ cluster }}>
              {cluster}
            </Link>{' '}
            <StateBadge state={view.state} />
          </h1>
          {view.state === 'ready' ? (
            <>
              <p className="lead">{view.sentence}</p>
              <p className="muted">
                for <Age at={view.since} />
              </p>
            </>
          ) : (
            <Standing problem={view} />
          )}
          {view.journeys.map((journey) => (
            <Journey key={journey.release ?? journey.commit ?? ''} journey={journey} />
          ))}
          {whyOf(view).length < 2 ? null : (
            <>
              <h2>Everything that holds</h2>
              <ul className="why">
                {whyOf(view).map((reason) => (
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
              <span className="mono">{view.wanted?.release ?? 'nothing'}</span>{' '}
              {view.wanted?.commit === undefined ? null : <CommitLink commit={view.wanted.commit} />} {view.wanted?.subject ?? ''}
              <FilesFrom files={view.wanted?.files ?? []} />
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
          {view.notes === undefined ? null : (
            <details className="notes" open={view.notes.split('\n').length <= 12}>
              <summary>Notes of the chart</summary>
              <pre>{view.notes}</pre>
            </details>
          )}
          <h2>Objects</h2>
          <ObjectTree rows={view.objects} at={{ project, application, cluster }} />
          <h2>What happened</h2>
          <ActivityList items={view.events} isOfOne />
          <Copy
            commands={[
              `fairlead why ${application} ${cluster} -n ${project}`,
              `fairlead tree ${application} ${cluster} -n ${project}`,
              ...(view.notes === undefined ? [] : [`fairlead notes ${application} ${cluster} -n ${project}`]),
              `kubectl describe delivery ${application}.${cluster} -n ${project}`,
            ]}
          />
        </>
      )}
    </Loaded>
  );
}

/** Each sentence once: what stops an object is often what stops the delivery. */
function whyOf(view: DeliveryView): DeliveryView['why'] {
  return view.why.filter(({ sentence }, index) => view.why.findIndex((other) => other.sentence === sentence) === index);
}
