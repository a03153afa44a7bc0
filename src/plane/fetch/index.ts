/**
 * fetch: the one way out of the plane on behalf of a project. Every connection for a source, a chart, a registry or a remote
 * base is made here.
 *
 * Guarantees: the address that is connected to has been checked, for every hop (no second name resolution); a credential goes
 * to the origin it is for and to no other; everything has a cap of bytes and of time; a child process that makes connections
 * itself (git, ssh) does so through a loopback proxy that reaches one host and port and nothing else.
 *
 * It knows nothing of Git, charts or Applications, and decides nothing about what a Project may use.
 */
export { EgressPolicy, type EgressOptions } from './egress-policy.ts';
export { createGuardedConnect, type ConnectTarget, type GuardedConnect, type Resolve } from './guarded-connect.ts';
export { createEgress } from './upstream-connect.ts';
export { startEgressProxy, type EgressGrant, type EgressProxy, type GrantOptions } from './egress-proxy.ts';
export { createFetcher, type Fetcher, type FetcherOptions, type FetchRequest, type FetchResponse } from './fetcher.ts';
export { openContentCache, type ContentCache } from './content-cache.ts';
