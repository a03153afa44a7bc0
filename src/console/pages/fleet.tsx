import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import type { FleetView, ProblemGroup } from '#api';
import { useView } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { Grid, Legend, Rows } from '../parts/grid.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { Age } from '../parts/time.tsx';
import type { FleetSearch } from '../search.ts';
import { useTitle } from '../title.ts';

/** The first screen: a verdict, what is not what Git says, and the whole fleet as a field of marks. */
export function FleetPage(): React.ReactNode {
  const search = useSearch({ from: '/' });
  const query = useView<FleetView>('fleet', { group: search.group, where: search.where });
  useTitle(undefined);
  return (
    <Loaded query={query}>
      {(view) =>
        view.counts.clusters === 0 && search.where === undefined ? (
          <EmptyPlane view={view} />
        ) : (
          <Fleet view={view} group={search.group ?? ''} where={search.where ?? ''} />
        )
      }
    </Loaded>
  );
}

function EmptyPlane({ view }: { readonly view: FleetView }): React.ReactNode {
  return (
    <section className="empty">
      <h1>No clusters yet</h1>
      <p>This page comes alive as soon as the first agent registers.</p>
      <Copy commands={['fairlead enroll my-cluster --label env=dev']} />
      {view.problems.map((problem) => (
        <ProblemRow key={problem.code + problem.sentence} problem={problem} />
      ))}
    </section>
  );
}

function Fleet({
  view,
  group,
  where,
}: {
  readonly view: FleetView;
  readonly group: string;
  readonly where: string;
}): React.ReactNode {
  const isWell = view.counts.ready === view.counts.deliveries && view.problems.length === 0;
  return (
    <>
      <h1 className={isWell ? 'verdict verdict-well' : 'verdict'}>{capital(view.sentence)}.</h1>
      {view.problems.length === 0 ? null : (
        <section aria-label="What is not what Git says" className="problems">
          {view.problems.map((problem) => (
            <ProblemRow key={problem.code + problem.sentence} problem={problem} />
          ))}
        </section>
      )}
      <section aria-label="The fleet">
        <Controls labels={view.labels} group={group} where={where} />
        {view.groups.map((entry) => (
          <section key={entry.value} className="group">
            <h2>
              {group === '' ? 'All clusters' : `${group}=${entry.value}`}
              <span className="muted">
                {' '}
                {entry.clusters} {entry.clusters === 1 ? 'cluster' : 'clusters'}, {entry.ready} of {entry.total} ready
              </span>
            </h2>
            <Cells entry={entry} label={`Deliveries of ${group === '' ? 'all clusters' : entry.value}`} />
            {entry.total > entry.cells.length ? (
              <p className="muted">{entry.total - entry.cells.length} more are not shown; narrow the filter to see them.</p>
            ) : null}
          </section>
        ))}
        {view.groups.length === 0 ? <p className="muted">No cluster matches this filter.</p> : null}
        <Legend />
        <Copy commands={[`fairlead status${where === '' ? '' : ` --where '${where}'`}`, 'kubectl get deliveries -A']} />
      </section>
    </>
  );
}

/** Above this many clusters in a group names give way to a field of marks. */
const mostRows = 40;

function Cells({ entry, label }: { readonly entry: FleetView['groups'][number]; readonly label: string }): React.ReactNode {
  if (entry.cells.length === 0) return <p className="muted">Nothing is delivered here.</p>;
  if (entry.clusters <= mostRows) return <Rows cells={entry.cells} />;
  return <Grid cells={entry.cells} label={label} nameOf={(cell) => `${cell.application} on ${cell.cluster}`} />;
}

function ProblemRow({ problem }: { readonly problem: ProblemGroup }): React.ReactNode {
  return (
    <article className="problem">
      <span className="problem-count">{problem.count === 0 ? '!' : problem.count}</span>
      <div>
        <p className="problem-says">{problem.sentence}</p>
        {otherSentences(problem).map((sentence) => (
          <p key={sentence} className="problem-says">
            {sentence}
          </p>
        ))}
        <p className="muted">
          for <Age at={problem.since} /> · who can act: {problem.actor}
        </p>
        {problem.deliveries.length === 0 ? null : (
          <p className="problem-where">
            {problem.deliveries.slice(0, 8).map((cell) => (
              <Link
                key={`${cell.project}/${cell.application}/${cell.cluster}`}
                className="chip"
                to="/d/$project/$application/$cluster"
                params={{ project: cell.project, application: cell.application, cluster: cell.cluster }}
              >
                {cell.application} on {cell.cluster}
              </Link>
            ))}
            {problem.count > 8 ? <span className="muted">and {problem.count - 8} more</span> : null}
          </p>
        )}
      </div>
    </article>
  );
}

/** What alike deliveries say in other words (another object, another file); at most five, each once. */
function otherSentences(problem: ProblemGroup): readonly string[] {
  return [...new Set(problem.deliveries.map((cell) => cell.sentence))]
    .filter((sentence) => sentence !== problem.sentence)
    .slice(0, 5);
}

function Controls({
  labels,
  group,
  where,
}: {
  readonly labels: readonly string[];
  readonly group: string;
  readonly where: string;
}): React.ReactNode {
  const navigate = useNavigate({ from: '/' });
  return (
    <form
      className="controls"
      onSubmit={(event) => {
        event.preventDefault();
        const text = new FormData(event.currentTarget).get('where');
        void navigate({ search: (previous) => withValue(previous, 'where', typeof text === 'string' ? text.trim() : '') });
      }}
    >
      <label>
        Group by{' '}
        <select
          value={group}
          onChange={(event) => void navigate({ search: (previous) => withValue(previous, 'group', event.target.value) })}
        >
          <option value="">nothing</option>
          {labels.map((label) => (
            <option key={label}>{label}</option>
          ))}
        </select>
      </label>
      <label>
        Clusters where{' '}
        <input
          key={where}
          name="where"
          type="search"
          defaultValue={where}
          placeholder="env=prod,region in (eu,us)"
          spellCheck={false}
          autoComplete="off"
        />
      </label>
      <button type="submit">Filter</button>
    </form>
  );
}

function withValue(search: FleetSearch, key: keyof FleetSearch, value: string): FleetSearch {
  const { [key]: _dropped, ...rest } = search;
  return value === '' ? rest : { ...rest, [key]: value };
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
