import { existsSync } from 'node:fs';
import { installDebian } from './debian.ts';

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
  const missing = installDebian('Chromium', 'for tests in a browser (about a minute)', ['chromium', 'fonts-dejavu-core'], say);
  if (missing === undefined) return known.find((path) => existsSync(path));
  say(missing);
  return undefined;
}
