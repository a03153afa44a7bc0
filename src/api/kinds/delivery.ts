import { Type, type Static } from 'typebox';
import { Conditions, defineKind, StoredReason, type ObjectOf } from '../define-kind.ts';
import { ageColumn, readyColumns } from './columns.ts';

export const Wanted = Type.Object(
  {
    release: Type.String({ description: 'Name of the Release.' }),
    number: Type.Integer({ description: 'Number of the Release; never goes back.' }),
    bundle: Type.String({ description: 'sha256 of the bundle for this cluster.' }),
    settings: Type.String({
      description: 'sha256 of the settings of the Release: with the bundle, all that the cluster can tell apart.',
    }),
    assignedAt: Type.String({ format: 'date-time', description: 'When a Rollout assigned it.' }),
  },
  { description: 'What this cluster should hold. Only a Rollout sets it.' },
);
export type Wanted = Static<typeof Wanted>;

export const Retirement = Type.Object(
  {
    id: Type.String({ description: 'Names this removal; the agent acknowledges it by this id.' }),
    mode: Type.Enum(['Orphan', 'Delete'], { description: 'Whether the objects stay or go.' }),
    reason: Type.Enum(['TargetExit', 'ApplicationDeleted'], { description: 'Why.' }),
    actor: Type.String({ description: 'Who caused it.' }),
    at: Type.String({ format: 'date-time', description: 'When.' }),
  },
  { description: 'A signed instruction to let go of this application. Absence alone never removes anything.' },
);
export type Retirement = Static<typeof Retirement>;

export const deliveryPhases = [
  'Waiting',
  'Fetching',
  'Applying',
  'Pruning',
  'Settling',
  'Healthy',
  'Degraded',
  'Blocked',
  'Drifted',
  'Retiring',
  'Unknown',
] as const;
export type DeliveryPhase = (typeof deliveryPhases)[number];

const time = (description: string) => Type.Optional(Type.String({ format: 'date-time', description }));

/** When each station of the way was reached for the wanted release. */
export const Journey = Type.Object({
  release: Type.String({ description: 'The Release these times are about.' }),
  committedAt: time('Commit made.'),
  renderedAt: time('Rendered.'),
  releasedAt: time('Release assigned to this cluster.'),
  signedAt: time('Signed into the desired state.'),
  fetchedAt: time('Fetched and verified by the agent.'),
  appliedAt: time('Applied, every object.'),
  healthyAt: time('First healthy.'),
});
export type Journey = Static<typeof Journey>;

export const Delivery = defineKind({
  kind: 'Delivery',
  plural: 'deliveries',
  shortNames: ['del'],
  categories: ['fairlead', 'all'],
  scope: 'Namespaced',
  access: 'read',
  description:
    'One Application on one Cluster: wanted and applied release, health, drift, and why it is as it is. Its name is <application>.<cluster>.',
  spec: Type.Object({
    application: Type.String({ description: 'Name of the Application.' }),
    cluster: Type.String({ description: 'Name of the Cluster.' }),
    wanted: Type.Optional(Wanted),
    retire: Type.Optional(Retirement),
    /** Lifts the deletion budget for exactly this bundle (or this retirement). Set by the annotation fairlead.dev/waiver. */
    waiver: Type.Optional(
      Type.Object({
        for: Type.String({ description: 'Digest of the bundle, or id of the retirement.' }),
        actor: Type.String({ description: 'Who gave it.' }),
        at: Type.String({ format: 'date-time', description: 'When.' }),
      }),
    ),
  }),
  status: Type.Object({
    observedGeneration: Type.Optional(Type.Integer({ description: 'metadata.generation last acted on.' })),
    phase: Type.Optional(Type.Enum([...deliveryPhases], { description: 'Where it stands.' })),
    applied: Type.Optional(
      Type.Object({
        release: Type.String({ description: 'Release the agent holds completely.' }),
        bundle: Type.String({ description: 'Its bundle.' }),
        at: Type.String({ format: 'date-time', description: 'When it was complete.' }),
      }),
    ),
    objects: Type.Optional(
      Type.Object({
        total: Type.Integer({ description: 'Objects in the wanted bundle.' }),
        applied: Type.Integer({ description: 'Of these, applied.' }),
        healthy: Type.Integer({ description: 'Of these, healthy.' }),
        failed: Type.Integer({ description: 'Of these, refused by the cluster.' }),
        drifted: Type.Integer({ description: 'Of these, not what Git says at the moment.' }),
      }),
    ),
    reason: Type.Optional(StoredReason),
    problem: Type.Optional(
      Type.Object(
        {
          about: Type.String({
            description: 'Names the problem: in the cluster, a digest of the reason and the content it is about.',
          }),
          since: Type.String({ format: 'date-time', description: 'Since when.' }),
        },
        { description: 'What was to be mended last, until it is ready: the same keeps its time whatever is tried meanwhile.' },
      ),
    ),
    journey: Type.Optional(Journey),
    conditions: Type.Optional(Conditions),
  }),
  columns: [
    {
      name: 'Application',
      type: 'string',
      description: 'What is delivered.',
      priority: 0,
      jsonPath: '.spec.application',
      value: (o) => o.spec.application,
    },
    {
      name: 'Cluster',
      type: 'string',
      description: 'Where to.',
      priority: 0,
      jsonPath: '.spec.cluster',
      value: (o) => o.spec.cluster,
    },
    ...readyColumns('Whether it is what Git says, and healthy.'),
    {
      name: 'Wanted',
      type: 'string',
      description: 'Wanted Release.',
      priority: 1,
      jsonPath: '.spec.wanted.release',
      value: (o) => o.spec.wanted?.release,
    },
    {
      name: 'Applied',
      type: 'string',
      description: 'Applied Release.',
      priority: 1,
      jsonPath: '.status.applied.release',
      value: (o) => o.status?.applied?.release,
    },
    ageColumn,
  ],
  selectable: ['spec.application', 'spec.cluster', 'status.phase'],
});

export type Delivery = ObjectOf<typeof Delivery>;

export function deliveryName(application: string, cluster: string): string {
  return `${application}.${cluster}`;
}

/** Annotation by which a person lifts the deletion budget of one bundle or retirement. */
export const WAIVER_ANNOTATION = 'fairlead.dev/waiver';

/** Annotation by which a person has the agent compare everything anew; its value is any text that was not there before. */
export const RECONCILE_ANNOTATION = 'fairlead.dev/reconcile';

/** On an Application: another value asks for what its charts and kustomizations name elsewhere to be resolved anew, once. */
export const REFRESH_ANNOTATION = 'fairlead.dev/refresh';
