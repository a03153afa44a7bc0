/**
 * http: the plane's listeners. It authenticates before it reads a body, authorizes by one function that denies by default,
 * bounds everything (headers, bodies, requests in flight, slow clients) and speaks errors in the form of each surface. It
 * knows nothing of kinds, the store or agents: rooms register routes, and a route without a permission cannot be registered.
 */
export * from './authorize.ts';
export * from './create-http.ts';
export * from './errors.ts';
export * from './metrics.ts';
export * from './routes.ts';
export * from './types.ts';
