import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';

/** An answer of the plane other than 2xx, in its own words. */
export class PlaneError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function read<T>(path: string, signal: AbortSignal): Promise<T> {
  const response = await fetch(path, { signal, headers: { accept: 'application/json' }, credentials: 'same-origin' });
  const body: unknown = await response.json().catch(() => undefined);
  if (!response.ok) throw errorOf(response.status, body);
  return body as T;
}

function errorOf(status: number, body: unknown): PlaneError {
  const problem =
    typeof body === 'object' && body !== null
      ? (body as { code?: unknown; detail?: unknown; title?: unknown; message?: unknown })
      : {};
  const words = [problem.detail, problem.message, problem.title].find((text) => typeof text === 'string');
  return new PlaneError(
    status,
    typeof problem.code === 'string' ? problem.code : String(status),
    typeof words === 'string' ? words : `the plane answered ${status}`,
  );
}

export type Query = Readonly<Record<string, string | undefined>>;

function urlOf(path: string, query: Query): string {
  const search = new URLSearchParams(
    Object.entries(query).flatMap(([key, value]) => (value === undefined || value === '' ? [] : [[key, value]])),
  );
  return `/views/v1/${path}${search.size === 0 ? '' : `?${search.toString()}`}`;
}

/** What a page knows: the newest answer, or the last good one beside the error that a newer one ran into. */
export interface Known<T> {
  readonly data: T | undefined;
  readonly error: PlaneError | undefined;
}

/**
 * A view of the plane. While another question is asked of the same path, or the plane cannot answer, the last known answer
 * stays; never that of another path, which would be somebody else's data under this page's name.
 */
export function useView<T>(path: string, query: Query = {}, options: { readonly enabled?: boolean } = {}): Known<T> {
  const url = urlOf(path, query);
  const { data, error } = useQuery<T, PlaneError>({
    queryKey: ['view', path, url],
    queryFn: ({ signal }) => read<T>(url, signal),
    retry: (count, failure) => !(failure instanceof PlaneError && failure.status < 500) && count < 3,
    ...options,
  });
  return useLastKnown(path, data, error);
}

/** A look at something in a cluster: what was seen last stays while it is looked at anew. */
export interface Looked<T> extends Known<T> {
  readonly isLooking: boolean;
  readonly again: () => void;
}

/** While it is on the screen it is looked at this often. */
const LOOK_EVERY_MS = 20_000;
const LOOK_FORGOTTEN_MS = 60_000;

/**
 * Asks the plane to ask an agent. Not a view: bells do not repeat it, because each costs a request in a cluster; `version` does,
 * when it changes. Nobody asks for a page that is out of sight.
 */
export function useLook<T>(path: string, query: Query, version: string): Looked<T> {
  const url = urlOf(path, query);
  const { data, error, isFetching, refetch } = useQuery<T, PlaneError>({
    queryKey: ['look', url],
    queryFn: ({ signal }) => read<T>(url, signal),
    retry: false,
    staleTime: 0,
    gcTime: LOOK_FORGOTTEN_MS,
    refetchInterval: LOOK_EVERY_MS,
  });
  const seen = useRef(version);
  useEffect(() => {
    if (seen.current === version) return;
    seen.current = version;
    void refetch();
  }, [version, refetch]);
  return { data, error: error ?? undefined, isLooking: isFetching, again: () => void refetch() };
}

export interface KnownList<Page> extends Known<readonly Page[]> {
  readonly hasMore: boolean;
  readonly isLoadingMore: boolean;
  more(): void;
}

/** A view that comes in pages, each naming the `next`; `cursor` is what the plane calls it. */
export function useList<Page extends { readonly next: string | undefined }>(
  path: string,
  query: Query,
  cursor: 'after' | 'before' = 'after',
): KnownList<Page> {
  const answer = useInfiniteQuery({
    queryKey: ['view', path, urlOf(path, query), 'pages'],
    queryFn: ({ signal, pageParam }) => read<Page>(urlOf(path, { ...query, [cursor]: pageParam }), signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next,
    retry: (count, failure) => !(failure instanceof PlaneError && failure.status < 500) && count < 3,
  });
  const known = useLastKnown(path, answer.data?.pages, answer.error as PlaneError | null);
  // A doorbell that rings meanwhile cancels the fetch of the next page: what somebody asked for is fetched after it.
  const url = urlOf(path, query);
  const [wanted, setWanted] = useState({ url, pages: 1 });
  const { fetchNextPage, hasNextPage, isFetching, isFetchNextPageError } = answer;
  const shown = answer.data?.pages.length ?? 0;
  const isMoreWanted = wanted.url === url && shown > 0 && shown < wanted.pages && hasNextPage && !isFetchNextPageError;
  useEffect(() => {
    if (isMoreWanted && !isFetching) void fetchNextPage();
  }, [isMoreWanted, isFetching, fetchNextPage]);
  return {
    ...known,
    hasMore: hasNextPage,
    isLoadingMore: isMoreWanted,
    more: () => {
      setWanted({ url, pages: shown + 1 });
      // After a failure it is for the person to try again.
      if (isFetchNextPageError) void fetchNextPage();
    },
  };
}

function useLastKnown<T>(path: string, data: T | undefined, error: PlaneError | null): Known<T> {
  const last = useRef<{ readonly path: string; readonly data: T } | undefined>(undefined);
  useEffect(() => {
    if (data !== undefined) last.current = { path, data };
  }, [path, data]);
  return {
    data: data ?? (last.current?.path === path ? last.current.data : undefined),
    error: error ?? undefined,
  };
}

export async function login(token: string): Promise<void> {
  const response = await fetch('/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token }),
    credentials: 'same-origin',
  });
  if (!response.ok) throw errorOf(response.status, await response.json().catch(() => undefined));
}
