import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/**
 * Installs packages with apt-get, as root on Debian, and says so. The answer is undefined, or one line about what is missing
 * and how to get it. Services that come with a package are not started.
 */
export function installDebian(
  what: string,
  purpose: string,
  packages: readonly string[],
  say: (line: string) => void,
): string | undefined {
  const consequence = `missing: ${what}, so tests that need it are skipped`;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    return `${consequence}; install it with your package manager (Debian: apt-get install ${packages[0] ?? ''})`;
  }
  say(`installing ${what} with apt-get, ${purpose}`);
  // Run level 1 is one in which no package's script starts a service.
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', ...packages],
  ]) {
    const result = spawnSync('apt-get', args, { env, encoding: 'utf8' });
    if (result.status !== 0) return `${consequence}; apt-get ${args[0]} said: ${result.stderr.trim().split('\n').at(-1) ?? ''}`;
  }
  return undefined;
}
