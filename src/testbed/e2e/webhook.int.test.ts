import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { request } from 'node:https';
import { Credential, GitRepository } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
const secret = 'a secret of the webhook';
const pushes = 10;
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'a' }, eu: { on: 'b' }, us: { on: 'c' } } });
});

after(() => fleet?.[Symbol.asyncDispose]());

/** What a Git host sends after a push. */
function deliver(body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${fleet.planeUrl}/hooks/default/hook`,
      {
        method: 'POST',
        // The address of this machine and a port of our own; the certificate is another test's subject.
        rejectUnauthorized: false,
        headers: {
          'x-github-event': 'push',
          'x-hub-signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
        },
      },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

test('a push is applied in three clusters soon after its webhook, at an interval of an hour', { skip }, async (t) => {
  await fleet.commit({ 'web/one.yaml': configMapYaml('one', { n: '0' }) });
  await fleet.application('web');
  for (const cluster of fleet.members.keys()) await fleet.ready('web', cluster);
  await fleet.apply(Credential, { name: 'hook', namespace: 'default' }, { type: 'webhook', stringData: { secret } });
  await fleet.patch(GitRepository, { name: 'fleet', namespace: 'default' }, { spec: { interval: '1h' } });
  await waitFor(
    'the interval to be taken up',
    async () => {
      const repository = await fleet.get(GitRepository, { name: 'fleet', namespace: 'default' });
      return repository?.status?.observedGeneration === repository?.metadata.generation;
    },
    { timeoutMs: 30_000 },
  );
  const body = JSON.stringify({ repository: { clone_url: fleet.git.repoUrl('fleet') } });
  const took: number[] = [];
  for (let n = 1; n <= pushes; n += 1) {
    // Straight into the repository: nobody but the webhook tells the plane.
    await fleet.git.commit('fleet', { 'web/one.yaml': configMapYaml('one', { n: String(n) }) }, `push ${n}`);
    const started = performance.now();
    assert.equal(await deliver(body), 202);
    await waitFor(
      'all three clusters',
      async () => {
        for (const cluster of fleet.members.keys()) {
          const found = await fleet.configMap(cluster, fleet.ns('web'), 'one');
          if (found?.data?.['n'] !== String(n)) return false;
        }
        return true;
      },
      { timeoutMs: 60_000, intervalMs: 10 },
    );
    took.push(performance.now() - started);
  }
  took.sort((a, b) => a - b);
  const at = (share: number): number => Math.round(took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? 0);
  t.diagnostic(`webhook to applied in 3 clusters, ${pushes} pushes: p50 ${at(0.5)} ms, worst ${at(1)} ms`);
});
