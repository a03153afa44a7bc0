import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRng, systemClock, waitFor } from '#base';
import { startProcess } from './testing/agent-process.ts';
import { configMap, openLab } from './testing/harness.ts';

const places = [
  { place: 'a directory', more: [] },
  { place: 'Secrets', more: ['--state-secret', 'killed', '--lease-duration', '5'] },
] as const;

for (const { place, more } of places) {
  test(
    `killed the moment it has put something back, with its state in ${place}: the process that follows tells of it, once`,
    { timeout: 240_000 },
    async () => {
      await using lab = await openLab('c');
      const { plane, namespace } = lab;
      const token = plane.joinToken();
      const rng = seededRng(11);
      const path = `/api/v1/namespaces/${namespace}/configmaps/edited`;
      let agent = await startProcess(lab, token, more);
      try {
        await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
        await plane.deliver('edited', [configMap('edited', namespace)]);
        await plane.untilReady('edited');
        const corrections = (): number => plane.events.filter((event) => event.reason.code === 'FL_DRIFT_CORRECTED').length;
        const takeovers: number[] = [];
        for (let round = 1; round <= 10; round += 1) {
          plane.fault = (asked) => (asked === '/agent/v1/reports' ? { status: 503, code: 'FL_TEST' } : undefined);
          await lab.cluster.request('PATCH', `${path}?fieldManager=kubectl-edit`, {
            body: { data: { key: `by hand ${round}` } },
            contentType: 'application/merge-patch+json',
          });
          await waitFor('the value to be back', async () => (await lab.configMap('edited'))?.data['key'] === 'value', {
            timeoutMs: 10_000,
            intervalMs: 1,
          });
          await systemClock.sleep(rng() * 10);
          await agent.kill();
          plane.fault = undefined;
          const startedAt = performance.now();
          agent = await startProcess(lab, token, more);
          await waitFor(`the event of round ${round}`, () => corrections() >= round, { timeoutMs: 20_000 });
          takeovers.push(Math.round(performance.now() - startedAt));
          assert.equal(corrections(), round, 'told twice');
        }
        process.stdout.write(`# killed to told by the next process: ${takeovers.join(', ')} ms\n`);
      } finally {
        await agent.kill();
      }
    },
  );
}
