import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, readdir, rename, rm, stat, symlink, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { systemClock } from './clock.ts';
import { FairleadError } from './errors.ts';
import { exec } from './exec.ts';
import { withFileLock } from './file-lock.ts';
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
  /** Further names of the result beside it, for programs that look at what they are called. */
  readonly alsoAs?: readonly string[];
  /** What a build from nothing takes, for the progress: `about 7 min on 2 cores`. */
  readonly takes?: string;
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
const defaultTimeoutMs = 45 * 60_000;
const scratchPrefix = 'building-';

/** `$FAIRLEAD_CACHE`, else `~/.cache/fairlead`: everything below may be deleted at any time. */
export function cacheRoot(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const set = env['FAIRLEAD_CACHE'];
  return set === undefined || set === '' ? join(env['HOME'] ?? homedir(), '.cache', 'fairlead') : set;
}

/**
 * Builds a Go program once per content: `<cache>/<name>/<hash>/<outName>`, where the hash is over sources, Go version,
 * arguments and `env`. A lock lets one process build while others wait; the result appears by one rename, so it is whole
 * or absent. The last few builds are kept.
 *
 * Errors: `FL_BUILD_GO_MISSING`, `FL_BUILD_GO_OLD`, `FL_BUILD_FAILED`, `FL_BUILD_TIMEOUT`, `FL_LOCK_HELD`.
 */
export async function goBuild(options: GoBuildOptions): Promise<string> {
  const { name, outName, signal, alsoAs = [] } = options;
  const progress = options.onProgress ?? ((): void => undefined);
  const version = await goVersion(name);
  const root = join(options.cacheDir ?? cacheRoot(), name);
  const target = join(root, await hashSources(options, version));
  const result = join(target, outName);
  if (await isThere(result)) {
    await touch(target);
    return result;
  }
  await mkdir(root, { recursive: true, mode: 0o700 });
  const build = async (): Promise<void> => {
    if (await isThere(result)) return;
    await prune(root);
    const scratch = await mkdtemp(join(root, scratchPrefix));
    try {
      const startedAt = systemClock.monotonic();
      await compile(options, join(scratch, outName), progress);
      for (const other of alsoAs) await symlink(outName, join(scratch, other));
      await rename(scratch, target);
      const ms = Math.round(systemClock.monotonic() - startedAt);
      (options.log ?? silentLog).info({ name, path: result, ms }, 'go program built');
      progress(`built ${outName} in ${Math.round(ms / 1000)} s`);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  };
  await withFileLock(join(root, 'build.lock'), build, {
    timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
    ...(signal === undefined ? {} : { signal }),
    onWait: (ms) => progress(`waiting for another process that builds ${outName} (${Math.round(ms / 1000)} s)`),
  });
  return result;
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
  // The Go on this machine, not one that it would fetch.
  const env: Record<string, string> = { GOTOOLCHAIN: 'local' };
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
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const takes = options.takes === undefined ? '' : `; ${options.takes} if nothing is cached`;
  progress(`building ${options.outName} (first time only${takes})`);
  await new Promise<void>((resolve, reject) => {
    const child = spawn('go', ['build', '-v', '-o', output, ...options.args], {
      cwd: options.sourceDir,
      env: callerEnv(options.env ?? {}),
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    let compiled = 0;
    let phase = 'looking for what is compiled already';
    const said: string[] = [];
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
      progress(`building ${options.outName}: ${phase} (${seconds} s${takes})`);
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
    // -v names each package that had to be compiled; everything else Go says is about modules, or an error.
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (line.startsWith('go: downloading')) phase = line.slice(4);
      else if (/^[\w.\-/~]+$/.test(line)) {
        compiled += 1;
        phase = `compiled ${compiled} packages, last ${line}`;
      } else {
        said.push(line);
        if (said.length > 20) said.shift();
      }
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
        const shown = said.join('\n');
        reject(
          new FairleadError('FL_BUILD_FAILED', `go build of ${options.name} in ${options.sourceDir} failed:\n${shown}`, {
            kind: 'internal',
          }),
        );
      }
    });
  });
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

/** Makes room for one more build, and removes what a killed one left. The caller holds the lock. */
async function prune(root: string): Promise<void> {
  const builds = [];
  for (const entry of await readdir(root, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const path = join(root, entry.name);
    const usedAt = entry.name.startsWith(scratchPrefix)
      ? Number.NEGATIVE_INFINITY
      : await stat(path).then(
          (s) => s.mtimeMs,
          () => Number.NEGATIVE_INFINITY,
        );
    builds.push({ path, usedAt });
  }
  builds.sort((a, b) => b.usedAt - a.usedAt);
  for (const [index, { path, usedAt }] of builds.entries()) {
    if (index >= keptBuilds - 1 || usedAt === Number.NEGATIVE_INFINITY) await rm(path, { recursive: true, force: true });
  }
}
