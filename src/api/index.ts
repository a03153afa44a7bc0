/**
 * api: what every part says to every other. The kinds (each declared once), the agent protocol, signed envelopes, label
 * selectors and the reasons catalogue. Pure data and pure functions; it never does I/O.
 */
import { Application } from './kinds/application.ts';
import { ChartRepository } from './kinds/chart-repository.ts';
import { Cluster } from './kinds/cluster.ts';
import { Credential } from './kinds/credential.ts';
import { Delivery } from './kinds/delivery.ts';
import { Event } from './kinds/event.ts';
import { GitRepository } from './kinds/git-repository.ts';
import { AgentIdentity, ApiList, DesiredStateRow, JoinToken, RenderRow } from './kinds/internal.ts';
import { Project } from './kinds/project.ts';
import { Release } from './kinds/release.ts';
import type { Kind } from './define-kind.ts';

export * from './actions.ts';
export * from './define-kind.ts';
export * from './envelope.ts';
export * from './journey.ts';
export * from './key-set.ts';
export * from './kinds/application.ts';
export * from './kinds/chart-repository.ts';
export * from './kinds/cluster.ts';
export * from './kinds/columns.ts';
export * from './kinds/credential.ts';
export * from './kinds/delivery.ts';
export * from './kinds/event.ts';
export * from './kinds/git-repository.ts';
export * from './kinds/internal.ts';
export * from './kinds/project.ts';
export * from './kinds/release.ts';
export { Snapshot } from './kinds/repository.ts';
export * from './live.ts';
export * from './looks.ts';
export * from './objects.ts';
export * from './reasons.ts';
export * from './selectors.ts';
export * from './sources.ts';
export * from './views.ts';
export * from './tenancy.ts';
export * from './duration.ts';
export * from './wire.ts';

/** Kinds that the plane's API serves, in the order of the reference. */
export const servedKinds: readonly Kind[] = [
  Project,
  Cluster,
  GitRepository,
  ChartRepository,
  Credential,
  Application,
  Release,
  Delivery,
];

/** Every kind that the store holds. */
export const allKinds: readonly Kind[] = [...servedKinds, Event, JoinToken, AgentIdentity, DesiredStateRow, RenderRow, ApiList];
