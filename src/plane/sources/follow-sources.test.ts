import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '#base';
import { API_VERSION, ChartRepository, reasonOf, type Kind, type PlaneObject, type UntimedReason } from '#api';
import type { Reader, ReconcileContext, ReconcileResult } from '#plane/engine';
import { followSources, type FollowedSources } from './follow-sources.ts';

type Status = NonNullable<ChartRepository['status']>;

const key = 'default/charts';

/** A repository that is followed, where a look is whatever the test says. */
class Followed {
  readonly clock = new FakeClock(Date.parse('2026-01-01T00:00:00Z'));
  readonly #stop = new AbortController();
  readonly sources: FollowedSources;
  looks = 0;
  forgotten: string[] = [];
  reasons: readonly UntimedReason[] = [];
  repository: ChartRepository | undefined;

  constructor() {
    this.sources = followSources<ChartRepository['spec'], Status, string, { readonly number: number }>(
      {
        kind: ChartRepository,
        name: 'test',
        concurrency: 1,
        wakes: [],
        wanted: async () => ['one'],
        causes: () => [],
        intervalMs: () => 60_000,
        look: async () => ({ number: (this.looks += 1) }),
        notLooked: () => ({ number: -1 }),
        reasonsOf: () => this.reasons,
        statusAfter: (_, { number }) => ({ observedGeneration: number }),
        forget: async (uid) => void this.forgotten.push(uid),
      },
      { rng: () => 0.5 },
    );
    this.sources.controller.listen?.(() => undefined, this.#stop.signal);
  }

  is(uid: string, spec: Partial<ChartRepository['spec']> = {}): void {
    this.repository = {
      apiVersion: API_VERSION,
      kind: ChartRepository.kind,
      metadata: {
        name: 'charts',
        namespace: 'default',
        uid,
        generation: 1,
        resourceVersion: '7',
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
      spec: { url: 'https://charts.example.com', ...spec },
    };
  }

  /** Another process follows it from now on. */
  end(): void {
    this.#stop.abort();
  }

  reconcile(): Promise<ReconcileResult> {
    const get = async <S, T>(kind: Kind<S, T>): Promise<PlaneObject<S, T> | undefined> =>
      // Only the repository is there, and it is asked for by its kind.
      kind.kind === ChartRepository.kind ? (this.repository as unknown as PlaneObject<S, T> | undefined) : undefined;
    // Nothing else is read.
    const read = { get } as unknown as Reader;
    const context: ReconcileContext = { read, clock: this.clock, signal: new AbortController().signal };
    return this.sources.controller.reconcile(key, context);
  }
}

function written(result: ReconcileResult): unknown {
  const [write] = result.commit?.write ?? [];
  return write?.op === 'put' ? write.object.status : undefined;
}

test('a look is due at first, after the interval and on request, and not before', async () => {
  const followed = new Followed();
  followed.is('a');
  assert.equal(followed.sources.requestLook(key), false);
  const first = await followed.reconcile();
  assert.deepEqual([followed.looks, written(first), first.againMs], [1, { observedGeneration: 1 }, 60_000]);
  await followed.reconcile();
  assert.equal(followed.looks, 1);
  assert.equal(followed.sources.requestLook(key), true);
  await followed.reconcile();
  await followed.reconcile();
  assert.equal(followed.looks, 2);
  followed.sources.requestLookOf('another');
  await followed.reconcile();
  assert.equal(followed.looks, 2);
  followed.sources.requestLookOf('a');
  await followed.reconcile();
  assert.equal(followed.looks, 3);
  await followed.clock.advance(60_000);
  await followed.reconcile();
  assert.equal(followed.looks, 4);
});

test('a server that does not answer is tried sooner, never within five seconds, and ever later', async () => {
  const followed = new Followed();
  followed.is('a');
  followed.reasons = [reasonOf('FL_SOURCE_UNREACHABLE', { url: 'x', words: 'y', retry: 'z' })];
  const waits: (number | undefined)[] = [];
  for (let failures = 1; failures <= 5; failures += 1) {
    const { againMs } = await followed.reconcile();
    waits.push(againMs);
    await followed.clock.advance(againMs ?? 0);
  }
  assert.deepEqual(waits, [5_500, 11_000, 22_000, 33_000, 33_000]);
  followed.reasons = [reasonOf('FL_SOURCE_DENIED', { url: 'x', credential: 'y' })];
  assert.equal((await followed.reconcile()).againMs, 60_000);
});

test('a repository of the same name that is another one is looked at anew, and nothing of the former is kept', async () => {
  const followed = new Followed();
  followed.is('a');
  await followed.reconcile();
  assert.equal(followed.sources.nameOf('a'), 'charts');
  followed.is('b');
  assert.deepEqual(written(await followed.reconcile()), { observedGeneration: 2 });
  assert.deepEqual(followed.forgotten, ['a']);
  followed.repository = undefined;
  assert.deepEqual(await followed.reconcile(), {});
  assert.deepEqual(followed.forgotten, ['a', 'b']);
  assert.equal(followed.sources.requestLook(key), false);
});

test('what another process has found since is not overwritten by what is remembered', async () => {
  const followed = new Followed();
  followed.is('a');
  await followed.reconcile();
  followed.end();
  assert.deepEqual(written(await followed.reconcile()), { observedGeneration: 2 });
});

test('a suspended repository is not looked at, and looked at at once when it is resumed', async () => {
  const followed = new Followed();
  followed.is('a', { suspend: true });
  const held = await followed.reconcile();
  assert.deepEqual([followed.looks, written(held), held.againMs], [0, { observedGeneration: -1 }, undefined]);
  followed.is('a');
  await followed.reconcile();
  assert.equal(followed.looks, 1);
});
