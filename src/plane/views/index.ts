/**
 * views: read-only aggregates for the console and the CLI (`/views/v1`) and the doorbells that tell when to ask again
 * (`/live`). It keeps a small mirror of the fleet in memory and never writes anything.
 */
export * from './activity-view.ts';
export * from './change-views.ts';
export * from './detail-views.ts';
export * from './fleet-index.ts';
export * from './fleet-view.ts';
export * from './list-views.ts';
export * from './live.ts';
export { type LookAt } from './live-object-view.ts';
export * from './matrix-view.ts';
export { viewsRoutes, type ViewsOptions } from './routes.ts';
export * from './state.ts';
