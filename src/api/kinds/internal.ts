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
    /** One per group of clusters with equal input. */
    groups: Type.Array(
      Type.Object({
        /** sha256 over renderer version, path, options and the values of the variables in use. */
        input: Type.String(),
        /** Object id of the path's tree. */
        tree: Type.String(),
        /** sha256 over the names and object ids of the files that the render read or looked for. */
        files: Type.String(),
        /** What it looked for, to compute `files` of another tree. */
        readSet: Type.Object({
          files: Type.Array(Type.String()),
          listed: Type.Array(
            Type.Object({ suffixes: Type.Array(Type.String()), names: Type.Array(Type.String()), recurse: Type.Boolean() }),
          ),
          hasSecrets: Type.Boolean(),
          /** Whether the commit's time had an influence; then it is part of the key. */
          clockMs: Type.Optional(Type.Integer()),
        }),
        bundles: Type.Array(
          Type.Object({
            digest: Type.String(),
            objects: Type.Integer(),
            plane: Type.Optional(Type.Boolean()),
            /** With secrets: cluster → hash of the keys its objects were sealed with; else '' for every cluster. */
            clusters: Type.Record(Type.String(), Type.String()),
          }),
        ),
      }),
    ),
  }),
  status: Type.Object({}),
  columns: [],
});
export type RenderRow = ObjectOf<typeof RenderRow>;
