import { seededRng, silentLog, systemClock, waitFor, type Clock } from '#base';
import type { Store } from '#plane/store';
import { createEngine, type Engine } from '../create-engine.ts';
import type { Controller, EffectRunner } from '../types.ts';

/**
 * A part of the plane that must survive being killed: its controllers, the world its effects act on, and what people do.
 * `World` is what lies outside the plane; it outlives every kill.
 */
export interface KillScenario<World> {
  /** Opens the scenario's database, again and again. */
  open(): Promise<Store>;
  world(): World;
  controllers(world: World): readonly Controller[];
  effects(world: World): readonly EffectRunner[];
  /** What happens from outside, one after the other, each exactly once. */
  readonly stimuli: readonly ((store: Store) => Promise<void>)[];
  /** What must come out the same, however often the plane was killed: no revisions, no times. */
  verdict(store: Store, world: World): Promise<unknown>;
}

export interface KillPlan {
  /** The first engine dies at this step, the next at the next number, …; the last one lives. */
  readonly kills: readonly number[];
  /** Per stimulus: whether the plane comes to rest before the next one. Default: always. */
  readonly settles?: readonly boolean[];
}

export interface KillRun {
  readonly verdict: unknown;
  /** Steps that the last engine made. */
  readonly steps: number;
}

const IDLE_MS = 20_000;

/**
 * Runs a scenario while killing the engine at the planned steps. A step lies before and after each commit, each effect and
 * the record of its end; a killed engine makes no further step, as after SIGKILL, and its database is opened anew.
 */
export async function runWithKills<World>(scenario: KillScenario<World>, plan: KillPlan): Promise<KillRun> {
  const world = scenario.world();
  let applied = 0;
  for (let life = 0; ; life++) {
    const store = await scenario.open();
    try {
      const gate = new StepGate(plan.kills[life]);
      const stop = new AbortController();
      const engine = createEngine({
        store: gate.guardStore(store),
        controllers: scenario.controllers(world),
        effects: gate.guardEffects(scenario.effects(world)),
        clock: gate.guardClock(systemClock),
        log: silentLog,
        rng: seededRng(life),
        backoff: { baseMs: 2, maxMs: 20 },
      });
      const running = engine.run(stop.signal).catch(() => undefined);
      const rest = async (): Promise<void> => {
        await Promise.race([gate.killed, untilIdle(engine, () => gate.isDead)]);
      };
      while (applied < scenario.stimuli.length && !gate.isDead) {
        await scenario.stimuli[applied]?.(store);
        applied += 1;
        if (plan.settles?.[applied - 1] ?? true) await rest();
      }
      await rest();
      stop.abort();
      if (!gate.isDead) {
        await running;
        return { verdict: await scenario.verdict(store, world), steps: gate.steps };
      }
    } finally {
      await store.close();
    }
  }
}

async function untilIdle(engine: Engine, isDead: () => boolean): Promise<void> {
  await waitFor('the engine to come to rest', async () => isDead() || (await engine.isIdle()), {
    timeoutMs: IDLE_MS,
    intervalMs: 1,
  });
}

/** Counts steps and stops everything at the fatal one: calls of the dead never return. */
class StepGate {
  readonly killed: Promise<void>;
  #steps = 0;
  readonly #killAt: number | undefined;
  readonly #dead = new AbortController();

  constructor(killAt: number | undefined) {
    this.#killAt = killAt;
    this.killed = new Promise((resolve) => this.#dead.signal.addEventListener('abort', () => resolve()));
  }

  get isDead(): boolean {
    return this.#dead.signal.aborted;
  }

  get steps(): number {
    return this.#steps;
  }

  async #step(): Promise<void> {
    if (!this.isDead && this.#steps++ === this.#killAt) this.#dead.abort();
    if (this.isDead) await new Promise(() => undefined);
  }

  async #around<T>(task: () => Promise<T>): Promise<T> {
    await this.#step();
    const result = await task();
    await this.#step();
    return result;
  }

  /** The dead hold no timers, and never wake up. */
  guardClock(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          const ended = signal === undefined ? this.#dead.signal : AbortSignal.any([signal, this.#dead.signal]);
          clock.sleep(ms, ended).then(resolve, (error: unknown) => {
            if (!this.isDead) reject(error);
          });
        }),
    };
  }

  guardStore(store: Store): Store {
    const stepped = new Set<string | symbol>(['commit', 'effectDone', 'effectFailed']);
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        // Methods of the store, called with what the engine gave.
        const method = value.bind(target) as (...given: readonly unknown[]) => unknown;
        if (!stepped.has(name)) return method;
        return (...given: readonly unknown[]) => this.#around(async () => method(...given));
      },
    });
  }

  guardEffects(runners: readonly EffectRunner[]): readonly EffectRunner[] {
    return runners.map((runner) => ({
      type: runner.type,
      run: (effect, signal) => this.#around(() => runner.run(effect, signal)),
    }));
  }
}
