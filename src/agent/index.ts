/**
 * agent: the process in a cluster. It asks the plane what the cluster should hold, applies it, keeps it so, and reports.
 * Egress only: it listens on nothing. Everything it decides is one pure reducer (`core/`); polls, watches, reports and
 * timers only post signals to one mailbox.
 *
 * Guarantees: nothing is applied that a key of the plane has not signed for this very cluster, and nothing older than what
 * was held; nothing is deleted that is not in its own inventory, marked as its own and within the budget; absence is never
 * an instruction; what it reports as applied is durable and so; with the plane away it goes on healing, also after a restart.
 * It is not: a renderer (bundles come rendered), a general client, or a place where secrets lie in clear.
 */
export { runAgentCommand, type AgentIo } from './command.ts';
export { agentManifests, type ManifestOptions } from './manifests.ts';
export { agentOptionTable, type AgentOption } from './options.ts';
export { agentProfile, type ProfileOptions } from './profiles.ts';
export { agentNodeEnvironment, agentNodeFlags, buildAgent, type AgentBuildOptions } from './build.ts';
export { runAgent, type AgentOptions } from './run-agent.ts';
export type { StatePlace } from './state/open-state.ts';
