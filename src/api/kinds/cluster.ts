import { Type, type Static } from 'typebox';
import { Conditions, defineKind, StoredReason, type ObjectOf } from '../define-kind.ts';
import { ageColumn, readyColumns } from './columns.ts';

/** Annotation by which a person ends the recovery of a Cluster; its value is `<epoch>.<seq>` of the adopted position. */
export const CONFIRM_RECOVERY_ANNOTATION = 'fairlead.dev/confirm-recovery';

/** (epoch, seq, digest) of a desired state. */
export const DesiredPosition = Type.Object({
  epoch: Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Raised when a plane takes over or recovers.',
  }),
  seq: Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'Raised by every change of the desired state.',
  }),
  digest: Type.String({ maxLength: 80, description: 'sha256 of the exact signed bytes.' }),
});

export type DesiredPosition = Static<typeof DesiredPosition>;

export const Cluster = defineKind({
  kind: 'Cluster',
  plural: 'clusters',
  shortNames: ['cl'],
  categories: ['fairlead', 'all'],
  scope: 'Cluster',
  description:
    'One managed cluster. Its labels belong to the plane and choose what is delivered; its facts are reported by the agent. It is bound to the UID of its kube-system namespace when its agent joins. Deleting a Cluster detaches it: what it runs stays.',
  spec: Type.Object({
    description: Type.Optional(Type.String({ maxLength: 1024, description: 'For people.' })),
    suspend: Type.Optional(
      Type.Boolean({ description: 'While true nothing new is assigned to this cluster; its agent keeps what it has.' }),
    ),
  }),
  status: Type.Object({
    observedGeneration: Type.Optional(Type.Integer({ description: 'metadata.generation last acted on.' })),
    kubeSystemUid: Type.Optional(Type.String({ description: 'UID of the kube-system namespace this cluster is bound to.' })),
    facts: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Reported by the agent, such as kubernetesVersion, nodes, platform. Usable in values, never in paths.',
      }),
    ),
    apis: Type.Optional(
      Type.Object(
        {
          count: Type.Integer({ description: 'API versions and kinds, such as apps/v1 and apps/v1/Deployment.' }),
          digest: Type.String({ description: 'Of the list that charts rendered for this cluster see.' }),
          reported: Type.String({ description: 'Of the list that the agent reported.' }),
          unavailable: Type.Optional(
            Type.Array(Type.String(), {
              description: 'Group versions whose own server did not answer: what was known of them is kept.',
            }),
          ),
        },
        {
          description:
            'What the cluster serves, as its agent reported it: .Capabilities.APIVersions of charts. Absent: not reported yet.',
        },
      ),
    ),
    agent: Type.Optional(
      Type.Object({
        version: Type.String({ description: 'Version of the agent.' }),
        capability: Type.Integer({ description: 'Protocol capability of the agent.' }),
        joinedAt: Type.String({ format: 'date-time', description: 'When this identity joined.' }),
        keyId: Type.String({ description: 'Fingerprint of the signing key.' }),
        factsAt: Type.Optional(Type.String({ format: 'date-time', description: 'When the agent last said other facts.' })),
      }),
    ),
    desired: Type.Optional(DesiredPosition),
    held: Type.Optional(DesiredPosition),
    deliveries: Type.Optional(
      Type.Object({
        total: Type.Integer({ description: 'Applications delivered here.' }),
        ready: Type.Integer({ description: 'Of these, those that are what Git says.' }),
      }),
    ),
    recovery: Type.Optional(
      Type.Object({
        since: Type.String({ format: 'date-time', description: 'When the agent was found ahead of this plane.' }),
        adopted: DesiredPosition,
      }),
    ),
    reason: Type.Optional(StoredReason),
    conditions: Type.Optional(Conditions),
  }),
  columns: [
    ...readyColumns('Whether its agent is in contact and everything is what Git says.'),
    {
      name: 'Version',
      type: 'string',
      description: 'Kubernetes version.',
      priority: 0,
      jsonPath: '.status.facts.kubernetesVersion',
      value: (o) => o.status?.facts?.['kubernetesVersion'],
    },
    ageColumn,
    {
      name: 'Agent',
      type: 'string',
      description: 'Agent version.',
      priority: 1,
      jsonPath: '.status.agent.version',
      value: (o) => o.status?.agent?.version,
    },
  ],
  example: `apiVersion: fairlead.dev/v1alpha1
kind: Cluster
metadata: {name: prod-eu, labels: {env: prod, region: eu}}
`,
});

export type Cluster = ObjectOf<typeof Cluster>;
