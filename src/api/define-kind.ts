import { Type, type Static, type TObject, type TSchema } from 'typebox';
import { API_VERSION, type PlaneObject } from './objects.ts';

/** One column of `kubectl get`. `value` is a pure function of the object; ages are given as timestamps and written by the server. */
export interface Column<O> {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'date';
  readonly description: string;
  /** 0 shows always, 1 with `-o wide`. */
  readonly priority: 0 | 1;
  /** For CRDs generated from this kind; must say what `value` says for objects that the store holds. */
  readonly jsonPath: string;
  value(object: O): string | number | boolean | undefined;
}

/** A rule that the schema cannot say. Pure; `field` is a path such as `spec.targets[0]`. */
export interface Violation {
  readonly field: string;
  readonly message: string;
  readonly reason: 'FieldValueInvalid' | 'FieldValueRequired' | 'FieldValueForbidden' | 'FieldValueDuplicate';
}

/** Written as a method's type so that a Kind of something is a Kind of anything. */
export type Rule<O> = { check(object: O, previous: O | undefined): readonly Violation[] }['check'];

export interface KindOptions<S extends TObject, T extends TObject> {
  readonly kind: string;
  readonly plural: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
  readonly scope: 'Namespaced' | 'Cluster';
  /** One paragraph for `kubectl explain` and the reference. */
  readonly description: string;
  readonly spec: S;
  readonly status: T;
  readonly columns: readonly Column<PlaneObject<Static<S>, Static<T>>>[];
  /** Field selectors beside metadata.name and metadata.namespace; each is an index in the store. Path such as `spec.cluster`. */
  readonly selectable?: readonly string[];
  readonly rules?: readonly Rule<PlaneObject<Static<S>, Static<T>>>[];
  /** `internal` kinds are rows of the plane that no API serves. `read` kinds are served, but only controllers write their spec. */
  readonly access?: 'write' | 'read' | 'internal';
  /** A complete object as YAML: shown in the docs, applied in a test. */
  readonly example?: string;
}

export interface Kind<Spec = unknown, Status = unknown> extends Omit<
  KindOptions<TObject, TObject>,
  'columns' | 'rules' | 'spec' | 'status'
> {
  readonly apiVersion: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly selectable: readonly string[];
  readonly access: 'write' | 'read' | 'internal';
  readonly specSchema: TSchema;
  readonly statusSchema: TSchema;
  readonly columns: readonly Column<PlaneObject<Spec, Status>>[];
  readonly rules: readonly Rule<PlaneObject<Spec, Status>>[];
}

/** The object type of a kind: `ObjectOf<typeof Application>`. */
export type ObjectOf<K> = K extends Kind<infer Spec, infer Status> ? PlaneObject<Spec, Status> : never;

/**
 * Declares a kind once: type, validation, OpenAPI, columns, selectable fields, documentation, editor schema and CRD all
 * come from here.
 */
export function defineKind<S extends TObject, T extends TObject>(options: KindOptions<S, T>): Kind<Static<S>, Static<T>> {
  const { spec, status, ...rest } = options;
  return {
    ...rest,
    apiVersion: API_VERSION,
    shortNames: options.shortNames ?? [],
    categories: options.categories ?? [],
    selectable: options.selectable ?? [],
    access: options.access ?? 'write',
    rules: options.rules ?? [],
    specSchema: spec,
    statusSchema: status,
  };
}

/** `name` of an object in the same project. */
export const LocalReference = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 253, description: 'Name of the object, in the same project.' }),
});

/** `metav1.LabelSelector`; `{}` selects everything, absent selects nothing. */
export const LabelSelectorSchema = Type.Object(
  {
    matchLabels: Type.Optional(
      Type.Record(Type.String(), Type.String(), { description: 'Labels that must have exactly these values.' }),
    ),
    matchExpressions: Type.Optional(
      Type.Array(
        Type.Object({
          key: Type.String({ description: 'Label key.' }),
          operator: Type.Enum(['In', 'NotIn', 'Exists', 'DoesNotExist'], { description: 'How the key relates to the values.' }),
          values: Type.Optional(
            Type.Array(Type.String(), { 'x-kubernetes-list-type': 'atomic', description: 'For In and NotIn.' }),
          ),
        }),
        { 'x-kubernetes-list-type': 'atomic', description: 'All of these must hold.' },
      ),
    ),
  },
  {
    description: 'A Kubernetes label selector: {} selects everything, absent selects nothing.',
    'x-kubernetes-map-type': 'atomic',
  },
);

export const ConditionSchema = Type.Object({
  type: Type.String({ description: 'Ready, Reconciling or Stalled.' }),
  status: Type.Enum(['True', 'False', 'Unknown'], { description: 'Whether the condition holds.' }),
  observedGeneration: Type.Optional(Type.Integer({ description: 'metadata.generation that this was decided for.' })),
  lastTransitionTime: Type.String({ format: 'date-time', description: 'When status last changed.' }),
  reason: Type.String({ description: 'Reason code, in CamelCase or FL_…; see the reasons reference.' }),
  message: Type.String({ description: 'The sentence for people.' }),
});

export const Conditions = Type.Array(ConditionSchema, {
  'x-kubernetes-list-type': 'map',
  'x-kubernetes-list-map-keys': ['type'],
  description: 'Ready, Reconciling and Stalled, each for the generation it names.',
});

/** A reason as stored: what `say` turns into the sentence that every surface shows. */
export const StoredReason = Type.Object(
  {
    code: Type.String({ description: 'Stable code; see the reasons reference.' }),
    args: Type.Record(Type.String(), Type.Unknown(), {
      'x-kubernetes-preserve-unknown-fields': true,
      description: 'Arguments of the sentence.',
    }),
    since: Type.String({ format: 'date-time', description: 'Since when this is the reason.' }),
  },
  { description: 'Why something is as it is.' },
);
