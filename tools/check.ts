/** `npm run check`: types, lint and format over the whole tree, each as one pass or failure. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const checks: readonly { readonly name: string; readonly args: readonly string[] }[] = [
  { name: 'types', args: ['tsc', '--pretty', 'false'] },
  { name: 'lint', args: ['oxlint', '--type-aware', '--quiet', 'src', 'tools', 'bench'] },
  { name: 'format', args: ['oxfmt', '--check', 'src', 'tools', 'bench'] },
];

export function runChecks(): { passed: number; failed: number } {
  let passed = 0;
  for (const check of checks) {
    const [program = '', ...args] = check.args;
    const result = spawnSync(join('node_modules', '.bin', program), args, {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${join('node_modules', '.bin')}:${process.env['PATH']}` },
    });
    if (result.status === 0) {
      passed += 1;
      process.stdout.write(`ok   ${check.name}\n`);
    } else process.stdout.write(`FAIL ${check.name}\n${result.stdout}${result.stderr}`);
  }
  return { passed, failed: checks.length - passed };
}

if (import.meta.main) process.exit(runChecks().failed === 0 ? 0 : 1);
