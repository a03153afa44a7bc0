import { Type } from 'typebox';
import { Conditions, defineKind, LocalReference, StoredReason, type ObjectOf } from '../define-kind.ts';
import { ageColumn, readyColumns } from './columns.ts';
import { Snapshot } from './git-repository.ts';

/** What one wish for a chart says: `web 1.2.x`. The key of `status.charts`. */
export function formatChart(chart: string, version: string | undefined): string {
  return `${chart} ${version ?? '*'}`;
}

/** Says that a chart version may hold other content than before; its value is the beginning of the new digest. */
export const ACCEPT_MOVED_ANNOTATION = 'fairlead.dev/accept-moved';

export const ChartRepository = defineKind({
  kind: 'ChartRepository',
  plural: 'chartrepositories',
  shortNames: ['chartrepo'],
  categories: ['fairlead', 'all'],
  scope: 'Namespaced',
  description:
    'A repository of Helm charts that the plane reads: an HTTP repository with an index.yaml, or a path of an OCI registry. A chart at one version is a Snapshot from which Applications are rendered.',
  spec: Type.Object({
    url: Type.String({
      pattern: '^(https|http|oci)://',
      maxLength: 2048,
      description:
        'https:// URL of the directory that holds index.yaml, or oci:// URL of the path below which the charts are; without credentials.',
    }),
    interval: Type.Optional(
      Type.String({
        pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$',
        default: '10m',
        description: 'How often to look for new versions, such as 5m or 1h. At least 5s.',
      }),
    ),
    timeout: Type.Optional(
      Type.String({ pattern: '^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$', default: '60s', description: 'Limit for one answer.' }),
    ),
    credential: Type.Optional(LocalReference),
    suspend: Type.Optional(Type.Boolean({ description: 'While true the repository is not read; what is delivered stays.' })),
  }),
  status: Type.Object({
    observedGeneration: Type.Optional(Type.Integer({ description: 'metadata.generation last acted on.' })),
    charts: Type.Optional(
      Type.Array(
        Type.Object({
          chart: Type.String({ description: 'Name of the chart and the wanted version or range, such as "web 1.2.x".' }),
          snapshot: Type.Optional(Snapshot),
          reason: Type.Optional(StoredReason),
        }),
        {
          maxItems: 200,
          'x-kubernetes-list-type': 'atomic',
          description: 'Charts that Applications name, each with its Snapshot or why there is none.',
        },
      ),
    ),
    /** Why it is not ready, with the arguments of the sentence. */
    reason: Type.Optional(StoredReason),
    conditions: Type.Optional(Conditions),
  }),
  columns: [
    {
      name: 'URL',
      type: 'string',
      description: 'Where it is read from.',
      priority: 0,
      jsonPath: '.spec.url',
      value: (o) => o.spec.url,
    },
    ...readyColumns('Whether the last look succeeded.'),
    ageColumn,
  ],
  example: `apiVersion: fairlead.dev/v1alpha1
kind: ChartRepository
metadata: {name: charts, namespace: default}
spec: {url: "oci://registry.example.com/charts", interval: 10m, credential: {name: charts}}
`,
});

export type ChartRepository = ObjectOf<typeof ChartRepository>;
