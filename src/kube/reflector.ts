import { FairleadError, fullJitter, systemClock, type Clock, type Log, type Rng, type Service } from '#base';
import type { Impersonation, KubeClient, Query } from './client.ts';
import { resourcePath, type ResourceMapping } from './discovery.ts';
import { parseJson } from './json.ts';
import { hasStatus, isTooLargeResourceVersion, KubeStatusError, statusFacts } from './errors.ts';
import { formatApiVersion, getIn, isRecord, itemsOf, numberOf, own, textOf, type KubeObject } from './objects.ts';

export type ReflectorEvent<T> =
  | { readonly type: 'added'; readonly key: string; readonly value: T; readonly previous: undefined }
  | { readonly type: 'modified'; readonly key: string; readonly value: T; readonly previous: T }
  | { readonly type: 'deleted'; readonly key: string; readonly value: undefined; readonly previous: T };

export interface ReflectorOptions<T> {
  readonly client: KubeClient;
  readonly mapping: ResourceMapping;
  /** Only this namespace; without it all of them. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly impersonate?: Impersonation;
  /** Ask for `PartialObjectMetadata`: no spec, no status, a fraction of the bytes. */
  readonly metadataOnly?: boolean;
  /** Hand `metadata.managedFields` to `project` (it is often half of an object). Default false. */
  readonly keepManagedFields?: boolean;
  /** What is kept of an object: called at parse time, the object is dropped afterwards. Undefined: as if it did not exist. */
  readonly project: (object: KubeObject) => T | undefined;
  /** In order, one at a time. If it throws, everything known is dropped and read again, so that no change is lost. */
  readonly onEvent?: (event: ReflectorEvent<T>) => void;
  /** After every complete list: all of it is in the store, and what is gone was reported. */
  readonly onSynced?: () => void;
  /** Failures that are being retried; the store may be behind until the next `onSynced`. */
  readonly onError?: (error: unknown) => void;
  readonly log: Log;
  readonly clock?: Clock;
  readonly rng?: Rng;
  /** Objects per page where the server cannot stream the list. Default 100, or 500 for metadata: a page is parsed whole. */
  readonly pageSize?: number;
  /** A watch lasts between this and one and a half of it. Default 2,400 s: at most 1.5 requests an hour. */
  readonly watchSeconds?: number;
  /** Default 800 and 30,000. */
  readonly minBackoffMs?: number;
  readonly maxBackoffMs?: number;
}

interface Held<T> {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly value: T;
  /** The list in which it was last seen, to find what is gone. */
  seen: number;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: Readonly<Record<string, unknown>>;
}

const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';
// A server that takes sendInitialEvents for unknown, and ignores it, would leave us waiting for ever.
const INITIAL_SILENCE_MS = 60_000;
// The watch cache sends a bookmark about every minute.
const BOOKMARK_SILENCE_MS = 300_000;

/**
 * Keeps a projection of one resource in step with the API server: a streamed list (WatchList) or pages, then a watch
 * with bookmarks, for ever. Survives cut watches, restarts, 410 and servers that are behind. `run` ends only by its signal.
 */
export class Reflector<T> implements Service {
  readonly id: string;
  readonly #options: ReflectorOptions<T>;
  readonly #clock: Clock;
  readonly #held = new Map<string, Held<T>>();
  readonly #path: string;
  #listing = 0;
  #resourceVersion = '';
  #isSynced = false;
  #canStreamLists = true;
  #hasBookmarks = false;
  #lists = { streamed: 0, paged: 0 };

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#path = resourcePath(options.mapping, options.namespace);
    this.id = `reflector ${this.#path}`;
  }

  get(key: string): T | undefined {
    return this.#held.get(key)?.value;
  }

  /** Keys are `namespace/name`, or `name` for cluster-scoped objects. */
  *entries(): Generator<readonly [key: string, value: T]> {
    for (const [key, held] of this.#held) yield [key, held.value];
  }

  get size(): number {
    return this.#held.size;
  }

  /** Whether a list was completed since the start, or since a handler failed. */
  get isSynced(): boolean {
    return this.#isSynced;
  }

  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  /** How often the whole list was read, and in which way. */
  get lists(): { readonly streamed: number; readonly paged: number } {
    return this.#lists;
  }

  async run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      const startedAt = this.#clock.monotonic();
      try {
        await this.#listAndWatch(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof HandlerFailure) throw this.#forgetAll(error);
        // A minute of health forgives earlier failures.
        failures = this.#clock.monotonic() - startedAt > 60_000 ? 1 : failures + 1;
        this.#report(error);
        await this.#pause(failures - 1, error, signal);
      }
    }
  }

  async #listAndWatch(signal: AbortSignal): Promise<void> {
    if (!this.#isSynced || this.#resourceVersion === '') {
      if (this.#canStreamLists) {
        // The same stream goes on as the watch.
        if (await this.#streamList(signal)) return;
        this.#canStreamLists = false;
      }
      await this.#pageList(signal);
    }
    for (let short = 0; !signal.aborted;) {
      const startedAt = this.#clock.monotonic();
      await this.#watch(signal, {});
      // A server that ends watches at once must not be asked again at once.
      short = this.#clock.monotonic() - startedAt < 1000 ? short + 1 : 0;
      if (short > 1) await this.#pause(short - 1, undefined, signal);
    }
  }

  /** Resolves false when the server does not know how; a watch that ends normally resolves true. */
  async #streamList(signal: AbortSignal): Promise<boolean> {
    this.#listing += 1;
    const initial = {
      sendInitialEvents: true,
      resourceVersionMatch: 'NotOlderThan',
      // The newest, confirmed by a quorum: a replica that is behind cannot take us back in time.
      resourceVersion: '',
    };
    try {
      await this.#watch(signal, initial);
      return true;
    } catch (error) {
      if (error instanceof ListStreamUnsupported || hasStatus(error, 400, 422)) return false;
      throw error;
    }
  }

  async #pageList(signal: AbortSignal): Promise<void> {
    this.#listing += 1;
    let next: string | undefined;
    let resourceVersion = '';
    do {
      const response = await this.#options.client.request({
        method: 'GET',
        path: this.#path,
        query: {
          ...this.#selectors(),
          limit: this.#options.pageSize ?? (this.#options.metadataOnly === true ? 500 : 100),
          continue: next,
        },
        accept: this.#accept('PartialObjectMetadataList'),
        signal,
        timeoutMs: 60_000,
        ...(this.#options.impersonate === undefined ? {} : { impersonate: this.#options.impersonate }),
      });
      const list = parseJson(response.body, `the list of ${this.#path}`);
      for (const item of itemsOf(own(list, 'items'))) if (isRecord(item)) this.#put(item);
      const metadata = own(list, 'metadata');
      next = textOf(own(metadata, 'continue'));
      resourceVersion = textOf(own(metadata, 'resourceVersion')) ?? '';
    } while (next !== undefined && next !== '');
    this.#lists = { ...this.#lists, paged: this.#lists.paged + 1 };
    this.#finishList(resourceVersion);
  }

  async #watch(signal: AbortSignal, initial: Query): Promise<void> {
    const isList = initial['sendInitialEvents'] === true;
    const seconds = this.#options.watchSeconds ?? 2400;
    const timeoutSeconds = Math.round(seconds * (1 + 0.5 * (this.#options.rng ?? Math.random)()));
    let isComplete = !isList;
    this.#hasBookmarks = false;
    try {
      await this.#options.client.stream({
        path: this.#path,
        query: {
          ...this.#selectors(),
          watch: true,
          allowWatchBookmarks: true,
          timeoutSeconds,
          resourceVersion: this.#resourceVersion,
          ...initial,
        },
        accept: this.#accept('PartialObjectMetadata'),
        signal,
        maxDurationMs: (timeoutSeconds + 30) * 1000,
        idleTimeoutMs: () => {
          if (!isComplete) return INITIAL_SILENCE_MS;
          return this.#hasBookmarks ? BOOKMARK_SILENCE_MS : (timeoutSeconds + 30) * 1000;
        },
        onLine: (line) => {
          const event = parseEvent(line);
          if (event.type === 'BOOKMARK') {
            const resourceVersion = textOf(getIn(event.object, 'metadata', 'resourceVersion')) ?? '';
            this.#hasBookmarks = true;
            if (!isComplete && getIn(event.object, 'metadata', 'annotations', INITIAL_EVENTS_END) === 'true') {
              isComplete = true;
              this.#lists = { ...this.#lists, streamed: this.#lists.streamed + 1 };
              this.#finishList(resourceVersion);
            } else if (isComplete && resourceVersion !== '') {
              if (isOlder(resourceVersion, this.#resourceVersion))
                throw wentBack(this.#path, resourceVersion, this.#resourceVersion);
              this.#resourceVersion = resourceVersion;
            }
            return;
          }
          if (event.type === 'ERROR') throw watchError(this.#path, event.object);
          if (event.type === 'DELETED') this.#drop(keyOf(event.object));
          else this.#put(event.object);
          // Until the list is complete its events carry the objects' own, unordered versions.
          if (isComplete)
            this.#resourceVersion = textOf(getIn(event.object, 'metadata', 'resourceVersion')) ?? this.#resourceVersion;
        },
      });
    } catch (error) {
      if (!isComplete && error instanceof FairleadError && error.code === 'FL_KUBE_WATCH_SILENT')
        throw new ListStreamUnsupported();
      // 410: the changes since our version are forgotten. Too large: the server's past is not ours. A new list tells.
      if (hasStatus(error, 410) || isTooLargeResourceVersion(error)) this.#resourceVersion = '';
      throw error;
    }
    if (!isComplete)
      throw new FairleadError('FL_KUBE_WATCH_CUT', `the list of ${this.#path} ended early`, { kind: 'unavailable' });
  }

  #put(raw: Readonly<Record<string, unknown>>): void {
    const key = keyOf(raw);
    const metadata = isRecord(raw['metadata']) ? raw['metadata'] : {};
    const uid = textOf(metadata['uid']) ?? '';
    const resourceVersion = textOf(metadata['resourceVersion']) ?? '';
    const before = this.#held.get(key);
    if (before !== undefined && before.uid === uid && before.resourceVersion === resourceVersion) {
      before.seen = this.#listing;
      return;
    }
    const value = this.#guarded(() => this.#options.project(this.#shaped(raw, metadata)));
    // Deleted and made again under the same name while we were not looking: two events, as it happened.
    if (before !== undefined && (value === undefined || before.uid !== uid)) this.#drop(key);
    if (value === undefined) return;
    const previous = this.#held.get(key)?.value;
    this.#held.set(key, { uid, resourceVersion, value, seen: this.#listing });
    if (previous === undefined) this.#emit({ type: 'added', key, value, previous: undefined });
    else this.#emit({ type: 'modified', key, value, previous });
  }

  #drop(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    this.#emit({ type: 'deleted', key, value: undefined, previous: held.value });
  }

  #finishList(resourceVersion: string): void {
    for (const [key, held] of this.#held) if (held.seen !== this.#listing) this.#drop(key);
    this.#resourceVersion = resourceVersion;
    this.#isSynced = true;
    this.#guarded(() => this.#options.onSynced?.());
  }

  /** List items have no kind, metadata-only ones the wrong one; managedFields are dropped here. */
  #shaped(raw: Readonly<Record<string, unknown>>, metadata: Readonly<Record<string, unknown>>): KubeObject {
    const { mapping } = this.#options;
    const { managedFields: _dropped, ...kept } = metadata;
    return {
      ...raw,
      apiVersion: formatApiVersion(mapping.group, mapping.version),
      kind: mapping.kind,
      // The API server's own shape: it always sends a name.
      metadata: (this.#options.keepManagedFields === true ? metadata : kept) as unknown as KubeObject['metadata'],
    };
  }

  #emit(event: ReflectorEvent<T>): void {
    this.#guarded(() => this.#options.onEvent?.(event));
  }

  #guarded<R>(call: () => R): R {
    try {
      return call();
    } catch (error) {
      throw new HandlerFailure(this.id, error);
    }
  }

  #forgetAll(error: HandlerFailure): HandlerFailure {
    this.#held.clear();
    this.#resourceVersion = '';
    this.#isSynced = false;
    return error;
  }

  #selectors(): Query {
    return { labelSelector: this.#options.labelSelector, fieldSelector: this.#options.fieldSelector };
  }

  #accept(as: string): string {
    return this.#options.metadataOnly === true
      ? `application/json;as=${as};g=meta.k8s.io;v=v1,application/json`
      : 'application/json';
  }

  #report(error: unknown): void {
    const isExpected = hasStatus(error, 410) || (error instanceof FairleadError && error.code === 'FL_KUBE_WATCH_CUT');
    const fields = { resource: this.#path, error };
    if (isExpected) this.#options.log.debug(fields, 'the watch is begun again');
    else this.#options.log.warn(fields, 'a watch failed; it is tried again');
    this.#options.onError?.(error);
  }

  async #pause(attempt: number, error: unknown, signal: AbortSignal): Promise<void> {
    const baseMs = this.#options.minBackoffMs ?? 800;
    const backoffMs = fullJitter(
      attempt,
      { baseMs, maxMs: this.#options.maxBackoffMs ?? 30_000 },
      this.#options.rng ?? Math.random,
    );
    const askedMs = error instanceof FairleadError ? (error.retryAfterMs ?? 0) : 0;
    try {
      await this.#clock.sleep(Math.max(backoffMs, askedMs), signal);
    } catch {
      // Stopped while waiting; the caller's loop sees the signal.
    }
  }
}

class ListStreamUnsupported extends Error {}

/** A handler's own defect. `run` rejects with it: the supervisor starts again from nothing. */
class HandlerFailure extends FairleadError {
  constructor(id: string, cause: unknown) {
    super('FL_KUBE_HANDLER', `a handler of ${id} failed: ${cause instanceof Error ? cause.message : String(cause)}`, {
      kind: 'internal',
      cause,
    });
  }
}

export function parseEvent(line: Buffer): WatchEvent {
  const value = parseJson(line, 'a watch event');
  const type = textOf(own(value, 'type'));
  const object = own(value, 'object');
  if (type === undefined || !isRecord(object)) {
    throw new FairleadError('FL_KUBE_WATCH_FORM', 'the API server sent a line that is no watch event', { kind: 'unavailable' });
  }
  return { type, object };
}

/** Versions of one resource are ordered decimal numbers (KEP-5504); anything else is not compared. */
export function isOlder(a: string, b: string): boolean {
  return /^[0-9]+$/.test(a) && /^[0-9]+$/.test(b) && (a.length === b.length ? a < b : a.length < b.length);
}

/** The cluster's store was restored from a backup: what we hold may be of a future that never happened. */
function wentBack(path: string, now: string, held: string): KubeStatusError {
  const message = `the server is at version ${now}, behind ${held} that was seen before`;
  return new KubeStatusError({ status: 410, reason: 'Expired', message, causes: [], retryAfterMs: undefined }, `WATCH ${path}`);
}

export function watchError(path: string, object: Readonly<Record<string, unknown>>): KubeStatusError {
  return new KubeStatusError(statusFacts(object, numberOf(object['code']) ?? 500, undefined), `WATCH ${path}`);
}

function keyOf(object: Readonly<Record<string, unknown>>): string {
  const metadata = object['metadata'];
  const namespace = textOf(own(metadata, 'namespace'));
  const name = textOf(own(metadata, 'name')) ?? '';
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}
