import type { Principal } from './types.ts';

/** What a request wants to do, in the words of Kubernetes RBAC. */
export interface Attributes {
  /** get, list, watch, create, update, patch, delete, deletecollection, or a word of a surface's own. */
  readonly verb: string;
  /** API group; '' for core and for surfaces that have none. */
  readonly group?: string;
  readonly resource: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
  /** Of requests that name no resource. */
  readonly path?: string;
}

export type Decision = { readonly allowed: true; readonly reason: string } | { readonly allowed: false; readonly reason: string };

export type Authorizer = (principal: Principal, attributes: Attributes) => Decision;

/** The resource under which the routes of `/agent/v1` ask; `name` is the cluster. */
export const AGENT_RESOURCE = 'agent';

/**
 * The one authorizer. Denies by default: an administrator may do everything but speak as an agent, an agent only what is
 * its own cluster's. What is public never asks.
 */
export const authorize: Authorizer = (principal, attributes) => {
  switch (principal.type) {
    case 'admin':
      return attributes.resource === AGENT_RESOURCE
        ? { allowed: false, reason: 'only the agent of a cluster speaks for it' }
        : { allowed: true, reason: 'administrators may do everything' };
    case 'agent':
      return attributes.resource === AGENT_RESOURCE && attributes.name === principal.cluster
        ? { allowed: true, reason: "the agent's own cluster" }
        : { allowed: false, reason: 'an agent may only use the agent API of its own cluster' };
    case 'anonymous':
      return { allowed: false, reason: 'no credentials were sent' };
  }
};
