import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shellWord as shellWordOfTheApi } from '#api';
import { shellWord } from './shell.ts';

test('a selector is one word of a shell, and the same one as in the commands of the plane', () => {
  assert.equal(shellWord('eu-1'), 'eu-1');
  assert.equal(shellWord('env in (prod,dev)'), "'env in (prod,dev)'");
  assert.equal(shellWord('!legacy'), "'!legacy'");
  assert.equal(shellWord(`a'; rm -rf / #`), `'a'\\''; rm -rf / #'`);
  for (const word of ['eu', 'a b', `it's`, '', '$(x)', 'env=prod', '-l', 'ü'])
    assert.equal(shellWord(word), shellWordOfTheApi(word));
});
