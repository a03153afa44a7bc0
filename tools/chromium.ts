import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Names the browser for test processes; absent where the machine cannot have one. */
export const CHROMIUM_VARIABLE = 'FAIRLEAD_CHROMIUM';

const known = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/**
 * The path of a Chromium. As root on Debian it is installed when missing, and said so; elsewhere the answer is undefined,
 * after one line about how to get it.
 */
export function ensureChromium(say: (line: string) => void): string | undefined {
  const found = process.env[CHROMIUM_VARIABLE] ?? known.find((path) => existsSync(path));
  if (found !== undefined) return found;
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    say(
      'missing: Chromium, so tests in a browser are skipped; install it with your package manager (Debian: apt-get install chromium)',
    );
    return undefined;
  }
  say('installing Chromium with apt-get, for tests in a browser (about a minute)');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const args of [
    ['update', '-qq'],
    ['install', '-y', '-qq', '--no-install-recommends', 'chromium', 'fonts-dejavu-core'],
  ]) {
    const result = spawnSync('apt-get', args, { env, encoding: 'utf8' });
    if (result.status !== 0) {
      say(
        `missing: Chromium, so tests in a browser are skipped; apt-get ${args[0]} said: ${result.stderr.trim().split('\n').at(-1) ?? ''}`,
      );
      return undefined;
    }
  }
  return known.find((path) => existsSync(path));
}
