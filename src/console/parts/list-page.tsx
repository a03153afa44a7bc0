import { useNavigate } from '@tanstack/react-router';
import type { KnownList } from '../api.ts';
import { withValue, type ListSearch } from '../search.ts';
import { useTitle } from '../title.ts';
import { Copy } from './copy.tsx';
import { DataTable, type Column } from './data-table.tsx';
import { PagedList, type ListedPage } from './paged-list.tsx';
import { WhereForm } from './where-form.tsx';

/** Applications and clusters: a filter, an order, a table that comes in pages. */
export function ListPage<T>(options: {
  readonly title: string;
  readonly to: '/applications' | '/clusters';
  readonly search: ListSearch;
  readonly list: KnownList<ListedPage<T>>;
  readonly whereLabel: string;
  readonly empty: React.ReactNode;
  readonly head: Column<T>;
  readonly columns: readonly Column<T>[];
  readonly keyOf: (item: T) => string;
  readonly commands: readonly string[];
}): React.ReactNode {
  const { title, to, search, list } = options;
  useTitle(title);
  const navigate = useNavigate({ from: to });
  const where = search.where ?? '';
  const isUnread = list.error?.status === 400 && where !== '';
  return (
    <>
      <h1>{title}</h1>
      <WhereForm
        label={options.whereLabel}
        where={where}
        error={list.error}
        onWhere={(text) => void navigate({ search: (previous) => withValue<ListSearch>(previous, 'where', text) })}
      >
        <label>
          Order
          <select
            value={search.sort ?? 'worst'}
            onChange={(event) =>
              void navigate({
                search: (previous) => withValue<ListSearch>(previous, 'sort', event.target.value === 'name' ? 'name' : ''),
              })
            }
          >
            <option value="worst">worst first</option>
            <option value="name">by name</option>
          </select>
        </label>
      </WhereForm>
      {isUnread && list.data === undefined ? null : (
        <PagedList
          list={isUnread ? { ...list, error: undefined } : list}
          empty={where === '' ? options.empty : <p className="muted">Nothing matches this filter.</p>}
        >
          {(items) => (
            <DataTable label={title} rows={items} keyOf={options.keyOf} head={options.head} columns={options.columns} />
          )}
        </PagedList>
      )}
      <Copy commands={options.commands} />
    </>
  );
}
