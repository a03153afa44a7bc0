import type { Kind, PlaneObject } from '#api';
import type { Reader } from '#plane/engine';
import type { ListQuery, ListResult } from '#plane/store';

/** Every object of a kind that a query is for, read page by page. */
export async function* pages<S, T>(
  read: Pick<Reader, 'list'>,
  kind: Kind<S, T>,
  query: ListQuery = {},
): AsyncGenerator<PlaneObject<S, T>> {
  let next = query;
  for (;;) {
    const page: ListResult<PlaneObject<S, T>> = await read.list(kind, next);
    yield* page.items;
    if (page.next === undefined) return;
    next = { ...query, after: page.next };
  }
}

/** The same as one list. */
export async function allOf<S, T>(
  read: Pick<Reader, 'list'>,
  kind: Kind<S, T>,
  query: ListQuery = {},
): Promise<PlaneObject<S, T>[]> {
  const all: PlaneObject<S, T>[] = [];
  for await (const object of pages(read, kind, query)) all.push(object);
  return all;
}
