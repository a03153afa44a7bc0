/**
 * `npm run bench [-- <part of a name>…] [--markdown]`: measures and prints, asserts nothing. Control planes are those that
 * FAIRLEAD_TESTBED names, else its own.
 */
import { startShared } from '../src/testbed/index.ts';
import { applyThroughput } from './apply-throughput.ts';
import { consoleAtSize } from './console.ts';
import { drift } from './drift.ts';
import { kubeApi } from './kube-api.ts';
import { monorepo } from './monorepo.ts';
import { planeAgents } from './plane-agents.ts';
import { pushToApplied } from './push-to-applied.ts';
import { load, machine, print, type Row } from './report.ts';
import { render } from './render.ts';
import { stores } from './stores.ts';

/** One benchmark: gives rows and what has to be said about them. */
export interface Measured {
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
}

interface Benchmark {
  readonly name: string;
  readonly needsClusters: boolean;
  run(progress: (line: string) => void): Promise<Measured>;
}

const benchmarks: readonly Benchmark[] = [
  { name: 'push-to-applied', needsClusters: true, run: pushToApplied },
  { name: 'apply-throughput', needsClusters: true, run: applyThroughput },
  { name: 'drift', needsClusters: true, run: drift },
  { name: 'one-of-100', needsClusters: true, run: monorepo },
  {
    name: 'plane-1000-agents',
    needsClusters: false,
    run: (progress) =>
      planeAgents({ count: Number(process.env['FAIRLEAD_BENCH_AGENTS'] ?? '1000'), commits: 3, restarts: 3 }, progress),
  },
  {
    name: 'plane-5000-agents',
    needsClusters: false,
    run: (progress) => planeAgents({ count: 5000, commits: 1, restarts: 1 }, progress),
  },
  { name: 'render', needsClusters: false, run: render },
  { name: 'kube-api', needsClusters: false, run: kubeApi },
  { name: 'stores', needsClusters: false, run: stores },
  { name: 'console-1000x100', needsClusters: false, run: consoleAtSize },
];

const asMarkdown = process.argv.includes('--markdown');
const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const chosen = benchmarks.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const progress = (line: string): void => void process.stderr.write(`bench: ${line}\n`);

if (chosen.length === 0) {
  progress(`nothing is named like ${wanted.join(', ')}; there are ${benchmarks.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
say(`${machine()}\n`);
const isOwnTestbed = process.env['FAIRLEAD_TESTBED'] === undefined && chosen.some(({ needsClusters }) => needsClusters);
if (isOwnTestbed) progress('starting three control planes');
await using testbed = isOwnTestbed
  ? await startShared({ clusters: ['a', 'b', 'c'], nodes: 'simulated', onProgress: progress })
  : undefined;
if (testbed !== undefined) Object.assign(process.env, testbed.env);

let failed = 0;
for (const benchmark of chosen) {
  progress(benchmark.name);
  const before = load();
  try {
    const { rows, notes } = await benchmark.run(progress);
    say(print({ name: benchmark.name, rows, notes, load: { before, after: load() } }, asMarkdown));
  } catch (error) {
    failed += 1;
    progress(
      `${benchmark.name} could not be measured: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
  }
}
process.exitCode = failed === 0 ? 0 : 1;
