/**
 * testbed: real Kubernetes control planes on one machine, without a container engine. One Go program built from the
 * official modules (go/) is etcd, API server, controllers, scheduler and kubectl; one etcd serves all clusters of a testbed.
 * Guarantees: nothing survives the process that started it, however it ends; only the loopback is used; nothing else needs
 * to be installed but Go. Not for production: writes are acknowledged before they are on disk, and simulated nodes run nothing.
 */
export { buildTestbed, type BuildOptions } from './build.ts';
export { buildHelm } from './build-helm.ts';
export type { ApiRequestOptions, ApiResponse, ClusterHandle, KubectlOptions, KubectlResult } from './handle.ts';
export type { Cluster, ClusterOptions } from './cluster.ts';
export { createCluster, startTestbed, type Testbed, type TestbedOptions } from './testbed.ts';
export {
  SHARED_TESTBED_VARIABLE,
  sharedCluster,
  startShared,
  TESTBED_MISSING_VARIABLE,
  testbedMissing,
  uniqueNamespace,
  type SharedTestbed,
  type SharedTestbedOptions,
  type UniqueNamespace,
} from './shared.ts';
export {
  startGitServer,
  type GitCommitOptions,
  type GitContent,
  type GitCounters,
  type GitServer,
  type GitServerOptions,
} from './git-server.ts';
export { findSshd, fingerprintOf, makeSshKey, SSHD_VARIABLE, sshdMissing, startSshServer, type SshServer } from './ssh-server.ts';
export { buildRegistry, startRegistry, type RegistryOptions, type RegistryServer } from './registry-server.ts';
