import assert from 'node:assert/strict';
import { test } from 'node:test';
import { highestTag, parseRange, parseVersion, satisfies } from './semver.ts';

function holds(version: string, range: string): boolean {
  const v = parseVersion(version);
  const r = parseRange(range);
  assert.ok(v !== undefined && r !== undefined, `${version} ${range}`);
  return satisfies(v, r);
}

test('ranges mean what npm and Cargo users expect', () => {
  for (const [range, within, outside] of [
    ['^1.2.3', ['1.2.3', '1.9.0'], ['1.2.2', '2.0.0', '2.0.0-rc.1', '1.5.0-rc.1']],
    ['^0.2.3', ['0.2.3', '0.2.9'], ['0.3.0', '1.0.0']],
    ['^0.0.3', ['0.0.3'], ['0.0.4']],
    ['~1.2', ['1.2.0', '1.2.99'], ['1.3.0']],
    ['~1', ['1.0.0', '1.9.9'], ['2.0.0']],
    ['1.x', ['1.0.0', '1.44.0'], ['2.0.0', '0.9.0']],
    ['*', ['0.0.1', '99.0.0'], ['1.0.0-alpha']],
    ['>=1.0.0 <2.0.0', ['1.0.0', '1.99.0'], ['2.0.0', '0.1.0']],
    ['>= 1.0.0, < 2.0.0 || 3.x', ['1.5.0', '3.1.4'], ['2.5.0']],
    ['>1.2', ['1.3.0'], ['1.2.9']],
    ['<=1.2', ['1.2.9'], ['1.3.0']],
    ['1.2.3', ['1.2.3'], ['1.2.4']],
    ['>=1.0.0-rc.1', ['1.0.0-rc.2', '1.0.0', '1.1.0'], ['1.1.0-rc.1', '1.0.0-beta']],
  ] as const) {
    for (const version of within) assert.ok(holds(version, range), `${version} is within ${range}`);
    for (const version of outside) assert.ok(!holds(version, range), `${version} is outside ${range}`);
  }
});

test('what is no range is none', () => {
  for (const range of ['', 'latest', '^', '1.2.3.4', '>x', '1 || ', '99999999999.0.0'])
    assert.equal(parseRange(range), undefined, range);
});

test('the highest tag wins, numerically and with releases above pre-releases', () => {
  const tags = ['v1.9.0', 'v1.10.0', 'v1.10.0-rc.1', 'nightly', 'v2.0.0-beta.1', '1.2'];
  assert.equal(highestTag(tags, parseRange('1.x') ?? []), 'v1.10.0');
  assert.equal(highestTag(tags, parseRange('^3') ?? []), undefined);
});
