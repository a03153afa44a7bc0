/**
 * agentsim: a fleet of agents without clusters. They speak the real protocol over TLS, each with its own keys: join, hold long
 * polls, fetch what they do not have, report every new document as applied and healthy, come back after the plane was away.
 * Guarantees: one process for all of them, apart from the plane and from whoever measures, that ends with its parent. They
 * apply nothing: what an apply costs is measured on real clusters.
 */
export { SimulatedAgents, type Arrival, type SimulatedAgentsOptions } from './simulated-agents.ts';
