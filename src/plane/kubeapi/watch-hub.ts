import type { Kind } from '#api';
import { FairleadError, messageOf, type Log } from '#base';
import type { Change, Store } from '#plane/store';

/** A change with its images parsed at most once, whoever looks. */
export class SharedChange {
  readonly change: Change;
  /** Renderings already made of it, by form; a thousand watchers of one form cost one rendering. */
  readonly rendered = new Map<string, string>();

  constructor(change: Change) {
    this.change = change;
  }
}

export interface Subscriber {
  /** In revision order. */
  take(batch: readonly SharedChange[], revision: number): void;
  /** The hub lost its place in the change log: watchers must start anew. */
  lost(error: unknown): void;
}

/**
 * Reads the store's change log once for everybody. A watcher subscribes and then replays what lies between its revision
 * and the hub's; nothing can fall between the two.
 */
export class WatchHub {
  readonly #store: Store;
  readonly #kinds: readonly Kind[];
  readonly #log: Log;
  readonly #subscribers = new Map<string, Set<Subscriber>>();
  readonly #stopping = new AbortController();
  readonly #recent: SharedChange[] = [];
  #recentBytes = 0;
  /** `#recent` holds every change after this revision. */
  #recentFrom: number;
  #revision: number;
  #running: Promise<void> | undefined;

  constructor(store: Store, kinds: readonly Kind[], log: Log) {
    this.#store = store;
    this.#kinds = kinds;
    this.#log = log;
    this.#revision = store.revision();
    this.#recentFrom = this.#revision;
  }

  get kinds(): readonly Kind[] {
    return this.#kinds;
  }

  /** Changes of this kind after a revision, if they are recent enough to be remembered: most watches begin where a list just ended. */
  recent(kind: Kind, after: number): readonly SharedChange[] | undefined {
    if (after < this.#recentFrom) return undefined;
    return this.#recent.filter(({ change }) => change.revision > after && change.kind === kind.kind);
  }

  /** Every change up to this one was handed out. */
  get revision(): number {
    return this.#revision;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new FairleadError('FL_API_STOPPING', 'the API is stopping', { kind: 'unavailable' }));
    await this.#running;
  }

  /** Hands every later change of this kind to the subscriber until the returned function is called. */
  subscribe(kind: Kind, subscriber: Subscriber): () => void {
    const set = this.#subscribers.get(kind.kind) ?? new Set();
    this.#subscribers.set(kind.kind, set);
    set.add(subscriber);
    return () => void set.delete(subscriber);
  }

  get watchers(): number {
    let count = 0;
    for (const set of this.#subscribers.values()) count += set.size;
    return count;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        for await (const batch of this.#store.changes(this.#revision, this.#kinds, signal)) this.#publish(batch);
      } catch (error) {
        if (signal.aborted) return;
        this.#log.error({ error: messageOf(error) }, 'the change log was lost; watchers start anew');
        this.#revision = this.#store.revision();
        this.#recentFrom = this.#revision;
        this.#recent.length = 0;
        this.#recentBytes = 0;
        for (const set of this.#subscribers.values()) for (const one of set) one.lost(error);
      }
    }
  }

  #publish(batch: readonly Change[]): void {
    const byKind = new Map<string, SharedChange[]>();
    for (const change of batch) {
      this.#revision = Math.max(this.#revision, change.revision);
      const shared = new SharedChange(change);
      this.#remember(shared);
      const list = byKind.get(change.kind);
      if (list === undefined) byKind.set(change.kind, [shared]);
      else list.push(shared);
    }
    for (const [kind, changes] of byKind) {
      for (const subscriber of this.#subscribers.get(kind) ?? []) subscriber.take(changes, this.#revision);
    }
  }

  #remember(shared: SharedChange): void {
    this.#recent.push(shared);
    this.#recentBytes += sizeOf(shared);
    // Dropped by halves: shifting one by one would move the whole array for each change.
    if (this.#recentBytes <= RECENT_BYTES) return;
    let drop = 0;
    while (this.#recentBytes > RECENT_BYTES / 2 && drop < this.#recent.length) {
      const oldest = this.#recent[drop];
      if (oldest === undefined) break;
      this.#recentBytes -= sizeOf(oldest);
      this.#recentFrom = oldest.change.revision;
      drop += 1;
    }
    this.#recent.splice(0, drop);
  }
}

const RECENT_BYTES = 16 * 1024 * 1024;

function sizeOf({ change }: SharedChange): number {
  return change.after.length + (change.before?.length ?? 0) + 200;
}
