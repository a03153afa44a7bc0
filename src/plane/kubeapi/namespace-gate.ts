interface Held {
  readers: number;
  isWriting: boolean;
  readonly waiting: (() => void)[];
}

/**
 * Creates in a namespace and the deletion of its Project exclude each other, so that nothing is created into a namespace
 * between the look that found it empty and its end. In this process only: with several replicas the store's expectation
 * (the Project is present) narrows the gap to one commit.
 */
export class NamespaceGate {
  readonly #held = new Map<string, Held>();

  /** Together with other shared tasks. */
  async shared<T>(namespace: string, task: () => Promise<T>): Promise<T> {
    await this.#enter(namespace, (held) => {
      if (held.isWriting) return false;
      held.readers += 1;
      return true;
    });
    try {
      return await task();
    } finally {
      this.#leave(namespace, (held) => void (held.readers -= 1));
    }
  }

  /** Alone. */
  async exclusive<T>(namespace: string, task: () => Promise<T>): Promise<T> {
    await this.#enter(namespace, (held) => {
      if (held.isWriting || held.readers > 0) return false;
      held.isWriting = true;
      return true;
    });
    try {
      return await task();
    } finally {
      this.#leave(namespace, (held) => void (held.isWriting = false));
    }
  }

  /** `take` looks and takes in one step: nobody can come between. */
  async #enter(namespace: string, take: (held: Held) => boolean): Promise<void> {
    for (;;) {
      const held = this.#held.get(namespace) ?? { readers: 0, isWriting: false, waiting: [] };
      this.#held.set(namespace, held);
      if (take(held)) return;
      await new Promise<void>((resolve) => held.waiting.push(resolve));
    }
  }

  #leave(namespace: string, release: (held: Held) => void): void {
    const held = this.#held.get(namespace);
    if (held === undefined) return;
    release(held);
    if (held.readers === 0 && !held.isWriting) this.#held.delete(namespace);
    for (const wake of held.waiting.splice(0)) wake();
  }
}
