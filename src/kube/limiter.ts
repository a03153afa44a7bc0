import { FairleadError, systemClock, type Clock } from '#base';
import { KubeStatusError } from './errors.ts';

export interface LimiterConfig {
  /** In flight at first. Default 8. */
  readonly start: number;
  /** Never below; reached only by being refused. Default 1. */
  readonly min: number;
  /** Never above. Default 64. */
  readonly max: number;
  /** Mean latency above which the limit is halved whatever the throughput. Default 2,000 ms. */
  readonly slowMs: number;
}

export const defaultLimiterConfig: LimiterConfig = { start: 8, min: 1, max: 64, slowMs: 2000 };

/** What a limiter knows. All times are from one monotonic clock, in ms. */
export interface LimiterState {
  readonly limit: number;
  /** Doubling until doubling no longer pays. */
  readonly isStarting: boolean;
  /** Nothing starts before. */
  readonly pausedUntil: number;
  /** A refusal of something begun before the last cut says nothing new. */
  readonly cutAt: number;
  /** Best completions per ms of late; decays, so that a slower server becomes the new normal. */
  readonly best: number;
  /** A change being tried: kept if it pays, taken back if not. */
  readonly trial: { readonly from: number; readonly throughput: number } | undefined;
  /** Windows until the next trial, and which way it goes. */
  readonly patience: number;
  readonly isNextUp: boolean;
  readonly window: Window;
}

interface Window {
  readonly since: number;
  readonly count: number;
  readonly latencySum: number;
  readonly wasFull: boolean;
  /** Calls to let pass first: they were begun under another limit. */
  readonly skip: number;
}

export interface Observation {
  readonly now: number;
  readonly startedAt: number;
  /** Calls in flight, this one included, when it ended. */
  readonly inFlight: number;
  readonly outcome: 'answered' | 'refused' | 'failed';
  readonly retryAfterMs?: number;
}

export function initialLimiter(config: LimiterConfig, now: number): LimiterState {
  return {
    limit: config.start,
    isStarting: true,
    pausedUntil: 0,
    cutAt: Number.NEGATIVE_INFINITY,
    best: 0,
    trial: undefined,
    patience: 0,
    isNextUp: true,
    window: emptyWindow(now, 0),
  };
}

function emptyWindow(since: number, skip: number): Window {
  return { since, count: 0, latencySum: 0, wasFull: false, skip };
}

// Quiet windows between two trials; more of them, and smaller steps up, for a while after a refusal.
const PATIENCE = 2;
const PATIENCE_AFTER_REFUSAL = 8;
const CAUTION_MS = 30_000;
// A raise must bring this much, a reduction may cost as much.
const PAYS = 1.03;
const COSTS = 0.97;
// At first anything that is no loss will do: a burst is over before a cautious climb arrives.
const START_PAYS = 1;

/**
 * Additive increase, multiplicative decrease. Latency alone cannot be the signal: with n in flight it grows with n even on
 * a healthy server. By Little's law latency = n / throughput, so what counts is whether more in flight brings more
 * throughput: a change is tried for a window and kept only if it pays. Throughput far below the best of late may be overload:
 * a fifth less is tried. A refusal (429, or 5xx with Retry-After: API priority and fairness) halves and pauses.
 */
export function observe(state: LimiterState, seen: Observation, config: LimiterConfig): LimiterState {
  if (seen.outcome !== 'answered') {
    const pausedUntil = Math.max(state.pausedUntil, seen.now + (seen.retryAfterMs ?? 0));
    if (seen.startedAt < state.cutAt) return { ...state, pausedUntil };
    const cut = withLimit({ ...state, best: 0, cutAt: seen.now }, Math.max(config.min, Math.floor(state.limit / 2)), seen.now);
    return { ...cut, pausedUntil };
  }
  const { skip } = state.window;
  if (skip > 0) return { ...state, window: emptyWindow(seen.now, skip - 1) };
  const window = {
    since: state.window.since,
    count: state.window.count + 1,
    latencySum: state.window.latencySum + (seen.now - seen.startedAt),
    wasFull: state.window.wasFull || seen.inFlight >= state.limit,
    skip: 0,
  };
  const elapsed = seen.now - window.since;
  const enough = state.isStarting ? Math.max(state.limit, 8) : Math.max(state.limit * 2, 32);
  if (window.count < enough || elapsed <= 0) return { ...state, window };
  const next = { ...state, window: emptyWindow(seen.now, 0) };
  // A caller that does not fill the limit tells nothing about the server.
  return window.wasFull ? judge(next, window.count / elapsed, window.latencySum / window.count, seen.now, config) : next;
}

function isCautious(state: LimiterState, now: number): boolean {
  return now - state.cutAt < CAUTION_MS;
}

function patienceOf(state: LimiterState, now: number): number {
  return isCautious(state, now) ? PATIENCE_AFTER_REFUSAL : PATIENCE;
}

/** A new limit outside a trial; calls begun under the old one are not counted. */
function withLimit(state: LimiterState, limit: number, now: number): LimiterState {
  return {
    ...state,
    limit,
    isStarting: false,
    trial: undefined,
    patience: patienceOf(state, now),
    window: emptyWindow(now, state.limit),
  };
}

function judge(state: LimiterState, throughput: number, latencyMs: number, now: number, config: LimiterConfig): LimiterState {
  const best = Math.max(state.best * 0.99, throughput);
  const floor = Math.min(state.limit, Math.max(config.min, Math.floor(config.start / 2)));
  if (latencyMs > config.slowMs) {
    return withLimit({ ...state, best: throughput }, Math.max(floor, Math.floor(state.limit / 2)), now);
  }
  const { trial } = state;
  if (trial !== undefined && state.limit < trial.from) {
    if (throughput > trial.throughput * COSTS) return tryNext({ ...state, best, isNextUp: false }, throughput, now, config);
    // Fewer did not help, so the server itself has become slower: what it does now is the new best.
    return { ...withLimit({ ...state, best: Math.max(trial.throughput, throughput) }, trial.from, now), isNextUp: true };
  }
  if (best / throughput > 1.3) {
    const fewer = Math.max(floor, Math.floor(state.limit * 0.8));
    return { ...withLimit({ ...state, best }, fewer, now), trial: { from: state.limit, throughput }, isNextUp: false };
  }
  if (trial !== undefined) {
    if (throughput > trial.throughput * (state.isStarting ? START_PAYS : PAYS)) {
      return tryNext({ ...state, best, isNextUp: true }, throughput, now, config);
    }
    return { ...withLimit({ ...state, best }, trial.from, now), isNextUp: false };
  }
  if (state.patience > 0) return { ...state, best, patience: state.patience - 1 };
  return tryNext({ ...state, best }, throughput, now, config);
}

function tryNext(state: LimiterState, throughput: number, now: number, config: LimiterConfig): LimiterState {
  const { limit } = state;
  const isUp = state.isNextUp && limit < config.max;
  const step = Math.max(1, Math.floor(limit / (isUp && !isCautious(state, now) ? 4 : 8)));
  const wanted = state.isStarting ? limit * 2 : isUp ? limit + step : limit - step;
  const next = Math.min(config.max, Math.max(Math.min(limit, Math.ceil(config.start / 2)), wanted));
  return {
    ...state,
    limit: next,
    isStarting: state.isStarting && next < config.max,
    trial: { from: limit, throughput },
    patience: patienceOf(state, now),
    window: emptyWindow(now, Math.max(limit, next)),
  };
}

export interface Limiter {
  /** Runs `task` when there is room, first come first served. What the task throws is thrown on, after it was learnt from. */
  run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  readonly limit: number;
  readonly inFlight: number;
  readonly waiting: number;
}

export interface LimiterOptions {
  readonly config?: Partial<LimiterConfig>;
  readonly clock?: Clock;
  /** Calls that may wait; more are refused with `FL_KUBE_OVERLOADED`. Default 10,000. */
  readonly maxWaiting?: number;
}

/** The adaptive limit as a gate for calls to one API server. */
export function createLimiter(options: LimiterOptions = {}): Limiter {
  const clock = options.clock ?? systemClock;
  const config = { ...defaultLimiterConfig, ...options.config };
  const maxWaiting = options.maxWaiting ?? 10_000;
  const waiters: { readonly start: () => void; dropped: boolean }[] = [];
  let head = 0;
  let state = initialLimiter(config, clock.monotonic());
  let inFlight = 0;
  let isWaking = false;

  function pump(): void {
    const pauseMs = state.pausedUntil - clock.monotonic();
    if (pauseMs > 0) {
      if (!isWaking) {
        isWaking = true;
        void clock.sleep(pauseMs).then(() => {
          isWaking = false;
          pump();
        });
      }
      return;
    }
    while (inFlight < state.limit && head < waiters.length) {
      const next = waiters[head++];
      if (next === undefined || next.dropped) continue;
      inFlight += 1;
      next.start();
    }
    if (head > 1000 || head === waiters.length) {
      waiters.splice(0, head);
      head = 0;
    }
  }

  function learn(startedAt: number, outcome: Observation['outcome'], retryAfterMs: number | undefined): void {
    const seen = {
      now: clock.monotonic(),
      startedAt,
      inFlight,
      outcome,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    };
    inFlight -= 1;
    state = observe(state, seen, config);
    pump();
  }

  function admitted(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      if (waiters.length - head >= maxWaiting) {
        reject(
          new FairleadError('FL_KUBE_OVERLOADED', `${maxWaiting} calls to the API server are waiting already`, {
            kind: 'unavailable',
          }),
        );
        return;
      }
      const onAbort = (): void => {
        waiter.dropped = true;
        reject(signal?.reason as Error);
      };
      const waiter = {
        dropped: false,
        start: (): void => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      waiters.push(waiter);
      pump();
    });
  }

  return {
    get limit() {
      return state.limit;
    },
    get inFlight() {
      return inFlight;
    },
    get waiting() {
      return waiters.slice(head).filter((waiter) => !waiter.dropped).length;
    },
    async run(task, signal) {
      await admitted(signal);
      const startedAt = clock.monotonic();
      try {
        const value = await task();
        learn(startedAt, 'answered', undefined);
        return value;
      } catch (error) {
        learn(startedAt, ...outcomeOf(error));
        throw error;
      }
    },
  };
}

function outcomeOf(error: unknown): [Observation['outcome'], number | undefined] {
  if (error instanceof KubeStatusError) {
    if (error.status === 429) return ['refused', error.retryAfterMs ?? 1000];
    if (error.status >= 500 && error.retryAfterMs !== undefined) return ['refused', error.retryAfterMs];
    return ['answered', undefined];
  }
  if (error instanceof FairleadError && error.kind === 'cancelled') return ['answered', undefined];
  return [error instanceof FairleadError && error.kind === 'unavailable' ? 'failed' : 'answered', undefined];
}
