import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GitRepository, type Kind, type PlaneObject } from '#api';
import type { ListQuery } from '#plane/store';
import { deliveredCommits, keptReleases } from './delivered-commits.ts';

/** Rows as pages of a hundred. */
function reader(rows: Readonly<Record<string, readonly unknown[]>>): Parameters<typeof deliveredCommits>[1] {
  return {
    list: <S, T>(kind: Kind<S, T>, query: ListQuery = {}) => {
      const from = Number(query.after?.name ?? '0');
      const all = rows[kind.kind] ?? [];
      // What is listed here is what was put there.
      const items = all.slice(from, from + 100) as PlaneObject<S, T>[];
      return Promise.resolve({
        items,
        revision: 1,
        ...(from + 100 < all.length ? { next: { namespace: '', name: String(from + 100) } } : {}),
      });
    },
  };
}

const release = (application: string, number: number, source = 'fleet'): unknown => ({
  metadata: { name: `${application}.${number}` },
  spec: { application, number, source: { kind: 'GitRepository', name: source, commit: `${application}-${number}` } },
});

/** Rendered from a chart, with files of a repository beside it. The chart's repository has the same name. */
const ofChart = (number: number, commit: string): unknown => ({
  metadata: { name: `chart.${number}` },
  spec: {
    application: 'chart',
    number,
    source: {
      kind: 'ChartRepository',
      name: 'fleet',
      commit: 'a-digest',
      files: [{ kind: 'GitRepository', name: 'fleet', commit }],
    },
  },
});

test('the newest commits of each application stay, and those that a cluster should hold; the rest goes', async () => {
  const repository: GitRepository = {
    apiVersion: GitRepository.apiVersion,
    kind: 'GitRepository',
    metadata: { name: 'fleet', namespace: 'default', uid: 'u', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { url: 'https://git.example.com/fleet' },
  };
  const numbers = Array.from({ length: 230 }, (_, i) => i + 1);
  const kept = await deliveredCommits(
    repository,
    reader({
      Delivery: [{ spec: { wanted: { release: 'web.7' } } }, { spec: {} }],
      Release: [...numbers.map((n) => release('web', n)), release('api', 1), release('else', 1, 'other'), ofChart(1, 'values-1')],
    }),
  );
  assert.equal(kept.size, keptReleases + 3);
  for (const commit of ['web-230', `web-${230 - keptReleases + 1}`, 'web-7', 'api-1', 'values-1'])
    assert.ok(kept.has(commit), commit);
  for (const commit of [`web-${230 - keptReleases}`, 'web-8', 'else-1', 'a-digest']) assert.ok(!kept.has(commit), commit);
});
