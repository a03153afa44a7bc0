import { useNavigate, useSearch } from '@tanstack/react-router';
import type { ActivityView } from '#api';
import { useList } from '../api.ts';
import { ActivityList } from '../parts/activity-list.tsx';
import { Copy } from '../parts/copy.tsx';
import { PagedList } from '../parts/paged-list.tsx';
import { withValue, type ActivitySearch } from '../search.ts';
import { shellWord } from '../shell.ts';
import { useTitle } from '../title.ts';

const named = [
  ['project', 'Project'],
  ['application', 'Application'],
  ['cluster', 'Cluster'],
] as const;

/** What happened, newest first; asked of the plane by what it was about. */
export function ActivityPage(): React.ReactNode {
  useTitle('Activity');
  const search = useSearch({ from: '/activity' });
  const navigate = useNavigate({ from: '/activity' });
  const list = useList<ActivityView>('activity', { ...search, limit: '100' }, 'before');
  return (
    <>
      <h1>Activity</h1>
      <form
        className="controls"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          const form = new FormData(event.currentTarget);
          let next: ActivitySearch = search;
          for (const [key] of named) {
            const text = form.get(key);
            next = withValue(next, key, typeof text === 'string' ? text.trim() : '');
          }
          void navigate({ search: next });
        }}
      >
        <label>
          Show
          <select
            value={search.type ?? ''}
            onChange={(event) => void navigate({ search: withValue<ActivitySearch>(search, 'type', event.target.value) })}
          >
            <option value="">everything</option>
            <option value="Warning">warnings</option>
            <option value="Normal">all but warnings</option>
          </select>
        </label>
        {named.map(([key, title]) => (
          <label key={key}>
            {title}
            <input
              key={search[key] ?? ''}
              name={key}
              type="search"
              className="short"
              defaultValue={search[key] ?? ''}
              spellCheck={false}
              autoComplete="off"
              autoCapitalize="off"
            />
          </label>
        ))}
        <button type="submit">Filter</button>
        {Object.keys(search).length === 0 ? null : (
          <button type="button" className="quiet" onClick={() => void navigate({ search: {} })}>
            Clear
          </button>
        )}
      </form>
      <PagedList list={list} empty={<p className="muted">Nothing like that has happened in the last day.</p>}>
        {(items) => <ActivityList items={items} />}
      </PagedList>
      <Copy commands={commandsOf(search)} />
    </>
  );
}

/** The filters that kubectl has too, and why things are as they are. */
function commandsOf({ project, application, cluster, type }: ActivitySearch): readonly string[] {
  const at = project ?? 'default';
  const isOfOne = application !== undefined && cluster !== undefined;
  const fields = [
    ...(isOfOne ? [`involvedObject.name=${application}.${cluster}`] : []),
    ...(type === undefined ? [] : [`type=${type}`]),
  ];
  const events = `kubectl get events ${project === undefined && !isOfOne ? '-A' : `-n ${shellWord(at)}`}`;
  return [
    fields.length === 0 ? events : `${events} --field-selector ${shellWord(fields.join(','))}`,
    ...(application === undefined
      ? []
      : [`fairlead why ${shellWord(application)}${cluster === undefined ? '' : ` ${shellWord(cluster)}`} -n ${shellWord(at)}`]),
    ...(application === undefined && cluster !== undefined ? [`fairlead why cluster/${shellWord(cluster)}`] : []),
  ];
}
