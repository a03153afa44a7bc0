/**
 * kube: a thin Kubernetes client and the algebra of objects. It speaks HTTP/1.1 with node:https to one API server, keeps
 * projections of what it watches instead of objects, and answers as pure functions what the agent asks of objects: are our
 * fields still as applied, who changed them, is it healthy, in which order to apply.
 * Guarantees: every call has a deadline and a byte limit; bytes to apply are never re-serialised; impersonation headers are
 * written here only; nothing here logs or throws a Secret's value. Not a general client: no protobuf, no strategic merge,
 * no exec plugins, no generated types.
 */
export {
  applyObject,
  deleteObject,
  getObject,
  jsonPatch,
  mergePatch,
  type Applied,
  type ApplyOptions,
  type ApplyResult,
  type CallOptions,
  type DeleteOptions,
  type DeleteResult,
  type JsonPatchOperation,
  type KnownMetadata,
  type PatchOptions,
} from './apply.ts';
export {
  createKubeClient,
  type Impersonation,
  type KubeClient,
  type KubeClientOptions,
  type KubeClientStats,
  type KubeRequest,
  type KubeResponse,
  type KubeStreamRequest,
} from './client.ts';
export { diffObjects, type Change, type DiffOptions } from './diff.ts';
export {
  createRestMapper,
  resourcePath,
  type Capabilities,
  type Discovered,
  type ResourceMapping,
  type RestMapper,
  type RestMapperOptions,
} from './discovery.ts';
export { differsFromWanted, pointerOf, type Difference, type DriftOptions } from './drift.ts';
export {
  fieldConflicts,
  hasStatus,
  isTooLargeResourceVersion,
  KubeStatusError,
  type FieldConflict,
  type StatusCause,
} from './errors.ts';
export { createEventRecorder, type EventRecorder, type EventRecorderOptions, type RecordedEvent } from './events.ts';
export { explainWorkload, WORKLOAD_PROBLEMS, type WorkloadExplanation, type WorkloadProblem } from './explain-workload.ts';
export { formatFieldSet, formatSteps, leavesOf, parseFieldSet, type FieldSet } from './field-set.ts';
export { injectMetadata, type MetadataInjection } from './inject.ts';
export { conditionOf, healthOf, type Health, type HealthStatus } from './kstatus.ts';
export {
  inClusterAccess,
  kubeconfigAccess,
  loadDefaultKubeconfig,
  loadKubeconfig,
  type ClusterAccess,
  type KubeconfigOptions,
} from './kubeconfig.ts';
export { createLease, requireLease, type Lease, type LeaseOptions, type LeaseState } from './lease.ts';
export { createLimiter, type Limiter, type LimiterConfig, type LimiterOptions } from './limiter.ts';
export {
  authorOf,
  claimLegacyOwnership,
  defaultLegacyManagers,
  foreignFields,
  ownedPaths,
  ownedSet,
  projectOwned,
  type ClaimOptions,
  type FieldAuthor,
  type ForeignFields,
  type LegacyManager,
} from './managed-fields.ts';
export {
  compareIds,
  deepEqual,
  describeId,
  formatApiVersion,
  formatId,
  getIn,
  gvkOf,
  idOf,
  isRecord,
  parseApiVersion,
  parseId,
  sameId,
  type GroupVersionKind,
  type KubeMeta,
  type KubeObject,
  type ManagedFieldsRecord,
  type ObjectId,
  type OwnerReference,
} from './objects.ts';
export {
  formatPath,
  formatPointer,
  getPointer,
  isWithin,
  parsePointer,
  removePointer,
  setPointer,
  type PathStep,
} from './pointers.ts';
export { ChangeWatch, type ChangeWatchOptions } from './change-watch.ts';
export { parseQuantity, sameQuantity } from './quantity.ts';
export { capBytes, isSecretKind, LAST_APPLIED, redactMessage, redactObject, type RedactOptions } from './redact.ts';
export { Reflector, type ReflectorEvent, type ReflectorOptions } from './reflector.ts';
export {
  boundedJson,
  isHiddenKind,
  keysOnly,
  markedYaml,
  ownedPointers,
  shortJson,
  shownObject,
  type BoundedJson,
  type MarkedLine,
} from './shown-object.ts';
export { compareForApply, compareForPrune, isProtected, STAGES, stageOf, type Stage } from './stages.ts';
export { formatYaml, parseYaml, parseYamlAll, toJson, type YamlOptions } from './yaml.ts';
