/**
 * `node src/testbed/main.ts up --clusters dev,prod-eu,prod-us --dir DIR [--nodes simulated|none] [--node-count N]`:
 * starts clusters, prints how to reach them, and stays until SIGINT or SIGTERM. Leaves nothing.
 */
import { parseArgs } from 'node:util';
import { messageOf, systemClock } from '#base';
import { startShared } from './shared.ts';

const USAGE = 'usage: main.ts up --clusters NAME[,NAME…] [--dir DIR] [--nodes simulated|none] [--node-count N]\n';

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      clusters: { type: 'string' },
      dir: { type: 'string' },
      nodes: { type: 'string', default: 'simulated' },
      'node-count': { type: 'string', default: '2' },
    },
  });
  const nodeCount = Number(values['node-count']);
  const isNodes = values.nodes === 'simulated' || values.nodes === 'none';
  if (positionals[0] !== 'up' || values.clusters === undefined || !isNodes || !Number.isInteger(nodeCount) || nodeCount < 1) {
    process.stderr.write(USAGE);
    return 2;
  }
  const ending = new AbortController();
  const ended = new Promise<void>((resolve) => {
    ending.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => ending.abort());
  // The servers do not keep this process alive; this does.
  const alive = setInterval(() => undefined, 3_600_000);
  const started = systemClock.monotonic();
  try {
    await using shared = await startShared({
      clusters: values.clusters.split(','),
      nodes: values.nodes === 'none' ? 'none' : 'simulated',
      nodeCount,
      ...(values.dir === undefined ? {} : { dir: values.dir }),
      signal: ending.signal,
      onProgress: (line) => void process.stderr.write(`${line}\n`),
    });
    const seconds = ((systemClock.monotonic() - started) / 1000).toFixed(1);
    for (const cluster of shared.testbed.clusters) {
      process.stdout.write(`${cluster.name}\t${cluster.server}\t${cluster.kubeconfig}\n`);
    }
    process.stdout.write(
      `ready in ${seconds} s; kubectl: ${shared.testbed.dir}/kubectl; for tests: FAIRLEAD_TESTBED=${shared.file}\n`,
    );
    await ended;
    return 0;
  } catch (error) {
    if (ending.signal.aborted) return 0;
    process.stderr.write(`${messageOf(error)}\n`);
    return 1;
  } finally {
    clearInterval(alive);
  }
}

process.exitCode = await main();
