import { createRootRoute, createRoute, createRouter } from '@tanstack/react-router';
import { ActivityPage } from './pages/activity.tsx';
import { ApplicationPage } from './pages/application.tsx';
import { ApplicationsPage } from './pages/applications.tsx';
import { ChangesPage } from './pages/changes.tsx';
import { ClusterPage } from './pages/cluster.tsx';
import { ClustersPage } from './pages/clusters.tsx';
import { CommitPage } from './pages/commit.tsx';
import { DeliveryPage } from './pages/delivery.tsx';
import { FleetPage } from './pages/fleet.tsx';
import { LoginPage } from './pages/login.tsx';
import { ObjectPage } from './pages/object.tsx';
import { Frame, NotFound } from './parts/frame.tsx';
import type { ActivitySearch, ChangesSearch, FleetSearch, ListSearch } from './search.ts';

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

const root = createRootRoute({ component: Frame, notFoundComponent: NotFound });

const listSearch = (search: Record<string, unknown>): ListSearch => ({
  ...pick({ where: text(search['where']) }),
  ...(search['sort'] === 'name' ? { sort: 'name' as const } : {}),
});

const routes = [
  createRoute({
    getParentRoute: () => root,
    path: '/',
    component: FleetPage,
    validateSearch: (search: Record<string, unknown>): FleetSearch =>
      pick({ group: text(search['group']), where: text(search['where']) }),
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/applications',
    component: ApplicationsPage,
    validateSearch: listSearch,
  }),
  createRoute({ getParentRoute: () => root, path: '/clusters', component: ClustersPage, validateSearch: listSearch }),
  createRoute({
    getParentRoute: () => root,
    path: '/changes',
    component: ChangesPage,
    validateSearch: (search: Record<string, unknown>): ChangesSearch => pick({ project: text(search['project']) }),
  }),
  createRoute({ getParentRoute: () => root, path: '/commits/$commit', component: CommitPage }),
  createRoute({ getParentRoute: () => root, path: '/a/$project/$application', component: ApplicationPage }),
  createRoute({ getParentRoute: () => root, path: '/c/$cluster', component: ClusterPage }),
  createRoute({ getParentRoute: () => root, path: '/d/$project/$application/$cluster', component: DeliveryPage }),
  createRoute({
    getParentRoute: () => root,
    path: '/d/$project/$application/$cluster/objects/$gvk/$namespace/$name',
    component: ObjectPage,
  }),
  createRoute({
    getParentRoute: () => root,
    path: '/activity',
    component: ActivityPage,
    validateSearch: (search: Record<string, unknown>): ActivitySearch =>
      pick({
        project: text(search['project']),
        application: text(search['application']),
        cluster: text(search['cluster']),
        type: text(search['type']),
      }),
  }),
  createRoute({ getParentRoute: () => root, path: '/login', component: LoginPage }),
] as const;

function pick<T extends Record<string, string | undefined>>(values: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: string };
}

/** Texts as they are: what looks like a number or a boolean is a label's value all the same, and kubectl's selectors stay readable. */
function parseSearch(search: string): Record<string, string> {
  return Object.fromEntries(new URLSearchParams(search));
}

function stringifySearch(search: Record<string, unknown>): string {
  // One view has one address, whichever of its values was chosen first.
  const pairs = Object.entries(search)
    .flatMap(([key, value]) => (typeof value === 'string' ? [[key, value] as [string, string]] : []))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const query = new URLSearchParams(pairs).toString();
  return query === '' ? '' : `?${query}`;
}

// oxlint-disable-next-line typescript/explicit-function-return-type -- the router's type is inferred from the routes
export function createConsoleRouter() {
  return createRouter({
    routeTree: root.addChildren(routes),
    defaultPreload: 'intent',
    scrollRestoration: true,
    parseSearch,
    stringifySearch,
  });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createConsoleRouter>;
  }
}
