import { useNavigate, useSearch } from '@tanstack/react-router';
import type { FleetGroup, FleetView } from '#api';
import { useView, type PlaneError } from '../api.ts';
import { Command, Copy } from '../parts/copy.tsx';
import { Grid, Legend, Rows } from '../parts/grid.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { Problem } from '../parts/problem.tsx';
import { WhereForm } from '../parts/where-form.tsx';
import { withValue, type FleetSearch } from '../search.ts';
import { shellWord } from '../shell.ts';
import { useTitle } from '../title.ts';

/** The first screen: a verdict, what is not what Git says, and the whole fleet as a field of marks. */
export function FleetPage(): React.ReactNode {
  const { group = '', where = '' } = useSearch({ from: '/' });
  const known = useView<FleetView>('fleet', { group, where });
  const not = known.data === undefined ? 0 : known.data.counts.deliveries - known.data.counts.ready;
  useTitle(not === 0 ? 'Fleet' : `${not} not · Fleet`);
  const isUnread = known.error?.status === 400;
  if (isUnread && known.data === undefined) {
    return (
      <>
        <h1>Fleet</h1>
        <Controls labels={[]} group={group} where={where} error={known.error} />
      </>
    );
  }
  return (
    // What is wrong with the filter is said beside it.
    <Loaded known={isUnread ? { ...known, error: undefined } : known}>
      {(view) =>
        view.counts.clusters === 0 && where === '' ? (
          <EmptyPlane view={view} />
        ) : (
          <Fleet view={view} group={group} where={where} error={known.error} />
        )
      }
    </Loaded>
  );
}

function EmptyPlane({ view }: { readonly view: FleetView }): React.ReactNode {
  return (
    <section className="empty">
      <h1>No clusters yet</h1>
      <p>
        Run this, then what it prints beside your cluster. This page comes alive as soon as the agent registers; there is no need
        to reload it.
      </p>
      <Command command="fairlead enroll my-cluster --label env=dev" />
      {view.problems.map((problem) => (
        <Problem key={problem.code + problem.sentence} problem={problem} where="" />
      ))}
      <Copy commands={['fairlead status', 'kubectl get clusters --watch']} />
    </section>
  );
}

function Fleet({
  view,
  group,
  where,
  error,
}: {
  readonly view: FleetView;
  readonly group: string;
  readonly where: string;
  readonly error: PlaneError | undefined;
}): React.ReactNode {
  const isWell = view.counts.ready === view.counts.deliveries && view.problems.length === 0 && view.counts.deliveries > 0;
  return (
    <>
      <p className="hidden" role="status">
        {isWell ? 'Everything is what Git says' : 'Something is not what Git says'}
      </p>
      <h1 className={isWell ? 'verdict verdict-well' : 'verdict'}>{capital(view.sentence)}.</h1>
      {view.problems.length === 0 ? null : (
        <section aria-label="What is not what Git says" className="problems">
          {view.problems.map((problem) => (
            <Problem key={problem.code + problem.sentence} problem={problem} where={where} />
          ))}
        </section>
      )}
      <section aria-label="The fleet">
        <Controls labels={view.labels} group={group} where={where} error={error} />
        {view.groups.map((entry) => (
          <Group key={entry.value} entry={entry} group={group} />
        ))}
        {view.groupCount > view.groups.length ? (
          <p className="muted">{view.groupCount - view.groups.length} more groups are not shown; group by another label.</p>
        ) : null}
        {view.groups.length === 0 ? <p className="muted">No cluster matches this filter.</p> : null}
        <Legend />
      </section>
      <Copy
        commands={[
          `fairlead status${where === '' ? '' : ` --where ${shellWord(where)}`}`,
          `kubectl get clusters${where === '' ? '' : ` -l ${shellWord(where)}`}`,
          'kubectl get deliveries -A',
        ]}
      />
    </>
  );
}

function Group({ entry, group }: { readonly entry: FleetGroup; readonly group: string }): React.ReactNode {
  const title = group === '' ? 'All clusters' : `${group}=${entry.value}`;
  const isNamed = entry.cells.some((cell) => cell.deliveries !== undefined);
  return (
    <section className="group">
      <h2>
        {title}
        <span className="muted">
          {entry.clusters.toLocaleString('en-US')} {entry.clusters === 1 ? 'cluster' : 'clusters'},{' '}
          {entry.ready.toLocaleString('en-US')} of {entry.total.toLocaleString('en-US')}{' '}
          {entry.total === 1 ? 'delivery' : 'deliveries'} as Git says
        </span>
      </h2>
      {isNamed ? <Rows cells={entry.cells} /> : <Grid cells={entry.cells} label={title} />}
      {entry.clusters > entry.cells.length ? (
        <p className="muted">
          {(entry.clusters - entry.cells.length).toLocaleString('en-US')} more, none worse than these, are not shown; narrow the
          filter to see them.
        </p>
      ) : null}
    </section>
  );
}

function Controls({
  labels,
  group,
  where,
  error,
}: {
  readonly labels: readonly string[];
  readonly group: string;
  readonly where: string;
  readonly error: PlaneError | undefined;
}): React.ReactNode {
  const navigate = useNavigate({ from: '/' });
  // A label that no cluster has any more can still stand in the address.
  const choices = group === '' || labels.includes(group) ? labels : [group, ...labels];
  return (
    <WhereForm
      label="Clusters where"
      where={where}
      error={error}
      onWhere={(text) => void navigate({ search: (previous) => withValue<FleetSearch>(previous, 'where', text) })}
    >
      <label>
        Group by
        <select
          value={group}
          onChange={(event) =>
            void navigate({ search: (previous) => withValue<FleetSearch>(previous, 'group', event.target.value) })
          }
        >
          <option value="">nothing</option>
          {choices.map((label) => (
            <option key={label}>{label}</option>
          ))}
        </select>
      </label>
    </WhereForm>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
