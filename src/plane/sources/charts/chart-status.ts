import { rfc3339 } from '#base';
import { reasonOf, type ChartRepository, type UntimedReason } from '#api';
import { foundAfter, sourceConditions, timed, type Found } from '../source-status.ts';

export type ChartStatus = NonNullable<ChartRepository['status']>;

/** What came of the wish of some Application. */
export type ChartFinding = { readonly chart: string } & Found;

export interface ChartLook {
  /** Why the repository itself could not be read; what is wrong with one chart is the chart's. */
  readonly reason?: UntimedReason;
  readonly findings: readonly ChartFinding[];
}

/**
 * The status after a look. A chart's last Snapshot stays whatever happens now; times stay while what they are about does, so
 * that a look that finds nothing new gives an equal status. Pure.
 */
export function chartStatusAfter(
  repository: ChartRepository,
  { reason, findings }: ChartLook,
  shown: string,
  nowMs: number,
): ChartStatus {
  const former: ChartStatus = repository.status ?? {};
  const now = rfc3339(nowMs);
  const charts = findings
    .map((finding) => {
      const before = former.charts?.find((entry) => entry.chart === finding.chart);
      return { chart: finding.chart, ...foundAfter(before, finding, now) };
    })
    .sort((a, b) => (a.chart < b.chart ? -1 : 1));
  const verdict = reason ?? reasonOf('FL_SOURCE_CHARTS_READY', { url: shown, count: charts.length });
  return {
    observedGeneration: repository.metadata.generation,
    ...(charts.length === 0 ? {} : { charts }),
    ...(reason === undefined ? {} : { reason: timed(reason, former.reason, now) }),
    conditions: sourceConditions(repository, reason === undefined, verdict, now),
  };
}
