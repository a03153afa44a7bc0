import { Link, useSearch } from '@tanstack/react-router';
import type { ApplicationsView, ApplicationSummary } from '#api';
import { useList } from '../api.ts';
import { applicationText } from '../parts/delivery-table.tsx';
import { Labels } from '../parts/labels.tsx';
import { ListPage } from '../parts/list-page.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { shellWord } from '../shell.ts';

export function ApplicationsPage(): React.ReactNode {
  const search = useSearch({ from: '/applications' });
  const list = useList<ApplicationsView>('applications', {
    where: search.where,
    sort: search.sort ?? 'worst',
    limit: '100',
  });
  return (
    <ListPage<ApplicationSummary>
      title="Applications"
      to="/applications"
      search={search}
      list={list}
      whereLabel="Applications where"
      empty={<p className="muted">No application yet. Apply one with kubectl, or put it into Git.</p>}
      keyOf={(item) => `${item.project}/${item.name}`}
      head={{
        title: 'Application',
        cell: (item) => (
          <Link data-row="" to="/a/$project/$application" params={{ project: item.project, application: item.name }}>
            {applicationText(item.project, item.name)}
          </Link>
        ),
      }}
      columns={[
        { title: 'State', cell: (item) => <StateBadge state={item.state} />, look: 'nowrap' },
        { title: 'Why', cell: (item) => (item.state === 'ready' ? '' : item.sentence), look: 'words' },
        { title: 'As Git says', cell: (item) => `${item.ready} of ${item.total}`, look: 'number' },
        { title: 'Release', cell: (item) => item.release ?? '', look: 'mono' },
        {
          title: 'Commit',
          cell: (item) =>
            item.commit === undefined ? (
              ''
            ) : (
              <Link to="/commits/$commit" params={{ commit: item.commit }}>
                {item.commit.slice(0, 10)}
              </Link>
            ),
          look: 'mono',
        },
        { title: 'Labels', cell: (item) => <Labels labels={item.labels} to="/applications" /> },
      ]}
      commands={[
        `kubectl get applications -A${search.where === undefined ? '' : ` -l ${shellWord(search.where)}`}`,
        'fairlead status --all-projects',
      ]}
    />
  );
}
