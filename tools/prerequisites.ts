import { exec, FairleadError, messageOf } from '#base';
import { CHROMIUM_VARIABLE, ensureChromium } from './chromium.ts';
import { installDebian } from './debian.ts';
import { ensurePostgres } from './postgres.ts';
import { findSshd, SHARED_TESTBED_VARIABLE, SSHD_VARIABLE, startShared, TESTBED_MISSING_VARIABLE } from '#testbed';

/** What tests against real parts need from the machine: says what it installs, names what it cannot have. */
export interface PreparedParts {
  /** Environment for the test processes. */
  readonly env: Record<string, string>;
  /** Parts this machine cannot have; the tests that need one skip by name. */
  readonly missing: readonly string[];
  stop(): Promise<void>;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/**
 * Builds and starts the testbed that the test files share (three clusters, simulated nodes), unless FAIRLEAD_TESTBED
 * names a running one. A machine without Go has none: its tests skip. Everything else that goes wrong is an error.
 */
export async function preparePrerequisites(): Promise<PreparedParts> {
  const missing: string[] = [];
  const git = await checkGit();
  if (git !== undefined) missing.push(git);
  const chromium = ensureChromium(say);
  if (chromium === undefined) missing.push('Chromium');
  if (!ensurePostgres(say)) missing.push('PostgreSQL');
  const sshd = ensureSshd();
  if (sshd === undefined) missing.push('sshd');
  const parts = { [SSHD_VARIABLE]: sshd ?? '', ...(chromium === undefined ? {} : { [CHROMIUM_VARIABLE]: chromium }) };
  const running = process.env[SHARED_TESTBED_VARIABLE];
  if (running !== undefined && running !== '') {
    say(`testbed: using the running one in ${running}`);
    return { env: { ...parts, [SHARED_TESTBED_VARIABLE]: running }, missing, stop: () => Promise.resolve() };
  }
  try {
    const started = performance.now();
    const shared = await startShared({ clusters: ['a', 'b', 'c'], nodes: 'simulated', onProgress: say });
    say(`testbed: three control planes are ready after ${((performance.now() - started) / 1000).toFixed(1)} s`);
    return { env: { ...parts, ...shared.env }, missing, stop: () => shared.stop() };
  } catch (error) {
    const isGoMissing = error instanceof FairleadError && error.code.startsWith('FL_BUILD_GO_');
    if (!isGoMissing) throw error;
    say(`missing: ${error.message}`);
    return {
      env: { ...parts, [TESTBED_MISSING_VARIABLE]: error.message },
      missing: [...missing, error.message],
      stop: () => Promise.resolve(),
    };
  }
}

/** Path of an sshd, for tests of Git over ssh. */
function ensureSshd(): string | undefined {
  const found = findSshd();
  if (found !== undefined) return found;
  const lacking = installDebian('sshd', 'for tests of Git over ssh', ['openssh-server', 'openssh-client'], say);
  if (lacking !== undefined) say(lacking);
  return findSshd();
}

/** Why there is no usable git, or undefined. */
async function checkGit(): Promise<string | undefined> {
  try {
    const env = { PATH: process.env['PATH'] ?? '' };
    const result = await exec('git', ['--version'], { env, timeoutMs: 10_000, maxOutputBytes: 4_096 });
    if (result.exitCode === 0) return undefined;
    say(`missing: git --version ended with ${result.exitCode}; install git`);
    return 'git';
  } catch (error) {
    say(`missing: ${messageOf(error)}`);
    return 'git';
  }
}
