import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..', '..');

/**
 * Builds the pages into `dist/console` unless they are there for exactly these sources; answers that directory. `report`
 * hears one line when there is something to do.
 */
export async function buildConsole(report: (line: string) => void = () => undefined): Promise<string> {
  const target = join(root, 'dist', 'console');
  const hash = createHash('sha256');
  for (const file of [...globSync('src/{console,api}/**/*.{ts,tsx,css,html,svg}', { cwd: root }).sort(), 'package-lock.json']) {
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(root, file)))
      .update('\0');
  }
  const digest = hash.digest('hex');
  const stamp = join(target, '.sources');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return target;
  report('building the console');
  const { build } = await import('vite');
  // Built beside and renamed, so that a plane that is running never serves half a console.
  const fresh = join(root, 'dist', `console.${process.pid}`);
  await build({ configFile: join(import.meta.dirname, 'vite.config.ts'), build: { outDir: fresh, emptyOutDir: true } });
  writeFileSync(join(fresh, '.sources'), digest);
  mkdirSync(join(root, 'dist'), { recursive: true });
  rmSync(target, { recursive: true, force: true });
  renameSync(fresh, target);
  return target;
}
