import { FairleadError, fullJitter, systemClock, type Clock, type Log, type Rng, type Service } from '#base';
import type { KubeClient } from './client.ts';
import { hasStatus, isTooLargeResourceVersion } from './errors.ts';
import { parseJson } from './json.ts';
import { getIn, own, textOf } from './objects.ts';
import { isOlder, parseEvent, watchError } from './reflector.ts';

export interface ChangeWatchOptions {
  readonly client: KubeClient;
  /** Of a collection: `/apis/apiregistration.k8s.io/v1/apiservices`. */
  readonly path: string;
  /** An object was added, changed or deleted. */
  readonly onChange: () => void;
  /** The watch begins, or begins anew after changes that nobody will tell of. */
  readonly onGap: () => void;
  readonly log: Log;
  readonly clock?: Clock;
  readonly rng?: Rng;
  /** A watch lasts between this and one and a half of it. Default 2,400 s. */
  readonly watchSeconds?: number;
}

// As for a reflector: the watch cache sends a bookmark about every minute.
const BOOKMARK_SILENCE_MS = 300_000;
/** A watch that ends sooner was not meant to be one. */
const SHORT_MS = 1_000;
/** Where it is not allowed, or there is no such resource. */
const REFUSED_MS = 3_600_000;

/**
 * Says that something in a collection changed, and keeps nothing of it: one object is listed to learn from where to watch, so
 * that neither memory nor requests depend on how many there are. `run` ends only by its signal.
 */
export class ChangeWatch implements Service {
  readonly id: string;
  readonly #options: ChangeWatchOptions;
  readonly #clock: Clock;
  #resourceVersion = '';

  constructor(options: ChangeWatchOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.id = `change-watch ${options.path}`;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { path, log, onGap } = this.#options;
    let failures = 0;
    let short = 0;
    while (!signal.aborted) {
      const startedAt = this.#clock.monotonic();
      try {
        if (this.#resourceVersion === '') {
          await this.#begin(signal);
          onGap();
        }
        const watchedAt = this.#clock.monotonic();
        await this.#watch(signal);
        failures = 0;
        // A server that ends watches at once must not be asked again at once.
        short = this.#clock.monotonic() - watchedAt < SHORT_MS ? short + 1 : 0;
        if (short > 1) await this.#pause(200 + this.#backoffMs(short - 2), signal);
      } catch (error) {
        if (signal.aborted) return;
        if (hasStatus(error, 410) || isTooLargeResourceVersion(error)) this.#resourceVersion = '';
        failures = this.#clock.monotonic() - startedAt > 60_000 ? 1 : failures + 1;
        const isRefused = hasStatus(error, 401, 403, 404, 405);
        log.debug({ path, error }, isRefused ? 'may not be watched' : 'a watch failed; it begins again');
        await this.#pause(isRefused ? REFUSED_MS : 200 + this.#backoffMs(failures - 1), signal);
      }
    }
  }

  #backoffMs(attempt: number): number {
    return fullJitter(attempt, { baseMs: 800, maxMs: 30_000 }, this.#options.rng);
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return this.#clock.sleep(ms, signal).catch(() => undefined);
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const { client, path } = this.#options;
    const response = await client.request({
      method: 'GET',
      path,
      query: { limit: 1 },
      accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json',
      signal,
    });
    this.#resourceVersion =
      textOf(getIn(parseJson(response.body, `the answer to GET ${path}`), 'metadata', 'resourceVersion')) ?? '';
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { client, path, onChange, rng } = this.#options;
    const timeoutSeconds = Math.round((this.#options.watchSeconds ?? 2400) * (1 + 0.5 * (rng ?? Math.random)()));
    let hasBookmarks = false;
    await client.stream({
      path,
      query: { watch: true, allowWatchBookmarks: true, timeoutSeconds, resourceVersion: this.#resourceVersion },
      accept: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json',
      signal,
      maxDurationMs: (timeoutSeconds + 30) * 1000,
      idleTimeoutMs: () => (hasBookmarks ? BOOKMARK_SILENCE_MS : (timeoutSeconds + 30) * 1000),
      onLine: (line) => {
        const { type, object } = parseEvent(line);
        if (type === 'ERROR') throw watchError(path, object);
        const version = textOf(own(own(object, 'metadata'), 'resourceVersion')) ?? '';
        if (type === 'BOOKMARK') hasBookmarks = true;
        if (version !== '' && isOlder(version, this.#resourceVersion)) {
          this.#resourceVersion = '';
          throw new FairleadError('FL_KUBE_WATCH_FORM', `${path} went back to version ${version}`, { kind: 'unavailable' });
        }
        if (version !== '') this.#resourceVersion = version;
        if (type !== 'BOOKMARK') onChange();
      },
    });
  }
}
