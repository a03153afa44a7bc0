import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { seededRng, systemClock, waitFor } from '#base';
import { buildAgent } from './build.ts';
import { startProcess } from './testing/agent-process.ts';
import { configMap, openLab } from './testing/harness.ts';

test(
  'killed again and again, at any moment: in the end exactly what was asked for, and every release said once',
  { timeout: 240_000 },
  async () => {
    await using lab = await openLab('c');
    const { plane, namespace } = lab;
    const token = plane.joinToken();
    const rng = seededRng(7);
    let agent = await startProcess(lab, token);
    try {
      for (let round = 1; round <= 12; round += 1) {
        const count = 5 + Math.floor(rng() * 15);
        const objects = Array.from({ length: count }, (_, index) =>
          configMap(`kill-${index}`, namespace, { round: String(round) }),
        );
        await plane.deliver('kill', objects);
        // Until the new document was asked for, and then a moment more: any step may be the last.
        await systemClock.sleep(200 + rng() * 900);
        await agent.kill();
        agent = await startProcess(lab, token);
      }
      await plane.untilReady('kill', 60_000);
      const bundle = JSON.parse((plane.bundles.get(plane.apps.get('kill')?.bundle ?? '') ?? Buffer.from('')).toString()) as {
        entries: unknown[];
      };
      const list = (await lab.get(`/api/v1/namespaces/${namespace}/configmaps`)) as {
        items: { metadata: { name: string }; data: { round?: string } }[];
      };
      const ours = list.items.filter((item) => item.metadata.name.startsWith('kill-'));
      assert.equal(ours.length, bundle.entries.length);
      assert.ok(ours.every((item) => item.data.round === '12'));
      const said = plane.events
        .filter((event) => event.reason.code === 'FL_APPLIED')
        .map((event) => event.reason.args['release']);
      assert.equal(new Set(said).size, said.length, said.join(', '));
    } finally {
      await agent.kill();
    }
  },
);

test('a holder that was stopped for longer than its lease writes nothing when it wakes', { timeout: 180_000 }, async () => {
  await using lab = await openLab('c');
  const { plane, namespace } = lab;
  const state = { kind: 'secrets', namespace: lab.agentNamespace, name: 'state' } as const;
  const file = await buildAgent();
  const args = [
    '--plane',
    plane.url,
    '--join',
    plane.joinToken(),
    '--kubeconfig',
    lab.cluster.kubeconfig,
    '--namespace',
    lab.agentNamespace,
  ];
  const child = spawn(process.execPath, [file, ...args, '--state-secret', 'state', '--lease-duration', '5'], {
    stdio: 'ignore',
    env: {},
  });
  const isAsleep = { value: false };
  try {
    await waitFor('the agent to join', () => plane.agent !== undefined, { timeoutMs: 15_000 });
    await plane.deliver('web', [configMap('web', namespace)]);
    await plane.untilReady('web');
    child.kill('SIGSTOP');
    isAsleep.value = true;
    lab.start({ state, leaseDurationSeconds: 5 });
    await plane.deliver('web', [configMap('web', namespace, { key: '2' })]);
    await plane.untilReady('web', 30_000);
    const version = (await lab.configMap('web'))?.metadata.resourceVersion;
    const auditBefore = readFileSync(lab.cluster.auditLog).length;
    child.kill('SIGCONT');
    // It notices, begins anew, and waits for the lease.
    await systemClock.sleep(3000);
    const lines = readFileSync(lab.cluster.auditLog).subarray(auditBefore).toString().split('\n');
    const writes = lines.filter(
      (line) =>
        line.includes(namespace) && /"verb":"(patch|update|create|delete)"/.test(line) && line.includes('fairlead-agent/0.1.0'),
    );
    assert.deepEqual(writes, []);
    assert.equal((await lab.configMap('web'))?.metadata.resourceVersion, version);
  } finally {
    child.kill('SIGKILL');
  }
});

test('the bundle needs Node alone, and says what it wants', async () => {
  await using lab = await openLab('c');
  const agent = await startProcess(lab, 'nonsense');
  const code = await new Promise((resolve) => agent.child.once('exit', resolve));
  assert.equal(code, 1);
  assert.match(agent.errors.join(''), /FL_JOIN_TOKEN/);
  const text = readFileSync(await buildAgent(), 'utf8');
  const imports = [...text.matchAll(/^import .* from "([^"]+)"/gm)].map((match) => match[1] ?? '');
  assert.deepEqual(
    imports.filter((name) => !name.startsWith('node:')),
    [],
  );
});
