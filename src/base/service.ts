import { fullJitter } from './backoff.ts';
import { systemClock, type Clock } from './clock.ts';
import type { Log } from './log.ts';

/** Something that runs until its signal aborts. `run` resolves when it has stopped and rejects to be restarted. */
export interface Service {
  readonly id: string;
  run(signal: AbortSignal): Promise<void>;
}

export interface SuperviseOptions {
  readonly log: Log;
  readonly clock?: Clock;
  readonly baseMs?: number;
  readonly maxMs?: number;
}

/**
 * Runs every service until the signal aborts; one that fails is restarted with jittered exponential back-off, which
 * starts over after a minute of health. Resolves when all have stopped; never rejects.
 */
export async function supervise(services: readonly Service[], signal: AbortSignal, options: SuperviseOptions): Promise<void> {
  await Promise.all(services.map((service) => superviseOne(service, signal, options)));
}

async function superviseOne(service: Service, signal: AbortSignal, options: SuperviseOptions): Promise<void> {
  const clock = options.clock ?? systemClock;
  const backoff = { baseMs: options.baseMs ?? 500, maxMs: options.maxMs ?? 30_000 };
  let attempt = 0;
  while (!signal.aborted) {
    const startedAt = clock.monotonic();
    try {
      await service.run(signal);
      if (signal.aborted) return;
      options.log.warn({ service: service.id }, 'service ended by itself; starting it again');
    } catch (error) {
      if (signal.aborted) return;
      options.log.error({ service: service.id, error }, 'service failed; starting it again');
    }
    attempt = clock.monotonic() - startedAt > 60_000 ? 0 : attempt + 1;
    try {
      await clock.sleep(fullJitter(attempt, backoff), signal);
    } catch {
      return;
    }
  }
}

/** An AbortSignal that aborts when `parent` does or when the returned controller is told to. */
export function childController(parent?: AbortSignal): AbortController {
  const controller = new AbortController();
  if (parent?.aborted) controller.abort(parent.reason);
  else parent?.addEventListener('abort', () => controller.abort(parent.reason), { once: true, signal: controller.signal });
  return controller;
}
