import { FairleadError, sha256 } from '#base';
import type { ContentCache, Fetcher } from '#plane/fetch';
import { sourceError } from '../classify.ts';
import { printable, quoted } from '../text.ts';
import type { ChartOrigin } from './chart-origin.ts';
import { readIndex, type IndexEntry } from './chart-index.ts';
import { chooseVersion, isExact } from './choose-version.ts';
import { denied, Registry, tagOf, versionOf } from './registry.ts';

export interface ChartWish {
  readonly chart: string;
  /** A version or a range. */
  readonly version: string;
}

/** A chart that was found and is in the cache. */
export interface FoundChart {
  readonly version: string;
  /** `sha256:…` of the packed chart. */
  readonly digest: string;
}

export interface FindContext {
  readonly fetch: Fetcher;
  readonly cache: ContentCache;
  /** Uid of the source: what it may see of the cache. */
  readonly scope: string;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly archiveBytes: number;
  readonly allowHttp: boolean;
}

export const indexBytes = 64 << 20;

/** What is remembered of an index between looks, so that one that did not change is neither sent nor read again. */
export interface IndexMemory {
  readonly etag: string | undefined;
  readonly digest: string;
}

/** One repository during one look: the index is read once for all charts wanted of it. */
export class ChartFinder {
  readonly #origin: ChartOrigin;
  readonly #context: FindContext;
  readonly #charts: readonly string[];
  #memory: IndexMemory | undefined;
  #entries: Promise<ReadonlyMap<string, readonly IndexEntry[]>> | undefined;

  constructor(origin: ChartOrigin, charts: readonly string[], memory: IndexMemory | undefined, context: FindContext) {
    this.#origin = origin;
    this.#charts = [...new Set(charts)];
    this.#memory = memory;
    this.#context = context;
  }

  get memory(): IndexMemory | undefined {
    return this.#memory;
  }

  /** Whether the repository answers at all. */
  async open(): Promise<void> {
    if (this.#origin.isOci) {
      // What a registry holds cannot be asked for in general; whether it takes the credential is shown by its charts too.
      if (this.#charts.length === 0) await new Registry(this.#origin, 'none', this.#context.fetch, this.#context).ping();
    } else await this.#index();
  }

  /** Errors: `FL_SOURCE_NO_CHART`, `FL_SOURCE_REFUSED`, `FL_SOURCE_LIMIT`, `FL_SOURCE_FORBIDDEN`, and the fetcher's. */
  find(wish: ChartWish): Promise<FoundChart> {
    return this.#origin.isOci ? this.#fromRegistry(wish) : this.#fromIndex(wish);
  }

  async #fromRegistry(wish: ChartWish): Promise<FoundChart> {
    const registry = new Registry(this.#origin, wish.chart, this.#context.fetch, this.#context);
    let version: string | undefined = wish.version;
    if (!isExact(wish.version)) {
      const tags = await registry.tags();
      version = chooseVersion((tags ?? []).map(versionOf), wish.version);
    }
    const layer = version === undefined ? undefined : await registry.chart(tagOf(version));
    if (version === undefined || layer === undefined) throw this.#noChart(wish);
    const held = await this.#context.cache.get(this.#context.scope, layer.digest);
    if (held === undefined)
      await this.#context.cache.put(this.#context.scope, await registry.read(layer, this.#context.archiveBytes));
    return { version, digest: layer.digest };
  }

  async #fromIndex(wish: ChartWish): Promise<FoundChart> {
    const entries = (await this.#index()).get(wish.chart) ?? [];
    const version = chooseVersion(
      entries.map((entry) => entry.version),
      wish.version,
    );
    const entry = entries.find((one) => one.version === version);
    if (version === undefined || entry === undefined) throw this.#noChart(wish);
    const digest = digestOf(entry);
    const held = digest === undefined ? undefined : await this.#context.cache.get(this.#context.scope, digest);
    if (held !== undefined && digest !== undefined) return { version, digest };
    const bytes = await this.#download(wish, entry);
    const given = sha256(bytes);
    if (digest !== undefined && digest !== given)
      throw this.#refused(`${wish.chart} ${version} is not what the digest in index.yaml says`);
    await this.#context.cache.put(this.#context.scope, bytes);
    return { version, digest: given };
  }

  async #download(wish: ChartWish, entry: IndexEntry): Promise<Buffer> {
    if (!URL.canParse(entry.url, this.#origin.url)) throw this.#refused(`the URL of ${wish.chart} ${entry.version} is none`);
    const url = new URL(entry.url, this.#origin.url);
    if (url.protocol === 'oci:')
      throw this.#refused(`its charts are in a registry, ${quoted(entry.url)}; name that as the URL of the ChartRepository`);
    if (url.username !== '' || url.password !== '')
      throw this.#refused(`the URL of ${wish.chart} ${entry.version} carries a credential`);
    if (!this.#origin.mayUse(url)) {
      const shown = `${url.origin}${url.pathname}`;
      throw sourceError('FL_SOURCE_FORBIDDEN', {
        project: this.#origin.project,
        url: `${shown}, where its index says ${wish.chart} is,`,
      });
    }
    const answer = await this.#get(url, '*/*', this.#context.archiveBytes, undefined);
    if (answer.status !== 200)
      throw this.#refused(`${wish.chart} ${entry.version} is in its index but cannot be read (${answer.status})`);
    return answer.body;
  }

  #index(): Promise<ReadonlyMap<string, readonly IndexEntry[]>> {
    this.#entries ??= this.#readIndex();
    return this.#entries;
  }

  async #readIndex(): Promise<ReadonlyMap<string, readonly IndexEntry[]>> {
    const { cache, scope } = this.#context;
    const held = this.#memory === undefined ? undefined : await cache.get(scope, this.#memory.digest);
    const url = new URL('index.yaml', this.#origin.url);
    const answer = await this.#get(url, 'text/yaml, */*', indexBytes, held === undefined ? undefined : this.#memory?.etag);
    let body = answer.body;
    if (answer.status === 304 && held !== undefined) body = held;
    else if (answer.status !== 200) throw this.#refused(`index.yaml: it answered ${answer.status}`);
    else {
      const { etag } = answer.headers;
      this.#memory = { etag: etag !== undefined && etag.length < 1_000 ? etag : undefined, digest: await cache.put(scope, body) };
    }
    return await readIndex(body.toString('utf8'), this.#charts, this.#origin.shown);
  }

  async #get(url: URL, accept: string, maxBytes: number, etag: string | undefined): ReturnType<Fetcher> {
    const answer = await this.#context.fetch({
      url,
      maxBytes,
      headers: { accept, ...(etag === undefined ? {} : { 'if-none-match': etag }) },
      ca: url.hostname === this.#origin.url.hostname ? this.#origin.ca : undefined,
      authorize: (origin) => this.#origin.authorize(origin),
      allowHttp: this.#context.allowHttp,
      signal: this.#context.signal,
      timeoutMs: this.#context.timeoutMs,
    });
    if (answer.status === 401 || answer.status === 403) throw denied(this.#origin.shown);
    return answer;
  }

  #noChart({ chart, version }: ChartWish): FairleadError {
    return sourceError('FL_SOURCE_NO_CHART', { url: this.#origin.shown, chart, version });
  }

  #refused(words: string): FairleadError {
    return sourceError('FL_SOURCE_REFUSED', { url: this.#origin.shown, words: printable(words, 300) });
  }
}

/** An index may write it with or without the algorithm. */
function digestOf(entry: IndexEntry): string | undefined {
  const hex = entry.digest?.replace(/^sha256:/, '').toLowerCase();
  return hex !== undefined && /^[0-9a-f]{64}$/.test(hex) ? `sha256:${hex}` : undefined;
}
