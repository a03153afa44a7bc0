import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { reasons } from '#api';
import { referencePages } from './docs.ts';
import { troubleshootingDepth } from './troubleshooting.ts';

const root = join(import.meta.dirname, '..');

test('the reference that is committed is what the code says', () => {
  for (const [path, text] of referencePages()) {
    assert.equal(existsSync(join(root, path)), true, `${path} is missing; run node tools/run.mjs docs`);
    assert.equal(readFileSync(join(root, path), 'utf8'), `${text}\n`, `${path} is out of date; run node tools/run.mjs docs`);
  }
});

test('every link between documents leads somewhere', () => {
  const broken: string[] = [];
  for (const file of [...globSync(['docs/**/*.md', 'charts/**/*.md'], { cwd: root }), 'README.md']) {
    if (!existsSync(join(root, file))) continue;
    for (const [, target = ''] of readFileSync(join(root, file), 'utf8').matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      if (!existsSync(join(root, dirname(file), target))) broken.push(`${file}: ${target}`);
    }
  }
  assert.deepEqual(broken, []);
});

test('what people wrote about a reason is about one that exists', () => {
  const { sections } = troubleshootingDepth(root);
  assert.ok(sections.size >= 15);
  assert.deepEqual(
    [...sections.keys()].filter((code) => !Object.hasOwn(reasons, code)),
    [],
  );
});
