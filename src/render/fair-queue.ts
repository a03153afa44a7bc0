/**
 * Waiting items of many owners, served in turns: one owner with a thousand waiting delays another by one item, not by a
 * thousand. Bounded over all owners together.
 */
export class FairQueue<T> {
  // An owner that was served goes to the end of this map; its own items keep their order.
  readonly #waiting = new Map<string, T[]>();
  readonly #capacity: number;
  #size = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#size;
  }

  /** False when it is full. */
  push(owner: string, item: T): boolean {
    if (this.#size >= this.#capacity) return false;
    this.#size += 1;
    const items = this.#waiting.get(owner);
    if (items === undefined) this.#waiting.set(owner, [item]);
    else items.push(item);
    return true;
  }

  /** Owners with waiting items, the one whose turn it is first. */
  owners(): IterableIterator<string> {
    return this.#waiting.keys();
  }

  has(owner: string): boolean {
    return this.#waiting.has(owner);
  }

  /** The owner's next item; the owner's next turn comes after all others'. */
  take(owner: string): T | undefined {
    const items = this.#waiting.get(owner);
    const item = items?.shift();
    if (items === undefined || item === undefined) return undefined;
    this.#size -= 1;
    this.#waiting.delete(owner);
    if (items.length > 0) this.#waiting.set(owner, items);
    return item;
  }

  /** Takes one item out of the middle, wherever it is. */
  remove(owner: string, item: T): boolean {
    const items = this.#waiting.get(owner);
    const at = items?.indexOf(item) ?? -1;
    if (items === undefined || at < 0) return false;
    items.splice(at, 1);
    this.#size -= 1;
    if (items.length === 0) this.#waiting.delete(owner);
    return true;
  }

  /** Everything that waits, leaving nothing. */
  drain(): T[] {
    const all = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    this.#size = 0;
    return all;
  }
}
