import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchesLabels } from '#api';
import { parseFieldSelector, parseLabelSelector } from './selectors.ts';

const selects = (selector: string, labels: Readonly<Record<string, string>>): boolean =>
  matchesLabels(parseLabelSelector(selector), labels);

test('label selectors, as kubectl writes them', () => {
  for (const [selector, labels, expected] of [
    ['', {}, true],
    ['a=b', { a: 'b' }, true],
    ['a==b,c!=d', { a: 'b' }, true],
    ['a!=b', { a: 'b' }, false],
    ['a', { a: '' }, true],
    ['!a', { a: '' }, false],
    ['! a , b', { b: 'x' }, true],
    ['a in (b, c)', { a: 'c' }, true],
    ['a notin (b,c),d', { d: '1' }, true],
    ['a in ()', { a: '' }, true],
    ['a in (b,)', { a: '' }, true],
    ['a=', { a: '' }, true],
    ['example.com/x=y', { 'example.com/x': 'y' }, true],
  ] as const) {
    assert.equal(selects(selector, labels), expected, selector);
  }
});

test('what is no selector is said with the words of Kubernetes', () => {
  const refused = (selector: string): string => {
    try {
      parseLabelSelector(selector);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };
  assert.equal(refused('a=b=c'), "found '=', expected: ',' or 'end of string'");
  assert.equal(refused('tier in (front'), "unable to parse requirement: found '', expected: ',' or ')'");
  assert.match(refused(',a'), /expected: !, identifier, or 'end of string'/);
  assert.match(refused('a,,b'), /identifier after ','/);
  assert.match(refused('-bad=x'), /Invalid value: "-bad"/);
});

test('field selectors with escaped characters', () => {
  assert.deepEqual(parseFieldSelector('metadata.name=a\\,b\\=c,spec.x!=y'), [
    { label: 'metadata.name', operator: '=', value: 'a,b=c' },
    { label: 'spec.x', operator: '!=', value: 'y' },
  ]);
  assert.throws(() => parseFieldSelector('nonsense'), /can't understand/);
});
