import { Link, useSearch } from '@tanstack/react-router';
import type { ChangeRelease, ChangesView } from '#api';
import { useList } from '../api.ts';
import { Copy } from '../parts/copy.tsx';
import { applicationText } from '../parts/delivery-table.tsx';
import { PagedList } from '../parts/paged-list.tsx';
import { StateBadge, StateMark, stateWords } from '../parts/state-mark.tsx';
import { Age } from '../parts/time.tsx';
import { useTitle } from '../title.ts';

/** Applications named beside a commit. */
const NAMED = 8;

/** Commits that became releases, newest first, and how far each has got. */
export function ChangesPage(): React.ReactNode {
  useTitle('Changes');
  const { project } = useSearch({ from: '/changes' });
  const list = useList<ChangesView>('changes', { project, limit: '50' }, 'before');
  return (
    <>
      <h1>Changes</h1>
      <PagedList list={list} empty={<p className="muted">No commit has become a release yet.</p>}>
        {(items) => (
          <ol className="changes">
            {items.map((item) => (
              <Change key={item.commit + item.at} item={item} />
            ))}
          </ol>
        )}
      </PagedList>
      <Copy commands={['kubectl get releases -A', 'fairlead status']} />
    </>
  );
}

function Change({ item }: { readonly item: ChangesView['items'][number] }): React.ReactNode {
  return (
    <li>
      <p className="change-title">
        <Link data-row="" to="/commits/$commit" params={{ commit: item.commit }}>
          {item.subject ?? item.commit.slice(0, 10)}
        </Link>
      </p>
      <p className="muted">
        <span className="mono">{item.commit.slice(0, 10)}</span>
        {item.author === undefined ? '' : ` by ${item.author}`}, rendered <Age at={item.at} suffix=" ago" />
      </p>
      <p className="change-releases">
        {item.releases.slice(0, NAMED).map((release) => (
          <ReleaseChip key={`${release.project}/${release.release}`} release={release} />
        ))}
        {item.releases.length > NAMED ? <span className="muted">and {item.releases.length - NAMED} more</span> : null}
      </p>
    </li>
  );
}

function ReleaseChip({ release }: { readonly release: ChangeRelease }): React.ReactNode {
  const { state, wanted, ready } = release;
  return (
    <Link
      className={state === 'replaced' ? 'tile' : `tile tile-${state}`}
      to="/a/$project/$application"
      params={{ project: release.project, application: release.application }}
    >
      {state === 'replaced' ? null : <StateMark state={state} />}
      {applicationText(release.project, release.application)}
      <span className="muted">{state === 'replaced' ? 'replaced' : `${ready} of ${wanted}`}</span>
      {state === 'replaced' ? null : <span className="hidden">: {stateWords[state]}</span>}
    </Link>
  );
}

export function ReleaseState({ state }: { readonly state: ChangeRelease['state'] }): React.ReactNode {
  return state === 'replaced' ? <span className="muted">replaced by a newer release</span> : <StateBadge state={state} />;
}
