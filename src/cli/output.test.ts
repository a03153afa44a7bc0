import assert from 'node:assert/strict';
import { test } from 'node:test';
import { age, count, printable, table } from './output.ts';

test('a table is padded to its widest cell and has no trailing blanks', () => {
  assert.equal(
    table(
      ['NAME', 'STATUS'],
      [
        ['web', 'ready'],
        ['platform', ''],
      ],
    ),
    'NAME       STATUS\nweb        ready\nplatform\n',
  );
});

test('escape sequences and direction marks from clusters never reach the terminal', () => {
  assert.equal(printable('a\u001b[31mred\u202e'), 'a\uFFFD[31mred\uFFFD');
});

test('ages read as kubectl writes them', () => {
  const now = Date.parse('2026-01-02T00:00:00Z');
  const cases: [string, string][] = [
    ['2026-01-01T23:59:55Z', '5s'],
    ['2026-01-01T23:57:55Z', '2m5s'],
    ['2026-01-01T23:00:00Z', '60m'],
    ['2026-01-01T20:30:00Z', '3h30m'],
    ['2025-12-25T00:00:00Z', '8d'],
  ];
  for (const [since, text] of cases) assert.equal(age(since, now), text);
});

test('counts agree in number', () => {
  assert.equal(count(1, 'cluster'), '1 cluster');
  assert.equal(count(4180, 'delivery', 'deliveries'), '4,180 deliveries');
});
