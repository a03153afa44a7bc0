/**
 * One repository with a hundred applications, one cluster: a commit that changes every application, and one that changes one of
 * them. Only what changed is to be rendered, and one commit is one fetch.
 */
import { configMapYaml, Fleet } from '../src/testbed/e2e/fleet.ts';
import { mapLimited, waitFor } from '../src/base/index.ts';
import type { Measured } from './main.ts';
import { usageOf } from './usage.ts';
import { ConfigMapWatch } from './watch.ts';

const COUNT = 100;
const ROUNDS = 5;
const nameOf = (index: number): string => `m${String(index).padStart(3, '0')}`;
const fileOf = (index: number, text: string): Record<string, string> => ({
  [`${nameOf(index)}/one.yaml`]: configMapYaml(nameOf(index), { value: text }),
});
const filesOf = (text: string): Record<string, string> =>
  Object.assign({}, ...Array.from({ length: COUNT }, (_, index) => fileOf(index, text))) as Record<string, string>;

export async function monorepo(progress: (line: string) => void): Promise<Measured> {
  await using fleet = await Fleet.start({ clusters: { dev: { on: 'a' } } });
  const member = fleet.member('dev');
  await fleet.commit(filesOf('start'));
  const indexes = Array.from({ length: COUNT }, (_, index) => index);
  const from = performance.now();
  await mapLimited(indexes, 8, (index) => fleet.application(nameOf(index), { defaultNamespace: fleet.ns('mono') }));
  await mapLimited(indexes, 8, (index) => fleet.ready(nameOf(index), 'dev', undefined, 300_000));
  const made = performance.now() - from;
  progress(`${COUNT} applications delivered in ${Math.round(made)} ms`);

  using watch = await ConfigMapWatch.open(member.handle, fleet.ns('mono'));
  const all: number[] = [];
  const allCpu: number[] = [];
  const one: number[] = [];
  const oneCpu: number[] = [];
  const measure = async (files: Record<string, string>, text: string, count: number): Promise<[ms: number, cpuMs: number]> => {
    const seen = watch.all(count, ({ data }) => data['value'] === text);
    await fleet.git.commit('fleet', files, text);
    const cpu = usageOf(fleet.plane.pid).cpuMs;
    const lookedAt = performance.now();
    await fleet.look();
    const took = (await seen).last - lookedAt;
    const commit = (await fleet.git.git('fleet', ['rev-parse', 'main'])).trim();
    await waitFor(
      'every application to be at the commit',
      async () => {
        await mapLimited(indexes, 8, (index) => fleet.ready(nameOf(index), 'dev', commit, 300_000));
        return true;
      },
      { timeoutMs: 300_000 },
    );
    return [took, usageOf(fleet.plane.pid).cpuMs - cpu];
  };
  for (let round = 1; round <= ROUNDS; round++) {
    const [allMs, allSpent] = await measure(filesOf(`all ${round}`), `all ${round}`, COUNT);
    all.push(allMs);
    allCpu.push(allSpent);
    const [oneMs, oneSpent] = await measure(fileOf(round, `one ${round}`), `one ${round}`, 1);
    one.push(oneMs);
    oneCpu.push(oneSpent);
    progress(
      `round ${round}: all ${Math.round(allMs)} ms (CPU ${allSpent} ms), one ${Math.round(oneMs)} ms (CPU ${oneSpent} ms)`,
    );
  }
  return {
    rows: [
      { what: `commit that changes all ${COUNT} applications to the last object changed`, target: '-', values: all, unit: 'ms' },
      { what: 'CPU of the plane until all are ready at that commit', target: '-', values: allCpu, unit: 'ms' },
      { what: `commit that changes one of ${COUNT} to that object changed`, target: '-', values: one, unit: 'ms' },
      { what: 'CPU of the plane until all are ready at that commit', target: '-', values: oneCpu, unit: 'ms' },
    ],
    notes: [
      `one object each; creation of all ${COUNT}: ${Math.round(made)} ms`,
      'CPU includes the questions of the measuring program',
    ],
  };
}
