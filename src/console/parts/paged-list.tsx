import type { KnownList } from '../api.ts';
import { LoadedList } from './loaded.tsx';

/** What every list of the plane looks like, a page at a time. */
export interface ListedPage<T> {
  readonly at: string;
  readonly items: readonly T[];
  /** On all pages, where the plane counts them. */
  readonly total?: number;
  readonly next: string | undefined;
}

/** A list that comes in pages: the rows known so far, or what is said when there are none, and the button for the next page. */
export function PagedList<T>({
  list,
  empty,
  children,
}: {
  readonly list: KnownList<ListedPage<T>>;
  readonly empty: React.ReactNode;
  readonly children: (items: readonly T[]) => React.ReactNode;
}): React.ReactNode {
  return (
    <LoadedList known={list}>
      {(pages, first) => {
        const items = pages.flatMap((page) => page.items);
        if (items.length === 0) return empty;
        return (
          <>
            {children(items)}
            {list.hasMore ? (
              <p className="more">
                <button type="button" onClick={() => list.more()} aria-busy={list.isLoadingMore}>
                  Show more
                </button>
                <span className="muted">
                  {first.total === undefined
                    ? ''
                    : `${items.length.toLocaleString('en-US')} of ${first.total.toLocaleString('en-US')}`}
                </span>
              </p>
            ) : null}
          </>
        );
      }}
    </LoadedList>
  );
}
