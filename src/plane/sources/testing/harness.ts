import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Git } from '../git.ts';
import { defaultSourceLimits, Mirror, type FetchedCommit, type SourceLimits } from '../mirror.ts';
import { SnapshotReader } from '../snapshot-reader.ts';
import { startGitServer, type GitServer, type GitServerOptions } from '#testbed';

export interface GitHarness extends AsyncDisposable {
  readonly dir: string;
  readonly server: GitServer;
  readonly git: Git;
  mirror(name?: string, limits?: Partial<SourceLimits>): Mirror;
  fetch(mirror: Mirror, repo: string, reference?: Record<string, string>): Promise<FetchedCommit>;
  reader(mirror: Mirror, commit: string, limits?: Partial<SourceLimits>): SnapshotReader;
}

/** A Git server and room for mirrors in a temporary directory. */
export async function gitHarness(options: Partial<GitServerOptions> = {}): Promise<GitHarness> {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-git-'));
  const server = await startGitServer({ dir: join(dir, 'repos'), ...options });
  const mirrors: Mirror[] = [];
  const git = new Git({ home: dir, protocols: 'https:http:file' });
  return {
    dir,
    server,
    git,
    mirror: (name = 'm', limits = {}) => {
      const mirror = new Mirror(join(dir, `${name}.git`), git, { ...defaultSourceLimits, ...limits });
      mirrors.push(mirror);
      return mirror;
    },
    fetch: (mirror, repo, reference) =>
      mirror.fetch({ url: new URL(server.repoUrl(repo)), reference: reference ?? { branch: 'main' }, timeoutMs: 20_000 }),
    reader: (mirror, commit, limits = {}) =>
      new SnapshotReader(mirror.objects, commit, 'fleet', { ...defaultSourceLimits, ...limits }),
    async [Symbol.asyncDispose]() {
      for (const mirror of mirrors) mirror.objects.close();
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
