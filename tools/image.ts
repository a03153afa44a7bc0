/**
 * `node tools/run.mjs image agent|plane DIR`: what goes into the container images, as charts/<chart>/Containerfile copies it:
 * the pinned Node, and the agent's bundle or the plane with its packages, its renderer and its console, all built beforehand.
 * Nothing is built, fetched or written at the start of a container.
 */
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildAgent } from '#agent';
import { FairleadError } from '#base';
import { buildConsole } from '#console';
import { buildRenderer } from '#render';

const root = join(import.meta.dirname, '..');

/** Fills `dir`, which is emptied first. */
export async function stageImage(
  part: 'agent' | 'plane',
  dir: string,
  report: (line: string) => void = () => undefined,
): Promise<void> {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  cpSync(process.execPath, join(dir, 'node'));
  if (part === 'agent') {
    cpSync(await buildAgent(), join(dir, 'agent.mjs'));
    return;
  }
  const assets = join(dir, 'assets');
  cpSync(await buildRenderer({ onProgress: report }), join(assets, 'render.wasm'));
  cpSync(await buildConsole(report), join(assets, 'console'), { recursive: true });
  for (const file of globSync('src/**/*.{ts,json}', { cwd: root })) {
    // What only tests and builds use stays out.
    if (/(\.test|\.testing|\/bench)\.ts$|\/(testing|testdata)\/|^src\/testbed\//.test(file)) continue;
    cpSync(join(root, file), join(dir, file));
  }
  cpSync(join(root, 'package.json'), join(dir, 'package.json'));
  for (const path of productionPackages()) cpSync(join(root, path), join(dir, path), { recursive: true });
}

/** Directories of the packages that run, by the lockfile; without the optional ones, which are Node itself. */
function productionPackages(): string[] {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }>;
  };
  const paths = Object.entries(lock.packages)
    .filter(([path, one]) => path !== '' && one.dev !== true && one.optional !== true && one.devOptional !== true)
    .map(([path]) => path);
  const missing = paths.find((path) => !existsSync(join(root, path)));
  if (missing === undefined) return paths;
  throw new FairleadError('FL_IMAGE_PACKAGE', `${join(root, missing)} is missing; run this by node tools/run.mjs image`, {
    kind: 'invalid',
  });
}

if (import.meta.main) {
  const [part, dir] = process.argv.slice(2);
  if ((part !== 'agent' && part !== 'plane') || dir === undefined) {
    process.stderr.write('usage: node tools/run.mjs image agent|plane DIR\n');
    process.exit(2);
  }
  await stageImage(part, resolve(dir), (line) => void process.stderr.write(`${line}\n`));
  process.stdout.write(`${resolve(dir)}\n`);
}
