import { spawn } from 'node:child_process';
import { access, mkdir, mkdtemp, readFile, readdir, rename, rm, stat, symlink, utimes } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { codeOf, exec, FairleadError, shortHash, systemClock } from '#base';
import { withFileLock } from './file-lock.ts';

export const KUBERNETES_VERSION = 'v1.36.3';
const GO_MINIMUM = { major: 1, minor: 26 };
const SOURCES = join(import.meta.dirname, 'go');
const BUILD_DEADLINE_MS = 45 * 60_000;
const PROGRESS_EVERY_MS = 5_000;
const KEEP_UNUSED_MS = 14 * 24 * 3_600_000;

export interface BuildOptions {
  /** Called with one line of plain text every few seconds while a build runs; never when the program is there already. */
  readonly onProgress?: (line: string) => void;
  readonly signal?: AbortSignal;
  /** Default: FAIRLEAD_CACHE, or ~/.cache/fairlead. */
  readonly cacheDir?: string;
}

/**
 * The path of the testbed's program, built if it is not in the cache for exactly these sources, flags and version of Go.
 * A build from nothing takes about seven minutes on two cores; callers in parallel wait for one build.
 * Errors: FL_TESTBED_GO (no Go, or too old), FL_TESTBED_BUILD.
 */
export async function buildTestbed(options: BuildOptions = {}): Promise<string> {
  const cache = join(options.cacheDir ?? process.env['FAIRLEAD_CACHE'] ?? join(homedir(), '.cache', 'fairlead'), 'testbed');
  const goVersion = await findGo();
  const dir = join(cache, shortHash(goVersion, buildFlags().join(' '), ...(await readSources())));
  const program = join(dir, 'fairlead-testbed');
  if (await exists(program)) {
    // Marks it as used, so that a later build does not clear it away.
    await utimes(dir, systemClock.now() / 1000, systemClock.now() / 1000);
    return program;
  }
  await mkdir(cache, { recursive: true });
  await withFileLock(
    join(cache, 'build.lock'),
    async () => {
      if (!(await exists(program))) await build(cache, dir, options);
    },
    {
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      timeoutMs: BUILD_DEADLINE_MS,
      onWait: (waitedMs) => options.onProgress?.(`testbed: waiting for another build (${Math.round(waitedMs / 1000)} s)`),
    },
  );
  return program;
}

function buildFlags(): string[] {
  const variables = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((module) => [
    `-X ${module}.gitVersion=${KUBERNETES_VERSION}`,
    `-X ${module}.gitMajor=1`,
    `-X ${module}.gitMinor=36`,
    `-X ${module}.gitTreeState=clean`,
    `-X ${module}.gitCommit=testbed`,
  ]);
  return ['-trimpath', '-buildvcs=false', '-ldflags', `-s -w ${variables.join(' ')}`];
}

async function readSources(): Promise<string[]> {
  const names = (await readdir(SOURCES)).filter((name) => /^go\.(mod|sum)$|\.go$/.test(name)).sort();
  return await Promise.all(names.map(async (name) => `${name}\n${await readFile(join(SOURCES, name), 'utf8')}`));
}

/** `go1.26.8 linux/amd64`, or an error that says how to get it. */
async function findGo(): Promise<string> {
  const advice = `install Go ${GO_MINIMUM.major}.${GO_MINIMUM.minor} or newer from https://go.dev/dl/ and put it on PATH`;
  let text: string;
  try {
    const result = await exec('go', ['version'], {
      env: { ...environment(), GOTOOLCHAIN: 'local' },
      timeoutMs: 30_000,
      maxOutputBytes: 65_536,
    });
    text = result.stdout.toString('utf8').trim();
  } catch (cause) {
    throw new FairleadError('FL_TESTBED_GO', `the testbed builds Kubernetes from Go modules, and go cannot be run; ${advice}`, {
      kind: 'unavailable',
      retryable: false,
      cause,
    });
  }
  const version = parseGoVersion(text);
  if (version === undefined || !isRecentEnough(version)) {
    throw new FairleadError(
      'FL_TESTBED_GO',
      `the testbed builds Kubernetes ${KUBERNETES_VERSION} from Go modules, and go is too old ("${text}"); ${advice}`,
      { kind: 'unavailable', retryable: false },
    );
  }
  return text;
}

export interface GoVersion {
  readonly major: number;
  readonly minor: number;
}

/** Reads the output of `go version`; undefined if it is not that. */
export function parseGoVersion(text: string): GoVersion | undefined {
  const match = /\bgo(\d+)\.(\d+)/.exec(text);
  return match === null ? undefined : { major: Number(match[1]), minor: Number(match[2]) };
}

export function isRecentEnough(version: GoVersion): boolean {
  return version.major > GO_MINIMUM.major || (version.major === GO_MINIMUM.major && version.minor >= GO_MINIMUM.minor);
}

async function build(cache: string, dir: string, options: BuildOptions): Promise<void> {
  await clearOldBuilds(cache);
  const scratch = await mkdtemp(join(cache, 'building-'));
  try {
    await runGoBuild(join(scratch, 'fairlead-testbed'), options);
    // kubectl is the same program by another name.
    await symlink('fairlead-testbed', join(scratch, 'kubectl'));
    await rm(dir, { recursive: true, force: true });
    await rename(scratch, dir);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** A program is 170 MB: those unused for two weeks go, and what a killed build left. The caller holds the lock. */
async function clearOldBuilds(cache: string): Promise<void> {
  const unusedSince = systemClock.now() - KEEP_UNUSED_MS;
  for (const entry of await readdir(cache, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const path = join(cache, entry.name);
    const isAbandoned = entry.name.startsWith('building-');
    if (isAbandoned || (await stat(path)).mtimeMs < unusedSince) await rm(path, { recursive: true, force: true });
  }
}

function runGoBuild(output: string, options: BuildOptions): Promise<void> {
  const started = systemClock.monotonic();
  const elapsed = (): string => `${Math.round((systemClock.monotonic() - started) / 1000)} s`;
  return new Promise((resolve, reject) => {
    const child = spawn('go', ['build', '-v', ...buildFlags(), '-o', output, '.'], {
      cwd: SOURCES,
      env: environment(),
      stdio: ['ignore', 'ignore', 'pipe'],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      timeout: BUILD_DEADLINE_MS,
    });
    let compiled = 0;
    let phase = 'looking for what is compiled already';
    const lastLines: string[] = [];
    // -v names each package that had to be compiled; everything else Go says is about modules, or an error.
    createInterface({ input: child.stderr }).on('line', (line) => {
      lastLines.push(line);
      if (lastLines.length > 20) lastLines.shift();
      if (line.startsWith('go: downloading')) phase = line.slice(4);
      else if (/^[\w.\-/~]+$/.test(line)) {
        compiled += 1;
        phase = line === 'fairlead.dev/testbed' ? 'linking' : `compiled ${compiled} packages, last ${line}`;
      }
    });
    const report = (): void =>
      options.onProgress?.(
        `testbed: building Kubernetes ${KUBERNETES_VERSION}, ${phase} (${elapsed()}; about 7 min on 2 cores if nothing is cached)`,
      );
    report();
    const timer = setInterval(report, PROGRESS_EVERY_MS);
    const failed = (why: string, cause?: unknown): void => {
      clearInterval(timer);
      reject(
        new FairleadError(
          'FL_TESTBED_BUILD',
          `the testbed's program cannot be built in ${SOURCES}: ${why}\n${lastLines.join('\n')}`,
          {
            kind: 'unavailable',
            retryable: false,
            cause,
          },
        ),
      );
    };
    child.on('error', (cause) => failed(cause.message, cause));
    child.on('close', (code, signal) => {
      if (code !== 0) {
        failed(`go build ended with ${code ?? signal}`);
        return;
      }
      clearInterval(timer);
      options.onProgress?.(`testbed: built in ${elapsed()}`);
      resolve();
    });
  });
}

function environment(): Record<string, string> {
  return Object.fromEntries(Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
