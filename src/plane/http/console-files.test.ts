import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONSOLE_HEADERS } from './console-files.ts';

test('a page of the console loads from its own origin only, runs no inline script, and is framed by nobody', () => {
  const policy = CONSOLE_HEADERS['content-security-policy'] ?? '';
  const directives = Object.fromEntries(
    policy.split('; ').map((directive) => {
      const [name = '', ...values] = directive.split(' ');
      return [name, values.join(' ')];
    }),
  );
  // Every directive and every value: one that is added is looked at here.
  assert.deepEqual(directives, {
    'default-src': "'none'",
    'script-src': "'self'",
    'style-src': "'self'",
    'img-src': "'self'",
    'font-src': "'self'",
    'connect-src': "'self'",
    'base-uri': "'none'",
    'form-action': "'self'",
    'frame-ancestors': "'none'",
    'require-trusted-types-for': "'script'",
    'trusted-types': "'none'",
  });
  assert.equal(CONSOLE_HEADERS['x-frame-options'], 'DENY');
  assert.equal(CONSOLE_HEADERS['referrer-policy'], 'no-referrer');
  assert.equal(CONSOLE_HEADERS['cross-origin-opener-policy'], 'same-origin');
  assert.equal(CONSOLE_HEADERS['cross-origin-resource-policy'], 'same-origin');
});
