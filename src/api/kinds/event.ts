import { Type } from 'typebox';
import { defineKind, type ObjectOf } from '../define-kind.ts';

/**
 * What happened, kept for a while. Served as core/v1 Event (which has its own shape: spec's fields stand at the top
 * level there), so that `kubectl events` and `kubectl describe` show it.
 */
export const Event = defineKind({
  kind: 'Event',
  plural: 'events',
  scope: 'Namespaced',
  access: 'internal',
  description: 'Something that happened to an object.',
  spec: Type.Object({
    involvedObject: Type.Object({
      apiVersion: Type.String(),
      kind: Type.String(),
      namespace: Type.String(),
      name: Type.String(),
      uid: Type.String(),
    }),
    type: Type.Enum(['Normal', 'Warning']),
    code: Type.String(),
    args: Type.Record(Type.String(), Type.Unknown()),
    message: Type.String(),
    source: Type.String(),
    firstAt: Type.String(),
    lastAt: Type.String(),
    count: Type.Integer(),
    /** Cluster it happened in, if it did. */
    cluster: Type.Optional(Type.String()),
    /** Ids of the agent's events that are counted here, newest last, at most 50: a repeated report counts nothing twice. */
    ids: Type.Optional(Type.Array(Type.String())),
  }),
  status: Type.Object({}),
  columns: [],
  selectable: ['spec.involvedObject.name', 'spec.involvedObject.kind', 'spec.involvedObject.uid', 'spec.cluster'],
});
export type Event = ObjectOf<typeof Event>;
