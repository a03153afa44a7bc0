import type { Doorbell } from '#api';
import type { FleetIndex } from './fleet-index.ts';

/**
 * Doorbells of one listener: at most `perSecond` messages a second, each naming the newest revision of every (kind, project)
 * that rang since the last. No data: what is lost between two messages costs nothing, because clients ask anew.
 */
export function doorbells(
  index: FleetIndex,
  send: (bells: readonly Doorbell[]) => void,
  options: {
    readonly perSecond: number;
    readonly mayHear: (kind: string, project: string) => boolean;
    readonly signal: AbortSignal;
  },
): void {
  const waiting = new Map<string, Doorbell>();
  let timer: NodeJS.Timeout | undefined;
  const stop = index.listen((kind, project, revision) => {
    if (!options.mayHear(kind, project)) return;
    waiting.set(`${kind}/${project}`, { kind, project, revision });
    timer ??= setTimeout(flush, 1000 / options.perSecond);
  });
  options.signal.addEventListener(
    'abort',
    () => {
      stop();
      clearTimeout(timer);
    },
    { once: true },
  );

  function flush(): void {
    timer = undefined;
    const bells = [...waiting.values()];
    waiting.clear();
    send(bells);
  }
}
