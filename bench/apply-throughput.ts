/**
 * 1,000 ConfigMaps changed by one commit, in one cluster, beside a bare Node client with 64 requests in flight that changes
 * as many on the same server; then, in the same run, what the agent costs while nothing happens.
 */
import { configMapYaml, Fleet } from '../src/testbed/e2e/fleet.ts';
import { auditMark } from '../src/testbed/e2e/audit.ts';
import { mapLimited } from '../src/base/index.ts';
import { uniqueNamespace } from '../src/testbed/index.ts';
import type { Measured } from './main.ts';
import { load } from './report.ts';
import { milliCpu, usageOf } from './usage.ts';
import { applyBare, ConfigMapWatch } from './watch.ts';

const COUNT = 1000;
const ROUNDS = 7;
const IDLE_MS = 60_000;
const FILLING = 'x'.repeat(900);
const nameOf = (index: number): string => `c${String(index).padStart(4, '0')}`;
const dataOf = (index: number, text: string): Readonly<Record<string, string>> => ({
  value: text,
  index: String(index),
  FILLING,
});

/** Ten objects a file. */
function files(text: string): Record<string, string> {
  const made: Record<string, string> = {};
  for (let index = 0; index < COUNT; index++) {
    const path = `web/${String(Math.floor(index / 10)).padStart(3, '0')}.yaml`;
    made[path] = `${made[path] === undefined ? '' : `${made[path]}---\n`}${configMapYaml(nameOf(index), dataOf(index, text))}`;
  }
  return made;
}

export async function applyThroughput(progress: (line: string) => void): Promise<Measured> {
  await using fleet = await Fleet.start({ clusters: { dev: { on: 'a' } } });
  const member = fleet.member('dev');
  const before = usageOf(member.agent.pid);
  await fleet.commit(files('start'));
  const firstFrom = performance.now();
  await fleet.application('web');
  await fleet.ready('web', 'dev', undefined, 300_000);
  const installed = performance.now() - firstFrom;
  progress(`first ${COUNT} objects created in ${Math.round(installed)} ms`);

  await using namespace = await uniqueNamespace(member.handle, 'bench-bare');
  using ours = await ConfigMapWatch.open(member.handle, fleet.ns('web'));
  using theirs = await ConfigMapWatch.open(member.handle, namespace.name);
  const bareRun = async (text: string): Promise<number> => {
    const seen = theirs.all(COUNT, ({ data }) => data['value'] === text);
    const from = performance.now();
    await mapLimited(
      Array.from({ length: COUNT }, (_, index) => index),
      64,
      (index) => applyBare(theirs.client, namespace.name, nameOf(index), dataOf(index, text)),
    );
    return (await seen).last - from;
  };
  await bareRun('start');

  const whole: number[] = [];
  const applying: number[] = [];
  const bare: number[] = [];
  const shares: number[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    const text = `round ${round}`;
    // The bare client before and after, so that neither has the quieter half.
    const bareBefore = await bareRun(`${text} a`);
    const seen = ours.all(COUNT, ({ data }) => data['value'] === text);
    await fleet.git.commit('fleet', files(text), text);
    const from = performance.now();
    await fleet.look();
    const { first, last } = await seen;
    const bareAfter = await bareRun(`${text} b`);
    await fleet.ready('web', 'dev');
    whole.push(last - from);
    applying.push(last - first);
    bare.push((bareBefore + bareAfter) / 2);
    shares.push(((bareBefore + bareAfter) / 2 / (last - first)) * 100);
    progress(
      `round ${round}: ${Math.round(last - from)} ms, applying ${Math.round(last - first)}, bare ${Math.round(bareBefore)} and ${Math.round(bareAfter)}; load ${load()}`,
    );
  }
  const floor = { what: 'ms: bare client, 64 in flight', values: bare };

  // Reports, renewed watches of the change and garbage: a little time to come to rest.
  await new Promise((resolve) => setTimeout(resolve, 10_000));
  const idleLoad = load();
  const mark = auditMark(member.handle, fleet.agentNamespace);
  const cpu = await milliCpu(member.agent.pid, IDLE_MS);
  const requests = mark.requests();
  const after = usageOf(member.agent.pid);
  const seconds = IDLE_MS / 1000;
  return {
    rows: [
      { what: `commit to the last of ${COUNT} ConfigMaps changed`, target: '≤ 2000', values: whole, unit: 'ms', floor },
      { what: 'of that, from the first to the last change', target: '-', values: applying, unit: 'ms', floor },
      { what: 'speed of applying, of the bare client’s in the same round', target: '≥ 60', values: shares, unit: '%' },
      { what: `agent, resident, ${COUNT} objects`, target: '≤ 90', values: [after.rssMb], unit: 'MiB' },
      { what: 'agent, resident at most in this run', target: '-', values: [after.peakMb], unit: 'MiB' },
      { what: 'agent, resident before the first object', target: '-', values: [before.rssMb], unit: 'MiB' },
      { what: `agent at rest, CPU over ${seconds} s`, target: '≤ 10', values: [cpu], unit: 'mCPU' },
      {
        what: `requests at rest in ${seconds} s, without the Lease`,
        target: '≤ 2 per kind and h, + 10',
        values: [requests.length],
        unit: 'requests',
      },
      {
        what: `writes at rest in ${seconds} s, without the Lease`,
        target: '0',
        values: [mark.writes().length],
        unit: 'requests',
      },
    ],
    notes: [
      `objects of 1 KB, ten a file; first creation of all with namespace and Application: ${Math.round(installed)} ms`,
      `at rest: load ${idleLoad}${requests.length === 0 ? '' : `; asked: ${[...new Set(requests.map(({ verb, uri }) => `${verb} ${uri}`))].slice(0, 5).join(', ')}`}`,
    ],
  };
}
