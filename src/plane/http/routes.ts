import { FairleadError } from '#base';
import { surfaces, type Handler, type Method, type RequestHead, type Surface } from './types.ts';
import type { Attributes } from './authorize.ts';

/**
 * Who may use a route. There is no default: `public` must be said, `agent` is any agent speaking for its own cluster, and
 * `attributes` says what the request wants to do, for the authorizer to decide.
 */
export type Permission =
  | { readonly allow: 'public' }
  | { readonly allow: 'agent' }
  | { readonly allow: 'authorized'; attributes(head: RequestHead): Attributes };

export interface Route {
  readonly surface: Surface;
  /** '*' is every method. */
  readonly method: Method | '*';
  /** `/a/:name/b`; a last segment `*` takes the rest, of any length. */
  readonly path: string;
  readonly permission: Permission;
  readonly handler: Handler;
  /** Default 3 MiB. */
  readonly maxBodyBytes?: number;
  /** Whether it waits from its beginning (a watch): counted apart from what is in flight. What waits later calls `held`. */
  readonly isLongRunning?: (head: RequestHead) => boolean;
}

export interface MatchedRoute {
  readonly route: Route;
  readonly params: Readonly<Record<string, string>>;
}

interface Pattern {
  readonly route: Route;
  readonly segments: readonly string[];
  readonly takesRest: boolean;
}

/** The table of routes of one plane. */
export class RouteTable {
  readonly #patterns: Pattern[] = [];

  get routes(): readonly Route[] {
    return this.#patterns.map((pattern) => pattern.route);
  }

  /** Throws FL_HTTP_ROUTE for a route without a permission, of an unknown surface, or that exists already. */
  add(route: Route): void {
    const broken = (why: string): never => {
      throw new FairleadError('FL_HTTP_ROUTE', `route ${route.method} ${route.path} ${why}`, { kind: 'internal' });
    };
    const permission: unknown = route.permission;
    if (typeof permission !== 'object' || permission === null || !('allow' in permission)) broken('has no permission');
    const { allow } = route.permission;
    if (allow !== 'public' && allow !== 'agent' && allow !== 'authorized') broken('has an unknown permission');
    if (allow === 'authorized' && typeof route.permission.attributes !== 'function') broken('does not say what it wants to do');
    if (allow === 'agent' && route.surface !== 'agent') broken('lets agents in outside of /agent');
    if (!surfaces.includes(route.surface)) broken('has an unknown surface');
    if (!route.path.startsWith('/')) broken('does not begin with /');
    const segments = route.path.slice(1).split('/');
    const takesRest = segments.at(-1) === '*';
    const shape = (one: Pattern): string => `${one.route.method} ${one.route.path.replace(/:[^/]+/g, ':')}`;
    const pattern: Pattern = { route, segments: takesRest ? segments.slice(0, -1) : segments, takesRest };
    if (this.#patterns.some((other) => shape(other) === shape(pattern))) broken('is registered twice');
    this.#patterns.push(pattern);
    // Literal before parameter before rest, longer before shorter: the most specific route wins.
    this.#patterns.sort((a, b) => compareSpecificity(a, b));
  }

  /** Undefined: no such path; 'method': the path exists for other methods. */
  match(
    method: Method,
    head: Pick<RequestHead, 'segments' | 'path'>,
    allowed: ReadonlySet<Surface>,
  ): MatchedRoute | 'method' | undefined {
    let seen = false;
    for (const pattern of this.#patterns) {
      if (!allowed.has(pattern.route.surface)) continue;
      const params = fit(pattern, head);
      if (params === undefined) continue;
      const isFallback = pattern.segments.length === 0 && pattern.takesRest;
      if (pattern.route.method === '*' || pattern.route.method === method) {
        // What takes everything must not turn an unknown method of a known path into its own answer.
        return seen && isFallback ? 'method' : { route: pattern.route, params };
      }
      if (isFallback) continue;
      seen = true;
    }
    return seen ? 'method' : undefined;
  }
}

function compareSpecificity(a: Pattern, b: Pattern): number {
  for (let i = 0; i < Math.max(a.segments.length, b.segments.length); i++) {
    const rank = (pattern: Pattern): number => {
      const segment = pattern.segments[i];
      if (segment === undefined) return pattern.takesRest ? 3 : 2;
      return segment.startsWith(':') ? 1 : 0;
    };
    if (rank(a) !== rank(b)) return rank(a) - rank(b);
  }
  return Number(a.takesRest) - Number(b.takesRest);
}

function fit(pattern: Pattern, head: Pick<RequestHead, 'segments' | 'path'>): Record<string, string> | undefined {
  const { segments } = head;
  if (pattern.takesRest ? segments.length < pattern.segments.length : segments.length !== pattern.segments.length)
    return undefined;
  const params: Record<string, string> = {};
  for (const [index, expected] of pattern.segments.entries()) {
    const found = segments[index] ?? '';
    if (expected.startsWith(':')) {
      if (found === '') return undefined;
      params[expected.slice(1)] = found;
    } else if (expected !== found) return undefined;
  }
  if (pattern.takesRest) params['*'] = head.path.slice(1).split('/').slice(pattern.segments.length).join('/');
  return params;
}
