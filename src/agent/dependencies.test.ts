import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const src = resolve(dirname(fileURLToPath(import.meta.url)), '..');

/** npm packages that what an entry imports leads to, itself and below, for its running code. */
function packagesReachableFrom(entry: string): string[] {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const match of readFileSync(file, 'utf8').matchAll(
      /^\s*(?:import|export)\s(?!type\s)[^'"]*?from\s+'([^']+)'|^\s*import\s+'([^']+)'/gm,
    )) {
      const target = match[1] ?? match[2] ?? '';
      if (target.startsWith('.')) visit(join(dirname(file), target));
      else if (target.startsWith('#')) visit(join(src, target.slice(1), 'index.ts'));
      else if (!target.startsWith('node:')) packages.add(target);
    }
  };
  visit(entry);
  return [...packages].sort();
}

test('the agent leads to these npm packages and no others', () => {
  // js-yaml reads kubeconfigs; typebox declares the wire messages.
  assert.deepEqual(packagesReachableFrom(join(src, 'agent', 'main.ts')), ['age-encryption', 'js-yaml', 'typebox']);
});
