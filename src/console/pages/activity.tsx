import { useNavigate, useSearch } from '@tanstack/react-router';
import type { ActivityView } from '#api';
import { useView } from '../api.ts';
import { ActivityList } from '../parts/activity-list.tsx';
import { Copy } from '../parts/copy.tsx';
import { Loaded } from '../parts/loaded.tsx';
import { useTitle } from '../title.ts';

export function ActivityPage(): React.ReactNode {
  useTitle('Activity');
  const search = useSearch({ from: '/activity' });
  const navigate = useNavigate({ from: '/activity' });
  const query = useView<ActivityView>('activity', {
    project: search.project,
    cluster: search.cluster,
    type: search.type,
    limit: '200',
  });
  return (
    <>
      <h1>Activity</h1>
      <form className="controls" onSubmit={(event) => event.preventDefault()}>
        <label>
          Show{' '}
          <select
            value={search.type ?? ''}
            onChange={(event) => {
              const { type: _dropped, ...rest } = search;
              void navigate({ search: event.target.value === '' ? rest : { ...rest, type: event.target.value } });
            }}
          >
            <option value="">everything</option>
            <option value="Warning">warnings</option>
            <option value="Normal">changes</option>
          </select>
        </label>
      </form>
      <Loaded query={query}>{(view) => <ActivityList items={view.items} />}</Loaded>
      <Copy commands={['kubectl get events -A']} />
    </>
  );
}
