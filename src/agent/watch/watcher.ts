import { childController, messageOf, supervise, type Clock, type Log } from '#base';
import { getObject, parseId, Reflector, type KubeObject, type ResourceMapping } from '#kube';
import { createAutoscalerLookup, mayBeAutoscaled, REPLICAS, type AutoscalerLookup } from '../apply/autoscalers.ts';
import type { ClusterPort } from '../apply/cluster-port.ts';
import { isMarked, namesItself, OWNER_LABEL } from '../apply/marks.ts';
import type { WantedObjects } from '../apply/wanted-objects.ts';
import type { Observation } from '../core/messages.ts';
import type { Drift, ObjectKey } from '../core/model.ts';
import { inspect, inspectStripped } from './inspect.ts';
import { judgeHealth } from './judge-health.ts';
import { comparisonKey, isOlderVersion, keyOfLive, type LiveRecord, type WatchedObject } from './live-record.ts';
import { explainUnhealthy, hasPods, POD_LOOK_MS } from './look-at-pods.ts';

export interface WatcherOptions {
  readonly port: ClusterPort;
  readonly wanted: WantedObjects;
  readonly signal: AbortSignal;
  /** Namespaces to watch one by one, where the agent may not watch the whole cluster. */
  readonly namespaces?: readonly string[];
  /** In batches, by application. */
  readonly onObserved: (app: string, changes: readonly Observation[]) => void;
}

interface Watched extends WatchedObject {
  /** Older versions than this are from before our last write. */
  readonly minVersion: string;
}

interface KindWatch {
  readonly reflectors: readonly Reflector<LiveRecord>[];
  readonly stop: () => void;
  readonly synced: Promise<void>;
}

// Changes that come together are judged together.
const FLUSH_MS = 15;
const SYNC_TIMEOUT_MS = 15_000;

/**
 * Watches every kind that an application holds, by owner label, and keeps of each object whether it is still as applied
 * and healthy. Reports what changes; never writes.
 */
export class Watcher {
  readonly #options: WatcherOptions;
  readonly #port: ClusterPort;
  readonly #clock: Clock;
  readonly #log: Log;
  /** What each application wants: first what only stands, then in the order in which it was asked for. */
  #wants = new Map<string, ReadonlyMap<ObjectKey, WatchedObject>>();
  /** Of several that want an object, the last one. */
  readonly #watched = new Map<ObjectKey, Watched>();
  readonly #kinds = new Map<string, KindWatch>();
  readonly #dirty = new Set<ObjectKey>();
  /** Objects that have left their watch. */
  readonly #missing = new Set<ObjectKey>();
  readonly #podLooks = new Map<ObjectKey, number>();
  #refresh: Promise<void> | undefined;
  #flushing = false;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#clock = options.port.clock;
    this.#log = options.port.log;
  }

  /** Requests that keep watches open, one per kind (and namespace). */
  get kinds(): readonly string[] {
    return [...this.#kinds.keys()];
  }

  /**
   * From now on `objects` are all that `app` wants, or holds until something comes in its place (`isStanding`). Kinds that are
   * new are watched; resolves when what is there is known.
   */
  async want(app: string, objects: readonly WatchedObject[], isStanding: boolean): Promise<void> {
    const next = new Map(objects.map((one) => [one.object.key, one]));
    const before = this.#wants.get(app);
    this.#wants.delete(app);
    this.#wants = new Map(isStanding ? [[app, next], ...this.#wants] : [...this.#wants, [app, next]]);
    const returned: ObjectKey[] = [];
    for (const key of new Set([...(before?.keys() ?? []), ...next.keys()])) {
      const current = this.#watched.get(key);
      const one = [...this.#wants.values()].findLast((wants) => wants.has(key))?.get(key);
      if (one === undefined) {
        this.#watched.delete(key);
        this.#missing.delete(key);
        continue;
      }
      this.#watched.set(key, { ...one, minVersion: current?.app === one.app ? current.minVersion : '' });
      if (one.app !== app && current?.app === app) returned.push(key);
    }
    if (returned.length > 0) void this.#tellOfReturned(returned);
    const mappings = new Map<string, ResourceMapping>();
    for (const one of objects) {
      const kind = kindOf(one.object.key);
      if (mappings.has(kind) || this.#kinds.has(kind)) continue;
      try {
        mappings.set(kind, await this.#port.mapper.mapping(one.object.id));
      } catch {
        // Not served (yet): watched as soon as the first object of the kind was applied.
      }
    }
    await this.watchKinds([...mappings.values()]);
  }

  /** Another application wanted them for a while. */
  async #tellOfReturned(keys: readonly ObjectKey[]): Promise<void> {
    if (this.isBehind(keys)) await this.refresh().catch(() => undefined);
    this.tell(keys);
  }

  /** Watches these kinds from now on; resolves when what is there is known, or cannot be known soon. */
  async watchKinds(mappings: readonly ResourceMapping[]): Promise<void> {
    // Applications that start together register together, so that one list compares the objects of all of them.
    if (mappings.some((mapping) => !this.#kinds.has(kindName(mapping)))) await this.#clock.sleep(FLUSH_MS, this.#options.signal);
    await Promise.all(
      mappings
        .filter((mapping) => mapping.verbs.includes('watch'))
        .map((mapping) => (this.#kinds.get(kindName(mapping)) ?? this.#watch(mapping)).synced),
    );
  }

  /** Stops watching kinds that nobody wants or holds. */
  keepKinds(kinds: ReadonlySet<string>): void {
    for (const [kind, watch] of this.#kinds) {
      if (kinds.has(kind)) continue;
      watch.stop();
      this.#kinds.delete(kind);
    }
  }

  /** What is known of the live object; undefined: there is none with an owner label, as far as is known. */
  lookup(key: ObjectKey): LiveRecord | undefined {
    const { namespace, name } = parseId(key);
    const watch = this.#kinds.get(kindOf(key));
    for (const reflector of watch?.reflectors ?? []) {
      const found = reflector.get(namespace === '' ? name : `${namespace}/${name}`);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Whether the record was compared with exactly what is wanted now. */
  isCompared(record: LiveRecord): boolean {
    const watched = this.#watched.get(record.key);
    return watched !== undefined && record.comparedWith === comparisonKey(watched);
  }

  /** After a write of ours: what the watch says of older versions is news of yesterday. */
  noteWritten(key: ObjectKey, resourceVersion: string): void {
    const watched = this.#watched.get(key);
    if (watched === undefined) return;
    this.#watched.set(key, { ...watched, minVersion: resourceVersion });
    // The watch may have told already.
    const record = this.lookup(key);
    if (record !== undefined && !isOlderVersion(record.resourceVersion, resourceVersion)) this.#mark(key);
  }

  /** Says once more what is known of these objects: while they were being applied, nobody listened. */
  recheck(keys: readonly ObjectKey[]): void {
    // What the watch has not told yet it will tell by itself.
    for (const key of keys) if (this.#missing.has(key) || this.lookup(key) !== undefined) this.#mark(key);
  }

  /** Says of each of these whether it is there and as wanted, also where no watch has ever seen it. */
  tell(keys: readonly ObjectKey[]): void {
    for (const key of keys) this.#mark(key);
  }

  /** Whether one of them was last seen when something else was wanted of it, or nothing. */
  isBehind(keys: readonly ObjectKey[]): boolean {
    return keys.some((key) => {
      const record = this.lookup(key);
      return record !== undefined && !this.isCompared(record);
    });
  }

  /** Reads every watched kind anew and compares it with what is wanted now; once for all who ask at the same time. */
  refresh(): Promise<void> {
    this.#refresh ??= this.#clock.sleep(FLUSH_MS, this.#options.signal).then(() => {
      this.#refresh = undefined;
      return this.#readAnew();
    });
    return this.#refresh;
  }

  async #readAnew(): Promise<void> {
    const mappings = await Promise.all(
      [...this.#kinds.keys()].map(async (kind) => {
        const [group = '', name = ''] = kind.split('/');
        return this.#port.mapper.mapping({ group, version: '', kind: name }).catch(() => undefined);
      }),
    );
    this.keepKinds(new Set());
    await this.watchKinds(mappings.filter((mapping) => mapping !== undefined));
  }

  /** Looks at one object now and compares it, whatever the watch knows. */
  examine(live: KubeObject, watched: WatchedObject): LiveRecord {
    return this.#project(live, watched);
  }

  #watch(mapping: ResourceMapping): KindWatch {
    const kind = kindName(mapping);
    const controller = childController(this.#options.signal);
    const spaces = mapping.namespaced && this.#options.namespaces !== undefined ? this.#options.namespaces : [undefined];
    const pending = new Set(spaces.map((_, index) => index));
    let markSynced = (): void => undefined;
    const complete = new Promise<void>((resolve) => (markSynced = resolve));
    const reflectors = spaces.map(
      (namespace, index) =>
        new Reflector<LiveRecord>({
          client: this.#port.client,
          mapping,
          ...(namespace === undefined ? {} : { namespace }),
          labelSelector: OWNER_LABEL,
          keepManagedFields: true,
          project: (object) => this.#project(object, this.#watched.get(keyOfLive(object))),
          onEvent: (event) => {
            const key = event.value?.key ?? event.previous?.key ?? '';
            if (event.type !== 'deleted') this.#missing.delete(key);
            else if (this.#watched.has(key)) this.#missing.add(key);
            this.#mark(key);
          },
          onSynced: () => {
            pending.delete(index);
            if (pending.size === 0) markSynced();
          },
          log: this.#log,
          clock: this.#clock,
        }),
    );
    const synced = Promise.race([complete, this.#clock.sleep(SYNC_TIMEOUT_MS, controller.signal).catch(() => undefined)]);
    void supervise(reflectors, controller.signal, { log: this.#log, clock: this.#clock });
    const watch: KindWatch = { reflectors, synced, stop: () => controller.abort() };
    this.#kinds.set(kind, watch);
    return watch;
  }

  #project(live: KubeObject, watched: WatchedObject | undefined): LiveRecord {
    const key = keyOfLive(live);
    const { metadata } = live;
    const base = {
      key,
      uid: metadata.uid ?? '',
      resourceVersion: metadata.resourceVersion ?? '',
      owner: metadata.labels?.[OWNER_LABEL] ?? '',
      isGenuine: namesItself(metadata, key),
      isDeleting: metadata.deletionTimestamp !== undefined,
    };
    const nothing = {
      comparedWith: '',
      drift: undefined,
      whenAutoscaled: undefined,
      yielded: [],
      conflicts: [],
      intruders: [],
      health: 'healthy' as const,
      reason: undefined,
    };
    if (watched === undefined || !isMarked(metadata, watched.owner, key)) return { ...base, ...nothing };
    const health = judgeHealth(live, key, this.#port.cluster, this.#clock.now());
    const comparable = this.#options.wanted.comparable(watched.object, watched.owner);
    if (comparable === undefined) return { ...base, ...nothing, ...health };
    const seen = inspect(watched.object.isSealed ? this.#options.wanted.veil(live) : live, comparable, watched.ignore);
    const whenAutoscaled =
      seen.isScaled && mayBeAutoscaled(live)
        ? { drift: inspect(live, comparable, [...watched.ignore, REPLICAS]).drift }
        : undefined;
    return { ...base, ...seen, ...health, whenAutoscaled, comparedWith: comparisonKey(watched) };
  }

  #mark(key: ObjectKey): void {
    if (key === '' || !this.#watched.has(key)) return;
    this.#dirty.add(key);
    if (this.#flushing) return;
    this.#flushing = true;
    void this.#clock
      .sleep(FLUSH_MS, this.#options.signal)
      .then(() => this.#flush())
      .catch((error: unknown) => {
        if (!this.#options.signal.aborted) this.#log.warn({ error }, 'what a watch saw could not be judged');
      })
      .finally(() => {
        this.#flushing = false;
        if (this.#dirty.size > 0 && !this.#options.signal.aborted) this.#mark([...this.#dirty][0] ?? '');
      });
  }

  async #flush(): Promise<void> {
    const keys = [...this.#dirty];
    this.#dirty.clear();
    const changes = new Map<string, Observation[]>();
    const isAutoscaled = createAutoscalerLookup(this.#port);
    for (const key of keys) {
      const watched = this.#watched.get(key);
      if (watched === undefined) continue;
      const seen = await this.#observe(key, watched, isAutoscaled);
      if (seen === undefined) continue;
      const list = changes.get(watched.app) ?? [];
      list.push(seen);
      changes.set(watched.app, list);
    }
    for (const [app, list] of changes) this.#options.onObserved(app, list);
  }

  async #observe(key: ObjectKey, watched: Watched, isAutoscaled: AutoscalerLookup): Promise<Observation | undefined> {
    const record = this.lookup(key);
    if (record === undefined || record.owner !== watched.owner || !record.isGenuine) {
      const drift = await this.#lookAtMissing(key, watched);
      return drift === undefined ? undefined : { key, digest: watched.object.digest, drift, health: 'progressing' };
    }
    // Compared with something older, or from before our last write: another event will follow.
    if (record.comparedWith !== comparisonKey(watched) || isOlderVersion(record.resourceVersion, watched.minVersion))
      return undefined;
    const drift = await this.#driftOf(record, isAutoscaled);
    if (drift === 'unknown') return undefined;
    const explained = this.#lookAtPods(key, watched, record);
    return {
      key,
      digest: watched.object.digest,
      // What is going away is made again when it is gone.
      drift: record.isDeleting ? undefined : drift,
      ...(explained ?? { health: record.health, ...(record.reason === undefined ? {} : { reason: record.reason }) }),
    };
  }

  async #driftOf(record: LiveRecord, isAutoscaled: AutoscalerLookup): Promise<Drift | undefined | 'unknown'> {
    const { whenAutoscaled } = record;
    if (whenAutoscaled === undefined) return record.drift;
    try {
      return (await isAutoscaled(record.key, this.#options.signal)) ? whenAutoscaled.drift : record.drift;
    } catch (error) {
      this.#log.debug({ object: record.key, error: messageOf(error) }, 'whether an object is autoscaled cannot be told');
      this.#askAgain(record.key);
      return 'unknown';
    }
  }

  /** It left our watch: deleted, or stripped of its marks? Undefined when it is there after all, or nobody can say now. */
  async #lookAtMissing(key: ObjectKey, watched: Watched): Promise<Drift | undefined> {
    try {
      const mapping = await this.#port.mapper.mapping(watched.object.id);
      const live = await getObject(this.#port.client, mapping, parseId(key), { signal: this.#options.signal });
      if (live === null) return { kind: 'deleted', fields: [], manager: '', at: '' };
      if (isMarked(live.metadata, watched.owner, key)) return undefined;
      return inspectStripped(live, watched.owner, key);
    } catch (error) {
      this.#log.debug({ object: key, error: messageOf(error) }, 'an object that left its watch cannot be read');
      this.#askAgain(key);
      return undefined;
    }
  }

  /** Nothing else would ever tell. */
  #askAgain(key: ObjectKey): void {
    void this.#clock.sleep(2000, this.#options.signal).then(
      () => this.#mark(key),
      () => undefined,
    );
  }

  readonly #explained = new Map<ObjectKey, Pick<Observation, 'health' | 'reason'>>();

  /** While a workload is not healthy its pods are looked at now and then, so that the reason can say why. */
  #lookAtPods(key: ObjectKey, watched: Watched, record: LiveRecord): Pick<Observation, 'health' | 'reason'> | undefined {
    if (!hasPods(key)) return undefined;
    if (record.health === 'healthy' || record.isDeleting) {
      this.#explained.delete(key);
      this.#podLooks.delete(key);
      return undefined;
    }
    const due = this.#podLooks.get(key);
    if (due === undefined || due <= this.#clock.monotonic()) {
      this.#podLooks.set(key, this.#clock.monotonic() + POD_LOOK_MS);
      void this.#explain(key, watched, record);
    }
    return this.#explained.get(key);
  }

  async #explain(key: ObjectKey, watched: Watched, record: LiveRecord): Promise<void> {
    // Pods take a moment to say what is wrong with them.
    await this.#clock.sleep(POD_LOOK_MS / 2, this.#options.signal).catch(() => undefined);
    if (this.#options.signal.aborted) return;
    const before = this.#explained.get(key);
    try {
      const said = await explainUnhealthy(key, watched.object, this.#port, this.#options.signal);
      if (this.lookup(key)?.health === 'healthy') return;
      if (said === undefined) this.#explained.delete(key);
      else this.#explained.set(key, said);
    } catch (error) {
      this.#log.debug({ object: key, error: messageOf(error) }, 'the pods of an unhealthy workload cannot be read');
    }
    if (JSON.stringify(this.#explained.get(key)?.reason?.args) !== JSON.stringify(before?.reason?.args)) this.#mark(key);
    await this.#clock.sleep(POD_LOOK_MS, this.#options.signal).catch(() => undefined);
    const now = this.lookup(key);
    if (now !== undefined && now.health !== 'healthy' && now.uid === record.uid && this.#watched.has(key)) this.#mark(key);
  }
}

/** `group/Kind`. */
export function kindOf(key: ObjectKey): string {
  return key.slice(0, key.indexOf('/', key.indexOf('/') + 1));
}

function kindName(mapping: ResourceMapping): string {
  return `${mapping.group}/${mapping.kind}`;
}
