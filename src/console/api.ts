import { keepPreviousData, useQuery, type UseQueryResult } from '@tanstack/react-query';

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

/** A view of the plane, kept on the screen while a newer one is fetched. The first segment of the key is what doorbells invalidate. */
export function useView<T>(
  path: string,
  query: Readonly<Record<string, string | undefined>> = {},
): UseQueryResult<T, PlaneError> {
  const search = new URLSearchParams(
    Object.entries(query).flatMap(([key, value]) => (value === undefined || value === '' ? [] : [[key, value]])),
  );
  const url = `/views/v1/${path}${search.size === 0 ? '' : `?${search.toString()}`}`;
  return useQuery<T, PlaneError>({
    queryKey: ['view', url],
    queryFn: ({ signal }) => read<T>(url, signal),
    placeholderData: keepPreviousData,
    retry: (count, error) => error.status >= 500 && count < 3,
  });
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
