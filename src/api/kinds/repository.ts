/** What GitRepository and ChartRepository have in common: a place that the plane looks at for Snapshots. */
import { Type, type Static, type TOptional, type TString } from 'typebox';
import { Conditions, StoredReason, type Column } from '../define-kind.ts';
import type { Condition, PlaneObject } from '../objects.ts';
import { readyColumns } from './columns.ts';

/** A Snapshot: the source at one commit. */
export const Snapshot = Type.Object({
  commit: Type.String({ description: 'Commit id; of a chart the sha256 of its archive.' }),
  ref: Type.String({ description: 'The reference it was resolved from.' }),
  committedAt: Type.String({ format: 'date-time', description: 'Committer date.' }),
  author: Type.Optional(Type.String({ description: 'Author name.' })),
  subject: Type.Optional(Type.String({ description: 'First line of the commit message.' })),
  fetchedAt: Type.String({ format: 'date-time', description: 'When the plane first had it.' }),
  signature: Type.Optional(
    Type.Object(
      {
        signer: Type.String({ description: 'Who signed, by the names that spec.verify gives.' }),
        policy: Type.String({ description: 'Hash of the spec.verify it was checked against.' }),
      },
      { description: 'Present when spec.verify was fulfilled.' },
    ),
  ),
  version: Type.Optional(Type.String({ description: 'Version of the chart.' })),
});
export type Snapshot = Static<typeof Snapshot>;

const durationPattern = '^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$';

export function lookInterval(otherwise: string, description: string): TOptional<TString> {
  return Type.Optional(Type.String({ pattern: durationPattern, default: otherwise, description }));
}

export function lookTimeout(description: string): TOptional<TString> {
  return Type.Optional(Type.String({ pattern: durationPattern, default: '60s', description }));
}

export const suspendRepository = Type.Optional(
  Type.Boolean({ description: 'While true the repository is not read; what is delivered stays.' }),
);

export const observedGeneration = Type.Optional(Type.Integer({ description: 'metadata.generation last acted on.' }));

/** Of one thing that is looked for: its Snapshot, and why there is none or none newer. */
export const found = {
  snapshot: Type.Optional(Snapshot),
  reason: Type.Optional(StoredReason),
};

/** The end of a status. */
export const readiness = {
  /** Why it is not ready, with the arguments of the sentence. */
  reason: Type.Optional(StoredReason),
  conditions: Type.Optional(Conditions),
};

type Repository = PlaneObject<{ readonly url: string }, { readonly conditions?: readonly Condition[] | undefined }>;

/** Where it is, and whether it could be read. */
export const repositoryColumns: readonly Column<Repository>[] = [
  {
    name: 'URL',
    type: 'string',
    description: 'Where it is read from.',
    priority: 0,
    jsonPath: '.spec.url',
    value: (object) => object.spec.url,
  },
  ...readyColumns('Whether the last look succeeded.'),
];
