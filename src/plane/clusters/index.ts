/**
 * clusters: the Clusters themselves. Join tokens for people to hand out, the status of every Cluster (joined, in contact, how
 * many deliveries are what Git says, recovery), and the detaching of deleted ones. Guarantees: a status is written only when
 * it says something new; deleting a Cluster leaves what it runs. It speaks to no agent: contact and reports are handed in.
 */
import type { NewId } from '#base';
import type { LiveState } from '#api';
import type { Controller } from '#plane/engine';
import { ClusterController } from './cluster-controller.ts';
import { joinTokenJanitor } from './join-token-janitor.ts';

export { createEnroll, type Enrollment, type EnrollOptions, type EnrollRequest } from './enroll.ts';
export { decideCluster, type ClusterFacts } from './decide-cluster.ts';

export function createClusters(options: { readonly live: LiveState; readonly newUid: NewId }): readonly Controller[] {
  return [new ClusterController(options), joinTokenJanitor];
}
