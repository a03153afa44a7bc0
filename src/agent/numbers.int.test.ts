import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { mapLimited, silentLog, systemClock, waitFor } from '#base';
import { applyObject, createKubeClient, createRestMapper, loadKubeconfig, parseId } from '#kube';
import { agentNodeEnvironment, agentNodeFlags, buildAgent } from './build.ts';
import { configMap, openLab } from './testing/harness.ts';

const COUNT = 1000;

/** Requests of the agent to the API server in the audit log from `offset` on, without those for its lease. */
function requests(auditLog: string, offset: number): { verb: string; uri: string }[] {
  const text = readFileSync(auditLog).subarray(offset).toString('utf8');
  return text.split('\n').flatMap((line) => {
    if (!line.includes('fairlead-agent/0.1.0')) return [];
    const event = JSON.parse(line) as { verb: string; requestURI: string };
    // Discovery follows the CRDs that other tests make in the same cluster.
    return event.requestURI.includes('/leases/') || /^\/(apis?|version|readyz)$/.test(event.requestURI)
      ? []
      : [{ verb: event.verb, uri: event.requestURI }];
  });
}

function rssMb(pid: number): number {
  const match = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Math.round(Number(match?.[1] ?? 0) / 1024);
}

test('a thousand ConfigMaps: time beside a bare client, memory, and silence afterwards', { timeout: 300_000 }, async () => {
  await using lab = await openLab('a');
  const { plane, namespace, cluster } = lab;
  const access = await loadKubeconfig(cluster.kubeconfig);
  const client = createKubeClient({ access, userAgent: 'bare-client', log: silentLog });
  const mapping = await createRestMapper({ client, log: silentLog }).mapping({ group: '', version: 'v1', kind: 'ConfigMap' });
  const bare = async (round: string): Promise<number> => {
    const startedAt = performance.now();
    await mapLimited(
      Array.from({ length: COUNT }, (_, index) => index),
      32,
      (index) =>
        applyObject(
          client,
          mapping,
          parseId(`/ConfigMap/${namespace}/bare-${index}`),
          Buffer.from(JSON.stringify(configMap(`bare-${index}`, namespace, { round }))),
          {
            fieldManager: 'bare',
            force: true,
            previous: null,
            metadataOnly: true,
          },
        ),
    );
    return performance.now() - startedAt;
  };
  const file = await buildAgent();
  const args = [
    '--plane',
    plane.url,
    '--join',
    plane.joinToken(),
    '--kubeconfig',
    cluster.kubeconfig,
    '--namespace',
    lab.agentNamespace,
  ];
  const agent = spawn(process.execPath, [...agentNodeFlags, file, ...args, '--state-dir', join(lab.stateDir, 'process')], {
    stdio: 'ignore',
    env: agentNodeEnvironment,
  });
  try {
    await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
    const maps = (round: string): ReturnType<typeof configMap>[] =>
      Array.from({ length: COUNT }, (_, index) => configMap(`mine-${index}`, namespace, { round }));
    const deliver = async (round: string): Promise<number> => {
      const app = await plane.setApp('many', maps(round));
      const startedAt = performance.now();
      plane.publish();
      await plane.until('many', 'applied', (report) => report.applied?.release === app.release, 120_000);
      return performance.now() - startedAt;
    };
    const results: string[] = [];
    for (const round of ['1', '2', '3']) {
      const ours = await deliver(round);
      const theirs = await bare(round);
      results.push(
        `${round === '1' ? 'created' : 'changed'}: agent ${Math.round(ours)} ms, bare client (32 in flight) ${Math.round(theirs)} ms, ratio ${Math.round((100 * theirs) / ours)} %`,
      );
    }
    process.stdout.write(results.map((line) => `# ${COUNT} ConfigMaps ${line}\n`).join(''));
    await plane.untilReady('many');
    await systemClock.sleep(3000);
    process.stdout.write(`# agent process: ${rssMb(agent.pid ?? 0)} MB RSS at ${COUNT} objects\n`);
    const offset = readFileSync(cluster.auditLog).length;
    const statBefore = readFileSync(`/proc/${agent.pid}/stat`, 'utf8').split(' ');
    await systemClock.sleep(15_000);
    const statAfter = readFileSync(`/proc/${agent.pid}/stat`, 'utf8').split(' ');
    const ticks = Number(statAfter[13]) + Number(statAfter[14]) - Number(statBefore[13]) - Number(statBefore[14]);
    const seen = requests(cluster.auditLog, offset);
    process.stdout.write(`# at rest: ${seen.length} requests beside the lease in 15 s, ${((ticks * 10) / 15).toFixed(1)} mCPU\n`);
    assert.deepEqual(seen, []);
    // A guard against a leak of an order of magnitude, not the figure itself: that is printed.
    assert.ok(rssMb(agent.pid ?? 0) < 150);
  } finally {
    agent.kill('SIGKILL');
    client.close();
  }
});
