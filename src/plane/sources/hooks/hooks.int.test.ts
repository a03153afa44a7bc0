import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { request as httpsRequest } from 'node:https';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Sensitive, silentLog, systemClock } from '#base';
import { allKinds, Credential, GitRepository, RECONCILE_ANNOTATION, type Kind, type PlaneObject } from '#api';
import { createHttp } from '#plane/http';
import { openKeys } from '#plane/keys';
import { openStore, type Store } from '#plane/store';
import { hookRoutes } from './hook-routes.ts';

const secret = 'a shared secret';
const stack = new AsyncDisposableStack();
const looked: string[] = [];
const elsewhere = new Set<string>();
let isFrozen = false;
let store: Store;
let url: string;
let ca: string;

before(async () => {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-hooks-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  store = await openStore({ dir: join(dir, 'db'), kinds: allKinds, log: silentLog, clock: systemClock });
  stack.defer(() => store.close());
  const keys = await openKeys({ dir: join(dir, 'keys'), clock: systemClock, serverNames: ['127.0.0.1'] });
  const http = await createHttp({ log: silentLog, version: {} });
  stack.defer(() => http.stop());
  for (const route of hookRoutes({
    store,
    decrypt: (credential) => new Sensitive(credential.spec.encryptedData ?? {}),
    clock: systemClock,
    log: silentLog,
    frozen: () => isFrozen,
    requestLook(key) {
      if (elsewhere.has(key)) return false;
      looked.push(key);
      return true;
    },
  })) {
    http.route(route);
  }
  ca = keys.tls.ca;
  url = (await http.listenTls({ host: '127.0.0.1', port: 0, tls: { cert: keys.tls.cert, key: keys.tls.key.reveal() } })).url;
  await put(Credential, 'hook', { type: 'webhook', encryptedData: { secret } });
  await put(Credential, 'short', { type: 'webhook', encryptedData: { secret: '' } });
  await put(Credential, 'token', { type: 'bearer', encryptedData: { token: secret, secret } });
  await put(GitRepository, 'fleet', { url: 'git@git.example.com:team/fleet.git' });
  await put(GitRepository, 'other', { url: 'https://git.example.com/team/other' });
  await put(GitRepository, 'mirror', { url: 'https://inside.example.com/fleet' });
  await put(GitRepository, 'fleet', { url: 'https://git.example.com/team/fleet' }, 'payments');
});

after(() => stack.disposeAsync());

async function put<S, T>(kind: Kind<S, T>, name: string, spec: S, namespace = 'default'): Promise<void> {
  const object: PlaneObject<S, T> = {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: { name, namespace, uid: `${namespace}-${name}`, generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
    spec,
  };
  await store.commit({ write: [{ op: 'put', kind, object }] });
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly retryAfter: string | undefined;
}

/** As from `address`, one of the loopback's. */
function post(path: string, body: string | Buffer, headers: Record<string, string>, address = '127.0.0.1'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpsRequest(`${url}${path}`, { method: 'POST', ca, headers, localAddress: address }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          body: Buffer.concat(chunks).toString('utf8'),
          retryAfter: response.headers['retry-after'],
        }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

const sign = (body: string | Buffer, key = secret): string => `sha256=${createHmac('sha256', key).update(body).digest('hex')}`;
const push = JSON.stringify({
  ref: 'refs/heads/main',
  repository: { full_name: 'team/fleet', clone_url: 'https://git.example.com/team/fleet.git' },
});

async function lookedAfter(work: () => Promise<Answer>, status = 202): Promise<readonly string[]> {
  looked.length = 0;
  const answer = await work();
  assert.equal(answer.status, status, answer.body);
  return [...looked];
}

test('GitHub, Gitea, GitLab and a plain HMAC wake the repositories at that address, of that project alone', async () => {
  const gitlab = JSON.stringify({ object_kind: 'push', project: { git_http_url: 'https://git.example.com/Team/fleet.git' } });
  const form = `payload=${encodeURIComponent(push)}`;
  const plain = JSON.stringify({ repository: 'ssh://git@git.example.com:2222/team/fleet' });
  for (const [body, headers] of [
    [push, { 'x-github-event': 'push', 'x-hub-signature-256': sign(push), 'content-type': 'application/json' }],
    [form, { 'x-github-event': 'push', 'x-hub-signature-256': sign(form), 'content-type': 'application/x-www-form-urlencoded' }],
    [push, { 'x-gitea-event': 'push', 'x-gitea-signature': sign(push).slice(7) }],
    [gitlab, { 'x-gitlab-event': 'Push Hook', 'x-gitlab-token': secret }],
    [plain, { 'x-fairlead-signature': sign(plain) }],
  ] as const) {
    assert.deepEqual(await lookedAfter(() => post('/hooks/default/hook', body, headers)), ['default/fleet']);
  }
  const named = await lookedAfter(() => post('/hooks/default/hook?repository=mirror', '', { 'x-fairlead-signature': sign('') }));
  assert.deepEqual(named, ['default/mirror']);
});

test('who does not know the secret gets one answer, whatever exists; who does learns nothing', async () => {
  const answers = await Promise.all(
    [
      ['/hooks/default/hook', { 'x-hub-signature-256': sign(push, 'wrong secret') }],
      ['/hooks/default/hook', {}],
      ['/hooks/default/nothing', { 'x-hub-signature-256': sign(push) }],
      ['/hooks/nowhere/hook', { 'x-hub-signature-256': sign(push) }],
      ['/hooks/default/token', { 'x-gitlab-token': secret }],
      ['/hooks/default/short', { 'x-hub-signature-256': sign(push, '') }],
      ['/hooks/default/short', { 'x-gitlab-token': '' }],
      ['/hooks/de%27fault/(a+)+$', { 'x-hub-signature-256': sign(push) }],
    ].map(([path, headers]) => post(path as string, push, headers as Record<string, string>, '127.0.0.2')),
  );
  assert.equal(new Set(answers.map(({ status, body }) => `${status} ${body}`)).size, 1, JSON.stringify(answers));
  assert.equal(answers[0]?.status, 401);
  const signed = (body: string): Promise<Answer> => post('/hooks/default/hook', body, { 'x-hub-signature-256': sign(body) });
  const [known, unknown, rubbish, deep] = await Promise.all(
    [
      push,
      '{"repository":"https://git.example.com/team/none"}',
      '{"repository":{"clone_url":"(a+)+$"}}',
      '['.repeat(500_000),
    ].map(signed),
  );
  assert.deepEqual(
    [known, unknown, rubbish, deep].map((answer) => answer?.status),
    [202, 202, 202, 202],
  );
  assert.equal(new Set([known, unknown, rubbish, deep].map((answer) => answer?.body)).size, 1);
});

test('what is no push wakes nobody, and neither does a frozen plane', async () => {
  const ping = { 'x-github-event': 'ping', 'x-hub-signature-256': sign(push) };
  assert.deepEqual(await lookedAfter(() => post('/hooks/default/hook', push, ping)), []);
  isFrozen = true;
  const frozen = await lookedAfter(() => post('/hooks/default/hook', push, { 'x-hub-signature-256': sign(push) }));
  isFrozen = false;
  assert.deepEqual(frozen, []);
});

test('a repository that another replica follows is marked, and nothing of it is changed', async () => {
  elsewhere.add('default/other');
  const body = JSON.stringify({ repository: { html_url: 'https://git.example.com/team/other' } });
  assert.deepEqual(await lookedAfter(() => post('/hooks/default/hook', body, { 'x-hub-signature-256': sign(body) })), []);
  const other = await store.get(GitRepository, { namespace: 'default', name: 'other' });
  assert.match(other?.metadata.annotations?.[RECONCILE_ANNOTATION] ?? '', /^webhook 20/);
  assert.equal(other?.metadata.generation, 1);
});

test('a body over the limit is refused unread, and strangers are slowed down (H38)', async () => {
  const big = await post('/hooks/default/hook', Buffer.alloc(3 << 20), { 'x-hub-signature-256': 'x' }, '127.0.0.3').catch(
    () => undefined,
  );
  assert.ok(big === undefined || big.status === 413, JSON.stringify(big));
  const answers: Answer[] = [];
  for (let i = 0; i < 40; i += 1)
    answers.push(await post('/hooks/default/hook', push, { 'x-hub-signature-256': sign(push, 'guess') }, '127.0.0.4'));
  assert.ok(answers.some(({ status, retryAfter }) => status === 429 && Number(retryAfter) > 0));
  // Others are not.
  assert.equal((await post('/hooks/default/hook', push, { 'x-hub-signature-256': sign(push) }, '127.0.0.4')).status, 202);
});
