import { Type } from 'typebox';
import { Conditions, defineKind, LabelSelectorSchema, type ObjectOf } from '../define-kind.ts';
import { ageColumn } from './columns.ts';

const GroupKind = Type.Object({
  group: Type.String({ description: 'API group; "" is core, "*" is every group.' }),
  kind: Type.String({ description: 'Kind; "*" is every kind of the group.' }),
});

/** A tenant. What it does not name, its applications may not use. */
export const Project = defineKind({
  kind: 'Project',
  plural: 'projects',
  shortNames: ['proj'],
  categories: ['fairlead'],
  scope: 'Cluster',
  description:
    'A tenant: the namespace of the same name on the plane, with the sources, clusters, namespaces and kinds its applications may use, and the service account they apply as. What a Project does not name is denied.',
  spec: Type.Object({
    sources: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Source URLs its repositories may use; * matches within a path segment, ** across segments.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
    clusterSelector: Type.Optional(LabelSelectorSchema),
    namespaces: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Namespaces in clusters it may deliver to; * is a wildcard.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
    clusterKinds: Type.Optional(
      Type.Array(GroupKind, { description: 'Cluster-scoped kinds it may deliver.', 'x-kubernetes-list-type': 'atomic' }),
    ),
    deniedKinds: Type.Optional(
      Type.Array(GroupKind, {
        description: 'Kinds it may never deliver, whatever the scope.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
    serviceAccount: Type.Optional(
      Type.Object(
        {
          default: Type.Optional(
            Type.String({
              description:
                'Service account used where an Application names none; "name" in the application\'s namespace, or "namespace/name".',
            }),
          ),
          allowed: Type.Optional(
            Type.Array(Type.String(), {
              description:
                'Service accounts an Application may name, in the same form; * is a wildcard. Absent: only the default.',
              'x-kubernetes-list-type': 'atomic',
            }),
          ),
          agentIdentity: Type.Optional(
            Type.Boolean({
              description: "Whether applications without a service account may apply with the agent's own rights. Default false.",
            }),
          ),
        },
        { description: 'The identity that applications of this Project apply as in clusters.' },
      ),
    ),
    planeKinds: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'Kinds of the plane\'s own API that applications of this Project may write with a target `plane`; "*" is every kind, in every namespace.',
        'x-kubernetes-list-type': 'atomic',
      }),
    ),
    deletionBudget: Type.Optional(
      Type.Object(
        {
          maxObjects: Type.Optional(
            Type.Integer({ minimum: 0, description: 'Deletions in one step that need no waiver. Default 10.' }),
          ),
          maxPercent: Type.Optional(
            Type.Integer({ minimum: 0, maximum: 100, description: 'The same as a share of the objects held. Default 20.' }),
          ),
        },
        {
          description:
            'The larger of both counts. Protected kinds (Namespace, CustomResourceDefinition, PersistentVolumeClaim, PersistentVolume) always need a waiver.',
        },
      ),
    ),
  }),
  status: Type.Object({ conditions: Type.Optional(Conditions) }),
  columns: [ageColumn],
  example: `apiVersion: fairlead.dev/v1alpha1
kind: Project
metadata: {name: payments}
spec:
  sources: ["https://git.example.com/payments/**"]
  clusterSelector: {matchLabels: {env: prod}}
  namespaces: ["payments", "payments-*"]
  serviceAccount: {default: fairlead-payments/deployer}
`,
});

export type Project = ObjectOf<typeof Project>;
