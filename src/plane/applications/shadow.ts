import { Delivery, formatKey, keyOf, type Kind, type ObjectMeta, type PlaneObject } from '#api';
import type { ObjectChange, Reader } from '#plane/engine';
import type { ListQuery } from '#plane/store';

/**
 * A projection of every object of a kind, in memory, so that a hundred keys woken by one change do not read the same list a
 * hundred times. Loaded once, then kept by the changes that wake: what it shows may be older than the store, never for long,
 * and the change that was missed wakes again. Of two images of an object the one with the higher revision counts.
 */
export class Shadow<S, T, V> {
  readonly #kind: Kind<S, T>;
  readonly #project: (object: PlaneObject<S, T>) => V;
  readonly #entries = new Map<string, { readonly revision: number; readonly value: V | undefined }>();
  #loading: Promise<void> | undefined;
  /** Raised by every entry that is taken in. */
  version = 0;

  constructor(kind: Kind<S, T>, project: (object: PlaneObject<S, T>) => V) {
    this.#kind = kind;
    this.#project = project;
  }

  /** Loads once. */
  async load(read: Reader): Promise<void> {
    this.#loading ??= this.#loadAll(read).catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    await this.#loading;
  }

  /** Loads anew: changes may have been missed. */
  async reload(read: Reader): Promise<void> {
    this.#loading = undefined;
    await this.load(read);
  }

  async #loadAll(read: Reader): Promise<void> {
    const seen = new Set<string>();
    const { revision } = await read.list(this.#kind, { limit: 1 });
    await eachPage(read, this.#kind, (object) => {
      seen.add(formatKey(keyOf(object)));
      this.#put(object, false);
    });
    for (const [key, entry] of this.#entries) {
      // Not there when the list began, and nothing newer is known of it.
      if (entry.value === undefined || seen.has(key) || entry.revision > revision) continue;
      this.#entries.set(key, { revision: entry.revision, value: undefined });
      this.version += 1;
    }
  }

  take(change: ObjectChange<S, T>): void {
    this.#put(change.after, change.type === 'deleted');
  }

  get(key: string): V | undefined {
    return this.#entries.get(key)?.value;
  }

  *values(): Generator<V> {
    for (const { value } of this.#entries.values()) if (value !== undefined) yield value;
  }

  #put(object: PlaneObject<S, T>, isDeleted: boolean): void {
    const key = formatKey(keyOf(object));
    const revision = Number(object.metadata.resourceVersion);
    if ((this.#entries.get(key)?.revision ?? -1) >= revision) return;
    // A deleted one stays as a mark: an older image that comes late must not bring it back.
    this.#entries.set(key, { revision, value: isDeleted ? undefined : this.#project(object) });
    this.version += 1;
  }
}

/** Every object of a kind, page by page, giving way to other work between pages. */
export async function eachPage<S, T>(
  read: Reader,
  kind: Kind<S, T>,
  visit: (object: PlaneObject<S, T>) => void,
  query: ListQuery = {},
): Promise<void> {
  let after = query.after;
  for (;;) {
    const page = await read.list(kind, { ...query, limit: 500, ...(after === undefined ? {} : { after }) });
    for (const item of page.items) visit(item);
    if (page.next === undefined) return;
    after = page.next;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The Deliveries of an Application. */
export async function deliveriesOf(application: { readonly metadata: ObjectMeta }, read: Reader): Promise<readonly Delivery[]> {
  const deliveries: Delivery[] = [];
  const fields = [{ path: 'spec.application', operator: '=', value: application.metadata.name }] as const;
  await eachPage(read, Delivery, (delivery) => deliveries.push(delivery), {
    namespace: application.metadata.namespace ?? '',
    fields,
  });
  return deliveries;
}
