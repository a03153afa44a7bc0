/** How long promises may run on without letting timers, sockets and signals have their turn. */
const TURN_MS = 4;

/**
 * Lets the event loop go round when this turn has lasted a few milliseconds. Thousands of reconciles that only read would
 * otherwise run as one chain of promises. It measures the machine, not the plane's time: no clock is handed in.
 */
export class Breather {
  #turnEnds = 0;
  #turn: Promise<void> | undefined;

  async breathe(): Promise<void> {
    if (performance.now() < this.#turnEnds) return;
    this.#turn ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#turnEnds = performance.now() + TURN_MS;
        this.#turn = undefined;
        resolve();
      });
    });
    await this.#turn;
  }
}
