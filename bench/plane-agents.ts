/**
 * A real plane process with thousands of agents of the real protocol over TLS (src/testbed/agentsim): idle, one commit to all of
 * them, killed and started again while they call. Beside it an idle Node process, whose event-loop delay is what the machine
 * itself gives.
 */
import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Application, Cluster } from '../src/api/index.ts';
import { mapLimited, newUid, waitFor } from '../src/base/index.ts';
import { loadKubeconfig } from '../src/kube/index.ts';
import { SimulatedAgents } from '../src/testbed/agentsim/index.ts';
import { freePort } from '../src/testbed/demo/free-port.ts';
import { configMapYaml, Fleet } from '../src/testbed/e2e/fleet.ts';
import type { LoopFigures } from './loop-probe.ts';
import type { Measured } from './main.ts';
import { load, quantile, type Row } from './report.ts';
import { milliCpu, usageOf } from './usage.ts';

const IDLE_MS = 60_000;

export interface PlaneAgentsOptions {
  readonly count: number;
  readonly commits: number;
  readonly restarts: number;
}

export async function planeAgents(
  { count, commits, restarts }: PlaneAgentsOptions,
  progress: (line: string) => void,
): Promise<Measured> {
  const figuresFile = join(tmpdir(), `fairlead-bench-${newUid()}.json`);
  const probe = `${new URL('loop-probe.ts', import.meta.url).href}?${encodeURIComponent(figuresFile)}`;
  const healthPort = await freePort(0);
  await using fleet = await Fleet.start({
    clusters: {},
    planeNodeArgs: ['--import', probe],
    planeArgs: ['--health', `127.0.0.1:${healthPort}`],
  });
  using idler = idleProcess();
  const alone = usageOf(fleet.plane.pid);
  const names = Array.from({ length: count }, (_, index) => `sim-${String(index).padStart(5, '0')}`);
  const tokens = await mapLimited(names, 8, async (name) => {
    await fleet.apply(Cluster, { name, labels: { simulated: 'yes' } }, {});
    return fleet.joinToken(name);
  });
  progress(`${count} Clusters created`);
  const joinFrom = performance.now();
  const { ca = '' } = await loadKubeconfig(fleet.kubeconfig);
  await using agents = await SimulatedAgents.join({ url: fleet.planeUrl, ca, tokens });
  const joinedMs = performance.now() - joinFrom;
  progress(`${count} agents joined in ${Math.round(joinedMs)} ms`);

  // The first delivery makes the Application's Deliveries, and is not measured.
  const isReady = async (commit: string): Promise<boolean> => {
    const { status } = (await fleet.get(Application, { namespace: 'default', name: 'web' })) ?? {};
    return status?.commit === commit && status.deliveries?.total === count && status.deliveries.ready === count;
  };
  const reach = (commit: string): Promise<true> =>
    waitFor(`all ${count} to be ready`, () => isReady(commit), { timeoutMs: 900_000, intervalMs: 200 });
  const first = await fleet.commit({ 'web/one.yaml': configMapYaml('one', { value: 'v0' }) });
  await fleet.application('web');
  await reach(first);
  progress('first release is everywhere');

  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const idleLoad = load();
  const idleRevision = await revision(fleet);
  const idleCpu = await milliCpu(fleet.plane.pid, IDLE_MS);
  const idleRows = (await revision(fleet)) - idleRevision;
  const idle = usageOf(fleet.plane.pid);
  progress(`idle: ${Math.round(idleCpu)} mCPU, ${Math.round(idle.rssMb)} MiB`);

  const atAgents: number[] = [];
  const lastAgent: number[] = [];
  const allReady: number[] = [];
  const cpu: number[] = [];
  const loops: LoopFigures[] = [];
  const idleLoops: LoopFigures[] = [];
  const before = await revision(fleet);
  for (let number = 1; number <= commits; number++) {
    agents.forget();
    const cpuBefore = usageOf(fleet.plane.pid).cpuMs;
    process.kill(fleet.plane.pid, 'SIGUSR2');
    idler.toggle();
    await fleet.git.commit('fleet', { 'web/one.yaml': configMapYaml('one', { value: `v${number}` }) }, `v${number}`);
    const commit = (await fleet.git.git('fleet', ['rev-parse', 'main'])).trim();
    const from = Date.now();
    await fleet.look();
    await waitFor('all agents to have it', () => agents.arrivals.length >= count, { timeoutMs: 900_000, intervalMs: 20 });
    const took = agents.arrivals.map(({ at }) => at - from);
    await reach(commit);
    allReady.push(Date.now() - from);
    process.kill(fleet.plane.pid, 'SIGUSR2');
    idler.toggle();
    loops.push(await waitFor('the figures of the loop', () => readFigures(figuresFile), { timeoutMs: 20_000 }));
    await rm(figuresFile);
    idleLoops.push(await waitFor('the figures of the idle loop', () => readFigures(idler.file), { timeoutMs: 20_000 }));
    await rm(idler.file);
    cpu.push(usageOf(fleet.plane.pid).cpuMs - cpuBefore);
    atAgents.push(quantile(took, 0.5));
    lastAgent.push(Math.max(...took));
    progress(
      `commit ${number}: at the last agent after ${Math.max(...took)} ms, all ready after ${allReady.at(-1)} ms; loop ${JSON.stringify(loops.at(-1))}; CPU ${cpu.at(-1)} ms; load ${load()}`,
    );
  }
  // Positions and counts are written up to half a minute after verdicts.
  await new Promise((resolve) => setTimeout(resolve, 35_000));
  const rows = ((await revision(fleet)) - before) / count / commits;
  progress(`${rows.toFixed(2)} rows per Delivery and commit`);
  const busy = usageOf(fleet.plane.pid);
  const healthIn: number[] = [];
  const readyIn: number[] = [];
  const allBack: number[] = [];
  const startCpu: number[] = [];
  for (let number = 1; number <= restarts; number++) {
    agents.forget();
    // Acknowledged a moment before the crash: it has to be there afterwards.
    const mark = `kept-${number}`;
    await fleet.apply(Cluster, { name: mark }, {});
    await fleet.killPlane();
    const from = Date.now();
    const [, probed] = await Promise.all([fleet.startPlane(), untilHealthy(healthPort)]);
    healthIn.push(probed - from);
    readyIn.push(Date.now() - from);
    startCpu.push(usageOf(fleet.plane.pid).cpuMs);
    if ((await fleet.get(Cluster, { name: mark })) === undefined) throw new Error('an acknowledged write was lost');
    await waitFor('all agents to be back', () => agents.back.size >= count, { timeoutMs: 900_000, intervalMs: 20 });
    allBack.push(Math.max(...agents.back.values()) - from);
    progress(`restart ${number}: ready in ${readyIn.at(-1)} ms (CPU ${startCpu.at(-1)} ms), all back after ${allBack.at(-1)} ms`);
    await fleet.delete(Cluster, { name: mark });
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }

  const row = (what: string, target: string, values: readonly number[], unit: string, floor?: Row['floor']): Row => ({
    what,
    target,
    values,
    unit,
    ...(floor === undefined ? {} : { floor }),
  });
  return {
    rows: [
      row(`plane at rest, ${count} agents, CPU over ${IDLE_MS / 1000} s`, '≤ 150', [idleCpu], 'mCPU'),
      row(`plane at rest, ${count} agents, resident`, '≤ 400', [idle.rssMb], 'MiB'),
      row('plane before the first agent, resident', '-', [alone.rssMb], 'MiB'),
      row('plane after the commits, resident', '-', [busy.rssMb], 'MiB'),
      row('rows written at rest', '0', [idleRows], 'rows'),
      row('one commit to all: at half of the agents', '-', atAgents, 'ms'),
      row('one commit to all: at the last agent', '-', lastAgent, 'ms'),
      row('one commit to all: every Delivery ready on the plane', '-', allReady, 'ms'),
      row(
        'event-loop delay meanwhile, p99',
        '≤ 50',
        loops.map(({ delay }) => delay.p99),
        'ms',
        { what: 'ms: of an idle process beside it', values: idleLoops.map(({ delay }) => delay.p99) },
      ),
      row(
        'event-loop delay meanwhile, max',
        '-',
        loops.map(({ delay }) => delay.max),
        'ms',
      ),
      row(
        'CPU of the main thread between ticks of 5 ms, p99',
        '≤ 50',
        loops.map(({ turn }) => turn.p99),
        'ms',
      ),
      row('CPU of the plane’s process per commit to all', '-', cpu, 'ms'),
      row('rows per application × cluster × release', '≤ 6', [rows], 'rows'),
      row('kill -9 to ready, as a probe sees it', '≤ 3000', healthIn, 'ms'),
      row('kill -9 to ready, as kubectl sees it', '-', readyIn, 'ms'),
      row('CPU that the plane’s process spent until ready', '-', startCpu, 'ms'),
      row('kill -9 to all agents back', '≤ 30000', allBack, 'ms'),
    ],
    notes: [
      `${count} agents joined in ${(joinedMs / 1000).toFixed(1)} s; polls of 60 s; at rest: load ${idleLoad}`,
      'agents fetch bundle and object, check signatures and report; they and the measuring process share the cores with the plane',
      'a Cluster written just before each kill was there after each start',
    ],
  };
}

/** A process that does nothing but measure its own event loop. */
function idleProcess(): Disposable & { readonly file: string; toggle(): void } {
  const file = join(tmpdir(), `fairlead-bench-idle-${newUid()}.json`);
  const probe = `${new URL('loop-probe.ts', import.meta.url).href}?${encodeURIComponent(file)}`;
  const child = spawn(process.execPath, ['--import', probe, '--eval', 'process.stdin.resume().on("end", () => process.exit())'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  return {
    file,
    toggle: () => void child.kill('SIGUSR2'),
    [Symbol.dispose]: () => void child.kill(),
  };
}

/** Date.now() of the first good answer to a probe. */
function untilHealthy(port: number): Promise<number> {
  return waitFor(
    'the probe to be answered',
    async () => ((await fetch(`http://127.0.0.1:${port}/readyz`)).status === 200 ? Date.now() : undefined),
    { timeoutMs: 120_000, intervalMs: 20 },
  );
}

/** The newest revision of the plane's store. */
async function revision(fleet: Fleet): Promise<number> {
  const response = await fleet.client.request({
    method: 'GET',
    path: `/apis/${Cluster.apiVersion}/${Cluster.plural}`,
    query: { limit: 1 },
  });
  const { metadata } = JSON.parse(response.body.toString('utf8')) as { metadata: { resourceVersion: string } };
  return Number(metadata.resourceVersion);
}

async function readFigures(file: string): Promise<LoopFigures | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as LoopFigures; // written by loop-probe.ts
  } catch {
    return undefined;
  }
}
