/** Run by throughput.int.test.ts in a process of its own: what does a reflector over a namespace cost? */
import { readFileSync } from 'node:fs';
import { silentLog, waitFor } from '#base';
import { createKubeClient, type KubeClient } from './client.ts';
import { createRestMapper } from './discovery.ts';
import { KubeStatusError } from './errors.ts';
import { loadKubeconfig } from './kubeconfig.ts';
import { Reflector } from './reflector.ts';

const [, , kubeconfig = '', namespace = '', mode = ''] = process.argv;
const real = createKubeClient({ access: await loadKubeconfig(kubeconfig), userAgent: 'fairlead-test/0', log: silentLog });
const refusal = new KubeStatusError(
  { status: 422, reason: 'Invalid', message: '', causes: [], retryAfterMs: undefined },
  'WATCH',
);
const client: KubeClient =
  mode === 'paged'
    ? { ...real, stream: (r) => (r.query?.['sendInitialEvents'] === true ? Promise.reject(refusal) : real.stream(r)) }
    : real;
const mapping = await createRestMapper({ client, log: silentLog }).mapping({ group: '', version: 'v1', kind: 'ConfigMap' });
const startedAt = performance.now();
const stop = new AbortController();
const reflector = new Reflector<{ readonly uid: string; readonly generation: number | undefined; readonly owner: string }>({
  client,
  mapping,
  namespace,
  metadataOnly: mode === 'metadata',
  project: (object) => ({
    uid: object.metadata.uid ?? '',
    generation: object.metadata.generation,
    owner: object.metadata.labels?.['fairlead.dev/owner'] ?? '',
  }),
  log: silentLog,
});
const ended = mode === 'bare' ? Promise.resolve() : reflector.run(stop.signal);
if (mode !== 'bare') await waitFor('the list', () => reflector.isSynced, { timeoutMs: 60_000, intervalMs: 10 });
const ms = Math.round(performance.now() - startedAt);

/** Kilobytes from /proc/self/status, as MB. */
function memory(field: 'VmRSS' | 'VmHWM'): number {
  return Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) / 1024);
}
process.stdout.write(`${JSON.stringify({ objects: reflector.size, rssMb: memory('VmRSS'), peakMb: memory('VmHWM'), ms })}\n`);
stop.abort();
await ended;
real.close();
