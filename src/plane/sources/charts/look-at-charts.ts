import { codeOf, FairleadError, messageOf, rfc3339, type Clock } from '#base';
import {
  ACCEPT_MOVED_ANNOTATION,
  formatChart,
  isReasonCode,
  reasonOf,
  type ChartRepository,
  type Snapshot,
  type UntimedReason,
} from '#api';
import type { ContentCache, Fetcher } from '#plane/fetch';
import { formatDuration, intervalMsOf, timeoutMsOf } from '../duration.ts';
import type { SourceLimits } from '../mirror.ts';
import { unpackChart } from './chart-archive.ts';
import { chartOrigin, reasonOfFetch, type OriginContext } from './chart-origin.ts';
import type { ChartFinding, ChartLook } from './chart-status.ts';
import { ChartFinder, type ChartWish, type IndexMemory } from './find-chart.ts';

export interface ChartLookContext extends OriginContext {
  readonly fetch: Fetcher;
  readonly cache: ContentCache;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly limits: SourceLimits;
  /** Digest of every version of a chart that a Release was made of, as hexadecimal. */
  readonly releasedDigest: (chart: string, version: string) => Promise<string | undefined>;
}

/** Packed charts are small; what is larger is no chart. */
const archiveBytes = 16 << 20;

export function chartIntervalOf(repository: ChartRepository): number {
  return intervalMsOf(repository.spec, 600_000);
}

/** A look, with what the next one starts from and the address as it is shown. */
export type LookedAtCharts = ChartLook & { readonly memory: IndexMemory | undefined; readonly shown: string };

/**
 * Looks for every chart that is wanted of a repository. Never throws for what a repository, its server or its owner can
 * cause: that is a reason.
 */
export async function lookAtCharts(
  repository: ChartRepository,
  wishes: readonly ChartWish[],
  memory: IndexMemory | undefined,
  context: ChartLookContext,
): Promise<LookedAtCharts> {
  const { namespace = '' } = repository.metadata;
  const credential = repository.spec.credential?.name;
  const all = (reason: UntimedReason, shown: string, kept = memory): LookedAtCharts => ({
    reason,
    findings: wishes.map((wish) => ({ chart: formatChart(wish.chart, wish.version), reason })),
    memory: kept,
    shown,
  });
  const checked = await chartOrigin(repository.spec.url, namespace, credential, context);
  if (!checked.ok) return all(checked.reason, repository.spec.url);
  const { origin } = checked;
  const finder = new ChartFinder(
    origin,
    wishes.map((wish) => wish.chart),
    memory,
    {
      fetch: context.fetch,
      cache: context.cache,
      scope: repository.metadata.uid,
      signal: context.signal,
      timeoutMs: timeoutMsOf(repository.spec),
      archiveBytes,
      allowHttp: context.policy.allowHttp,
    },
  );
  const reasonFor = (error: unknown): UntimedReason => {
    const code = codeOf(error);
    const details = error instanceof FairleadError ? error.details : {};
    if (code !== undefined && isReasonCode(code)) return reasonOf(code, details);
    const known = reasonOfFetch(error, origin.shown, credential);
    if (known !== undefined) return known;
    if (code?.startsWith('FL_FETCH_') !== true) {
      context.log.error({ repository: repository.metadata.name, namespace, error }, 'looking at a chart repository failed');
    }
    const retry = `within ${formatDuration(chartIntervalOf(repository))}`;
    return reasonOf('FL_SOURCE_UNREACHABLE', { url: origin.shown, words: messageOf(error), retry });
  };
  try {
    await finder.open();
  } catch (error) {
    if (context.signal.aborted) throw error;
    return all(reasonFor(error), origin.shown, finder.memory);
  }
  const findings: ChartFinding[] = [];
  for (const wish of wishes) {
    const chart = formatChart(wish.chart, wish.version);
    try {
      findings.push(await lookAtChart(repository, wish, finder, origin.shown, context));
    } catch (error) {
      if (context.signal.aborted) throw error;
      findings.push({ chart, reason: reasonFor(error) });
    }
  }
  // A registry has no index that could be read first: when none of its charts is reached, it is the registry.
  const first = findings[0];
  const isAway =
    origin.isOci &&
    first !== undefined &&
    findings.every((one) => 'reason' in one && /_(UNREACHABLE|DENIED)$/.test(one.reason.code));
  return {
    ...(isAway && 'reason' in first ? { reason: first.reason } : {}),
    findings,
    memory: finder.memory,
    shown: origin.shown,
  };
}

async function lookAtChart(
  repository: ChartRepository,
  wish: ChartWish,
  finder: ChartFinder,
  shown: string,
  context: ChartLookContext,
): Promise<ChartFinding> {
  const chart = formatChart(wish.chart, wish.version);
  const before = repository.status?.charts?.find((entry) => entry.chart === chart)?.snapshot;
  const { version, digest } = await finder.find(wish);
  const commit = digest.slice('sha256:'.length);
  if (before?.version === version && before.commit === commit) return { chart, snapshot: before };
  const moved = await movedFrom(repository, wish.chart, version, commit, before, context);
  if (moved !== undefined) {
    return {
      chart,
      reason: reasonOf('FL_SOURCE_MOVED', {
        chart: wish.chart,
        version,
        url: shown,
        was: moved.slice(0, 12),
        now: commit.slice(0, 12),
        source: repository.metadata.name,
        project: repository.metadata.namespace,
      }),
    };
  }
  const bytes = await context.cache.get(repository.metadata.uid, digest);
  if (bytes === undefined)
    throw new FairleadError('FL_FETCH_CONNECT', 'the chart is not in the cache any more', { kind: 'unavailable' });
  const archive = await unpackChart(bytes, `${wish.chart} ${version} of ${shown}`, context.limits);
  const snapshot: Snapshot = {
    commit,
    ref: `${wish.chart} ${wish.version} (${version})`,
    committedAt: rfc3339(archive.packedAtMs),
    subject: `${wish.chart} ${version}`,
    fetchedAt: rfc3339(context.clock.now()),
    version,
  };
  return { chart, snapshot };
}

/** The digest that this version had before, where it is another one now and nobody has said that this is right. */
async function movedFrom(
  repository: ChartRepository,
  chart: string,
  version: string,
  commit: string,
  before: Snapshot | undefined,
  context: ChartLookContext,
): Promise<string | undefined> {
  const was = before?.version === version ? before.commit : await context.releasedDigest(chart, version);
  if (was === undefined || was === commit) return undefined;
  const accepted = repository.metadata.annotations?.[ACCEPT_MOVED_ANNOTATION] ?? '';
  return accepted.length >= 12 && commit.startsWith(accepted) ? undefined : was;
}
