/**
 * Somebody edits, relabels or deletes an object by hand: when the plane says so, and when the cluster has what Git says again.
 * Beside it: the same write and one bare apply that puts it back, by somebody who knows.
 */
import { must, silentLog } from '../src/base/index.ts';
import { createKubeClient, loadKubeconfig, type KubeRequest } from '../src/kube/index.ts';
import { configMapYaml, Fleet } from '../src/testbed/e2e/fleet.ts';
import { uniqueNamespace } from '../src/testbed/index.ts';
import type { Measured } from './main.ts';
import { applyBare, ConfigMapWatch, type ConfigMapSeen } from './watch.ts';

const COUNT = 60;
const names = Array.from({ length: COUNT }, (_, index) => `timed-${index}`);

interface EventLine {
  readonly object: { readonly reason?: string; readonly message?: string };
}

const patch = (body: unknown): Omit<KubeRequest, 'path'> => ({
  method: 'PATCH',
  query: { fieldManager: 'kubectl-edit' },
  contentType: 'application/merge-patch+json',
  body: JSON.stringify(body),
});
const ways = [
  { isAddition: false, request: patch({ data: { key: 'by hand' } }) },
  { isAddition: true, request: patch({ data: { more: 'x' } }) },
  { isAddition: false, request: { method: 'DELETE' } },
] as const;

export async function drift(progress: (line: string) => void): Promise<Measured> {
  await using fleet = await Fleet.start({ clusters: { dev: { on: 'c' } } });
  const { handle } = fleet.member('dev');
  await fleet.commit(Object.fromEntries(names.map((name) => [`timed/${name}.yaml`, configMapYaml(name, { key: 'value' })])));
  await fleet.application('timed');
  await fleet.ready('timed', 'dev');
  await using namespace = await uniqueNamespace(handle, 'bench-bare');
  using ours = await ConfigMapWatch.open(handle, fleet.ns('timed'));
  using theirs = await ConfigMapWatch.open(handle, namespace.name);

  // What the plane says, as `kubectl get events --watch` sees it.
  const said = new Map<string, number>();
  const stop = new AbortController();
  const plane = createKubeClient({
    access: await loadKubeconfig(fleet.kubeconfig),
    userAgent: 'fairlead-bench/0',
    log: silentLog,
  });
  const events = plane
    .stream({
      path: '/api/v1/namespaces/default/events',
      query: { watch: true },
      maxDurationMs: 3_600_000,
      signal: stop.signal,
      onLine: (line) => {
        const at = performance.now();
        const { object } = JSON.parse(line.toString('utf8')) as EventLine; // written by the plane
        if (object.reason?.startsWith('FL_DRIFT_') !== true) return;
        const name = /\/(timed-\d+) /.exec(object.message ?? '')?.[1];
        if (name !== undefined && !said.has(name)) said.set(name, at);
      },
    })
    .catch(() => undefined);
  const repaired: number[] = [];
  const seen: number[] = [];
  const floor: number[] = [];
  const began = new Map<string, number>();
  try {
    for (const [index, name] of names.entries()) {
      const way = must(ways[index % ways.length], 'there are ways');
      const meddle = async (watch: ConfigMapWatch, where: string): Promise<void> => {
        await watch.client.request({ ...way.request, path: `/api/v1/namespaces/${where}/configmaps/${name}` });
      };
      const isBack = (watch: ConfigMapWatch): Promise<ConfigMapSeen> => {
        const was = watch.latest.get(name)?.resourceVersion;
        return watch.next(
          (one) =>
            one.name === name &&
            one.type !== 'DELETED' &&
            one.resourceVersion !== was &&
            JSON.stringify(one.data) === '{"key":"value"}',
        );
      };
      const isThere = theirs.next((one) => one.name === name);
      await applyBare(theirs.client, namespace.name, name, { key: 'value' });
      await isThere;
      const bareBack = isBack(theirs);
      await meddle(theirs, namespace.name);
      const bareFrom = performance.now();
      if (way.isAddition) {
        await theirs.client.request({
          ...patch({ data: { more: null } }),
          path: `/api/v1/namespaces/${namespace.name}/configmaps/${name}`,
        });
      } else await applyBare(theirs.client, namespace.name, name, { key: 'value' });
      floor.push((await bareBack).at - bareFrom);

      const back = isBack(ours);
      await meddle(ours, fleet.ns('timed'));
      const from = performance.now();
      began.set(name, from);
      // The answer to the meddler can come after the repair was seen.
      repaired.push(Math.max(0, (await back).at - from));
      if (index % 20 === 19) progress(`${index + 1} of ${COUNT}`);
    }
    // Events of corrections are sent with the next report.
    const deadline = performance.now() + 20_000;
    while (said.size < COUNT && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
    for (const [name, at] of said) seen.push(Math.max(0, at - (began.get(name) ?? at)));
  } finally {
    stop.abort();
    await events;
    plane.close();
  }
  return {
    rows: [
      {
        what: 'change by hand to the cluster being as Git says',
        target: 'p99 ≤ 3000',
        values: repaired,
        unit: 'ms',
        floor: { what: 'ms: bare apply, told at once', values: floor },
      },
      { what: 'change by hand to the event on the plane', target: '≤ 1000', values: seen, unit: 'ms' },
    ],
    notes: [
      `values edited, keys added, objects deleted in turn, one at a time; ${said.size} of ${COUNT} had an event of their own`,
    ],
  };
}
