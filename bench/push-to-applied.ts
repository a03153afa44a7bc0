/**
 * From the end of a `git push` to the new value in three clusters, as a watch on each of them sees it. The push makes the
 * plane look, as a webhook does. Beside it: one bare apply to each of the three, which is what no tool can do without.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, must } from '../src/base/index.ts';
import { configMapYaml, Fleet } from '../src/testbed/e2e/fleet.ts';
import { uniqueNamespace } from '../src/testbed/index.ts';
import type { Measured } from './main.ts';
import { applyBare, ConfigMapWatch } from './watch.ts';

const PUSHES = 40;
const value = (seen: { readonly data: Readonly<Record<string, string>> }): string => seen.data['value'] ?? '';

export async function pushToApplied(progress: (line: string) => void): Promise<Measured> {
  await using fleet = await Fleet.start({ clusters: { dev: { on: 'a' }, eu: { on: 'b' }, us: { on: 'c' } } });
  const work = await mkdtemp(join(tmpdir(), 'fairlead-bench-git-'));
  try {
    await fleet.commit({
      'web/one.yaml': configMapYaml('one', { value: 'start' }),
      'web/two.yaml': configMapYaml('two', { a: '1' }),
    });
    await fleet.application('web');
    for (const name of fleet.members.keys()) await fleet.ready('web', name);
    const git = await checkout(fleet.git.repoUrl('fleet'), work);

    const members = [...fleet.members.values()];
    const watches = await Promise.all(members.map(({ handle }) => ConfigMapWatch.open(handle, fleet.ns('web'))));
    const namespaces = await Promise.all(members.map(({ handle }) => uniqueNamespace(handle, 'bench-bare')));
    const bare = await Promise.all(
      members.map(({ handle }, index) => ConfigMapWatch.open(handle, must(namespaces[index], 'one each').name)),
    );
    const pushed: number[] = [];
    const floor: number[] = [];
    try {
      for (let number = 0; number <= PUSHES; number++) {
        const text = `v${number}`;
        const floorSeen = Promise.all(bare.map((watch) => watch.next((seen) => value(seen) === text)));
        const floorFrom = performance.now();
        await Promise.all(
          bare.map((watch, index) => applyBare(watch.client, must(namespaces[index], 'one each').name, 'one', { value: text })),
        );
        const floorTook = Math.max(...(await floorSeen).map(({ at }) => at)) - floorFrom;

        await writeFile(join(work, 'web', 'one.yaml'), configMapYaml('one', { value: text }));
        await git('commit', '--quiet', '--all', '--message', `Set ${text}`);
        const seen = Promise.all(watches.map((watch) => watch.next((one) => value(one) === text)));
        await git('push', '--quiet', 'origin', 'main');
        const from = performance.now();
        const took = Math.max(...(await seen).map(({ at }) => at)) - from;
        // The first pays for connections that later ones reuse.
        if (number === 0) continue;
        floor.push(floorTook);
        pushed.push(took);
        if (number % 10 === 0) progress(`${number} of ${PUSHES} pushes`);
      }
    } finally {
      for (const watch of [...watches, ...bare]) watch[Symbol.dispose]();
      for (const namespace of namespaces) await namespace[Symbol.asyncDispose]();
    }
    return {
      rows: [
        {
          what: 'git push returned to value seen in all of 3 clusters',
          target: 'p50 ≤ 1000, p99 ≤ 3000',
          values: pushed,
          unit: 'ms',
          floor: { what: 'ms: bare apply to 3', values: floor },
        },
      ],
      notes: [`${PUSHES} pushes one after another, after one to warm up; plane, 3 agents, 3 API servers, Git on the same cores`],
    };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function checkout(url: string, dir: string): Promise<(...args: readonly string[]) => Promise<void>> {
  const git = async (...args: readonly string[]): Promise<void> => {
    const result = await exec('git', args, {
      cwd: dir,
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: dir,
        GIT_CONFIG_NOSYSTEM: '1',
        GIT_AUTHOR_NAME: 'Bench',
        GIT_AUTHOR_EMAIL: 'bench@example.com',
        GIT_COMMITTER_NAME: 'Bench',
        GIT_COMMITTER_EMAIL: 'bench@example.com',
      },
      timeoutMs: 60_000,
      maxOutputBytes: 1024 * 1024,
    });
    if (result.exitCode !== 0) throw new Error(`git ${args.join(' ')}: ${result.stderr}`);
  };
  await git('clone', '--quiet', url, '.');
  return git;
}
