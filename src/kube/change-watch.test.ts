import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock, silentLog } from '#base';
import { ChangeWatch } from './change-watch.ts';
import type { KubeClient } from './client.ts';

test('a server, or a balancer before it, that ends every watch at once is not asked again at once', async () => {
  const clock = new FakeClock();
  let watches = 0;
  let gaps = 0;
  const client: Pick<KubeClient, 'request' | 'stream'> = {
    request: () =>
      Promise.resolve({ status: 200, headers: {}, body: Buffer.from(JSON.stringify({ metadata: { resourceVersion: '7' } })) }),
    // Without a bound a watch that is asked for in a loop would never let the test end.
    stream: () => ((watches += 1) > 1_000 ? new Promise<never>(() => undefined) : Promise.resolve()),
  };
  const watch = new ChangeWatch({
    client: client as KubeClient, // all of it that is used
    path: '/apis/example/v1/lamps',
    onChange: () => undefined,
    onGap: () => (gaps += 1),
    log: silentLog,
    clock,
    rng: () => 0.5,
  });
  const stop = new AbortController();
  const running = watch.run(stop.signal);
  for (let second = 0; second < 60; second += 1) {
    await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(1_000);
  }
  assert.ok(watches >= 3 && watches <= 30, String(watches));
  assert.equal(gaps, 1, 'nothing was missed');
  stop.abort();
  await running;
});
