import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, silentLog } from '#base';
import { KubeStatusError, type Capabilities, type KubeClient, type RestMapper } from '#kube';
import { ServedApisWatch } from './served-apis.ts';

const BASE = ['apps/v1', 'apps/v1/Deployment', 'v1', 'v1/Pod'];
const LAMP = ['light.example/v1', 'light.example/v1/Lamp'];
const ALL = [...BASE, ...LAMP].sort();

/** A cluster that says what it is told to say, under a clock that a test moves. */
class Scene implements Disposable {
  readonly clock = new FakeClock();
  readonly #stop = new AbortController();
  isReady = true;
  isAway = false;
  looks = 0;
  changes = 0;
  versions = 0;
  seen: Capabilities = { gitVersion: 'v1.36.0', apiVersions: BASE, unavailable: [] };
  readonly watch: ServedApisWatch;
  readonly #lines: ((line: Buffer) => void)[] = [];

  constructor() {
    const client: Pick<KubeClient, 'request' | 'stream'> = {
      request: ({ path }) => {
        if (path === '/readyz' && !this.isReady)
          return Promise.reject(
            new KubeStatusError({ status: 500, reason: '', message: 'not ready', causes: [], retryAfterMs: undefined }, path),
          );
        const body = Buffer.from(JSON.stringify({ metadata: { resourceVersion: '1' } }));
        return Promise.resolve({ status: 200, headers: {}, body });
      },
      stream: ({ onLine, signal }) =>
        new Promise((_, reject) => {
          this.#lines.push(onLine);
          signal?.addEventListener('abort', () => reject(new Error('stopped')), { once: true });
        }),
    };
    const mapper: Pick<RestMapper, 'invalidate' | 'capabilities'> = {
      invalidate: () => undefined,
      capabilities: () => {
        this.looks += 1;
        return this.isAway ? Promise.reject(new Error('away')) : Promise.resolve(this.seen);
      },
    };
    this.watch = new ServedApisWatch({
      client: client as KubeClient, // all of it that is used
      mapper: mapper as RestMapper, // all of it that is used
      clock: this.clock,
      rng: () => 0.5,
      log: silentLog,
      onChange: () => (this.changes += 1),
      onVersion: () => (this.versions += 1),
    });
    void this.watch.run(this.#stop.signal);
  }

  get list(): readonly string[] | undefined {
    return this.watch.current?.list;
  }

  /** A CustomResourceDefinition or APIService changed. */
  poke(): void {
    const event = { type: 'MODIFIED', object: { metadata: { resourceVersion: '2' } } };
    for (const line of this.#lines) line(Buffer.from(JSON.stringify(event)));
  }

  /** Whoever was just woken goes to sleep again before the clock moves. */
  async pass(ms: number): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    await this.clock.advance(ms);
  }

  serve(apiVersions: readonly string[], unavailable: readonly string[] = []): void {
    this.seen = { ...this.seen, apiVersions, unavailable };
    this.poke();
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}

test('a server that starts, and answers without its custom kinds, makes nothing vanish', async () => {
  using scene = new Scene();
  scene.seen = { ...scene.seen, apiVersions: ALL };
  await scene.pass(1_000);
  assert.deepEqual(scene.list, ALL);
  scene.isReady = false;
  scene.serve(BASE);
  await scene.pass(300_000);
  assert.deepEqual(scene.list, ALL, 'as long as it does not say that it is ready');
  scene.isReady = true;
  scene.serve(ALL);
  await scene.pass(100_000);
  assert.deepEqual(scene.list, ALL);
  assert.equal(scene.changes, 1, 'nobody heard of it');
  // Waiting for it costs little.
  scene.isReady = false;
  scene.serve(BASE);
  await scene.pass(200_000);
  const looks = scene.looks;
  await scene.pass(600_000);
  assert.ok(scene.looks - looks <= 30, String(scene.looks - looks));
  // A first look, of an agent that starts together with the server, waits too.
  using second = new Scene();
  second.isReady = false;
  await second.pass(60_000);
  assert.equal(second.list, undefined);
  second.isReady = true;
  second.seen = { ...second.seen, apiVersions: ALL };
  await second.pass(10_000);
  assert.deepEqual(second.list, ALL);
});

test('additions count at once, also while something is missing; what is gone is believed after twenty seconds', async () => {
  using scene = new Scene();
  scene.seen = { ...scene.seen, apiVersions: ALL };
  await scene.pass(1_000);
  scene.serve([...BASE, 'new.example/v1'].sort());
  await scene.pass(1_000);
  assert.deepEqual(scene.list, [...ALL, 'new.example/v1'].sort());
  await scene.pass(15_000);
  assert.ok(scene.list?.includes('light.example/v1/Lamp'));
  await scene.pass(10_000);
  assert.deepEqual(scene.list, [...BASE, 'new.example/v1'].sort());
  // Gone and back within that time is no news.
  const before = scene.changes;
  scene.serve(BASE);
  await scene.pass(10_000);
  scene.serve([...BASE, 'new.example/v1'].sort());
  await scene.pass(200_000);
  assert.equal(scene.changes, before);
});

test('of a group that does not answer, what was known stays for as long as it takes', async () => {
  using scene = new Scene();
  scene.seen = { ...scene.seen, apiVersions: ALL };
  await scene.pass(1_000);
  scene.serve([...BASE, 'light.example/v1'].sort(), ['light.example/v1']);
  await scene.pass(10_000_000);
  assert.deepEqual(scene.list, ALL);
  assert.deepEqual(scene.watch.current?.unavailable, ['light.example/v1']);
  scene.serve(BASE);
  await scene.pass(60_000);
  assert.deepEqual(scene.list, BASE);
});

test('at rest it looks once an hour; a change is followed by five looks, and a storm of them by one a moment', async () => {
  using scene = new Scene();
  await scene.pass(200_000);
  const start = scene.looks;
  await scene.pass(24 * 3_600_000);
  assert.ok(scene.looks - start >= 20 && scene.looks - start <= 26, String(scene.looks - start));
  const calm = scene.looks;
  scene.poke();
  await scene.pass(120_000);
  assert.ok(scene.looks - calm <= 6, String(scene.looks - calm));
  const storm = scene.looks;
  for (let at = 0; at < 60_000; at += 100) {
    scene.poke();
    await scene.pass(100);
  }
  assert.ok(scene.looks - storm <= 130, String(scene.looks - storm));
  assert.ok(scene.looks - storm >= 60, `${scene.looks - storm}: a storm without an end must not keep it from looking`);
  // A server that is away is asked seldom, and a new version is told.
  scene.isAway = true;
  scene.poke();
  await scene.pass(200_000);
  const away = scene.looks;
  await scene.pass(3_600_000);
  assert.ok(scene.looks - away <= 13, String(scene.looks - away));
  scene.isAway = false;
  scene.seen = { ...scene.seen, gitVersion: 'v1.37.0' };
  await scene.pass(600_000);
  assert.equal(scene.versions, 1);
});

test('what cannot be an entry is left out, and a list without bounds is not reported in part', async () => {
  using scene = new Scene();
  scene.seen = { ...scene.seen, apiVersions: [...BASE, 'v1/Pod\nkind: Secret', 'x'.repeat(500)] };
  await scene.pass(1_000);
  assert.deepEqual(scene.list, BASE);
  scene.serve([...BASE, ...Array.from({ length: 17_000 }, (_, index) => `g${index}.example/v1`)]);
  await scene.pass(100_000);
  assert.deepEqual(scene.list, BASE);
});
