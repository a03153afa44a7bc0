import type { Metrics } from './metrics.ts';
import type { Permission, Route } from './routes.ts';
import type { PlainResponse } from './types.ts';

/** A sentence for what is not ready. */
export type ReadinessCheck = () => string | undefined | Promise<string | undefined>;

export interface SystemRoutesOptions {
  readonly version: Readonly<Record<string, string>>;
  readonly metrics: Metrics;
  readonly checks: ReadonlyMap<string, ReadinessCheck>;
  readonly isStopping: () => boolean;
}

const PUBLIC: Permission = { allow: 'public' };

function text(status: number, body: string, type = 'text/plain; charset=utf-8'): PlainResponse {
  return { status, headers: { 'content-type': type }, body };
}

/** `ok`, or a line for each thing that is not ready. */
export async function readiness(
  checks: ReadonlyMap<string, ReadinessCheck>,
  isStopping: boolean,
): Promise<{ readonly isReady: boolean; readonly words: string }> {
  if (isStopping) return { isReady: false, words: 'stopping' };
  const faults: string[] = [];
  for (const [name, check] of checks) {
    const fault = await check();
    if (fault !== undefined) faults.push(`${name}: ${fault}`);
  }
  return faults.length === 0 ? { isReady: true, words: 'ok' } : { isReady: false, words: faults.join('\n') };
}

/** What probes and clients ask of any server, and the session routes, which the listener answers itself. */
export function systemRoutes({ version, metrics, checks, isStopping }: SystemRoutesOptions): Route[] {
  const get = (path: string, handler: Route['handler'], permission: Permission = PUBLIC): Route => ({
    surface: 'system',
    method: 'GET',
    path,
    permission,
    handler,
  });
  const readyz = async (): Promise<PlainResponse> => {
    const { isReady, words } = await readiness(checks, isStopping());
    return text(isReady ? 200 : 503, words);
  };
  const admins: Permission = { allow: 'authorized', attributes: (head) => ({ verb: 'get', resource: '', path: head.path }) };
  return [
    get('/healthz', () => text(200, 'ok')),
    get('/livez', () => text(200, 'ok')),
    get('/readyz', readyz),
    get('/version', () => text(200, JSON.stringify(version, undefined, 2), 'application/json')),
    get('/metrics', () => text(200, metrics.text(), 'text/plain; version=0.0.4; charset=utf-8'), admins),
    ...(['GET', 'POST', 'DELETE'] as const).map((method): Route => ({
      surface: 'console',
      method,
      path: '/session',
      permission: PUBLIC,
      maxBodyBytes: 4096,
      // Answered before it comes to this: a session belongs to the listener it came through.
      handler: () => ({ status: 500 }),
    })),
  ];
}
