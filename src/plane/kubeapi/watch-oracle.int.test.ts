import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { newUid, waitFor } from '#base';
import { servedKinds } from '#api';
import { sharedCluster, type ClusterHandle } from '#testbed';
import { crdsOf } from './index.ts';
import { normalise } from './testing/normalise.ts';
import { startKubeApiForTest, type TestKubeApi } from './testing/start-kube-api.ts';
import { clusterServer, planeServer, type Server } from './testing/two-servers.ts';

let cluster: ClusterHandle;
let plane: TestKubeApi;
const dir = mkdtempSync(join(tmpdir(), 'fairlead-watch-oracle-'));
const namespace = `watched-${newUid().slice(0, 6)}`;
const path = `/apis/fairlead.dev/v1alpha1/namespaces/${namespace}/gitrepositories`;

before(async () => {
  cluster = await sharedCluster('b');
  plane = await startKubeApiForTest({ dir });
  const crds = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: crdsOf(servedKinds) });
  const applied = await cluster.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input: crds });
  assert.equal(applied.exitCode, 0, applied.stderr);
  await cluster.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd/gitrepositories.fairlead.dev']);
  for (const server of [planeServer(plane), clusterServer(cluster)]) {
    await server('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  }
});

after(async () => {
  await clusterServer(cluster)('DELETE', `/api/v1/namespaces/${namespace}`);
  await plane.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** `kubectl get -w` as it prints while things happen. */
function watching(
  kubeconfig: string,
  home: string,
  args: readonly string[],
): { readonly child: ChildProcess; readonly text: () => string } {
  const program = `${cluster.kubeconfig.slice(0, cluster.kubeconfig.indexOf('/clusters/'))}/kubectl`;
  const child = spawn(program, ['get', 'gitrepo', '-n', namespace, ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME: home, KUBECONFIG: kubeconfig },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  return { child, text: () => text };
}

async function happen(server: Server): Promise<void> {
  const repository = (name: string, labels: Record<string, string>): ReturnType<Server> =>
    server('POST', path, {
      apiVersion: 'fairlead.dev/v1alpha1',
      kind: 'GitRepository',
      metadata: { name, labels },
      spec: { url: 'https://example.com/x.git' },
    });
  await repository('one', { env: 'prod' });
  await repository('two', { env: 'dev' });
  await server('PATCH', `${path}/one`, { spec: { suspend: true } }, 'application/merge-patch+json');
  await server('PATCH', `${path}/two`, { metadata: { labels: { env: 'prod' } } }, 'application/merge-patch+json');
  await server('PATCH', `${path}/one`, { metadata: { labels: { env: 'dev' } } }, 'application/merge-patch+json');
  await server('DELETE', `${path}/two`);
  await server('DELETE', `${path}/one`);
  await repository('last', { env: 'prod' });
  await server('DELETE', `${path}/last`);
}

for (const args of [
  ['--watch-only', '--output-watch-events'],
  ['--watch-only', '--output-watch-events', '-l', 'env=prod'],
  ['--watch-only', '--output-watch-events', '-o', 'name', '--field-selector', 'metadata.name=last'],
  ['-w', '-o', 'wide'],
]) {
  test(`kubectl get ${args.join(' ')} prints the same as against a real API server`, async () => {
    const ours = watching(plane.kubeconfig, join(dir, 'plane'), args);
    const theirs = watching(cluster.kubeconfig, join(dir, 'cluster'), args);
    try {
      // The watches must stand before anything happens: an object that comes and goes is printed once both do.
      const probe = async (server: Server, text: () => string): Promise<void> => {
        await waitFor(
          'the watch',
          async () => {
            const name = `probe-${newUid().slice(0, 8)}`;
            await server('POST', path, {
              apiVersion: 'fairlead.dev/v1alpha1',
              kind: 'GitRepository',
              metadata: { name: args.includes('--field-selector') ? 'last' : name, labels: { env: 'prod', probe: 'yes' } },
              spec: { url: 'https://example.com/probe.git' },
            });
            await server('DELETE', `${path}/${args.includes('--field-selector') ? 'last' : name}`);
            return text() !== '';
          },
          { timeoutMs: 30_000, intervalMs: 300 },
        );
      };
      await Promise.all([probe(planeServer(plane), ours.text), probe(clusterServer(cluster), theirs.text)]);
      await Promise.all([happen(planeServer(plane)), happen(clusterServer(cluster))]);
      const lines = (text: string): string[] =>
        normalise(text, namespace)
          .split('\n')
          .map((line) => line.replace(/ +/g, ' ').trim())
          .filter((line) => line !== '' && !line.includes('probe'));
      const end = (text: string): number => lines(text).filter((line) => line.includes('last')).length;
      await waitFor('the last event', () => end(ours.text()) > 1 && end(theirs.text()) > 1, { timeoutMs: 15_000 });
      // The probe has the one name that this watch is about: only the end of it can be told apart.
      const from = args.includes('--field-selector') ? -2 : 0;
      assert.deepEqual(lines(ours.text()).slice(from), lines(theirs.text()).slice(from));
    } finally {
      ours.child.kill();
      theirs.child.kill();
    }
  });
}
