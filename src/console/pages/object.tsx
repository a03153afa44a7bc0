import { useParams } from '@tanstack/react-router';
import type { ObjectView } from '#api';
import { useView } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { Crumbs, pathTo } from '../parts/crumbs.tsx';
import { DataTable } from '../parts/data-table.tsx';
import { LiveObject } from '../parts/live-object.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { ObjectBadge } from '../parts/state-mark.tsx';
import { Age } from '../parts/time.tsx';
import { NO_NAMESPACE, objectText, parseGvk } from '../objects.ts';
import { useTitle } from '../title.ts';

/** One object of a delivery: where it stands, what Git wants, what the release changes, what differs in the cluster. */
export function ObjectPage(): React.ReactNode {
  const params = useParams({ from: '/d/$project/$application/$cluster/objects/$gvk/$namespace/$name' });
  const { project, application, cluster, name } = params;
  const namespace = params.namespace === NO_NAMESPACE ? '' : params.namespace;
  const { group, kind } = parseGvk(params.gvk);
  useTitle(`${kind} ${name} on ${cluster}`);
  const path = `deliveries/${[project, application, cluster].map(encodeURIComponent).join('/')}/object`;
  const query = { group, kind, namespace, name };
  const known = useView<ObjectView>(`${path}?${new URLSearchParams(query).toString()}`);
  return (
    <Loaded known={known}>
      {(view) => (
        <>
          <Crumbs
            items={[
              { href: pathTo.application(project, application), title: application },
              { href: pathTo.delivery(project, application, cluster), title: `${application} on ${cluster}` },
            ]}
          />
          <h1>
            {kind} {objectText({ namespace, name })} <ObjectBadge state={view.row.state} />
          </h1>
          {view.problem === undefined ? null : (
            <>
              <p className="lead">{view.problem.sentence}</p>
              <p className="muted">
                for <Age at={view.problem.since} /> · who can act: {view.problem.actor}
              </p>
            </>
          )}
          <dl className="facts">
            <dt>Release</dt>
            <dd className="mono">{view.release}</dd>
            <dt>Written in</dt>
            <dd className="mono">{view.row.file === undefined ? 'not known' : `${view.row.file}:${view.row.line ?? 1}`}</dd>
            <dt>Applied in</dt>
            <dd>
              stage {view.row.stage}
              {view.row.wave === 0 ? '' : `, wave ${view.row.wave}`}
            </dd>
          </dl>
          <LiveObject
            path={`${path}/live`}
            query={query}
            cluster={cluster}
            view={view}
            applied={view.applied === undefined ? null : <AppliedChange applied={view.applied} wanted={view.release} />}
          />
          <Copy
            commands={[
              `kubectl get ${kindArgument(group, kind)} ${name}${namespace === '' ? '' : ` -n ${namespace}`} -o yaml --context ${cluster}`,
              `fairlead live ${application} ${cluster} ${kind}${group === '' ? '' : `.${group}`}/${objectText({ namespace, name })} -n ${project}`,
              `fairlead tree ${application} ${cluster} -n ${project}`,
            ]}
          />
        </>
      )}
    </Loaded>
  );
}

function AppliedChange({
  applied,
  wanted,
}: {
  readonly applied: NonNullable<ObjectView['applied']>;
  readonly wanted: string;
}): React.ReactNode {
  return (
    <>
      <h2>
        From {applied.release} to {wanted}
      </h2>
      {applied.change === 'added' ? (
        <p className="muted">The cluster holds {applied.release}, which does not have this object.</p>
      ) : applied.change === 'unchanged' ? (
        <p className="muted">The cluster holds {applied.release}; nothing of this object changes.</p>
      ) : applied.fields.length === 0 ? (
        <p className="muted">It changes, and its content is sealed to the cluster.</p>
      ) : (
        <DataTable
          label="Changes"
          rows={applied.fields}
          keyOf={(field) => field.path}
          head={{ title: 'Field', cell: (field) => field.path, look: 'mono' }}
          columns={[
            { title: 'Applied', cell: (field) => field.before ?? <span className="muted">not there</span>, look: 'mono' },
            { title: 'Wanted', cell: (field) => field.after ?? <span className="muted">not there</span>, look: 'mono' },
          ]}
        />
      )}
    </>
  );
}

/** As kubectl takes a kind: with its group where it has one. */
function kindArgument(group: string, kind: string): string {
  return group === '' ? kind.toLowerCase() : `${kind.toLowerCase()}.${group}`;
}
