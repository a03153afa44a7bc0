import { Type } from 'typebox';
import { defineKind, type ObjectOf } from '../define-kind.ts';
import { Envelope } from '../envelope.ts';
import { DesiredPosition } from './cluster.ts';

/** A join token: `fl1.<name>.<secret>.<root hash>`. Only the hash of the secret is kept. */
export const JoinToken = defineKind({
  kind: 'JoinToken',
  plural: 'jointokens',
  scope: 'Cluster',
  access: 'internal',
  description: 'A join token: at most an hour, one cluster, bound to the first key that presents it.',
  spec: Type.Object({
    cluster: Type.String(),
    secretHash: Type.String(),
    expiresAt: Type.String(),
    createdBy: Type.String(),
    boundKey: Type.Optional(Type.String()),
  }),
  status: Type.Object({}),
  columns: [],
  selectable: ['spec.cluster'],
});
export type JoinToken = ObjectOf<typeof JoinToken>;

/** What the plane knows of one agent's identity. Name: the cluster's. */
export const AgentIdentity = defineKind({
  kind: 'AgentIdentity',
  plural: 'agentidentities',
  scope: 'Cluster',
  access: 'internal',
  description: 'The keys of the agent of one cluster.',
  spec: Type.Object({
    signingKey: Type.String(),
    keyId: Type.String(),
    sealingKey: Type.String(),
    kubeSystemUid: Type.String(),
    joinedAt: Type.String(),
    receipt: Envelope,
    /** A tombstone: the Cluster was deleted, and the receipt of this or an older agent does not bring it back. */
    detached: Type.Optional(Type.Boolean()),
  }),
  status: Type.Object({}),
  columns: [],
  selectable: ['spec.keyId', 'spec.kubeSystemUid'],
});
export type AgentIdentity = ObjectOf<typeof AgentIdentity>;

/** The newest signed desired state of one cluster. Name: the cluster's. */
export const DesiredStateRow = defineKind({
  kind: 'DesiredStateRow',
  plural: 'desiredstaterows',
  scope: 'Cluster',
  access: 'internal',
  description: 'The newest signed desired state of one cluster.',
  spec: Type.Object({
    position: DesiredPosition,
    envelope: Envelope,
    /** sha256 over the content without position and time: equal content is not signed twice. */
    content: Type.String(),
    /** The positions before this one, newest first, at most 32: how a plane restored from an older copy knows another history. */
    history: Type.Array(DesiredPosition),
  }),
  status: Type.Object({}),
  columns: [],
});
export type DesiredStateRow = ObjectOf<typeof DesiredStateRow>;

/**
 * What the newest Release of an Application was rendered from: a later commit that changes nothing of it renders nothing.
 * Name: the Application's. Written in the same commit as the Release; may be lost (then everything is rendered once more).
 */
export const RenderRow = defineKind({
  kind: 'RenderRow',
  plural: 'renderrows',
  scope: 'Namespaced',
  access: 'internal',
  description: 'What the newest Release of one Application was rendered from.',
  spec: Type.Object({
    applicationUid: Type.String(),
    /** The REFRESH_ANNOTATION that what is fetched from elsewhere was last resolved for. */
    refreshed: Type.Optional(Type.String()),
    /** One per path and options: clusters that are rendered from the same files in the same way. */
    trees: Type.Array(
      Type.Object({
        /** sha256 over renderer version, path and options. */
        base: Type.String(),
        /** Object id of the path's tree, or a hash of it and of what was looked for outside of it. */
        tree: Type.String(),
        /** Directories and files outside of the path that were looked for. */
        outside: Type.Optional(Type.Array(Type.String())),
        /** What was fetched: `referenceKey` → digest. */
        pins: Type.Optional(Type.Record(Type.String(), Type.String())),
        /** Of what might be another thing when it is asked for again: `referenceKey` → what it was found to be, and when. */
        floating: Type.Optional(
          Type.Record(Type.String(), Type.Object({ what: Type.String(), found: Type.String(), at: Type.String() })),
        ),
        /** Files whose Chart.lock no longer is of their Chart.yaml. */
        staleLocks: Type.Optional(Type.Array(Type.String())),
        /** sha256 over names and object ids of the files that the renders read or looked for. */
        files: Type.String(),
        /** What they read and looked for: by it, `files` of another tree. */
        read: Type.Array(Type.String()),
        listed: Type.Array(
          Type.Object({
            directory: Type.String(),
            suffixes: Type.Array(Type.String()),
            names: Type.Array(Type.String()),
            recurse: Type.Boolean(),
          }),
        ),
        /** Variables that the files mention. */
        variables: Type.Array(Type.String()),
        /** Commit time in ms, where it had an influence. */
        clockMs: Type.Optional(Type.Integer()),
        /** One per set of values of the variables. */
        groups: Type.Array(
          Type.Object({
            /** sha256 over the values. */
            values: Type.String(),
            /** A chart's NOTES.txt, without what is sealed. */
            notes: Type.Optional(Type.String()),
            bundles: Type.Array(
              Type.Object({
                digest: Type.String(),
                objects: Type.Integer(),
                /** Cluster → hash of the keys its secrets are sealed with, '' where nothing is sealed; '' → the plane itself. */
                members: Type.Record(Type.String(), Type.String()),
              }),
            ),
          }),
        ),
      }),
    ),
  }),
  status: Type.Object({}),
  columns: [],
});
export type RenderRow = ObjectOf<typeof RenderRow>;

/** What clusters serve; clusters that serve the same share one. Never changed but for `unusedSince`. Name: its digest in hex. */
export const ApiList = defineKind({
  kind: 'ApiList',
  plural: 'apilists',
  scope: 'Cluster',
  access: 'internal',
  description: 'A list of API versions and kinds that clusters serve.',
  spec: Type.Object({
    versions: Type.Array(Type.String()),
    /** Since when no Cluster refers to it; whoever refers to it again takes this away. */
    unusedSince: Type.Optional(Type.String()),
  }),
  status: Type.Object({}),
  columns: [],
});
export type ApiList = ObjectOf<typeof ApiList>;

/** Key of the list of a digest `sha256:<hex>`. */
export function apiListKey(digest: string): { readonly namespace: string; readonly name: string } {
  return { namespace: '', name: digest.slice(digest.indexOf(':') + 1) };
}
