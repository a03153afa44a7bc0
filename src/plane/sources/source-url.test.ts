import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkUrl, globMatches, matchesSource, mayCarryCredential } from './source-url.ts';

const strict = { allowFileUrls: false, allowHttp: false };
const open = { allowFileUrls: true, allowHttp: true };

test('an address that could mean something else is refused, and never shown with its credential', () => {
  for (const [url, why] of [
    ['https://user:hunter2@git.example.com/x.git', /credential/],
    ['https://hunter2@git.example.com/x.git', /credential/],
    ['https://git.example.com/x.git?service=a', /query/],
    ['https://git.example.com/a%2f..%2fb.git', /encoded/],
    ['https://git.example.com/a%0ab.git', /encoded/],
    ['http://git.example.com/x.git', /http/],
    ['file:///etc', /file/],
    ['ssh://git:hunter2@git.example.com/x.git', /credential/],
    ['ssh://git.example.com/x.git', /names no user/],
    ['ssh://-oProxyCommand=touch@git.example.com/x.git', /names no user|no URL/],
    ['ssh://git@-oProxyCommand=touch/x.git', /no host/],
    ['ssh://git@git%2eexample.com/x.git', /no host|no URL/],
    ['ssh://git@git.example.com', /no repository/],
    ['ssh://git@git.example.com/-x', /characters/],
    ['ssh://git@git.example.com/a%27b', /characters/],
    ['git@git.example.com:-x', /characters/],
    ['git@git.example.com::x', /no URL/],
    ['a@-oProxyCommand=touch:x', /no URL|no host/],
    ['ext::sh -c touch% /tmp/x', /not supported/],
    ['--upload-pack=touch /tmp/x', /no URL/],
  ] as const) {
    const checked = checkUrl(url, strict);
    assert.ok(!checked.ok, url);
    assert.match(checked.why, why);
    assert.doesNotMatch(checked.shown + checked.why, /hunter2/);
  }
  assert.ok(checkUrl('file:///srv/git/x.git', open).ok);
});

test('a project pattern is matched against the normal form', () => {
  const of = (text: string): URL => {
    const checked = checkUrl(text, open);
    assert.ok(checked.ok, text);
    return checked.url;
  };
  const pattern = 'https://git.example.com/payments/**';
  assert.ok(matchesSource(pattern, of('https://git.example.com/payments/a/b.git')));
  assert.ok(matchesSource(pattern, of('https://GIT.example.com:443/payments/a.git')));
  assert.ok(!matchesSource(pattern, of('https://git.example.com/payments/../other/b.git')));
  assert.ok(!matchesSource(pattern, of('https://git.example.com/payments/%2e%2e/other.git')));
  assert.ok(!matchesSource(pattern, of('https://git.example.com.evil.org/payments/b.git')));
  assert.ok(matchesSource('https://git.example.com/*/fleet.git', of('https://git.example.com/team/fleet/')));
  assert.ok(!matchesSource('https://git.example.com/*', of('https://git.example.com/team/fleet')));
  assert.ok(matchesSource('**', of('https://git.example.com/team/fleet')));
});

test('a pattern made to explode is matched in time', () => {
  const started = performance.now();
  assert.equal(globMatches('*a'.repeat(500), 'a'.repeat(1_500) + 'b'), false);
  assert.ok(performance.now() - started < 2_000);
});

test('a credential goes to its hosts, over https or the loopback only', () => {
  assert.ok(mayCarryCredential(new URL('https://git.example.com/x'), undefined));
  assert.ok(mayCarryCredential(new URL('https://git.example.com/x'), ['git.example.com']));
  assert.ok(!mayCarryCredential(new URL('https://git.evil.org/x'), ['git.example.com']));
  assert.ok(!mayCarryCredential(new URL('http://git.example.com/x'), undefined));
  assert.ok(mayCarryCredential(new URL('http://127.0.0.1:81/x'), undefined));
  assert.ok(!mayCarryCredential(new URL('file:///x'), undefined));
});

test('both forms of ssh are one address, and the short one stays what git is given', () => {
  for (const [text, url, address] of [
    ['ssh://git@Git.Example.com:22/team/x.git', 'ssh://git@git.example.com/team/x.git', 'ssh://git@git.example.com/team/x.git'],
    ['ssh://git@git.example.com:2222/x', 'ssh://git@git.example.com:2222/x', 'ssh://git@git.example.com:2222/x'],
    ['git@Git.example.com:team/x.git', 'ssh://git@git.example.com/team/x.git', 'git@git.example.com:team/x.git'],
    ['git@git.example.com:team/../other/x.git', 'ssh://git@git.example.com/other/x.git', 'git@git.example.com:other/x.git'],
    ['ssh://git@[::1]:22/x', 'ssh://git@[::1]/x', 'ssh://git@[::1]/x'],
  ] as const) {
    const checked = checkUrl(text, strict);
    assert.ok(checked.ok, text);
    assert.deepEqual([checked.url.href, checked.address], [url, address]);
  }
  const checked = checkUrl('git@git.example.com:team/x.git', strict);
  assert.ok(checked.ok && matchesSource('ssh://git@git.example.com/team/*', checked.url));
  assert.ok(checked.ok && mayCarryCredential(checked.url, ['git.example.com']));
  assert.ok(checked.ok && !mayCarryCredential(checked.url, ['example.com']));
});
