import { appendFileSync } from 'node:fs';
import type { TestEvent } from 'node:test/reporters';
import { relative } from 'node:path';

/**
 * One line per file that passed, every failure in full, and a machine-readable tally for tools/test.ts (in the file named
 * by FAIRLEAD_TEST_TALLY: one JSON line per finished test).
 */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const tally = process.env['FAIRLEAD_TEST_TALLY'];
  for await (const event of source) {
    if (event.type === 'test:stderr' || event.type === 'test:stdout') {
      if (process.env['FAIRLEAD_TEST_VERBOSE'] !== undefined) yield event.data.message;
      continue;
    }
    if (event.type === 'test:summary' && event.data.file !== undefined && event.data.success) {
      yield `ok   ${relative(process.cwd(), event.data.file)} (${(event.data.duration_ms / 1000).toFixed(1)} s)\n`;
      continue;
    }
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { name, file, nesting, details, skip, todo } = event.data;
    if (details.type === 'suite') continue;
    // In process isolation every file is reported as a test of its own, whose name is the path: not counted twice.
    const isFile = nesting === 0 && file !== undefined && (name === file || file.endsWith(name)) && /\.test\.tsx?$/.test(name);
    const where = file === undefined ? '' : relative(process.cwd(), file);
    const skipped = skip !== undefined || todo !== undefined;
    const outcome = skipped ? 'skipped' : event.type === 'test:pass' ? 'passed' : 'failed';
    if (isFile && outcome === 'passed') continue;
    if (tally !== undefined)
      appendFileSync(tally, `${JSON.stringify({ outcome, name, file: where, ms: details.duration_ms })}\n`);
    if (skipped) yield `skip ${where} ${name}: ${typeof skip === 'string' ? skip : 'no reason given'}\n`;
    if (event.type === 'test:fail' && 'error' in details) {
      const cause = details.error.cause;
      const text = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause ?? details.error.message);
      yield `FAIL ${where} ${name}\n${text.replace(/^/gm, '     ')}\n`;
    }
  }
}
