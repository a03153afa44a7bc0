import { FairleadError } from '#base';
import {
  Application,
  Cluster,
  Delivery,
  deliveryStates,
  plainDirectory,
  Release,
  type DiffView,
  type Kind,
  type ObjectIdentity,
  type Requirement,
} from '#api';
import {
  actorOf,
  jsonResponse,
  type Attributes,
  type HttpRequest,
  type HttpResponse,
  type RequestHead,
  type Route,
} from '#plane/http';
import { activityView } from './activity-view.ts';
import { changesView, commitView, ReleaseHeadCache } from './change-views.ts';
import { applicationView, clusterView, deliveryView, objectView } from './detail-views.ts';
import { fleetView } from './fleet-view.ts';
import { applicationsView, clustersView, deliveriesView, isState, searchView, type PageQuery } from './list-views.ts';
import { liveObjectView, type LiveSources } from './live-object-view.ts';
import { matrixView } from './matrix-view.ts';

export interface ViewsOptions extends LiveSources {
  /** kubectl's selector grammar; throws for what is none. */
  readonly parseSelector: (text: string) => readonly Requirement[];
  readonly isFrozen: () => boolean;
  /** What a commit would change, from the applications room. */
  readonly diff: (project: string, application: string, query: DiffQuery, signal: AbortSignal) => Promise<DiffView | undefined>;
}

/** What to render in place of what the Application follows. */
export interface DiffQuery {
  /** Branch or commit; version of a chart. */
  readonly ref: string | undefined;
  /** Directory of spec.source.files → branch or commit. */
  readonly files: ReadonlyMap<string, string>;
  /** Whether what is fetched from elsewhere is resolved anew. */
  readonly refresh: boolean;
}

const defaultLimit = 500;
const maxLimit = 5000;

/** `/views/v1`. Every route asks for the right to read the kind that it aggregates. */
export function viewsRoutes(options: ViewsOptions): readonly Route[] {
  const { index, now } = options;
  const heads = new ReleaseHeadCache(options.store);
  return [
    view('fleet', reads(Delivery, 'list'), (request) => {
      const query = {
        group: request.query.get('group') ?? '',
        where: selector(request),
        project: request.query.get('project') ?? undefined,
        limit: limitOf(request, 2000),
      };
      return fleetView(index, query, now(), options.isFrozen());
    }),
    view('applications', reads(Application, 'list'), (request) => applicationsView(index, pageOf(request), now())),
    view('applications/:project/:name', reads(Application, 'get'), ({ params }) =>
      applicationView(options, part(params, 'project'), part(params, 'name')),
    ),
    view('clusters', reads(Cluster, 'list'), (request) =>
      clustersView(index, pageOf(request), (name) => options.reports.lastContact(name), now()),
    ),
    view('clusters/:name', reads(Cluster, 'get'), ({ params }) => clusterView(options, part(params, 'name'))),
    view('matrix/:project/:name', reads(Application, 'get'), ({ params }) =>
      matrixView(options, part(params, 'project'), part(params, 'name')),
    ),
    view('deliveries', reads(Delivery, 'list'), (request) => {
      const { query } = request;
      return deliveriesView(
        index,
        {
          ...pageOf(request),
          code: query.get('code') ?? undefined,
          state: stateIn(query),
          application: query.get('application') ?? undefined,
          cluster: query.get('cluster') ?? undefined,
        },
        now(),
      );
    }),
    view('deliveries/:project/:application/:cluster', reads(Delivery, 'get'), ({ params }) =>
      deliveryView(options, part(params, 'project'), part(params, 'application'), part(params, 'cluster')),
    ),
    view('deliveries/:project/:application/:cluster/object', reads(Delivery, 'get'), ({ params, query }) =>
      objectView(options, deliveryIn(params), objectIn(query)),
    ),
    // What the cluster holds is more than what the plane does: a right of its own, for whoever narrows rights down one day.
    view(
      'deliveries/:project/:application/:cluster/object/live',
      (head) => ({ ...reads(Delivery, 'get')(head), subresource: 'live' }),
      (request) =>
        request.held(() =>
          liveObjectView(options, deliveryIn(request.params), objectIn(request.query), {
            by: actorOf(request.principal),
            signal: request.signal,
          }),
        ),
    ),
    view(
      'activity',
      () => ({ verb: 'list', resource: 'events' }),
      (request) => {
        const { query } = request;
        return activityView(
          index,
          {
            project: query.get('project') ?? undefined,
            application: query.get('application') ?? undefined,
            cluster: query.get('cluster') ?? undefined,
            kind: query.get('kind') ?? undefined,
            type: query.get('type') ?? undefined,
            limit: limitOf(request, 200),
            before: query.get('before') ?? undefined,
          },
          now(),
        );
      },
    ),
    view('changes', reads(Release, 'list'), (request) =>
      changesView(
        { index, now, heads },
        {
          project: request.query.get('project') ?? undefined,
          limit: Math.min(limitOf(request, 50), 200),
          before: request.query.get('before') ?? undefined,
        },
      ),
    ),
    view('commits/:commit', reads(Release, 'list'), ({ params }) => commitView({ ...options, heads }, part(params, 'commit'))),
    view('search', reads(Delivery, 'list'), ({ query }) =>
      searchView(index, (query.get('q') ?? '').slice(0, 200), heads.commits(), now()),
    ),
    view('diff/:project/:name', reads(Application, 'get'), ({ params, query, signal }) =>
      options.diff(
        part(params, 'project'),
        part(params, 'name'),
        {
          ref: query.get('commit') ?? undefined,
          files: filesQuery(query.getAll('files')),
          refresh: query.get('refresh') === 'true',
        },
        signal,
      ),
    ),
  ];

  function selector(request: Pick<HttpRequest, 'query'>): readonly Requirement[] {
    const text = request.query.get('where') ?? '';
    return text === '' ? [] : options.parseSelector(text);
  }

  function pageOf(request: Pick<HttpRequest, 'query'>): PageQuery {
    return {
      limit: limitOf(request, defaultLimit),
      after: request.query.get('after') ?? undefined,
      project: request.query.get('project') ?? undefined,
      where: selector(request),
      sort: request.query.get('sort') === 'worst' ? 'worst' : 'name',
    };
  }
}

function stateIn(query: URLSearchParams): string | undefined {
  const state = query.get('state') ?? undefined;
  if (state === undefined || isState(state)) return state;
  throw new FairleadError('FL_VIEW_STATE', `state=${state} is none; write one of ${deliveryStates.join(', ')}`, {
    kind: 'invalid',
  });
}

function view(path: string, attributes: (head: RequestHead) => Attributes, make: (request: HttpRequest) => unknown): Route {
  return {
    surface: 'views',
    method: 'GET',
    path: `/views/v1/${path}`,
    permission: { allow: 'authorized', attributes },
    async handler(request): Promise<HttpResponse> {
      const value: unknown = await make(request);
      if (value === undefined) {
        throw new FairleadError(
          'FL_VIEW_NOT_FOUND',
          `${decodeURIComponent(request.path.replace('/views/v1/', ''))} does not exist; see kubectl get applications,clusters,deliveries -A`,
          {
            kind: 'not-found',
          },
        );
      }
      return jsonResponse(200, value, { 'cache-control': 'no-store' });
    },
  };
}

/** Views are read with the rights on the kind they show: the segments after the view's word are its namespace and name. */
function reads(kind: Kind, verb: 'get' | 'list'): (head: RequestHead) => Attributes {
  return (head) => {
    const [, , , first, second] = head.segments;
    const isNamed = verb === 'get' && first !== undefined;
    return {
      verb,
      group: 'fairlead.dev',
      resource: kind.plural,
      ...(isNamed && kind.scope === 'Namespaced' ? { namespace: first } : {}),
      ...(isNamed ? { name: kind.scope === 'Namespaced' ? (second ?? '') : first } : {}),
    };
  };
}

function deliveryIn(params: HttpRequest['params']): {
  readonly project: string;
  readonly application: string;
  readonly cluster: string;
} {
  return { project: part(params, 'project'), application: part(params, 'application'), cluster: part(params, 'cluster') };
}

function objectIn(query: URLSearchParams): Pick<ObjectIdentity, 'group' | 'kind' | 'namespace' | 'name'> {
  const text = (name: string): string => query.get(name) ?? '';
  return { group: text('group'), kind: text('kind'), namespace: text('namespace'), name: text('name') };
}

function part(params: HttpRequest['params'], name: string): string {
  const value = params[name];
  if (value === undefined)
    throw new FairleadError('FL_INTERNAL_ROUTE', `the route has no parameter ${name}`, { kind: 'internal' });
  return value;
}

/** `<at>=<ref>`, as `fairlead diff --files` says it. */
function filesQuery(texts: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    texts.map((text) => {
      const equals = text.indexOf('=');
      if (equals < 1 || equals === text.length - 1)
        throw new FairleadError(
          'FL_VIEW_FILES',
          `files=${text} is none; write the directory of spec.source.files and a branch or commit, such as values=main`,
          { kind: 'invalid' },
        );
      return [plainDirectory(text.slice(0, equals)), text.slice(equals + 1)];
    }),
  );
}

function limitOf(request: Pick<HttpRequest, 'query'>, fallback: number): number {
  const text = request.query.get('limit');
  if (text === null) return fallback;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1) {
    throw new FairleadError('FL_VIEW_LIMIT', `limit=${text} is no page size; write a whole number from 1 to ${maxLimit}`, {
      kind: 'invalid',
    });
  }
  return Math.min(limit, maxLimit);
}
