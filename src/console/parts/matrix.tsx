import { Link } from '@tanstack/react-router';
import type { MatrixView } from '#api';
import { objectKey, objectMarks, objectText, objectWords } from '../objects.ts';
import { ObjectLink } from './object-tree.tsx';
import { StateBadge, StateMark } from './state-mark.tsx';

/** Clusters × objects: clusters in the same state are one column, objects that are as wanted everywhere one line. */
export function Matrix({
  view,
  project,
  application,
}: {
  readonly view: MatrixView;
  readonly project: string;
  readonly application: string;
}): React.ReactNode {
  if (view.columns.length === 0) return <p className="muted">No cluster matches its targets.</p>;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label="Clusters and objects">
      <table className="matrix">
        <thead>
          <tr>
            <th scope="col">{view.sentence}</th>
            {view.columns.map((column) => (
              <th key={column.clusters[0]} scope="col">
                <Clusters column={column} project={project} application={application} />
                <StateBadge state={column.state} />
                <span className="mono muted">{column.release ?? 'no release'}</span>
                {column.sentence === undefined ? null : <span className="matrix-why">{column.sentence}</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {view.rows.map((id, row) => (
            <tr key={objectKey(id)}>
              <th scope="row">
                {id.kind} <span className="mono">{objectText(id)}</span>
              </th>
              {view.columns.map((column) => {
                const state = column.states[row];
                return (
                  <td key={column.clusters[0]}>
                    {state === undefined || state === null ? (
                      <span className="muted">not here</span>
                    ) : (
                      <ObjectLink at={{ project, application, cluster: column.clusters[0] ?? '' }} id={id}>
                        <StateMark state={objectMarks[state]} /> {objectWords[state]}
                      </ObjectLink>
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
          {view.alikeRows === 0 ? null : (
            <tr>
              <th scope="row" className="muted">
                {view.rows.length === 0 ? `All ${view.alikeRows} objects` : `${view.alikeRows} other objects`}
              </th>
              <td colSpan={view.columns.length}>
                <StateMark state="ready" /> as wanted wherever there is a release
              </td>
            </tr>
          )}
        </tbody>
      </table>
      {view.moreClusters === 0 ? null : (
        <p className="muted">{view.moreClusters} more clusters are in states of their own; see below.</p>
      )}
    </div>
  );
}

function Clusters({
  column,
  project,
  application,
}: {
  readonly column: MatrixView['columns'][number];
  readonly project: string;
  readonly application: string;
}): React.ReactNode {
  const links = column.clusters.map((cluster) => (
    <Link key={cluster} to="/d/$project/$application/$cluster" params={{ project, application, cluster }}>
      {cluster}
    </Link>
  ));
  if (column.count === 1) return links;
  return (
    <details className="matrix-clusters">
      <summary>{column.count.toLocaleString('en-US')} clusters</summary>
      <span>
        {links}
        {column.count > links.length ? <span className="muted">and {column.count - links.length} more</span> : null}
      </span>
    </details>
  );
}
