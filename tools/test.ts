/**
 * `npm test [-- filter…]`: checks, pure tests in one process, then tests against real parts, two or three files at a time.
 * Its last line is `N passed, N failed` (`, N skipped` where something was not to be had on this machine).
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { preparePrerequisites } from './prerequisites.ts';
import { runChecks } from './check.ts';

const filters = process.argv.slice(2);
const started = performance.now();
const scratch = mkdtempSync(join(tmpdir(), 'fairlead-test-'));
const tally = join(scratch, 'tally.jsonl');
writeFileSync(tally, '');
let crashed = 0;

function section(title: string): void {
  process.stdout.write(`\n== ${title} (${elapsed()})\n`);
}

function elapsed(): string {
  return `${Math.round((performance.now() - started) / 1000)} s`;
}

function runNodeTests(files: readonly string[], args: readonly string[], env: Record<string, string>): void {
  const chosen = filters.length === 0 ? files : files.filter((file) => filters.some((filter) => file.includes(filter)));
  if (chosen.length === 0) return;
  const before = countFailed();
  const result = spawnSync(
    process.execPath,
    [
      '--test',
      '--disable-warning=ExperimentalWarning',
      '--test-reporter=./tools/test-reporter.ts',
      '--test-reporter-destination=stdout',
      ...args,
      ...chosen,
    ],
    { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, FAIRLEAD_TEST_TALLY: tally, ...env } },
  );
  // A run that ended badly without a failed test to show for it must not look green.
  if (result.status !== 0 && countFailed() === before) {
    crashed += 1;
    process.stdout.write(`FAIL the test process ended with ${result.status ?? result.signal} and named no failed test\n`);
  }
}

interface Tally {
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly file: string;
  readonly name: string;
}

function readTally(): Tally[] {
  return readFileSync(tally, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Tally);
}

function countFailed(): number {
  return readTally().filter((entry) => entry.outcome === 'failed').length;
}

/**
 * Files that failed beside others are run once more, alone: on two busy cores a deadline can pass that nothing broken
 * explains. What fails again has failed; what passes then is named, so that nobody takes it for steady.
 */
function runAgainAlone(args: readonly string[], env: Record<string, string>): readonly string[] {
  const first = readTally();
  const files = [...new Set(first.filter((entry) => entry.outcome === 'failed').map((entry) => entry.file))];
  if (files.length === 0) return [];
  section(`${files.length} files again, one at a time`);
  writeFileSync(
    tally,
    first
      .filter((entry) => !files.includes(entry.file))
      .map((entry) => `${JSON.stringify(entry)}\n`)
      .join(''),
  );
  runNodeTests(files, args, env);
  const still = new Set(readTally().flatMap((entry) => (entry.outcome === 'failed' ? [entry.file] : [])));
  return files.filter((file) => !still.has(file));
}

const all = globSync(['src/**/*.test.ts', 'src/**/*.test.tsx', 'tools/**/*.test.ts', 'bench/**/*.test.ts']).sort();
const isInt = (file: string): boolean => /\.int\.test\.tsx?$/.test(file);

let checks = { passed: 0, failed: 0 };
if (filters.length === 0) {
  section('checks: types, lint, format');
  checks = runChecks();
}
section('pure tests');
runNodeTests(
  all.filter((file) => !isInt(file)),
  ['--test-isolation=none'],
  {},
);
const intFiles = all.filter(isInt).filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)));
let skippedParts = 0;
let unsteady: readonly string[] = [];
if (intFiles.length > 0) {
  section('preparing real parts');
  const parts = await preparePrerequisites();
  skippedParts = parts.missing.length;
  section('tests against real parts');
  try {
    const bounds = ['--test-timeout=300000', '--test-force-exit'];
    runNodeTests(intFiles, ['--test-concurrency=2', ...bounds], parts.env);
    unsteady = runAgainAlone(['--test-concurrency=1', ...bounds], parts.env);
  } finally {
    await parts.stop();
  }
}

const tests = readTally();
const passed = tests.filter((entry) => entry.outcome === 'passed').length + checks.passed;
const failed = countFailed() + checks.failed + crashed;
const skipped = tests.filter((entry) => entry.outcome === 'skipped').length + skippedParts;
rmSync(scratch, { recursive: true, force: true });
for (const file of unsteady) process.stdout.write(`unsteady: ${file} failed beside others and passed alone\n`);
process.stdout.write(`\n${elapsed()}\n${passed} passed, ${failed} failed${skipped === 0 ? '' : `, ${skipped} skipped`}\n`);
process.exit(failed === 0 ? 0 : 1);
