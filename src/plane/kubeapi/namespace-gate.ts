/**
 * Creates in a namespace and the deletion of its Project exclude each other, so that nothing is created into a namespace
 * between the look that found it empty and its end. In this process only: with several replicas the store's expectation
 * (the Project is present) narrows the gap to one commit.
 */
export class NamespaceGate {
  readonly #held = new Map<string, { readers: number; writing: boolean; readonly waiting: (() => void)[] }>();

  async shared<T>(namespace: string, task: () => Promise<T>): Promise<T> {
    const entry = await this.#wait(namespace, (one) => !one.writing);
    entry.readers += 1;
    try {
      return await task();
    } finally {
      entry.readers -= 1;
      this.#leave(namespace);
    }
  }

  async exclusive<T>(namespace: string, task: () => Promise<T>): Promise<T> {
    const entry = await this.#wait(namespace, (one) => !one.writing && one.readers === 0);
    entry.writing = true;
    try {
      return await task();
    } finally {
      entry.writing = false;
      this.#leave(namespace);
    }
  }

  async #wait(
    namespace: string,
    isFree: (one: { readers: number; writing: boolean }) => boolean,
  ): Promise<{ readers: number; writing: boolean }> {
    for (;;) {
      const entry = this.#held.get(namespace) ?? { readers: 0, writing: false, waiting: [] };
      this.#held.set(namespace, entry);
      if (isFree(entry)) return entry;
      await new Promise<void>((resolve) => entry.waiting.push(resolve));
    }
  }

  #leave(namespace: string): void {
    const entry = this.#held.get(namespace);
    if (entry === undefined) return;
    for (const wake of entry.waiting.splice(0)) wake();
    if (entry.readers === 0 && !entry.writing) this.#held.delete(namespace);
  }
}
