/**
 * plane: the management service. Source of truth and orchestration, never a point of execution: it connects to no cluster.
 * This file is its only door; `start-plane.ts` is the one place that knows every room inside.
 */
export {
  adoptPlane,
  backupPlane,
  planeRoles,
  restorePlane,
  rotatePlaneKey,
  startPlane,
  type Address,
  type DatabaseOptions,
  type Plane,
  type PlaneOptions,
  type PlaneRole,
} from './start-plane.ts';
