import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog, systemClock, waitFor, type Log } from '#base';
import { openSqliteStore, type SqliteStoreOptions, type Store } from '#plane/store';
import { commit, Gadget, key, put, Widget } from '../store/testing/contract-kit.ts';
import { createEngine, type Engine, type EngineOptions } from './create-engine.ts';
import { wakeOn, type Controller, type ReconcileResult, type Reader } from './types.ts';

type Parts = Partial<EngineOptions> & { readonly controllers?: readonly Controller[] };

interface Running {
  readonly store: Store;
  readonly engine: Engine;
  readonly idle: () => Promise<unknown>;
  readonly ended: Promise<unknown>;
}

/** An engine over a fresh database, stopped and removed afterwards. */
async function withEngine(
  parts: (store: Store) => Parts,
  task: (running: Running) => Promise<void>,
  options: Partial<SqliteStoreOptions> = {},
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-engine-'));
  const store = await openSqliteStore({ dir, kinds: [Widget, Gadget], ...options });
  const stop = new AbortController();
  const engine = createEngine({
    store,
    controllers: [],
    effects: [],
    clock: systemClock,
    log: silentLog,
    backoff: { baseMs: 5, maxMs: 20 },
    ...parts(store),
  });
  const ended = engine.run(stop.signal).then(
    () => undefined,
    (error: unknown) => error,
  );
  try {
    const idle = () => waitFor('the engine to come to rest', () => engine.isIdle(), { timeoutMs: 10_000, intervalMs: 2 });
    await idle();
    await task({ store, engine, idle, ended });
  } finally {
    stop.abort();
    await ended;
    await store.close();
    await rm(dir, { recursive: true, force: true });
  }
}

function controller(
  name: string,
  reconcile: (key: string, read: Reader, signal: AbortSignal) => Promise<ReconcileResult>,
  concurrency?: number,
): Controller {
  return {
    name,
    wakes: [wakeOn(Widget, ({ after }) => [after.metadata.name])],
    initial: async (read) => (await read.list(Widget)).items.map((item) => item.metadata.name),
    ...(concurrency === undefined ? {} : { concurrency }),
    reconcile: (key, { read, signal }) => reconcile(key, read, signal),
  };
}

test('a key never runs twice at a time, and a change while it runs brings it back', async () => {
  const running = new Map<string, number>();
  const seen = new Map<string, number>();
  let most = 0;
  const one = controller(
    'one',
    async (name, read) => {
      running.set(name, (running.get(name) ?? 0) + 1);
      most = Math.max(
        most,
        [...running.values()].reduce((sum, n) => sum + n, 0),
      );
      assert.equal(running.get(name), 1);
      const object = await read.get(Widget, key(name));
      await new Promise((resolve) => setImmediate(resolve));
      running.set(name, 0);
      seen.set(name, object?.spec.size ?? -1);
      return {};
    },
    3,
  );
  await withEngine(
    () => ({ controllers: [one] }),
    async ({ store, idle }) => {
      for (let size = 0; size < 50; size++) {
        await Promise.all(['a', 'b', 'c', 'd', 'e'].map((name) => commit(store, { write: [put(name, { spec: { size } })] })));
      }
      await idle();
      assert.deepEqual([...seen.values()], [49, 49, 49, 49, 49]);
      assert.equal(most, 3);
    },
  );
});

test('a poisoned key delays nobody, and the log hears of it once per reason', async () => {
  const lines: string[] = [];
  const log: Log = { ...silentLog, warn: (fields, message) => void lines.push(`${String(fields['key'])} ${message}`) };
  let failures = 0;
  let reason = 'first reason';
  const one = controller('one', async (name) => {
    if (name !== 'poison') return {};
    failures += 1;
    throw new Error(reason);
  });
  await withEngine(
    () => ({ controllers: [one], log }),
    async ({ store, engine }) => {
      await commit(store, { write: ['poison', 'a', 'b'].map((name) => put(name)) });
      await waitFor('ten failures', () => failures > 10, { timeoutMs: 10_000, intervalMs: 1 });
      const { reconciles, errors, failing } = engine.counters().controllers['one'] ?? assert.fail('no counters');
      assert.equal(reconciles - errors, 2);
      assert.equal(failing, 1);
      assert.equal(lines.length, 1, 'one line for ten failures');
      reason = 'second reason';
      await waitFor('the other reason', () => lines.length === 2, { timeoutMs: 10_000, intervalMs: 1 });
    },
  );
});

test('a conflict is retried at once with what is there now', async () => {
  let attempts = 0;
  const one: (store: Store) => Controller = (store) =>
    controller('one', async (name, read) => {
      const object = await read.get(Widget, key(name));
      if (object === undefined || object.status?.phase === 'seen') return {};
      attempts += 1;
      // Somebody is faster, three times.
      if (attempts <= 3) await commit(store, { write: [put(name, { spec: { size: attempts } })] });
      return {
        commit: {
          expect: [{ kind: Widget, key: key(name), revision: Number(object.metadata.resourceVersion) }],
          write: [{ op: 'put', kind: Widget, object: { ...object, status: { phase: 'seen' } } }],
        },
      };
    });
  await withEngine(
    (store) => ({ controllers: [one(store)], backoff: { baseMs: 60_000, maxMs: 60_000 } }),
    async ({ store, engine, idle }) => {
      await commit(store, { write: [put('a')] });
      await idle();
      const object = await store.get(Widget, key('a'));
      assert.deepEqual([object?.spec.size, object?.status?.phase], [3, 'seen']);
      assert.equal(engine.counters().controllers['one']?.conflicts, 3);
      assert.equal(engine.counters().controllers['one']?.errors, 0);
    },
  );
});

test('chunks are committed in order, and a conflict in one keeps those before it', async () => {
  let runs = 0;
  const one = controller('one', async (name) => {
    if (name !== 'go') return {};
    runs += 1;
    return {
      commit: { write: [put('first')] },
      chunks: [
        { write: [put('second', { spec: { size: runs } })] },
        { expect: [{ kind: Widget, key: key('gate'), revision: 'present' }], write: [put('third')] },
      ],
    };
  });
  await withEngine(
    () => ({ controllers: [one] }),
    async ({ store, idle }) => {
      await commit(store, { write: [put('go')] });
      await waitFor('the second chunk', async () => (await store.get(Widget, key('second'))) !== undefined, { timeoutMs: 5_000 });
      assert.equal(await store.get(Widget, key('third')), undefined);
      await commit(store, { write: [put('gate')] });
      await waitFor('the third chunk', async () => (await store.get(Widget, key('third'))) !== undefined, { timeoutMs: 5_000 });
      await idle();
      const order = ['first', 'second', 'third'].map(async (name) =>
        Number((await store.get(Widget, key(name)))?.metadata.resourceVersion),
      );
      const [first, , third] = await Promise.all(order);
      assert.ok(first !== undefined && third !== undefined && first < third);
    },
  );
});

test('a key asks to be looked at again later, and stops asking', async () => {
  const at: number[] = [];
  const one = controller('one', async () => {
    at.push(performance.now());
    return at.length < 4 ? { againMs: 30 } : {};
  });
  await withEngine(
    () => ({ controllers: [one] }),
    async ({ store, engine }) => {
      await commit(store, { write: [put('a')] });
      await waitFor('four looks', () => at.length === 4, { timeoutMs: 5_000, intervalMs: 1 });
      assert.ok((at[1] ?? 0) - (at[0] ?? 0) >= 25);
      await waitFor('nothing planned', () => engine.counters().controllers['one']?.waiting === 0, { timeoutMs: 5_000 });
    },
  );
});

test('a reconcile beyond its deadline is told to stop', async () => {
  let reasons = 0;
  const one = controller('one', async (_name, _read, signal) => {
    if (reasons > 0) return {};
    await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reasons += 1;
        reject(signal.reason as Error);
      });
    });
    return {};
  });
  await withEngine(
    () => ({ controllers: [one], deadlineMs: 20 }),
    async ({ store, idle, engine }) => {
      await commit(store, { write: [put('a')] });
      await waitFor('the deadline', () => reasons === 1, { timeoutMs: 5_000 });
      await waitFor('recovery', () => engine.counters().controllers['one']?.failing === 0, { timeoutMs: 5_000 });
      await idle();
    },
  );
});

test('changes that were dropped before they were read are made good by the initial keys', async () => {
  const seen = new Map<string, number>();
  const hold = Promise.withResolvers<void>();
  let isHeld = false;
  const slow: Controller = {
    ...controller('slow', async (name, read) => {
      seen.set(name, (await read.get(Widget, key(name)))?.spec.size ?? -1);
      return {};
    }),
    wakes: [
      wakeOn(Widget, async ({ after }) => {
        isHeld = true;
        await hold.promise;
        return [after.metadata.name];
      }),
    ],
  };
  await withEngine(
    () => ({ controllers: [slow] }),
    async ({ store, engine, idle }) => {
      await commit(store, { write: [put('a', { spec: { size: 0 } })] });
      await waitFor('the follower to be busy', () => isHeld, { timeoutMs: 5_000 });
      for (let size = 1; size < 40; size++) {
        await commit(store, { write: [put(size === 20 ? 'lost' : 'a', { spec: { size, text: 'x'.repeat(2_000) } })] });
      }
      await waitFor('compaction', () => store.oldestRevision() > 25, { timeoutMs: 5_000 });
      hold.resolve();
      await waitFor('the resync', () => engine.counters().resyncs === 2, { timeoutMs: 5_000 });
      await idle();
      assert.deepEqual([seen.get('a'), seen.get('lost')], [39, 20]);
    },
    { logMaxBytes: 20_000 },
  );
});

test('an engine that has lost its lease writes nothing more', async () => {
  let release: (() => void) | undefined;
  const one = controller('one', async () => {
    await new Promise<void>((resolve) => (release = resolve));
    return { commit: { write: [put('b')] } };
  });
  await withEngine(
    (store) => ({
      controllers: [one],
      // The token is used up behind the engine's back, as by a process that took over while this one was stopped.
      store: new Proxy(store, {
        get: (target, name) => {
          const value: unknown = Reflect.get(target, name, target);
          if (name !== 'lease') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
          return async (lease: string, ttlMs: number, signal: AbortSignal) => {
            const first = await target.lease(lease, ttlMs, signal);
            await first.release();
            const lost = new AbortController();
            return { name: first.name, token: first.token, lost: lost.signal, release: async () => undefined };
          };
        },
      }),
    }),
    async ({ store, ended }) => {
      await commit(store, { write: [put('a')] });
      await waitFor('the reconcile', () => release !== undefined, { timeoutMs: 5_000 });
      release?.();
      assert.match(String(await ended), /another process runs the controllers/);
      assert.equal(await store.get(Widget, key('b')), undefined);
    },
  );
});

test('effects run after their commit, again until they succeed, one at a time per key', async () => {
  const runs: unknown[] = [];
  const running = new Set<string>();
  let failures = 3;
  await withEngine(
    () => ({
      effects: [
        {
          type: 'push',
          async run(effect) {
            assert.equal(running.has(effect.key), false);
            running.add(effect.key);
            await new Promise((resolve) => setImmediate(resolve));
            running.delete(effect.key);
            if (failures-- > 0) throw new Error('no route');
            runs.push(effect.payload);
          },
        },
      ],
    }),
    async ({ store, engine, idle }) => {
      await commit(store, { effects: [{ type: 'push', key: 'k', payload: 1 }] });
      engine.lookForEffects();
      await waitFor('the effect', () => runs.length === 1, { timeoutMs: 5_000 });
      for (let payload = 2; payload < 30; payload++) {
        await commit(store, { effects: [{ type: 'push', key: 'k', payload }] });
        engine.lookForEffects();
      }
      await idle();
      assert.equal(runs.at(-1), 29);
      assert.deepEqual(
        runs,
        [...runs].sort((a, b) => Number(a) - Number(b)),
        'an older effect ran after a newer one',
      );
      assert.equal(engine.counters().effects.failed, 3);
      assert.deepEqual(await store.dueEffects(Number.MAX_SAFE_INTEGER, 10), []);
    },
  );
});

test('an effect that nobody runs stays in the outbox', async () => {
  const errors: string[] = [];
  await withEngine(
    () => ({ log: { ...silentLog, error: (_fields, message) => void errors.push(message) } }),
    async ({ store, engine, idle }) => {
      await commit(store, { effects: [{ type: 'unheard-of', key: 'k', payload: 1 }] });
      engine.lookForEffects();
      await waitFor('the complaint', () => errors.length === 1, { timeoutMs: 5_000 });
      await idle();
      assert.equal((await store.dueEffects(Number.MAX_SAFE_INTEGER, 10)).length, 1);
    },
  );
});

test('one controller that cannot list its keys, or tell what a change wakes, holds no other up', async () => {
  const seen: string[] = [];
  const good = controller('good', async (name) => {
    seen.push(name);
    return {};
  });
  const bad: Controller = {
    ...controller('bad', async () => ({})),
    initial: async () => {
      throw new Error('no list');
    },
    wakes: [
      wakeOn(Widget, () => {
        throw new Error('no keys');
      }),
    ],
  };
  await withEngine(
    () => ({ controllers: [bad, good] }),
    async ({ store, idle }) => {
      await commit(store, { write: [put('a')] });
      await idle();
      assert.ok(seen.includes('a'));
    },
  );
});
