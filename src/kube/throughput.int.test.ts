import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'node:test';
import { mapLimited } from '#base';
import { sharedCluster, uniqueNamespace } from '#testbed';
import { applyObject } from './apply.ts';
import { injectMetadata } from './inject.ts';
import { bytesOf, connectTo } from './kube.testing.ts';
import { createLimiter } from './limiter.ts';
import type { ObjectId } from './objects.ts';

const COUNT = Number(process.env['FAIRLEAD_KUBE_OBJECTS'] ?? 1000);

test('a thousand ConfigMaps through the adaptive limiter, beside a bare loop with 64 in flight', async (t) => {
  const cluster = await sharedCluster('c');
  using under = await connectTo(cluster);
  const mapping = await under.mapper.mapping({ group: '', version: 'v1', kind: 'ConfigMap' });
  const results: Record<string, number[]> = { limiter: [], bare: [] };
  // Bare first and last, so that neither way has the quieter half.
  for (const way of ['bare', 'limiter', 'limiter', 'bare'] as const) {
    await using namespace = await uniqueNamespace(cluster, 'kube-throughput');
    const objects = Array.from({ length: COUNT }, (_, i) => {
      const id: ObjectId = { group: '', kind: 'ConfigMap', namespace: namespace.name, name: `c${i}` };
      const object = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: id.name, namespace: id.namespace },
        data: { a: 'x'.repeat(900), n: String(i) },
      };
      return { id, body: bytesOf(object), path: `/api/v1/namespaces/${id.namespace}/configmaps/${id.name}` };
    });
    const startedAt = performance.now();
    if (way === 'bare') {
      await mapLimited(objects, 64, ({ body, path }) =>
        under.client.request({
          method: 'PATCH',
          path,
          query: { fieldManager: 'fairlead', force: true },
          body,
          contentType: 'application/apply-patch+yaml',
        }),
      );
    } else {
      const limiter = createLimiter();
      const applied = await Promise.all(
        objects.map(({ id, body }) =>
          limiter.run(() =>
            applyObject(
              under.client,
              mapping,
              id,
              injectMetadata(body, { labels: { 'fairlead.dev/owner': 'abcdefghijklmnop' } }),
              {
                fieldManager: 'fairlead',
                force: true,
                previous: null,
                metadataOnly: true,
              },
            ),
          ),
        ),
      );
      assert.ok(applied.every((one) => one.result === 'created'));
      t.diagnostic(`limiter ended at ${limiter.limit}`);
    }
    results[way]?.push(COUNT / ((performance.now() - startedAt) / 1000));
    const list = await cluster.request('GET', `/api/v1/namespaces/${namespace.name}/configmaps`, { accept: 'application/json' });
    // The namespace's own root certificate map comes on top.
    assert.ok((list.json() as { items: unknown[] }).items.length >= COUNT);
  }
  const mean = (list: readonly number[] = []): number => list.reduce((a, b) => a + b, 0) / list.length;
  t.diagnostic(
    `applies per second, ${COUNT} ConfigMaps of 1 KB: bare ${(results['bare'] ?? []).map(Math.round).join(', ')}; limiter ${(results['limiter'] ?? []).map(Math.round).join(', ')}; ratio ${(mean(results['limiter']) / mean(results['bare'])).toFixed(2)}`,
  );
});

test('a reflector over thousands of objects keeps its projection only', async (t) => {
  const cluster = await sharedCluster('c');
  await using namespace = await uniqueNamespace(cluster, 'kube-memory');
  using under = await connectTo(cluster);
  const count = COUNT * 5;
  await mapLimited(
    Array.from({ length: count }, (_, i) => i),
    32,
    (i) =>
      under.client.request({
        method: 'POST',
        path: `/api/v1/namespaces/${namespace.name}/configmaps`,
        body: bytesOf({
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: `c${i}`, labels: { 'fairlead.dev/owner': `o${i % 10}` } },
          data: { a: 'x'.repeat(4000) },
        }),
      }),
  );
  const script = fileURLToPath(new URL('./reflector-memory.testing.ts', import.meta.url));
  for (const mode of ['bare', 'streamed', 'paged', 'metadata'] as const) {
    const { stdout } = await promisify(execFile)(process.execPath, [script, cluster.kubeconfig, namespace.name, mode]);
    const seen = JSON.parse(stdout) as { objects: number; rssMb: number; peakMb: number; ms: number };
    assert.equal(seen.objects, mode === 'bare' ? 0 : count + 1);
    t.diagnostic(`${mode}: ${seen.objects} objects of 4.5 KB in ${seen.ms} ms, RSS ${seen.rssMb} MB, peak ${seen.peakMb} MB`);
  }
});
