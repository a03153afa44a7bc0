import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { parseProxy } from './proxy-address.ts';

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

test('a proxy is a host, a port, and perhaps a name and a password, which are never printed', () => {
  const proxy = parseProxy('http://me:p%40ss%3Aw%25rd@[2001:db8::1]:3128');
  assert.deepEqual([proxy?.host, proxy?.port, proxy?.authorization?.reveal()], ['2001:db8::1', 3128, basic('me:p@ss:w%rd')]);
  assert.ok(!/p%40ss|p@ss/.test(`${inspect(proxy)} ${JSON.stringify(proxy)}`));
  assert.equal(parseProxy('http://proxy.example.com')?.port, 80);
  assert.equal(parseProxy('http://proxy.example.com')?.authorization, undefined);
  assert.equal(parseProxy('http://:token@proxy')?.authorization?.reveal(), basic(':token'), 'a password alone');
});

test('what is no such address is none, and throws nothing', () => {
  for (const text of [
    '',
    'proxy:3128',
    'https://proxy',
    'socks5://proxy',
    'http://',
    'http://u@',
    'http://proxy/path',
    'http://proxy/?q',
    'http://proxy/#f',
  ])
    assert.equal(parseProxy(text), undefined, text);
  // A password with a % that was not written as %25.
  for (const text of ['http://me:100%@proxy', 'http://me:%zz@proxy', 'http://%:x@proxy', 'http://me:%ff@proxy'])
    assert.equal(parseProxy(text), undefined, text);
});
