import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { addressesIn, isAuthentic, isPush, repositoryKey } from './hook.ts';

const secret = 'a shared secret';
const body = Buffer.from('{"repository": {"clone_url": "https://git.example.com/team/fleet.git"}}');
const hmac = (algorithm: string, key = secret): string => createHmac(algorithm, key).update(body).digest('hex');

test('each host proves the secret in its own header; nothing weaker counts, and the first proof is the only one', () => {
  for (const headers of [
    { 'x-hub-signature-256': `sha256=${hmac('sha256')}` },
    { 'x-gitea-signature': hmac('sha256') },
    { 'x-forgejo-signature': hmac('sha256') },
    { 'x-gogs-signature': hmac('sha256') },
    { 'x-hub-signature': `sha256=${hmac('sha256')}` },
    { 'x-fairlead-signature': `sha256=${hmac('sha256').toUpperCase()}` },
    { 'x-gitlab-token': secret },
  ]) {
    assert.ok(isAuthentic(headers, body, secret), JSON.stringify(headers));
    assert.ok(!isAuthentic(headers, body, `${secret}x`));
    const signed = Object.keys(headers)[0] !== 'x-gitlab-token';
    assert.equal(isAuthentic(headers, Buffer.concat([body, Buffer.from(' ')]), secret), !signed);
  }
  for (const headers of [
    {},
    { 'x-hub-signature': `sha1=${hmac('sha1')}` },
    { 'x-hub-signature-256': '' },
    { 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` },
    { 'x-hub-signature-256': `sha256=${hmac('sha256').slice(2)}` },
    { 'x-hub-signature-256': `sha256=${hmac('sha256', '')}` },
    { 'x-gitlab-token': '' },
    { 'x-gitlab-token': secret.slice(1) },
    { 'x-fairlead-signature': 'wrong', 'x-gitlab-token': secret },
    { authorization: secret },
  ]) {
    assert.ok(!isAuthentic(headers, body, secret), JSON.stringify(headers));
  }
});

test('addresses are found in every form of payload, and rubbish has none', () => {
  const json = 'application/json';
  assert.deepEqual(addressesIn(body, json), ['https://git.example.com/team/fleet.git']);
  const form = `payload=${encodeURIComponent(body.toString())}`;
  assert.deepEqual(addressesIn(Buffer.from(form), 'application/x-www-form-urlencoded'), [
    'https://git.example.com/team/fleet.git',
  ]);
  const of = (value: unknown): readonly string[] => addressesIn(Buffer.from(JSON.stringify(value)), json);
  assert.deepEqual(of({ repository: 'git@h:x' }), ['git@h:x']);
  assert.deepEqual(of({ project: { git_ssh_url: 'git@h:x', web_url: 'https://h/x' } }), ['git@h:x', 'https://h/x']);
  assert.deepEqual(of({ repository: { links: { html: { href: 'https://h/x' }, clone: [{ href: 'ssh://git@h/x' }] } } }), [
    'https://h/x',
    'ssh://git@h/x',
  ]);
  for (const rubbish of [
    '',
    'null',
    '[]',
    '7',
    '{',
    '{"repository": 7}',
    '{"__proto__": {"repository": "x"}}',
    '['.repeat(100_000),
  ]) {
    assert.deepEqual(addressesIn(Buffer.from(rubbish), json), [], rubbish.slice(0, 20));
  }
  assert.deepEqual(of({ repository: 'x'.repeat(3_000) }), []);
});

test('all addresses of a repository have one key, and other repositories have others', () => {
  for (const address of [
    'https://git.example.com/team/fleet.git',
    'https://git.example.com:8443/Team/fleet/',
    'http://user:pass@GIT.example.com/team/fleet',
    'ssh://git@git.example.com:2222/team/fleet.git',
    'git@git.example.com:team/fleet.git',
    'git@git.example.com:/team/fleet',
    'git://git.example.com/team/fleet',
  ]) {
    assert.equal(repositoryKey(address), 'git.example.com/team/fleet', address);
  }
  for (const address of [
    '',
    'x',
    'https://',
    'https://git.example.com',
    'https://git.example.com/',
    'git.example.com:x',
    '(a+)+$',
    'https:///x',
  ]) {
    assert.equal(repositoryKey(address), undefined, address);
  }
  for (const other of [
    'https://git.example.com/team/fleet-2',
    'https://git.example.org/team/fleet',
    'https://git.example.com/team/x/fleet',
  ]) {
    assert.notEqual(repositoryKey(other), 'git.example.com/team/fleet');
  }
  const started = performance.now();
  for (const evil of [
    'a@'.repeat(1_024),
    `https://${'/'.repeat(2_000)}`,
    `https://h/${'/'.repeat(1_000)}x${'/'.repeat(1_000)}y`,
    'a'.repeat(1 << 20),
  ])
    repositoryKey(evil);
  assert.ok(performance.now() - started < 1_000);
});

test('only what can mean a new commit wakes', () => {
  assert.ok(isPush({}));
  for (const headers of [
    { 'x-github-event': 'push' },
    { 'x-gitlab-event': 'Tag Push Hook' },
    { 'x-event-key': 'repo:push' },
    { 'x-gitea-event': 'create' },
  ])
    assert.ok(isPush(headers), JSON.stringify(headers));
  for (const headers of [{ 'x-github-event': 'ping' }, { 'x-github-event': 'issues' }, { 'x-gitlab-event': 'Note Hook' }])
    assert.ok(!isPush(headers));
});
