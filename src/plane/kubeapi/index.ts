/**
 * kubeapi: the plane's API, a Kubernetes API that stock kubectl, client-go and k9s work with: discovery, OpenAPI v3,
 * list and watch, create, update, patch, server-side apply, Table, dry run, field validation, Status errors. What it
 * answers is compared with a real API server that serves the same kinds as CRDs (oracle.int.test.ts).
 * It guarantees that every write passes schema, rules and admission, names who did it in the audit, and loses no race.
 * It is not a general API server: no CRDs, no strategic merge but for Namespace, no protobuf replies, one version per kind.
 */
export { redactLastApplied, type Admission, type AdmissionRequest, type AdmissionResult } from './admission.ts';
export {
  type ClientApplyOptions,
  type ClientOptions,
  type ClientResult,
  type ClientWriteOptions,
  type KubeApiClient,
  type UncheckedObject,
} from './client.ts';
export { crdsOf } from './crds.ts';
export {
  createKubeApi,
  VERSION_INFO,
  type KubeApi,
  type KubeApiOptions,
  type Subresource,
  type SubresourceRequest,
} from './create-kube-api.ts';
export { parseLabelSelector } from './selectors.ts';
export { structuralSchema } from './structural.ts';
