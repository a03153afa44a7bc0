/**
 * What the plane's end of the agent protocol costs: N agents held over TLS (in another process), one commit to all of them,
 * and idling. `node bench/agent-protocol.ts [N]`. Prints figures, asserts none.
 */
import { cpus, totalmem } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { mapLimited, waitFor } from '../src/base/index.ts';
import { conditionOf, Delivery } from '../src/api/index.ts';
import { SimulatedAgents } from '../src/testbed/agentsim/index.ts';
import { PlaneRooms } from '../src/plane/agents/testing/plane-rooms.ts';

const count = Number(process.argv[2] ?? '1000');
const many = { burst: 1e6, perSecond: 1e6 };
const out = (line: string): void => void process.stdout.write(`${line}\n`);
const quantile = (values: readonly number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? Number.NaN;

/** CPU that this thread spends from one tick of 5 ms to the next: how long the loop is held, whoever else uses the machine. */
function turnCosts(): { stop(): readonly number[] } {
  const costs: number[] = [];
  let last = process.threadCpuUsage();
  const timer = setInterval(() => {
    const spent = process.threadCpuUsage(last);
    costs.push((spent.user + spent.system) / 1000);
    last = process.threadCpuUsage();
  }, 5);
  return {
    stop() {
      clearInterval(timer);
      return costs;
    },
  };
}

out(
  `${cpus().length} × ${cpus()[0]?.model ?? 'CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB, node ${process.version}, ${count} agents`,
);
await using plane = await PlaneRooms.start({ budgets: { join: many }, totalBudgets: { join: many } });
await plane.createProject();
const clusters = Array.from({ length: count }, (_, index) => `c${String(index).padStart(5, '0')}`);
const tokens = await mapLimited(clusters, 50, async (name) => {
  await plane.createCluster(name);
  return plane.enroll(name, 3600);
});
const before = performance.now();
await using agents = await SimulatedAgents.join({ url: plane.url, ca: plane.keys.tls.ca, tokens, waitMs: 60_000 });
out(`joined in ${((performance.now() - before) / 1000).toFixed(1)} s`);
await waitFor('all to be held', () => plane.agents.waiting() >= count, { timeoutMs: 120_000 });
await waitFor('calm', () => plane.engine.isIdle(), { timeoutMs: 120_000 });
await new Promise((resolve) => setTimeout(resolve, 3000));

const idleCpu = process.cpuUsage();
const idleFrom = performance.now();
await new Promise((resolve) => setTimeout(resolve, 60_000));
const idle = process.cpuUsage(idleCpu);
const idleMs = performance.now() - idleFrom;
out(
  `idle, polls of 60 s: ${(((idle.user + idle.system) / 1000 / idleMs) * 1000).toFixed(0)} mCPU, RSS ${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`,
);

for (const [number, label] of [
  [1, 'first'],
  [2, 'second'],
  [3, 'third'],
] as const) {
  agents.forget();
  await plane.engine.isIdle();
  const revision = plane.store.revision();
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const turns = turnCosts();
  const cpu = process.cpuUsage();
  const from = Date.now();
  await plane.deliver('web', number, clusters);
  const committed = Date.now();
  await waitFor('all to have it', () => agents.arrivals.length >= count, { timeoutMs: 120_000, intervalMs: 10 });
  await waitFor(
    'all to be ready',
    async () => {
      const { items } = await plane.store.list(Delivery, {});
      return items.every(
        (one) => conditionOf(one, 'Ready')?.status === 'True' && one.status?.journey?.release === one.spec.wanted?.release,
      );
    },
    { timeoutMs: 120_000, intervalMs: 250 },
  );
  const ready = Date.now();
  delay.disable();
  const costs = turns.stop();
  const used = process.cpuUsage(cpu);
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const rows = (plane.store.revision() - revision - 1) / count;
  const latencies = agents.arrivals.map((one) => one.at - from);
  out(
    `${label} release to ${count}: written in ${committed - from} ms, at agents p50 ${quantile(latencies, 0.5)} p99 ${quantile(latencies, 0.99)} ms, ` +
      `all ready ${ready - from} ms; event-loop delay p50 ${(delay.percentile(50) / 1e6).toFixed(1)} p99 ${(delay.percentile(99) / 1e6).toFixed(1)} max ${(delay.max / 1e6).toFixed(0)} ms, CPU between ticks of 5 ms p99 ${quantile(costs, 0.99).toFixed(0)} max ${Math.max(...costs).toFixed(0)} ms; ` +
      `${rows.toFixed(2)} rows per application × cluster × release; CPU ${Math.round((used.user + used.system) / 1000)} ms`,
  );
}

agents.forget();
const single: number[] = [];
for (let number = 1; number <= 20; number++) {
  agents.forget();
  const from = Date.now();
  await plane.deliver('solo', number, [clusters[number] ?? 'c00000']);
  await waitFor('it', () => agents.arrivals.length > 0, { timeoutMs: 10_000, intervalMs: 1 });
  single.push((agents.arrivals[0]?.at ?? 0) - from);
}
out(`one cluster among ${count}: commit to agent p50 ${quantile(single, 0.5)} p95 ${quantile(single, 0.95)} ms`);
if (agents.lost.size > 0) out(`${agents.lost.size} agents had a request fail: ${[...agents.lost.values()][0] ?? ''}`);
