import { Link, useSearch } from '@tanstack/react-router';
import type { ClustersView, ClusterSummary } from '#api';
import { useList } from '../api.ts';
import { Labels } from '../parts/labels.tsx';
import { ListPage } from '../parts/list-page.tsx';
import { StateBadge } from '../parts/state-mark.tsx';
import { shellWord } from '../shell.ts';
import { Age } from '../parts/time.tsx';

export function ClustersPage(): React.ReactNode {
  const search = useSearch({ from: '/clusters' });
  const list = useList<ClustersView>('clusters', { where: search.where, sort: search.sort ?? 'worst', limit: '100' });
  return (
    <ListPage<ClusterSummary>
      title="Clusters"
      to="/clusters"
      search={search}
      list={list}
      whereLabel="Clusters where"
      empty={<p className="muted">No cluster yet. The command below makes the first.</p>}
      keyOf={(item) => item.name}
      head={{
        title: 'Cluster',
        cell: (item) => (
          <Link data-row="" to="/c/$cluster" params={{ cluster: item.name }}>
            {item.name}
          </Link>
        ),
      }}
      columns={[
        { title: 'State', cell: (item) => <StateBadge state={item.state} />, look: 'nowrap' },
        { title: 'Why', cell: (item) => (item.state === 'ready' ? '' : item.sentence), look: 'words' },
        { title: 'As Git says', cell: (item) => `${item.ready} of ${item.total}`, look: 'number' },
        {
          title: 'Contact',
          cell: (item) => (item.lastContact === undefined ? 'never' : <Age at={item.lastContact} suffix=" ago" />),
          look: 'nowrap',
        },
        { title: 'Kubernetes', cell: (item) => item.kubernetesVersion ?? '', look: 'mono' },
        { title: 'Labels', cell: (item) => <Labels labels={item.labels} to="/" /> },
      ]}
      commands={[
        `kubectl get clusters${search.where === undefined ? '' : ` -l ${shellWord(search.where)}`}`,
        'fairlead enroll my-cluster --label env=dev',
      ]}
    />
  );
}
