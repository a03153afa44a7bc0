import { isDeepStrictEqual } from 'node:util';
import { must } from '#base';
import { ACCEPT_MOVED_ANNOTATION, Application, ChartRepository, formatChart, Release } from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext } from '#plane/engine';
import type { ContentCache, Fetcher } from '#plane/fetch';
import { followSources, type FollowedSources, type FollowOptions, type SourceKind } from '../follow-sources.ts';
import { defaultSourceLimits, type SourceLimits } from '../mirror.ts';
import { gone } from '../object-reader.ts';
import { pages } from '../pages.ts';
import type { Snapshot as SnapshotFiles } from '../snapshot-reader.ts';
import type { UrlPolicy } from '../source-url.ts';
import { ChartSnapshot } from './chart-snapshot.ts';
import { chartStatusAfter, type ChartFinding, type ChartStatus } from './chart-status.ts';
import type { ChartWish } from './find-chart.ts';
import { chartIntervalOf, lookAtCharts, type ChartLookContext, type LookedAtCharts } from './look-at-charts.ts';

export interface ChartsOptions extends FollowOptions {
  readonly fetch: Fetcher;
  readonly cache: ContentCache;
}

export interface Charts {
  readonly controller: Controller;
  /** `namespace/name` of a ChartRepository: looks at it now (or once more, when a look is under way). False if it is not followed here. */
  requestLook(key: string): boolean;
  /** Reads one packed chart. `uid` is the ChartRepository's, `commit` the sha256 of the archive in hexadecimal. */
  openSnapshot(uid: string, commit: string): SnapshotFiles;
  /** Looks for one more version of a chart, for a person who asks what it would change; it is not followed. */
  resolve(
    repository: ChartRepository,
    wish: ChartWish,
    context: Pick<ReconcileContext, 'read' | 'clock' | 'signal'>,
  ): Promise<ChartFinding>;
}

const maxCharts = 200;
/** Charts that stay unpacked, for the renders that follow one another. */
const keptOpen = 16;

/** Follows every ChartRepository, for the charts that Applications name. */
export function createCharts(options: ChartsOptions): Charts {
  return new ChartSources(options);
}

class ChartSources implements Charts {
  readonly controller: Controller;
  readonly #options: ChartsOptions;
  readonly #policy: UrlPolicy;
  readonly #limits: SourceLimits;
  readonly #followed: FollowedSources;
  readonly #open = new Map<string, SnapshotFiles>();

  constructor(options: ChartsOptions) {
    this.#options = options;
    this.#policy = { allowFileUrls: false, allowHttp: options.allowHttp ?? false };
    this.#limits = { ...defaultSourceLimits, ...options.limits };
    this.#followed = followSources(this.#repositories(), options);
    this.controller = this.#followed.controller;
  }

  requestLook(key: string): boolean {
    return this.#followed.requestLook(key);
  }

  openSnapshot(uid: string, commit: string): SnapshotFiles {
    const id = `${uid} ${commit}`;
    const known = this.#open.get(id);
    if (known !== undefined) return known;
    const load = async (): Promise<Uint8Array> => {
      const bytes = /^[0-9a-f]{64}$/.test(commit) ? await this.#options.cache.get(uid, `sha256:${commit}`) : undefined;
      if (bytes !== undefined) return bytes;
      // The next look, which is now, fetches it again.
      this.#followed.requestLookOf(uid);
      throw gone('the chart is not in the cache any more');
    };
    const snapshot = new ChartSnapshot(commit, `chart ${commit.slice(0, 12)}`, load, this.#limits);
    const oldest = this.#open.keys().next().value;
    if (this.#open.size >= keptOpen && oldest !== undefined) this.#open.delete(oldest);
    this.#open.set(id, snapshot);
    return snapshot;
  }

  async resolve(
    repository: ChartRepository,
    wish: ChartWish,
    context: Pick<ReconcileContext, 'read' | 'clock' | 'signal'>,
  ): Promise<ChartFinding> {
    const { findings } = await lookAtCharts(repository, [wish], undefined, this.#context(repository, context));
    return must(findings[0], 'a look for one chart finds one thing');
  }

  /** How a ChartRepository is followed. */
  #repositories(): SourceKind<ChartRepository['spec'], ChartStatus, ChartWish, LookedAtCharts> {
    return {
      kind: ChartRepository,
      name: 'charts',
      concurrency: 4,
      wakes: [
        wakeOn(Application, ({ before, after }) =>
          isDeepStrictEqual(before?.spec.source, after.spec.source) ? [] : [before, after].flatMap(repositoryOf),
        ),
      ],
      wanted: wishesFor,
      causes: ({ metadata }, wishes) => [metadata.annotations?.[ACCEPT_MOVED_ANNOTATION], wishes.map(formatWish).sort()],
      intervalMs: chartIntervalOf,
      look: (repository, wishes, former, context) =>
        lookAtCharts(repository, wishes, former?.memory, this.#context(repository, context)),
      notLooked: (repository, wishes, reason) => ({
        reason,
        findings: wishes.map((wish) => ({ chart: formatWish(wish), reason })),
        shown: repository.spec.url,
        memory: undefined,
      }),
      reasonsOf: (look) =>
        [look, ...look.findings].flatMap((one) => ('reason' in one && one.reason !== undefined ? [one.reason] : [])),
      statusAfter: (repository, look, nowMs) => chartStatusAfter(repository, look, look.shown, nowMs),
    };
  }

  #context(repository: ChartRepository, context: Pick<ReconcileContext, 'read' | 'clock' | 'signal'>): ChartLookContext {
    const { fetch, cache, log, decrypt } = this.#options;
    return {
      read: context.read,
      clock: context.clock,
      signal: context.signal,
      fetch,
      cache,
      log,
      decrypt,
      policy: this.#policy,
      limits: this.#limits,
      releasedDigest: (chart, version) => releasedDigest(repository, chart, version, context.read),
    };
  }
}

function repositoryOf(application: Application | undefined): readonly string[] {
  const ref = application?.spec.source.sourceRef;
  return ref?.kind === 'ChartRepository' ? [`${application?.metadata.namespace ?? ''}/${ref.name}`] : [];
}

function formatWish({ chart, version }: ChartWish): string {
  return formatChart(chart, version);
}

/** What Applications want of it, each wish once. */
async function wishesFor(repository: ChartRepository, read: Reader): Promise<readonly ChartWish[]> {
  const wishes = new Map<string, ChartWish>();
  const naming = pages(read, Application, {
    namespace: repository.metadata.namespace ?? '',
    fields: [{ path: 'spec.source.sourceRef.name', operator: '=', value: repository.metadata.name }],
  });
  for await (const { spec } of naming) {
    const { sourceRef, chart, version } = spec.source;
    if (sourceRef.kind !== 'ChartRepository' || chart === undefined || wishes.size >= maxCharts) continue;
    wishes.set(formatChart(chart, version), { chart, version: version ?? '*' });
  }
  return [...wishes.values()];
}

/** What a version was when a Release was last made of it. */
async function releasedDigest(
  repository: ChartRepository,
  chart: string,
  version: string,
  read: Reader,
): Promise<string | undefined> {
  let found: { readonly at: string; readonly commit: string } | undefined;
  for await (const { spec } of pages(read, Release, { namespace: repository.metadata.namespace ?? '' })) {
    const { source, renderedAt } = spec;
    const isIt =
      source.kind === ChartRepository.kind &&
      source.name === repository.metadata.name &&
      source.chart === chart &&
      source.version === version;
    if (isIt && (found === undefined || found.at < renderedAt)) found = { at: renderedAt, commit: source.commit };
  }
  return found?.commit;
}
