import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classifyFailure, wordsOf } from './classify.ts';
import { formatDuration, parseDuration } from './duration.ts';
import { isRefName, wantedRef } from './references.ts';

test('a name that is an option, a path trick or a refspec is no reference', () => {
  for (const branch of [
    '-c core.sshCommand=touch',
    '--upload-pack=x',
    '../../x',
    'a/../../b',
    'a:refs/heads/b',
    'a b',
    'a\nb',
    'a~1',
    'a^',
    '*',
    'a@{1}',
    'x.lock',
    'a//b',
    '.a',
    'a/-b',
    '',
  ]) {
    assert.equal(wantedRef({ branch }), undefined, JSON.stringify(branch));
  }
  assert.ok(isRefName('refs/heads/feature/größe-1.2'));
  assert.equal(wantedRef({ commit: 'HEAD' }), undefined);
});

test('durations are read and written', () => {
  assert.equal(parseDuration('1h30m'), 5_400_000);
  assert.equal(parseDuration('1.5s'), 1_500);
  assert.throws(() => parseDuration('5 minutes'), { code: 'FL_SOURCE_DURATION' });
  assert.deepEqual([60_000, 90_000, 3_600_000, 1_500].map(formatDuration), ['1m', '90s', '1h', '1500ms']);
});

test("git's words decide what is the matter, the server's do not", () => {
  assert.equal(classifyFailure("fatal: Authentication failed for 'https://x/'"), 'denied');
  assert.equal(classifyFailure("fatal: unable to access 'https://x/': The requested URL returned error: 503"), 'unreachable');
  assert.equal(classifyFailure("fatal: couldn't find remote ref refs/heads/x"), 'no-ref');
  assert.equal(
    classifyFailure("remote: Authentication failed\nfatal: unable to access 'x': Could not resolve host: x"),
    'unreachable',
  );
  assert.equal(classifyFailure("fatal: Unable to create '/x/shallow.lock': File exists."), 'stale-lock');
});

test('words are cut to one line without control characters, user information or changing numbers', () => {
  assert.equal(
    wordsOf(
      "\u001b[31mremote: boo\u001b[0m\nfatal: unable to access 'https://u:p@x/y/': Failed to connect to x port 443 after 17 ms: refused",
    ),
    'Failed to connect to x port 443: refused',
  );
  assert.doesNotMatch(wordsOf('fatal: https://bob:secret@x/ is away'), /secret/);
});
