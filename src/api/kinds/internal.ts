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
  }),
  status: Type.Object({}),
  columns: [],
  selectable: ['spec.keyId'],
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
    /** sha256 over the content without position and time: equal content is not signed twice. */ content: Type.String(),
  }),
  status: Type.Object({}),
  columns: [],
});
export type DesiredStateRow = ObjectOf<typeof DesiredStateRow>;

/** The last reports of one agent (state lane). Name: the cluster's. Written with the deliveries it changes. */
export const AgentStateRow = defineKind({
  kind: 'AgentStateRow',
  plural: 'agentstaterows',
  scope: 'Cluster',
  access: 'internal',
  description: 'Where the state lane of one agent stands.',
  spec: Type.Object({
    boot: Type.String(),
    number: Type.Integer(),
    stateDigest: Type.String(),
    held: Type.Optional(DesiredPosition),
    /** Delivery reports by "project/application", as received. */
    deliveries: Type.Record(Type.String(), Type.Unknown()),
    agent: Type.Array(Type.Unknown()),
  }),
  status: Type.Object({}),
  columns: [],
});
export type AgentStateRow = ObjectOf<typeof AgentStateRow>;
