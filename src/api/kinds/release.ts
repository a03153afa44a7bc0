import { Type } from 'typebox';
import { defineKind, type ObjectOf } from '../define-kind.ts';
import { ageColumn } from './columns.ts';
import { DeliverySettings } from './application.ts';

export const Release = defineKind({
  kind: 'Release',
  plural: 'releases',
  shortNames: ['rel'],
  categories: ['fairlead'],
  scope: 'Namespaced',
  access: 'read',
  description:
    'One immutable version of an Application: the commit, the settings of that moment, the renderer version and one bundle per cluster. Its name is <application>.<number>. Only a Rollout assigns it to Deliveries.',
  spec: Type.Object({
    application: Type.String({ description: 'Name of the Application.' }),
    applicationUid: Type.String({ description: 'UID of the Application.' }),
    applicationGeneration: Type.Integer({ description: 'metadata.generation of the Application it was made from.' }),
    number: Type.Integer({ description: 'Grows by one per Application.' }),
    source: Type.Object({
      kind: Type.String({ description: 'Kind of the source.' }),
      name: Type.String({ description: 'Name of the source.' }),
      commit: Type.String({ description: 'Commit that was rendered; of a chart the sha256 of its archive.' }),
      chart: Type.Optional(Type.String({ description: 'Name of the chart.' })),
      version: Type.Optional(Type.String({ description: 'Version of the chart.' })),
      committedAt: Type.String({ format: 'date-time', description: 'Committer date of that commit.' }),
      author: Type.Optional(Type.String({ description: 'Author of that commit.' })),
      subject: Type.Optional(Type.String({ description: 'First line of its message.' })),
      files: Type.Optional(
        Type.Array(
          Type.Object({
            kind: Type.String({ description: 'Kind of the source.' }),
            name: Type.String({ description: 'Name of the source.' }),
            path: Type.String({ description: 'Directory of the source.' }),
            at: Type.String({ description: 'Directory under which its files were found.' }),
            commit: Type.String({ description: 'Commit that was rendered.' }),
            committedAt: Type.String({ format: 'date-time', description: 'Committer date of that commit.' }),
            author: Type.Optional(Type.String({ description: 'Author of that commit.' })),
            subject: Type.Optional(Type.String({ description: 'First line of its message.' })),
          }),
          {
            'x-kubernetes-list-type': 'atomic',
            description: 'Other sources that it was rendered from, as spec.source.files says.',
          },
        ),
      ),
    }),
    rendererVersion: Type.String({ description: 'Version of the renderer.' }),
    settings: DeliverySettings,
    settingsDigest: Type.String({ description: 'sha256 of the settings.' }),
    /** Clusters with equal content share an entry. */
    bundles: Type.Array(
      Type.Object({
        digest: Type.String({ description: 'sha256 of the bundle.' }),
        objects: Type.Integer({ description: 'How many objects it lists.' }),
        clusters: Type.Array(Type.String(), { description: 'Clusters it is for.', 'x-kubernetes-list-type': 'atomic' }),
        plane: Type.Optional(Type.Boolean({ description: "True for what a target `plane` applies to the plane's own API." })),
      }),
      { 'x-kubernetes-list-type': 'atomic', description: 'One bundle per cluster; clusters with equal content share an entry.' },
    ),
    renderedAt: Type.String({ format: 'date-time', description: 'When rendering ended.' }),
  }),
  status: Type.Object({}),
  columns: [
    {
      name: 'Application',
      type: 'string',
      description: 'What it is a version of.',
      priority: 0,
      jsonPath: '.spec.application',
      value: (o) => o.spec.application,
    },
    {
      name: 'Commit',
      type: 'string',
      description: 'Commit that was rendered.',
      priority: 0,
      jsonPath: '.spec.source.commit',
      value: (o) => o.spec.source.commit,
    },
    {
      name: 'Subject',
      type: 'string',
      description: 'First line of the commit message.',
      priority: 1,
      jsonPath: '.spec.source.subject',
      value: (o) => o.spec.source.subject,
    },
    ageColumn,
  ],
  selectable: ['spec.application', 'spec.source.commit'],
});

export type Release = ObjectOf<typeof Release>;

export type ReleasedFiles = NonNullable<Release['spec']['source']['files']>[number];

/** A commit that a Release was rendered from. */
export type ReleasedCommit = Pick<Release['spec']['source'], 'kind' | 'name' | 'commit' | 'committedAt' | 'author' | 'subject'>;

/** Every commit that a Release was rendered from, its own source's first. */
export function commitsOf({ spec: { source } }: Pick<Release, 'spec'>): readonly ReleasedCommit[] {
  return [source, ...(source.files ?? [])];
}

/** The youngest of them: without it there would have been no such Release. */
export function youngestCommit(release: Pick<Release, 'spec'>): ReleasedCommit {
  const { source } = release.spec;
  return commitsOf(release).reduce<ReleasedCommit>(
    (youngest, one) => (Date.parse(one.committedAt) > Date.parse(youngest.committedAt) ? one : youngest),
    source,
  );
}

export function releaseName(application: string, number: number): string {
  return `${application}.${number}`;
}
