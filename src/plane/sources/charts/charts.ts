import { isDeepStrictEqual } from 'node:util';
import { fullJitter, jittered, must, type Clock, type Log, type Rng } from '#base';
import {
  ACCEPT_MOVED_ANNOTATION,
  Application,
  ChartRepository,
  Credential,
  formatChart,
  formatKey,
  keyOf,
  parseKey,
  Project,
  reasonOf,
  RECONCILE_ANNOTATION,
  Release,
  suspended,
} from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { ContentCache, Fetcher } from '#plane/fetch';
import type { ListQuery, ListResult, Store } from '#plane/store';
import type { Decrypt } from '../look.ts';
import { defaultSourceLimits, type SourceLimits } from '../mirror.ts';
import { gone } from '../object-reader.ts';
import type { Snapshot as SnapshotFiles } from '../snapshot-reader.ts';
import type { UrlPolicy } from '../source-url.ts';
import { ChartSnapshot } from './chart-snapshot.ts';
import { chartStatusAfter, type ChartFinding, type ChartLook } from './chart-status.ts';
import type { ChartWish, IndexMemory } from './find-chart.ts';
import { chartIntervalOf, lookAtCharts, type ChartLookContext } from './look-at-charts.ts';

export interface ChartsOptions extends Partial<UrlPolicy> {
  readonly fetch: Fetcher;
  readonly cache: ContentCache;
  readonly decrypt: Decrypt;
  readonly log: Log;
  readonly clock: Clock;
  readonly rng?: Rng;
  /** Where the time of the last look goes; it never touches an object's revision. */
  readonly pulse?: Store['pulse'];
  readonly limits?: Partial<SourceLimits>;
}

export interface Charts {
  readonly controller: Controller;
  /** `namespace/name` of a ChartRepository: looks at it now. Costs nothing if it does not exist. */
  requestLook(key: string): void;
  /** Reads one packed chart. `uid` is the ChartRepository's, `commit` the sha256 of the archive in hexadecimal. */
  openSnapshot(uid: string, commit: string): SnapshotFiles;
  /** Looks for one more version of a chart, for a person who asks what it would change; it is not followed. */
  resolve(
    repository: ChartRepository,
    wish: ChartWish,
    context: Pick<ReconcileContext, 'read' | 'clock' | 'signal'>,
  ): Promise<ChartFinding>;
}

/** What is remembered of a repository between looks. Losing it costs one look. */
interface Memory {
  readonly uid: string;
  /** Everything that makes a look due when it changes. */
  readonly cause: string;
  readonly look: ChartLook & { readonly shown: string };
  readonly index: IndexMemory | undefined;
  readonly nextAtMs: number;
  readonly failures: number;
}

const maxCharts = 200;
/** Charts that stay unpacked, for the renders that follow one another. */
const keptOpen = 16;

/** Follows every ChartRepository, for the charts that Applications name. */
export function createCharts(options: ChartsOptions): Charts {
  return new ChartsController(options);
}

class ChartsController implements Charts {
  readonly controller: Controller;
  readonly #options: ChartsOptions;
  readonly #policy: UrlPolicy;
  readonly #limits: SourceLimits;
  readonly #memory = new Map<string, Memory>();
  readonly #requested = new Set<string>();
  readonly #open = new Map<string, SnapshotFiles>();
  #wake: (key: string) => void = () => undefined;

  constructor(options: ChartsOptions) {
    this.#options = options;
    this.#policy = { allowFileUrls: false, allowHttp: options.allowHttp ?? false };
    this.#limits = { ...defaultSourceLimits, ...options.limits };
    this.controller = {
      name: 'charts',
      concurrency: 4,
      wakes: [
        wakeOn(ChartRepository, ({ after }) => [formatKey(keyOf(after))]),
        wakeOn(Application, ({ before, after }) =>
          isDeepStrictEqual(before?.spec.source, after.spec.source) ? [] : [before, after].flatMap(repositoryOf),
        ),
        wakeOn(Credential, ({ after }, read) =>
          repositoriesOf(read, after.metadata.namespace ?? '', (one) => one.spec.credential?.name === after.metadata.name),
        ),
        wakeOn(Project, ({ before, after }, read) =>
          isDeepStrictEqual(before?.spec.sources, after.spec.sources)
            ? []
            : repositoriesOf(read, after.metadata.name, () => true),
        ),
      ],
      initial: async (read) => await repositoriesOf(read, undefined, () => true),
      listen: (wake, signal) => {
        this.#wake = wake;
        signal.addEventListener('abort', () => (this.#wake = () => undefined), { once: true });
      },
      reconcile: (key, context) => this.#reconcile(key, context),
    };
  }

  requestLook(key: string): void {
    if (!this.#memory.has(key)) return;
    this.#requested.add(key);
    this.#wake(key);
  }

  openSnapshot(uid: string, commit: string): SnapshotFiles {
    const id = `${uid} ${commit}`;
    const known = this.#open.get(id);
    if (known !== undefined) return known;
    const load = async (): Promise<Uint8Array> => {
      const bytes = /^[0-9a-f]{64}$/.test(commit) ? await this.#options.cache.get(uid, `sha256:${commit}`) : undefined;
      if (bytes !== undefined) return bytes;
      // The next look, which is now, fetches it again.
      for (const [key, memory] of this.#memory) if (memory.uid === uid) this.requestLook(key);
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

  async #reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult> {
    const { read, clock } = context;
    const repository = await read.get(ChartRepository, parseKey(key));
    const memory = this.#memory.get(key);
    if (repository?.metadata.uid !== memory?.uid) this.#memory.delete(key);
    if (repository === undefined || repository.metadata.deletionTimestamp !== undefined) {
      this.#requested.delete(key);
      return {};
    }
    const wishes = await wishesFor(repository, read);
    if (repository.spec.suspend === true) {
      this.#memory.delete(key);
      const { name, namespace } = repository.metadata;
      const reason = reasonOf('FL_SOURCE_SUSPENDED', suspended(`chartrepository/${name}`, namespace));
      const findings = wishes.map((wish) => ({ chart: formatChart(wish.chart, wish.version), reason }));
      return write(repository, { reason, findings }, repository.spec.url, clock.now());
    }
    const cause = await causeOf(repository, wishes, read);
    const isDue = memory === undefined || memory.cause !== cause || this.#requested.has(key) || clock.now() >= memory.nextAtMs;
    const next = isDue ? await this.#look(key, repository, wishes, cause, context) : memory;
    const result = write(repository, next.look, next.look.shown, clock.now());
    return { ...result, againMs: Math.max(0, next.nextAtMs - clock.now()) };
  }

  async #look(
    key: string,
    repository: ChartRepository,
    wishes: readonly ChartWish[],
    cause: string,
    context: ReconcileContext,
  ): Promise<Memory> {
    const { clock } = context;
    const { rng, pulse } = this.#options;
    const startedAt = clock.monotonic();
    const former = this.#memory.get(key);
    // Before the look: a request that comes meanwhile asks for another one.
    this.#requested.delete(key);
    const { memory: index, ...look } = await lookAtCharts(repository, wishes, former?.index, this.#context(repository, context));
    const interval = chartIntervalOf(repository);
    const isUnreachable = [look, ...look.findings].some((one) => 'reason' in one && one.reason?.code === 'FL_SOURCE_UNREACHABLE');
    const failures = isUnreachable ? (former?.failures ?? 0) + 1 : 0;
    // A server that does not answer is tried sooner at first, and never more often than every five seconds.
    const waitMs = isUnreachable
      ? Math.max(5_000, fullJitter(failures, { baseMs: 5_000, maxMs: interval }, rng))
      : Math.max(5_000, jittered(interval, 0.1, rng));
    const memory: Memory = { uid: repository.metadata.uid, cause, look, index, failures, nextAtMs: clock.now() + waitMs };
    this.#memory.set(key, memory);
    pulse?.(ChartRepository, keyOf(repository), {
      lookedAt: new Date(clock.now()).toISOString(),
      tookMs: Math.round(clock.monotonic() - startedAt),
      ok: look.reason === undefined && look.findings.every((finding) => 'snapshot' in finding),
    });
    return memory;
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

function write(repository: ChartRepository, look: ChartLook, shown: string, nowMs: number): ReconcileResult {
  const status = chartStatusAfter(repository, look, shown, nowMs);
  if (isDeepStrictEqual(status, repository.status)) return {};
  const key = keyOf(repository);
  return {
    commit: {
      expect: [{ kind: ChartRepository, key, revision: Number(repository.metadata.resourceVersion) }],
      write: [{ op: 'put', kind: ChartRepository, object: { ...repository, status } }],
    },
  };
}

/** What Applications want of it, each wish once. */
async function wishesFor(repository: ChartRepository, read: Reader): Promise<readonly ChartWish[]> {
  const wishes = new Map<string, ChartWish>();
  let query: ListQuery = {
    namespace: repository.metadata.namespace ?? '',
    fields: [{ path: 'spec.source.sourceRef.name', operator: '=', value: repository.metadata.name }],
  };
  for (;;) {
    const page: ListResult<Application> = await read.list(Application, query);
    for (const { spec } of page.items) {
      const { sourceRef, chart, version } = spec.source;
      if (sourceRef.kind !== 'ChartRepository' || chart === undefined || wishes.size >= maxCharts) continue;
      wishes.set(formatChart(chart, version), { chart, version: version ?? '*' });
    }
    if (page.next === undefined) return [...wishes.values()];
    query = { ...query, after: page.next };
  }
}

async function causeOf(repository: ChartRepository, wishes: readonly ChartWish[], read: Reader): Promise<string> {
  const namespace = repository.metadata.namespace ?? '';
  const name = repository.spec.credential?.name;
  const credential = name === undefined ? undefined : await read.get(Credential, { namespace, name });
  const project = await read.get(Project, { namespace: '', name: namespace });
  const { annotations } = repository.metadata;
  return JSON.stringify([
    repository.metadata.generation,
    annotations?.[RECONCILE_ANNOTATION],
    annotations?.[ACCEPT_MOVED_ANNOTATION],
    wishes.map((wish) => formatChart(wish.chart, wish.version)).sort(),
    credential?.metadata.uid,
    credential?.metadata.generation,
    project?.spec.sources,
  ]);
}

/** What a version was when a Release was last made of it. */
async function releasedDigest(
  repository: ChartRepository,
  chart: string,
  version: string,
  read: Reader,
): Promise<string | undefined> {
  let found: { readonly at: string; readonly commit: string } | undefined;
  let query: ListQuery = { namespace: repository.metadata.namespace ?? '' };
  for (;;) {
    const page: ListResult<Release> = await read.list(Release, query);
    for (const { spec } of page.items) {
      const { source, renderedAt } = spec;
      const isIt =
        source.kind === ChartRepository.kind &&
        source.name === repository.metadata.name &&
        source.chart === chart &&
        source.version === version;
      if (isIt && (found === undefined || found.at < renderedAt)) found = { at: renderedAt, commit: source.commit };
    }
    if (page.next === undefined) return found?.commit;
    query = { ...query, after: page.next };
  }
}

async function repositoriesOf(
  read: Reader,
  namespace: string | undefined,
  wants: (repository: ChartRepository) => boolean,
): Promise<string[]> {
  const keys: string[] = [];
  let query: ListQuery = namespace === undefined ? {} : { namespace };
  for (;;) {
    const page: ListResult<ChartRepository> = await read.list(ChartRepository, query);
    keys.push(...page.items.filter(wants).map((repository) => formatKey(keyOf(repository))));
    if (page.next === undefined) return keys;
    query = { ...query, after: page.next };
  }
}
