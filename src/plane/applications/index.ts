/**
 * applications: from Snapshots to Releases, and from Releases to what each Delivery wants. Chooses the clusters of every
 * Application, renders each group of clusters with equal input once, and makes an immutable Release whenever that changes what
 * some cluster should hold; rollouts/ assigns it.
 *
 * Guarantees: a Release is complete, or there is none (one group that does not render keeps the last Release for all); numbers
 * never go back; a cluster is told to let go only on the evidence of the Application's own targets or its deletion; what did not
 * change is neither rendered nor written; content is stored, and issued to its clusters, before the Release that names it.
 *
 * A change to an Application's source, a cluster or a Project wakes release-controller.ts, which takes one look: find-content.ts
 * finds its sources and clusters and renders (render-tree.ts: what of the last render still holds; render-inputs.ts: what a
 * render reads; render-members.ts: the renders themselves), decide-release.ts makes a Release of it where it is news.
 *
 * It signs and sends nothing, and never looks at a cluster: a Delivery's status belongs to the deliveries room.
 */
export { createApplications, type ApplicationsOptions } from './applications.ts';
export { previewCommit, type Preview, type PreviewedObject, type PreviewQuery } from './preview.ts';
export type { Derive } from './tree-context.ts';
export {
  describeReference,
  referenceKey,
  type RemoteReference,
  type ResolvedReference,
  type ResolveReferences,
} from './remote-references.ts';
export type { OpenSnapshot, SnapshotFile, SnapshotFiles } from './snapshot-files.ts';
