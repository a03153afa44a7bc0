import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { newUid } from '#base';
import { servedKinds } from '#api';
import { sharedCluster, type ClusterHandle } from '#testbed';
import { crdsOf } from './index.ts';
import { normalise } from './testing/normalise.ts';
import { oracleScript, type Step } from './testing/oracle-script.ts';
import { startKubeApiForTest, type TestKubeApi } from './testing/start-kube-api.ts';

let cluster: ClusterHandle;
let plane: TestKubeApi;
const dir = mkdtempSync(join(tmpdir(), 'fairlead-oracle-'));
const namespace = `oracle-${newUid().slice(0, 6)}`;

before(async () => {
  cluster = await sharedCluster('b');
  plane = await startKubeApiForTest({ dir, writeOnly: {} });
  const crds = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: crdsOf(servedKinds) });
  const applied = await cluster.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input: crds });
  assert.equal(applied.exitCode, 0, applied.stderr);
  const ready = await cluster.kubectl([
    'wait',
    '--for=condition=Established',
    '--timeout=60s',
    ...crdsOf(servedKinds).map((crd) => `crd/${(crd['metadata'] as { name: string }).name}`),
  ]);
  assert.equal(ready.exitCode, 0, ready.stderr);
});

after(async () => {
  await cluster.kubectl(['delete', 'namespace', namespace, '--wait=false']);
  await cluster.kubectl(['delete', 'cluster', `${namespace}-prod`, '--ignore-not-found']);
  await plane.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Answer {
  readonly exitCode: number;
  readonly text: string;
}

async function run(step: Step, side: 'plane' | 'cluster'): Promise<Answer> {
  const fill = (text: string): string => text.replaceAll('NS', namespace);
  const result = await cluster.kubectl(step.args.map(fill), {
    ...(step.input === undefined ? {} : { input: fill(step.input) }),
    env: {
      HOME: join(dir, side),
      ...(side === 'plane' ? { KUBECONFIG: plane.kubeconfig } : {}),
      ...step.env,
    },
    timeoutMs: 60_000,
  });
  const text = normalise(`${result.stdout}${result.stderr === '' ? '' : `\n--- stderr\n${result.stderr}`}`, namespace);
  const lines = step.unordered === true ? text.split('\n').sort().join('\n') : text;
  return { exitCode: result.exitCode, text: lines };
}

test('one kubectl script, the same answers as a real API server', async (context) => {
  const created = await Promise.all(
    (['plane', 'cluster'] as const).map((side) => run({ args: ['create', 'namespace', 'NS'] }, side)),
  );
  assert.deepEqual(created[0], created[1]);
  const differences: string[] = [];
  for (const step of oracleScript) {
    const [ours, theirs] = await Promise.all([run(step, 'plane'), run(step, 'cluster')]);
    const isSame = ours.exitCode === theirs.exitCode && (ours.text === theirs.text || step.mayDiffer !== undefined);
    if (!isSame && !(step.exitToo === true && step.mayDiffer !== undefined)) {
      differences.push(
        `$ kubectl ${step.args.join(' ')}\n--- API server (${theirs.exitCode})\n${theirs.text}\n--- plane (${ours.exitCode})\n${ours.text}`,
      );
    }
  }
  context.diagnostic(`${oracleScript.length} commands, ${differences.length} different`);
  if (process.env['FAIRLEAD_ORACLE_REPORT'] !== undefined) {
    writeFileSync(process.env['FAIRLEAD_ORACLE_REPORT'], differences.join('\n\n'));
  }
  assert.equal(differences.length, 0, differences.slice(0, 5).join('\n\n'));
});
