import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FakeClock, seededRng, waitFor } from '#base';
import { KubeStatusError } from './errors.ts';
import { createLimiter, defaultLimiterConfig, initialLimiter, observe, type LimiterState } from './limiter.ts';

/**
 * A server with `workers` at work at once, `serviceMs` each, which gets slower by `contention` per call beyond them, and
 * refuses calls beyond `refuseAbove`. The client keeps as many in flight as its limit allows.
 */
interface Server {
  readonly workers: number;
  readonly serviceMs: number;
  readonly contention: number;
  /** On the way, whatever the load. */
  readonly rttMs?: number;
  readonly refuseAbove?: number;
}

function simulate(
  server: (now: number) => Server,
  calls: number,
  seed = 1,
): { perSecond: number; state: LimiterState; limits: number[]; refused: number } {
  const rng = seededRng(seed);
  const config = defaultLimiterConfig;
  let now = 0;
  let state = initialLimiter(config, now);
  let inFlight: { startedAt: number; endsAt: number; refused: boolean }[] = [];
  const workersFree: number[] = [];
  const limits: number[] = [];
  let done = 0;
  let refused = 0;
  while (done < calls) {
    const s = server(now);
    while (inFlight.length < state.limit && now >= state.pausedUntil) {
      const isRefused = s.refuseAbove !== undefined && inFlight.length >= s.refuseAbove;
      const over = Math.max(0, inFlight.length + 1 - s.workers);
      const cost = s.serviceMs * (1 + s.contention * over) * (0.8 + 0.4 * rng());
      workersFree.length = s.workers;
      let best = 0;
      for (let i = 0; i < s.workers; i += 1) if ((workersFree[i] ?? 0) < (workersFree[best] ?? 0)) best = i;
      const startsAt = Math.max(now, workersFree[best] ?? 0);
      if (!isRefused) workersFree[best] = startsAt + cost;
      inFlight.push({ startedAt: now, endsAt: isRefused ? now + 1 : startsAt + cost + (s.rttMs ?? 0), refused: isRefused });
    }
    const next = inFlight.reduce(
      (a, b) => (b.endsAt < a.endsAt ? b : a),
      inFlight[0] ?? { startedAt: now, endsAt: state.pausedUntil, refused: false },
    );
    now = Math.max(now, inFlight.length === 0 ? state.pausedUntil : next.endsAt);
    if (inFlight.length === 0) continue;
    state = observe(
      state,
      {
        now,
        startedAt: next.startedAt,
        inFlight: inFlight.length,
        outcome: next.refused ? 'refused' : 'answered',
        ...(next.refused ? { retryAfterMs: 100 } : {}),
      },
      config,
    );
    inFlight = inFlight.filter((call) => call !== next);
    if (next.refused) refused += 1;
    else done += 1;
    limits.push(state.limit);
  }
  return { perSecond: (done / now) * 1000, state, limits, refused };
}

test('a healthy server is used to at least nine tenths of what it can do', () => {
  for (const workers of [2, 8, 16, 32, 64]) {
    const { perSecond } = simulate(() => ({ workers, serviceMs: 20, contention: 0 }), 4000);
    const possible = (workers / 20) * 1000;
    assert.ok(perSecond > possible * 0.9, `${workers} workers: ${perSecond.toFixed(0)} of ${possible}/s`);
  }
});

test('a burst of a thousand calls gets most of what 64 in flight would', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    for (const workers of [4, 8, 32]) {
      const server: Server = { workers, serviceMs: workers, contention: 0, rttMs: 20 };
      const { perSecond } = simulate(() => server, 1000, seed);
      const possible = Math.min(1000, (64 / (20 + workers)) * 1000);
      assert.ok(
        perSecond > possible * 0.75,
        `${workers} workers, seed ${seed}: ${perSecond.toFixed(0)} of ${possible.toFixed(0)}/s`,
      );
    }
  }
});

test('a server that suffers from crowding is not crowded', () => {
  const { limits, perSecond } = simulate(() => ({ workers: 8, serviceMs: 20, contention: 0.05 }), 8000);
  const late = limits.slice(-2000);
  const mean = late.reduce((a, b) => a + b, 0) / late.length;
  assert.ok(mean < 32, `mean limit ${mean}`);
  assert.ok(perSecond > 200, `${perSecond}/s`);
});

test('after a slow spell it comes back', () => {
  const server = (now: number): Server => ({ workers: 32, serviceMs: now > 2000 && now < 6000 ? 200 : 20, contention: 0 });
  const { limits, perSecond } = simulate(server, 12_000);
  assert.ok(Math.max(...limits.slice(-1000)) >= 32, `limit ${limits.at(-1)}`);
  assert.ok(perSecond > 500, `${perSecond}/s`);
});

test('refusals are rare after the first and the limit stays near what is allowed', () => {
  const { limits, refused } = simulate(() => ({ workers: 64, serviceMs: 20, contention: 0, refuseAbove: 20 }), 6000);
  assert.ok(Math.max(...limits.slice(-2000)) <= 24);
  assert.ok(refused < 600, `${refused} refused`);
});

test('whatever happens the limit stays in its bounds, and one overload is one cut', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          dt: fc.nat(500),
          latency: fc.nat(5000),
          outcome: fc.constantFrom('answered' as const, 'refused' as const, 'failed' as const),
        }),
        { maxLength: 300 },
      ),
      (events) => {
        let state = initialLimiter(defaultLimiterConfig, 0);
        let now = 0;
        for (const { dt, latency, outcome } of events) {
          now += dt;
          const before = state;
          state = observe(
            state,
            { now, startedAt: now - latency, inFlight: state.limit, outcome, retryAfterMs: 10 },
            defaultLimiterConfig,
          );
          assert.ok(
            state.limit >= defaultLimiterConfig.min && state.limit <= defaultLimiterConfig.max && Number.isInteger(state.limit),
          );
          if (outcome !== 'answered') {
            const isNews = now - latency >= before.cutAt;
            assert.equal(state.limit, isNews ? Math.max(1, Math.floor(before.limit / 2)) : before.limit);
          }
        }
      },
    ),
  );
});

test('the gate admits in order up to the limit, waits out Retry-After and drops who gives up', async () => {
  const clock = new FakeClock();
  const limiter = createLimiter({ clock, config: { start: 2, min: 1, max: 2 }, maxWaiting: 3 });
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const throttled = new KubeStatusError(
    { status: 429, reason: 'TooManyRequests', message: '', causes: [], retryAfterMs: 5000 },
    'GET /',
  );
  const call = (n: number, signal?: AbortSignal): Promise<void> =>
    limiter.run(() => {
      started.push(n);
      return new Promise<void>((resolve, reject) => ends.push(n === 1 ? () => reject(throttled) : resolve));
    }, signal);
  const gaveUp = new AbortController();
  const calls = [call(1), call(2), call(3), call(4, gaveUp.signal), call(5)];
  await assert.rejects(call(6), { code: 'FL_KUBE_OVERLOADED' });
  await waitFor('two started', () => started.length === 2, { timeoutMs: 1000, intervalMs: 1 });
  gaveUp.abort(new Error('gave up'));
  await assert.rejects(calls[3] ?? Promise.resolve(), /gave up/);
  ends[0]?.();
  await assert.rejects(calls[0] ?? Promise.resolve(), { status: 429 });
  ends[1]?.();
  await calls[1];
  assert.deepEqual(started, [1, 2], 'nothing starts before Retry-After has passed');
  assert.equal(limiter.limit, 1);
  await clock.advance(5000);
  await waitFor('the third started', () => started.length === 3, { timeoutMs: 1000, intervalMs: 1 });
  ends[2]?.();
  await waitFor('the fifth started', () => started.length === 4, { timeoutMs: 1000, intervalMs: 1 });
  ends[3]?.();
  await Promise.all([calls[2], calls[4]]);
  assert.deepEqual(started, [1, 2, 3, 5]);
});
