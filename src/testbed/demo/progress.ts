/** Lines with the time since the start; a long step says its name again every few seconds, so that nobody wonders. */
export interface Progress {
  say(line: string): void;
  /** Runs a step; says when it begins and how long it took. */
  step<T>(title: string, work: () => Promise<T>): Promise<T>;
  readonly elapsedMs: number;
}

export function createProgress(write: (line: string) => void): Progress {
  const started = performance.now();
  const stamp = (): string => `${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s`;
  const say = (line: string): void => write(`${stamp()}  ${line}\n`);
  return {
    say,
    get elapsedMs() {
      return performance.now() - started;
    },
    async step(title, work) {
      say(title);
      const begun = performance.now();
      const timer = setInterval(() => say(`${title}: ${Math.round((performance.now() - begun) / 1000)} s so far`), 10_000);
      try {
        return await work();
      } finally {
        clearInterval(timer);
      }
    },
  };
}
