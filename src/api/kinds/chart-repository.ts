import { Type } from 'typebox';
import { defineKind, LocalReference, type ObjectOf } from '../define-kind.ts';
import { ageColumn } from './columns.ts';
import {
  found,
  lookInterval,
  lookTimeout,
  observedGeneration,
  readiness,
  repositoryColumns,
  suspendRepository,
} from './repository.ts';

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
    interval: lookInterval('10m', 'How often to look for new versions, such as 5m or 1h. At least 5s.'),
    timeout: lookTimeout('Limit for one answer.'),
    credential: Type.Optional(LocalReference),
    suspend: suspendRepository,
  }),
  status: Type.Object({
    observedGeneration,
    charts: Type.Optional(
      Type.Array(
        Type.Object({
          chart: Type.String({ description: 'Name of the chart and the wanted version or range, such as "web 1.2.x".' }),
          ...found,
        }),
        {
          maxItems: 200,
          'x-kubernetes-list-type': 'atomic',
          description: 'Charts that Applications name, each with its Snapshot or why there is none.',
        },
      ),
    ),
    ...readiness,
  }),
  columns: [...repositoryColumns, ageColumn],
  example: `apiVersion: fairlead.dev/v1alpha1
kind: ChartRepository
metadata: {name: charts, namespace: default}
spec: {url: "oci://registry.example.com/charts", interval: 10m, credential: {name: charts}}
`,
});

export type ChartRepository = ObjectOf<typeof ChartRepository>;
