/**
 * self: the plane as a target of its own Applications. Applies what a Release says for `{plane: {}}` through the plane's own
 * API, in process: same validation, admission and audit as for anybody, within what the Project's planeKinds allow.
 *
 * Guarantees: what it will hold is recorded before it is applied, and only what is recorded is ever deleted; more than the
 * budget, or a Cluster, Project or namespace, goes only with a waiver that names the bundle; an Application never deletes itself.
 *
 * It renders nothing (the applications room does) and repairs no drift: a person's edit stays until the next Release.
 */
export { createSelf, PLANE_FINALIZER, SELF_FIELD_MANAGER, type SelfOptions } from './self-controller.ts';
