import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { buildConsole } from './build.ts';

let dir: string;
let html: string;

before(async () => {
  dir = await buildConsole();
  html = readFileSync(join(dir, 'index.html'), 'utf8');
});

test('the first route takes at most 180 KB of gzipped JavaScript', () => {
  const scripts = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+\.js)"/g)].map((match) => match[1] ?? '');
  assert.ok(scripts.length > 0, html);
  const bytes = scripts.reduce((sum, path) => sum + gzipSync(readFileSync(join(dir, path))).length, 0);
  assert.ok(bytes <= 180 * 1024, `${scripts.join(', ')}: ${bytes} bytes gzipped`);
});

test('the page has no inline script or style, which its policy forbids, and names no other origin', () => {
  for (const [, attributes = '', content = ''] of html.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)) {
    assert.equal(content.trim(), '', 'an inline script');
    assert.match(attributes, /src="\/assets\//);
  }
  assert.equal(/<style|\sstyle=|\son[a-z]+=/.test(html), false);
  assert.equal(/(?:src|href)="(?:https?:)?\/\//.test(html), false);
});
