import assert from 'node:assert/strict';
import { test } from 'node:test';
import { authorize, AGENT_RESOURCE } from './authorize.ts';
import { RouteTable, type Route } from './routes.ts';
import { surfaces, type Method, type Principal, type Surface } from './types.ts';

const all: ReadonlySet<Surface> = new Set(surfaces);
const handler: Route['handler'] = () => ({ status: 200 });

function table(...paths: readonly string[]): RouteTable {
  const routes = new RouteTable();
  for (const path of paths) {
    const [method, pattern] = path.split(' ');
    routes.add({ surface: 'system', method: method as Method, path: pattern ?? '', permission: { allow: 'public' }, handler });
  }
  return routes;
}

function match(routes: RouteTable, method: Method, path: string): unknown {
  const found = routes.match(method, { path, segments: path.slice(1).split('/') }, all);
  return typeof found === 'object' ? [found.route.path, found.params] : found;
}

test('the most specific route wins', () => {
  const routes = table('GET /*', 'GET /a/:x', 'GET /a/b', 'GET /a/*', 'POST /a/:x/c');
  assert.deepEqual(match(routes, 'GET', '/a/b'), ['/a/b', {}]);
  assert.deepEqual(match(routes, 'GET', '/a/z'), ['/a/:x', { x: 'z' }]);
  assert.deepEqual(match(routes, 'GET', '/a/z/y'), ['/a/*', { '*': 'z/y' }]);
  assert.deepEqual(match(routes, 'GET', '/other/page'), ['/*', { '*': 'other/page' }]);
});

test('a known path with another method is that, even where a page would take everything', () => {
  const routes = table('GET /*', 'POST /a');
  assert.equal(match(routes, 'PUT', '/a'), 'method');
  assert.equal(match(routes, 'GET', '/a'), 'method');
  assert.equal(match(table('POST /a'), 'GET', '/b'), undefined);
});

test('a route without a permission cannot be registered', () => {
  const routes = new RouteTable();
  const base = { surface: 'views', method: 'GET', path: '/x', handler } as const;
  for (const permission of [undefined, {}, { allow: 'everybody' }, { allow: 'authorized' }, { allow: 'agent' }]) {
    assert.throws(() => routes.add({ ...base, permission } as unknown as Route), { code: 'FL_HTTP_ROUTE' });
  }
  routes.add({ ...base, permission: { allow: 'public' } });
  assert.throws(() => routes.add({ ...base, permission: { allow: 'public' } }), /registered twice/);
});

test('the authorizer denies by default', () => {
  const agent: Principal = { type: 'agent', cluster: 'a', keyId: 'k' };
  const allowed = (principal: Principal, resource: string, name = ''): boolean =>
    authorize(principal, { verb: 'get', resource, name }).allowed;
  assert.equal(allowed({ type: 'admin', name: 'x' }, 'clusters'), true);
  assert.equal(allowed({ type: 'admin', name: 'x' }, AGENT_RESOURCE, 'a'), false);
  assert.equal(allowed(agent, AGENT_RESOURCE, 'a'), true);
  assert.equal(allowed(agent, AGENT_RESOURCE, 'b'), false);
  assert.equal(allowed(agent, 'clusters', 'a'), false);
  assert.equal(allowed({ type: 'anonymous' }, 'clusters'), false);
});
