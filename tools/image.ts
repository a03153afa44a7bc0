/**
 * `node tools/run.mjs image agent|plane DIR`: what goes into the container images, as charts/<chart>/Containerfile copies it:
 * the pinned Node, and the agent's bundle or the plane with its packages, its renderer and its console, all built beforehand.
 * Nothing is built, fetched or written at the start of a container.
 */
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildAgent } from '#agent';
import { exec, FairleadError, planeNodeFlags } from '#base';
import { buildConsole } from '#console';
import { buildRenderer, smallModuleOf } from '#render';

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
  const renderer = await buildRenderer({ onProgress: report });
  cpSync(renderer, join(assets, 'render.wasm'));
  cpSync(smallModuleOf(renderer), join(assets, 'small.wasm'));
  cpSync(await buildConsole(report), join(assets, 'console'), { recursive: true });
  for (const file of globSync('src/**/*.{ts,json}', { cwd: root })) {
    // What only tests and builds use stays out.
    if (/(\.test|\.testing|\/bench)\.ts$|\/(testing|testdata)\/|^src\/testbed\//.test(file)) continue;
    cpSync(join(root, file), join(dir, file));
  }
  cpSync(join(root, 'package.json'), join(dir, 'package.json'));
  for (const path of productionPackages()) cpSync(join(root, path), join(dir, path), { recursive: true });
  await compileBeforehand(dir, assets);
}

/** Fills the cache that the Containerfile names in NODE_COMPILE_CACHE: containers have no place to write one. */
async function compileBeforehand(dir: string, assets: string): Promise<void> {
  const started = [
    'cli/main.ts',
    'cli/commands/plane.ts',
    'plane/store/sqlite/writer-worker.ts',
    'plane/sources/charts/index-worker.ts',
  ];
  // Compiled before they run; those that are threads throw for want of whom they work for.
  const script = `
    for (const url of ${JSON.stringify(started.map((path) => pathToFileURL(join(dir, 'src', path)).href))})
      await import(url).catch(() => undefined);
    process.exit(0);
  `;
  const args = ['--disable-warning=ExperimentalWarning', ...planeNodeFlags, '--input-type=module', '--eval', script];
  const env = { NODE_COMPILE_CACHE: join(assets, 'compiled'), NODE_COMPILE_CACHE_PORTABLE: '1' };
  const result = await exec(join(dir, 'node'), args, { cwd: dir, env, timeoutMs: 120_000, maxOutputBytes: 100_000 });
  if (result.exitCode === 0 && existsSync(join(assets, 'compiled'))) return;
  throw new FairleadError(
    'FL_IMAGE_COMPILE',
    `the sources in ${dir} cannot be compiled beforehand: ${result.stderr.slice(0, 2_000)}`,
    {
      kind: 'internal',
    },
  );
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
