import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRecentEnough, parseGoVersion } from './build.ts';

test('go 1.26 and later build the testbed, earlier ones do not', () => {
  const recent = (text: string): boolean | undefined => {
    const version = parseGoVersion(text);
    return version === undefined ? undefined : isRecentEnough(version);
  };
  assert.equal(recent('go version go1.26.8 linux/amd64'), true);
  assert.equal(recent('go version go1.27rc1 darwin/arm64'), true);
  assert.equal(recent('go version go2.0 linux/amd64'), true);
  assert.equal(recent('go version go1.25.9 linux/amd64'), false);
  assert.equal(recent('go version go1.9 linux/amd64'), false);
  assert.equal(recent('gccgo 12'), undefined);
});
