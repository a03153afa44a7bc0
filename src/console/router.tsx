import { createRootRoute, createRoute, createRouter } from '@tanstack/react-router';
import { ActivityPage } from './pages/activity.tsx';
import { ApplicationPage } from './pages/application.tsx';
import { ApplicationsPage } from './pages/applications.tsx';
import { ClusterPage } from './pages/cluster.tsx';
import { ClustersPage } from './pages/clusters.tsx';
import { DeliveryPage } from './pages/delivery.tsx';
import { FleetPage } from './pages/fleet.tsx';
import { LoginPage } from './pages/login.tsx';
import { Frame, NotFound } from './parts/frame.tsx';
import type { ActivitySearch, FleetSearch } from './search.ts';

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

const root = createRootRoute({ component: Frame, notFoundComponent: NotFound });

const routes = [
  createRoute({
    getParentRoute: () => root,
    path: '/',
    component: FleetPage,
    validateSearch: (search: Record<string, unknown>): FleetSearch =>
      pick({ group: text(search['group']), where: text(search['where']) }),
  }),
  createRoute({ getParentRoute: () => root, path: '/applications', component: ApplicationsPage }),
  createRoute({ getParentRoute: () => root, path: '/clusters', component: ClustersPage }),
  createRoute({ getParentRoute: () => root, path: '/a/$project/$application', component: ApplicationPage }),
  createRoute({ getParentRoute: () => root, path: '/c/$cluster', component: ClusterPage }),
  createRoute({ getParentRoute: () => root, path: '/d/$project/$application/$cluster', component: DeliveryPage }),
  createRoute({
    getParentRoute: () => root,
    path: '/activity',
    component: ActivityPage,
    validateSearch: (search: Record<string, unknown>): ActivitySearch =>
      pick({ project: text(search['project']), cluster: text(search['cluster']), type: text(search['type']) }),
  }),
  createRoute({ getParentRoute: () => root, path: '/login', component: LoginPage }),
] as const;

function pick<T extends Record<string, string | undefined>>(values: T): { [K in keyof T]?: string } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: string };
}

// oxlint-disable-next-line typescript/explicit-function-return-type -- the router's type is inferred from the routes
export function createConsoleRouter() {
  return createRouter({ routeTree: root.addChildren(routes), defaultPreload: 'intent', scrollRestoration: true });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createConsoleRouter>;
  }
}
