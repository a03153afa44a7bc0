import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { systemClock } from './clock.ts';
import { FairleadError, codeOf } from './errors.ts';
import { exec } from './exec.ts';
import { randomToken } from './ids.ts';
import { silentLog, type Log } from './log.ts';

export interface GoBuildOptions {
  /** Directory below the cache: `render`, `testbed`. */
  readonly name: string;
  /** The Go module: everything in it but tests and testdata goes into the hash. */
  readonly sourceDir: string;
  /** Arguments after `go build`, without `-o`: `['-trimpath', './cmd/x']`. */
  readonly args: readonly string[];
  /** On top of the caller's environment: `{GOOS: 'wasip1'}`. */
  readonly env?: Readonly<Record<string, string>>;
  /** File name of the result. */
  readonly outName: string;
  /** One line of progress every two seconds or so. */
  readonly onProgress?: (line: string) => void;
  readonly log?: Log;
  readonly signal?: AbortSignal;
  /** Default `$FAIRLEAD_CACHE`, else `~/.cache/fairlead`. */
  readonly cacheDir?: string;
  readonly timeoutMs?: number;
}

const minimumGo = { major: 1, minor: 26 };
const keptBuilds = 4;

/** `$FAIRLEAD_CACHE`, else `~/.cache/fairlead`: everything below may be deleted at any time. */
export function cacheRoot(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const set = env['FAIRLEAD_CACHE'];
  return set === undefined || set === '' ? join(env['HOME'] ?? homedir(), '.cache', 'fairlead') : set;
}

/**
 * Builds a Go program once per content: `<cache>/<name>/<hash>/<outName>`, where the hash is over sources, Go version,
 * arguments and `env`. An exclusive lock lets one process build while others wait; the result appears by one rename, so
 * it is whole or absent. The last few builds are kept.
 *
 * Errors: `FL_BUILD_GO_MISSING`, `FL_BUILD_GO_OLD`, `FL_BUILD_FAILED`, `FL_BUILD_TIMEOUT`.
 */
export async function goBuild(options: GoBuildOptions): Promise<string> {
  const progress = options.onProgress ?? ((): void => undefined);
  const version = await goVersion(options.name);
  const hash = await hashSources(options, version);
  const root = join(options.cacheDir ?? cacheRoot(), options.name);
  const target = join(root, hash);
  const result = join(target, options.outName);
  if (await isThere(result)) {
    await touch(target);
    return result;
  }
  await mkdir(root, { recursive: true, mode: 0o700 });
  const release = await acquire(join(root, `${hash}.lock`), options, progress);
  try {
    if (await isThere(result)) return result;
    const scratch = join(root, `.tmp-${process.pid}-${randomToken(6)}`);
    await mkdir(scratch, { mode: 0o700 });
    try {
      const startedAt = systemClock.monotonic();
      await compile(options, join(scratch, options.outName), progress);
      await rename(scratch, target);
      const ms = Math.round(systemClock.monotonic() - startedAt);
      (options.log ?? silentLog).info({ name: options.name, path: result, ms }, 'go program built');
      progress(`built ${options.outName} in ${Math.round(ms / 1000)} s`);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
    await prune(root, hash);
    return result;
  } finally {
    await release();
  }
}

async function goVersion(name: string): Promise<string> {
  const how = 'install Go 1.26 or later from https://go.dev/dl and put its bin directory on PATH';
  const asked = await exec('go', ['env', 'GOVERSION'], {
    env: callerEnv({}),
    timeoutMs: 30_000,
    maxOutputBytes: 4096,
  }).catch((error: unknown) => {
    throw new FairleadError('FL_BUILD_GO_MISSING', `cannot build ${name}: the go command is not on PATH; ${how}`, {
      kind: 'unavailable',
      retryable: false,
      cause: error,
    });
  });
  const text = asked.stdout.toString('utf8').trim();
  const match = /^go(\d+)\.(\d+)/.exec(text) ?? /devel go(\d+)\.(\d+)/.exec(text);
  const major = Number(match?.[1] ?? 0);
  const minor = Number(match?.[2] ?? 0);
  if (major < minimumGo.major || (major === minimumGo.major && minor < minimumGo.minor)) {
    const found = text === '' ? 'of unknown version' : text;
    throw new FairleadError('FL_BUILD_GO_OLD', `cannot build ${name}: the go command on PATH is ${found}; ${how}`, {
      kind: 'unavailable',
      retryable: false,
    });
  }
  return text;
}

function callerEnv(extra: Readonly<Record<string, string>>): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(process.env)) if (value !== undefined) env[key] = value;
  return { ...env, ...extra };
}

async function hashSources(options: GoBuildOptions, version: string): Promise<string> {
  const hash = createHash('sha256');
  const add = (part: string | Uint8Array): void => {
    hash.update(`${Buffer.byteLength(part)}:`);
    hash.update(part);
  };
  add(version);
  add(`${process.platform}/${process.arch}`);
  for (const arg of options.args) add(arg);
  const env = Object.entries(options.env ?? {}).map(([key, value]) => `${key}=${value}`);
  for (const pair of env.sort()) add(pair);
  const entries = await readdir(options.sourceDir, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(options.sourceDir.length + 1))
    .filter((path) => !path.endsWith('_test.go') && !/(^|\/)(testdata\/|\.)/.test(path))
    .sort();
  for (const file of files) {
    add(file);
    add(await readFile(join(options.sourceDir, file)));
  }
  return hash.digest('hex').slice(0, 32);
}

async function compile(options: GoBuildOptions, output: string, progress: (line: string) => void): Promise<void> {
  const timeoutMs = options.timeoutMs ?? 30 * 60_000;
  progress(`building ${options.outName} (first time only)`);
  await new Promise<void>((resolve, reject) => {
    const child = spawn('go', ['build', '-v', '-o', output, ...options.args], {
      cwd: options.sourceDir,
      env: callerEnv(options.env ?? {}),
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    let packages = 0;
    let tail = '';
    let failure: FairleadError | undefined;
    const startedAt = systemClock.monotonic();
    const kill = (error: FairleadError): void => {
      failure ??= error;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    };
    const ticker = setInterval(() => {
      const seconds = Math.round((systemClock.monotonic() - startedAt) / 1000);
      progress(`building ${options.outName}: ${packages} packages compiled, ${seconds} s`);
    }, 2000);
    const timer = setTimeout(() => {
      kill(
        new FairleadError('FL_BUILD_TIMEOUT', `building ${options.outName} did not end within ${timeoutMs / 60_000} minutes`, {
          kind: 'unavailable',
        }),
      );
    }, timeoutMs);
    const onAbort = (): void =>
      kill(new FairleadError('FL_BUILD_CANCELLED', `building ${options.outName} was cancelled`, { kind: 'cancelled' }));
    options.signal?.addEventListener('abort', onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
    child.stderr.on('data', (chunk: Buffer) => {
      const text = chunk.toString('utf8');
      packages += text.split('\n').length - 1;
      tail = (tail + text).slice(-8192);
    });
    const done = (): void => {
      clearInterval(ticker);
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
    };
    child.on('error', (cause) => {
      done();
      reject(
        new FairleadError('FL_BUILD_FAILED', `cannot start the go command: ${cause.message}`, { kind: 'unavailable', cause }),
      );
    });
    child.on('close', (code) => {
      done();
      if (failure !== undefined) reject(failure);
      else if (code === 0) resolve();
      else {
        // Compiler errors carry a position; the rest of the tail is package names.
        const said = tail.split('\n').filter((line) => /[:\s]/.test(line.trim()));
        const shown = said.slice(-20).join('\n');
        reject(
          new FairleadError('FL_BUILD_FAILED', `go build of ${options.name} in ${options.sourceDir} failed:\n${shown}`, {
            kind: 'internal',
          }),
        );
      }
    });
  });
}

/** Takes the lock file, waiting for another builder; a lock whose owner on this host is gone is taken over. */
async function acquire(path: string, options: GoBuildOptions, progress: (line: string) => void): Promise<() => Promise<void>> {
  const deadline = systemClock.monotonic() + (options.timeoutMs ?? 30 * 60_000);
  let said = 0;
  for (;;) {
    try {
      await writeFile(path, JSON.stringify({ pid: process.pid, host: hostname() }), { flag: 'wx' });
      return () => unlink(path).catch(() => undefined);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    if (await isAbandoned(path)) {
      await unlink(path).catch(() => undefined);
      continue;
    }
    if (systemClock.monotonic() > deadline) {
      throw new FairleadError('FL_BUILD_TIMEOUT', `another process holds ${path}; delete it if none is building`, {
        kind: 'unavailable',
      });
    }
    if (said++ % 20 === 0) progress(`waiting for another process that builds ${options.outName}`);
    await systemClock.sleep(250, options.signal);
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  let owner: unknown;
  try {
    owner = JSON.parse(await readFile(path, 'utf8'));
  } catch {
    // Gone, or being written this moment; a half-written lock older than a minute has no owner.
    const age = await stat(path)
      .then((s) => Date.now() - s.mtimeMs)
      .catch(() => 0);
    return age > 60_000;
  }
  if (typeof owner !== 'object' || owner === null || !('pid' in owner) || !('host' in owner)) return true;
  if (owner.host !== hostname() || typeof owner.pid !== 'number') return false;
  try {
    process.kill(owner.pid, 0);
    return false;
  } catch (error) {
    return codeOf(error) === 'ESRCH';
  }
}

function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    (s) => s.isFile(),
    () => false,
  );
}

async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => undefined);
}

async function prune(root: string, keep: string): Promise<void> {
  const builds = [];
  for (const entry of await readdir(root, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name.startsWith('.') || entry.name === keep) continue;
    const path = join(root, entry.name);
    const usedAt = await stat(path)
      .then((s) => s.mtimeMs)
      .catch(() => 0);
    builds.push({ path, usedAt });
  }
  builds.sort((a, b) => b.usedAt - a.usedAt);
  for (const build of builds.slice(keptBuilds - 1)) await rm(build.path, { recursive: true, force: true });
}
