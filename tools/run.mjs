#!/usr/bin/env node
// The front door: `node tools/run.mjs <command> [arguments]` with any Node 20 or newer. It installs the packages when the
// lockfile changed and runs the command with the pinned Node 24. Plain JavaScript without dependencies, because it is
// what runs before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const programs = {
  demo: ['src/testbed/demo/main.ts'],
  start: ['src/cli/main.ts', 'plane'],
  fairlead: ['src/cli/main.ts'],
  test: ['tools/test.ts'],
  check: ['tools/check.ts'],
  bench: ['bench/main.ts'],
  docs: ['tools/docs.ts'],
  image: ['tools/image.ts'],
};

const [command = '', ...rest] = process.argv.slice(2);
const program = programs[command];
if (program === undefined) stop(`unknown command "${command}"; one of: ${Object.keys(programs).join(', ')}`);
if (Number(process.versions.node.split('.')[0]) < 20) {
  stop(`Node ${process.versions.node} is too old to start Fairlead; install Node 20 or newer (nodejs.org)`);
}

installPackages();
const child = spawn(
  pinnedNode(),
  // The small young generation is planeNodeFlags of src/base/node-flags.ts; it does the other programs no harm.
  ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=4', join(root, program[0]), ...program.slice(1), ...rest],
  {
    stdio: 'inherit',
    cwd: command === 'fairlead' ? process.cwd() : root,
    // The sources run as they are written; this spares every process the stripping of types from hundreds of files.
    env: { NODE_COMPILE_CACHE: compileCache(), NODE_COMPILE_CACHE_PORTABLE: '1', ...process.env },
  },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
if (process.env.npm_lifecycle_event !== undefined) {
  // npm hands a signal to the shell between it and us, which dies of it without a word: that shell being gone is the word.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && child.kill('SIGTERM'), 250).unref();
}
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 143)));

/** Beside what src/base/go-build.ts builds. */
function compileCache() {
  return join(process.env.FAIRLEAD_CACHE || join(process.env.HOME ?? homedir(), '.cache', 'fairlead'), 'compiled');
}

/**
 * Installs when the lockfile is not the one that node_modules came from. Not `npm ci`: it refuses a lockfile from which npm
 * left out optional packages for other platforms (npm/cli#4828); `install --no-save` keeps to the lockfile and its hashes.
 */
function installPackages() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const stamp = join(root, 'node_modules', '.fairlead-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  process.stderr.write('fairlead: installing packages, about a minute the first time\n');
  const started = Date.now();
  const npm = spawnSync('npm', ['install', '--no-save', '--ignore-scripts', '--no-fund', '--no-audit', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (npm.error) stop(`npm is missing (${npm.error.message}); it comes with Node.js`);
  if (npm.status !== 0)
    stop('npm install failed; its words are above. Check the network and the npm registry, then run the same command again');
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, lock);
  process.stderr.write(`fairlead: packages installed in ${Math.round((Date.now() - started) / 1000)} s\n`);
}

/** Node 24 as pinned in package.json where npm has it for this machine, else this Node if it is new enough. */
function pinnedNode() {
  const pinned = join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node');
  if (process.platform === 'linux' && existsSync(pinned)) return pinned;
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath;
  return stop(
    `Fairlead runs on Node 24, and npm has none for ${process.platform}-${process.arch}; install Node 24 or newer and run this again`,
  );
}

function stop(message) {
  process.stderr.write(`fairlead: ${message}\n`);
  process.exit(2);
}
