/**
 * plane: the management service. Source of truth and orchestration, never a point of execution: it connects to no cluster.
 * This file is its only door; `start-plane.ts` is the one place that knows every room inside,
 * `stored-plane.ts` what is done to a plane from beside it.
 */
export { planeRoles, startPlane, type Address, type Plane, type PlaneOptions, type PlaneRole } from './start-plane.ts';
export { adoptPlane, backupPlane, restorePlane, rotatePlaneKey, type DatabaseOptions } from './stored-plane.ts';
