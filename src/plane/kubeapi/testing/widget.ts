import { Type } from 'typebox';
import { defineKind } from '#api';

const text = Type.Optional(Type.String());

/** A kind that has every shape server-side apply tells apart; for the comparison with a real API server. */
export const Widget = defineKind({
  kind: 'Widget',
  plural: 'widgets',
  scope: 'Namespaced',
  description: 'Every shape of field.',
  spec: Type.Object({
    text,
    number: Type.Optional(Type.Integer()),
    flag: Type.Optional(Type.Boolean({ default: true })),
    nested: Type.Optional(Type.Object({ a: text, b: text, inner: Type.Optional(Type.Object({ c: text })) })),
    free: Type.Optional(Type.Record(Type.String(), Type.String())),
    whole: Type.Optional(Type.Record(Type.String(), Type.String(), { 'x-kubernetes-map-type': 'atomic' })),
    atomic: Type.Optional(Type.Array(Type.String(), { 'x-kubernetes-list-type': 'atomic' })),
    set: Type.Optional(Type.Array(Type.String(), { 'x-kubernetes-list-type': 'set' })),
    keyed: Type.Optional(
      Type.Array(
        Type.Object({
          name: Type.String(),
          port: Type.Integer({ default: 80 }),
          value: text,
          tags: Type.Optional(Type.Array(Type.String(), { 'x-kubernetes-list-type': 'set' })),
          parts: Type.Optional(
            Type.Array(Type.Object({ id: Type.String(), v: text }), {
              'x-kubernetes-list-type': 'map',
              'x-kubernetes-list-map-keys': ['id'],
            }),
          ),
        }),
        { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name', 'port'] },
      ),
    ),
    anything: Type.Optional(Type.Record(Type.String(), Type.Unknown(), { 'x-kubernetes-preserve-unknown-fields': true })),
  }),
  status: Type.Object({
    phase: text,
    conditions: Type.Optional(
      Type.Array(Type.Object({ type: Type.String(), status: text }), {
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['type'],
      }),
    ),
  }),
  columns: [],
});
