import { commitsOf, Delivery, Release, type GitRepository } from '#api';
import type { Reader } from '#plane/engine';
import { pages } from './pages.ts';

/** Releases of one Application whose commits stay readable, beside those that a cluster should hold. */
export const keptReleases = 50;

/**
 * Commits of a repository that Releases were made from: of each Application the newest `keptReleases`, and every one that a
 * Delivery wants. They stay in the mirror whatever is pushed, so that what was delivered can be shown and compared after a
 * force-push; older ones go when the mirror is packed.
 */
export async function deliveredCommits(repository: GitRepository, read: Pick<Reader, 'list'>): Promise<ReadonlySet<string>> {
  const namespace = repository.metadata.namespace ?? '';
  const wanted = new Set<string>();
  for await (const { spec } of pages(read, Delivery, { namespace })) {
    if (spec.wanted !== undefined) wanted.add(spec.wanted.release);
  }
  const byApplication = new Map<string, { readonly number: number; readonly commits: readonly string[] }[]>();
  const kept = new Set<string>();
  for await (const release of pages(read, Release, { namespace })) {
    const { metadata, spec } = release;
    const commits = commitsOf(release)
      .filter(({ kind, name }) => kind === repository.kind && name === repository.metadata.name)
      .map(({ commit }) => commit);
    if (commits.length === 0) continue;
    if (wanted.has(metadata.name)) for (const commit of commits) kept.add(commit);
    const releases = byApplication.get(spec.application) ?? [];
    releases.push({ number: spec.number, commits });
    byApplication.set(spec.application, releases);
  }
  for (const releases of byApplication.values()) {
    releases.sort((a, b) => b.number - a.number);
    for (const { commits } of releases.slice(0, keptReleases)) for (const commit of commits) kept.add(commit);
  }
  return kept;
}
