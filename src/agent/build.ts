import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheRoot, randomToken } from '#base';

export interface AgentBuildOptions {
  /** Default `$FAIRLEAD_CACHE`, else `~/.cache/fairlead`. */
  readonly cacheDir?: string;
  /** Also put the result here: `dist/agent.mjs`. */
  readonly outFile?: string;
}

/**
 * Flags of Node with which the bundle is to be run: a small young generation and little generated code, since it mostly waits.
 * Measured at 1,000 objects: 120 MB without, 86 MB with them.
 */
export const agentNodeFlags: readonly string[] = ['--max-semi-space-size=1', '--optimize-for-size'];

/**
 * Environment in which the bundle is to be run: glibc keeps an arena for every thread, and gives back more from one. Measured in
 * turns at 1,000 objects, after bulk changes of all of them: 10 MiB less, and no slower. Other allocators ignore it.
 */
export const agentNodeEnvironment: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: '1' };

const src = resolve(dirname(fileURLToPath(import.meta.url)), '..');
/** Rooms the agent is made of. */
const rooms = ['base', 'api', 'kube', 'agent'];
const KEPT = 4;

/**
 * The agent as one file for Node alone, built once per content: `<cache>/agent/<hash>/agent.mjs`. Returns its path.
 * rolldown is a development dependency; the result has none.
 */
export async function buildAgent(options: AgentBuildOptions = {}): Promise<string> {
  const root = join(options.cacheDir ?? cacheRoot(), 'agent');
  const directory = join(root, await hashSources());
  const file = join(directory, 'agent.mjs');
  if (!(await isThere(file))) {
    const scratch = join(root, `.tmp-${process.pid}-${randomToken(6)}`);
    await mkdir(scratch, { recursive: true });
    try {
      await bundle(join(scratch, 'agent.mjs'));
      // Another process may have built the same meanwhile: then its result stays.
      await rename(scratch, directory).catch(async (error: unknown) => {
        if (!(await isThere(file))) throw error;
      });
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
    await dropOld(root, directory);
  }
  if (options.outFile !== undefined) {
    await mkdir(dirname(options.outFile), { recursive: true });
    const { copyFile } = await import('node:fs/promises');
    await copyFile(file, options.outFile);
  }
  return file;
}

async function bundle(outFile: string): Promise<void> {
  const { build } = await import('rolldown');
  await build({
    input: join(src, 'agent', 'main.ts'),
    platform: 'node',
    logLevel: 'silent',
    // Building is for those who build: it would pull the bundler into the bundle.
    external: [/^node:/, 'rolldown'],
    treeshake: true,
    output: { file: outFile, format: 'esm', minify: false, codeSplitting: false },
  });
}

async function hashSources(): Promise<string> {
  const hash = createHash('sha256');
  for (const room of rooms) {
    const names = (await readdir(join(src, room), { recursive: true })).filter((name) => name.endsWith('.ts') && !isTest(name));
    for (const name of names.sort()) hash.update(`${room}/${name}\n`).update(await readFile(join(src, room, name)));
  }
  hash.update(await readFile(join(src, '..', 'package-lock.json')));
  return hash.digest('hex').slice(0, 16);
}

function isTest(name: string): boolean {
  return name.endsWith('.test.ts') || name.includes('testing/');
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

async function dropOld(root: string, current: string): Promise<void> {
  const builds = [];
  for (const name of await readdir(root)) {
    const path = join(root, name);
    if (name.startsWith('.') || path === current) continue;
    builds.push({ path, at: (await stat(path)).mtimeMs });
  }
  builds.sort((a, b) => b.at - a.at);
  for (const { path } of builds.slice(KEPT - 1)) await rm(path, { recursive: true, force: true });
}

if (import.meta.main) process.stdout.write(`${await buildAgent({ outFile: join(src, '..', 'dist', 'agent.mjs') })}\n`);
