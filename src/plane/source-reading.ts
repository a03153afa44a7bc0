import { join } from 'node:path';
import type { Clock, Log } from '#base';
import { ChartRepository, isChartRepository, type GitReference, type Snapshot, type Source, type UntimedReason } from '#api';
import type { Controller } from '#plane/engine';
import { createFetcher, openContentCache, type EgressProxy, type GuardedConnect } from '#plane/fetch';
import type { Store } from '#plane/store';
import { referenceKey, type OpenSnapshot, type ResolveReferences } from './applications/index.ts';
import { createCharts, createSources, RemoteResolver, type Decrypt } from './sources/index.ts';

export interface SourceReadingOptions {
  readonly store: Store;
  readonly dataDir: string;
  readonly decrypt: Decrypt;
  readonly log: Log;
  readonly clock: Clock;
  readonly allowFileUrls: boolean;
  readonly allowHttp: boolean;
  readonly connect: GuardedConnect;
  readonly egress: EgressProxy;
}

/** What is read of sources, of whatever kind they are. */
export interface SourceReading {
  readonly controllers: readonly Controller[];
  readonly openSnapshot: OpenSnapshot;
  readonly resolveReferences: ResolveReferences;
  /** What a reference or the version of a chart stands for now; nothing follows from it. */
  readonly resolve: (
    source: Source,
    wanted: { readonly ref: GitReference | undefined; readonly chart: string; readonly version: string },
    signal: AbortSignal,
  ) => Promise<{ readonly snapshot: Snapshot } | { readonly reason: UntimedReason }>;
  /** `namespace/name` of a GitRepository; false if it is not followed here. */
  readonly requestLook: (key: string) => boolean;
}

/** Puts together what follows Git repositories, chart repositories and remote references. */
export async function createSourceReading({
  store,
  dataDir,
  connect,
  egress,
  ...how
}: SourceReadingOptions): Promise<SourceReading> {
  const { clock } = how;
  const pulse: Store['pulse'] = (kind, key, value) => store.pulse(kind, key, value);
  const fetch = createFetcher({ connect, clock });
  const sources = await createSources({ ...how, dataDir, egress, pulse });
  const cache = await openContentCache({ dir: join(dataDir, 'fetched'), clock });
  const charts = createCharts({ ...how, fetch, cache, pulse });
  const remote = new RemoteResolver({ ...how, read: store, sources, fetch, cache });
  return {
    controllers: [sources.controller, charts.controller],
    openSnapshot: (uid, commit, kind) =>
      kind === ChartRepository.kind ? charts.openSnapshot(uid, commit) : sources.openSnapshot(uid, commit),
    resolveReferences: (references, { project, pins, isDue, signal }) =>
      remote.resolve(references, {
        project,
        pin: (reference) => pins.get(referenceKey(reference)),
        isDue: (reference) => isDue(referenceKey(reference)),
        signal,
      }),
    resolve(source, { ref, chart, version }, signal) {
      const context = { read: store, clock, signal };
      return isChartRepository(source)
        ? charts.resolve(source, { chart, version }, context)
        : sources.resolve(source, ref, context);
    },
    requestLook: (key) => sources.requestLook(key),
  };
}
