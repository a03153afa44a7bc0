import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { FairleadError, sha256, silentLog, waitFor } from '#base';
import { selfSigned } from '../kubeapi/testing/start-kube-api.ts';
import { createHttp, jsonResponse, type Http, type Listener } from './index.ts';

const dir = mkdtempSync(join(tmpdir(), 'fairlead-http-'));
let http: Http;
let tls: Listener;
let plain: Listener;
let ca: string;
/** Ends of the slow requests that are under way. */
const held: (() => void)[] = [];

before(async () => {
  const consoleDir = join(dir, 'console');
  mkdirSync(join(consoleDir, 'assets'), { recursive: true });
  writeFileSync(join(consoleDir, 'index.html'), '<!doctype html><title>Fairlead</title>');
  writeFileSync(join(consoleDir, 'assets', 'main-a1b2c3d4.js'), 'export {};');
  writeFileSync(join(dir, 'secret.txt'), 'not for the console');
  http = await createHttp({
    log: silentLog,
    consoleDir,
    version: { gitVersion: 'v1.36.3+fairlead' },
    limits: { surfaces: { views: { inFlight: 2 } }, headersTimeoutMs: 1000, drainMs: 500 },
  });
  http.authenticate((head) => {
    const { authorization } = head.headers;
    if (authorization === 'Bearer admin-token') return { type: 'admin', name: 'ada' };
    if (authorization === 'Fairlead a') return { type: 'agent', cluster: 'a', keyId: 'k', expectBodyDigest: sha256('{"n":1}') };
    return undefined;
  });
  const authorized = { allow: 'authorized', attributes: () => ({ verb: 'get', resource: 'things' }) } as const;
  http.route({
    surface: 'views',
    method: 'GET',
    path: '/views/v1/who',
    permission: authorized,
    handler: ({ principal }) => jsonResponse(200, principal),
  });
  http.route({
    surface: 'views',
    method: 'POST',
    path: '/views/v1/who',
    permission: authorized,
    handler: () => jsonResponse(200, {}),
  });
  http.route({
    surface: 'views',
    method: 'GET',
    path: '/views/v1/slow',
    permission: authorized,
    handler: async () => {
      await new Promise<void>((resolve) => held.push(resolve));
      return jsonResponse(200, {});
    },
  });
  http.route({
    surface: 'views',
    method: 'GET',
    path: '/views/v1/broken/:kind',
    permission: authorized,
    handler: ({ params }) => {
      if (params['kind'] === 'bug') throw new TypeError('secret detail');
      throw new FairleadError('FL_TEST_AWAY', 'the thing is away; try again', { kind: 'unavailable', retryAfterMs: 2500 });
    },
  });
  http.route({
    surface: 'agent',
    method: 'POST',
    path: '/agent/v1/report',
    permission: { allow: 'agent' },
    maxBodyBytes: 100,
    handler: async (request) => jsonResponse(200, { got: (await request.body()).toString() }),
  });
  http.live({
    path: '/live',
    permission: authorized,
    handler: (socket, { principal }) => socket.send(JSON.stringify(principal)),
  });
  const material = await selfSigned(Date.now());
  ca = material.cert;
  tls = await http.listenTls({ host: '127.0.0.1', port: 0, tls: material });
  plain = await http.listenLoopback({ port: 0 });
});

after(async () => {
  await http.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

function send(
  listener: Listener,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: string,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const isTls = listener.url.startsWith('https');
    const length = body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) };
    const options = {
      host: '127.0.0.1',
      port: listener.port,
      path,
      method,
      agent: false as const,
      headers: { ...length, ...headers },
    };
    const request = isTls ? httpsRequest({ ...options, ca }) : httpRequest(options);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const json = text.startsWith('{') ? (JSON.parse(text) as Record<string, unknown>) : {};
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

const admin = { authorization: 'Bearer admin-token' };

test('every registered route says who may use it', () => {
  assert.ok(http.routes.length > 10);
  const open = http.routes.filter((route) => route.permission.allow === 'public').map((route) => `${route.method} ${route.path}`);
  assert.deepEqual(open.toSorted(), [
    'DELETE /session',
    'GET /*',
    'GET /healthz',
    'GET /livez',
    'GET /readyz',
    'GET /session',
    'GET /version',
    'POST /session',
  ]);
});

test('credentials decide, and their absence or failure is told apart', async () => {
  assert.equal((await send(tls, 'GET', '/views/v1/who', admin)).json['name'], 'ada');
  assert.equal((await send(tls, 'GET', '/views/v1/who')).status, 401);
  assert.equal((await send(tls, 'GET', '/views/v1/who', { authorization: 'Bearer wrong' })).status, 401);
  const agent = await send(tls, 'GET', '/views/v1/who', { authorization: 'Fairlead a' });
  assert.equal(agent.status, 403, 'an agent has its own surface');
  assert.equal((await send(tls, 'POST', '/agent/v1/report', admin, '{}')).status, 403, 'an administrator is no agent');
  assert.equal((await send(tls, 'GET', '/views/v1/nothing')).status, 404);
  assert.equal((await send(tls, 'DELETE', '/views/v1/who', admin)).status, 405);
  assert.equal((await send(tls, 'GET', '/metrics')).status, 401);
  assert.match(
    (await send(tls, 'GET', '/metrics', admin)).text,
    /fairlead_http_requests_total\{surface="views",code="200"\} \d+/,
  );
});

test('an agent is held to the body it signed, and to the limit', async () => {
  const agent = { authorization: 'Fairlead a' };
  assert.equal((await send(tls, 'POST', '/agent/v1/report', agent, '{"n":1}')).json['got'], '{"n":1}');
  const other = await send(tls, 'POST', '/agent/v1/report', agent, '{"n":2}');
  assert.deepEqual([other.status, other.json['code']], [401, 'FL_HTTP_BODY_DIGEST']);
  assert.equal((await send(tls, 'POST', '/agent/v1/report', agent, 'x'.repeat(101))).status, 413);
  assert.equal((await send(tls, 'POST', '/agent/v1/report', { authorization: 'Bearer no' }, 'x'.repeat(100_000))).status, 401);
});

test('errors are problems, our own defects say nothing of themselves', async () => {
  const away = await send(tls, 'GET', '/views/v1/broken/away', admin);
  assert.equal(away.status, 503);
  assert.equal(away.headers['retry-after'], '3');
  assert.equal(away.headers['content-type'], 'application/problem+json');
  assert.deepEqual([away.json['code'], away.json['detail']], ['FL_TEST_AWAY', 'the thing is away; try again']);
  const bug = await send(tls, 'GET', '/views/v1/broken/bug', admin);
  assert.equal(bug.status, 500);
  assert.ok(!bug.text.includes('secret detail'));
});

test('a surface that has enough under way says so, and another is none the worse', async () => {
  const first = send(tls, 'GET', '/views/v1/slow', admin);
  const second = send(tls, 'GET', '/views/v1/slow', admin);
  await waitFor('both', () => held.length === 2, { timeoutMs: 2000 });
  const third = await send(tls, 'GET', '/views/v1/who', admin);
  assert.equal(third.status, 429);
  assert.equal(third.headers['retry-after'], '1');
  assert.equal((await send(tls, 'GET', '/healthz')).status, 200);
  for (const end of held) end();
  assert.deepEqual([(await first).status, (await second).status], [200, 200]);
  assert.equal((await send(tls, 'GET', '/views/v1/who', admin)).status, 200);
});

test('who does not finish the headers is cut', async () => {
  const socket = connect(plain.port, '127.0.0.1');
  let closed = false;
  socket.on('close', () => (closed = true)).on('error', () => undefined);
  socket.resume();
  socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ');
  await waitFor('the cut', () => closed, { timeoutMs: 10_000 });
});

test('requests that could be read in two ways are refused', async () => {
  const raw = (text: string): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(plain.port, '127.0.0.1', () => socket.end(text));
      let got = '';
      socket
        .setEncoding('utf8')
        .on('data', (chunk: string) => (got += chunk))
        .on('close', () => resolve(got))
        .on('error', () => resolve(got));
    });
  const host = `Host: 127.0.0.1:${plain.port}`;
  assert.match(await raw(`GET /healthz HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`), /^HTTP\/1.1 200/);
  assert.match(
    await raw(`GET /healthz HTTP/1.1\r\n${host}\r\nAuthorization: a\r\nAuthorization: b\r\nConnection: close\r\n\r\n`),
    /^HTTP\/1.1 400/,
  );
  assert.match(
    await raw(`GET /views/v1/who HTTP/1.1\r\n${host}\r\nImpersonate-User: root\r\nConnection: close\r\n\r\n`),
    /^HTTP\/1.1 403/,
  );
  assert.match(await raw(`GET /a/../b HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`), /^HTTP\/1.1 400/);
});

test('the console is served as files, and nothing beside them', async () => {
  const page = await send(plain, 'GET', '/fleet/anything', { host: `127.0.0.1:${plain.port}` });
  assert.match(page.text, /<title>Fairlead/);
  assert.match(String(page.headers['content-security-policy']), /script-src 'self'/);
  assert.equal(page.headers['cache-control'], 'no-cache');
  const script = await send(plain, 'GET', '/assets/main-a1b2c3d4.js');
  assert.match(String(script.headers['cache-control']), /immutable/);
  assert.equal(
    (await send(plain, 'GET', '/assets/main-a1b2c3d4.js', { 'if-none-match': String(script.headers.etag) })).status,
    304,
  );
  assert.equal((await send(plain, 'GET', '/assets/gone-00000000.js')).status, 404);
  for (const path of ['/%2e%2e/secret.txt', '/assets/..%2f..%2fsecret.txt', '/assets/%2e%2e/%2e%2e/secret.txt', '//secret.txt']) {
    const answer = await send(plain, 'GET', path);
    assert.ok(!answer.text.includes('not for the console'), path);
  }
  assert.equal((await send(plain, 'GET', '/views/v1/unknown')).status, 404, 'not the page');
});

test('plain HTTP is for this machine, under its own name', async () => {
  await assert.rejects(http.listenLoopback({ host: '0.0.0.0' as '127.0.0.1', port: 0 }), { code: 'FL_HTTP_LOOPBACK' });
  assert.equal((await send(plain, 'GET', '/healthz', { host: 'evil.example.com' })).status, 403, 'a name of somebody else’s');
  assert.equal((await send(plain, 'GET', '/healthz', { 'x-forwarded-for': '10.0.0.1' })).status, 403, 'a proxy');
  assert.equal(
    (await send(plain, 'POST', '/agent/v1/report', { authorization: 'Fairlead a' }, '{"n":1}')).status,
    404,
    'agents need TLS',
  );
});

test('a login link works once; the cookie is for this origin, and writes need the token beside it', async () => {
  const path = http.createLoginPath('ada');
  assert.match(path, /^\/login#/);
  const login = (token: string, headers: Record<string, string> = {}): Promise<Reply> =>
    send(plain, 'POST', '/session', { 'content-type': 'application/json', ...headers }, JSON.stringify({ token }));
  assert.equal((await login(path.slice(7), { 'sec-fetch-site': 'cross-site' })).status, 403);
  const entered = await login(path.slice(7));
  assert.equal(entered.status, 200);
  assert.equal((await login(path.slice(7))).status, 401, 'once');
  assert.equal((await login('admin-token')).status, 200, "an administrator's own token");
  const cookie = String(entered.headers['set-cookie']?.[0]);
  assert.match(cookie, /HttpOnly; SameSite=Strict/);
  const session = { cookie: cookie.split(';')[0] ?? '' };
  assert.equal((await send(plain, 'GET', '/views/v1/who', session)).json['name'], 'ada');
  assert.equal((await send(plain, 'POST', '/views/v1/who', session)).status, 403);
  assert.equal(
    (await send(plain, 'POST', '/views/v1/who', { ...session, 'x-fairlead-csrf': String(entered.json['csrf']) })).status,
    200,
  );
  assert.equal((await send(plain, 'GET', '/views/v1/who', { ...session, 'sec-fetch-site': 'cross-site' })).status, 403);
  assert.equal((await send(plain, 'GET', '/session', session)).json['csrf'], entered.json['csrf']);
  assert.equal(
    (await send(plain, 'DELETE', '/session', { ...session, 'x-fairlead-csrf': String(entered.json['csrf']) })).status,
    204,
  );
  assert.equal((await send(plain, 'GET', '/views/v1/who', session)).status, 401);
});

test('guessing logins is slow', async () => {
  const answers = [];
  for (let guess = 0; guess < 14; guess++)
    answers.push(await send(plain, 'POST', '/session', {}, JSON.stringify({ token: `guess-${guess}` })));
  assert.ok(answers.some((answer) => answer.status === 503 && answer.json['code'] === 'FL_HTTP_LOGIN_LIMIT'));
});

test('doorbells ring only for those who may hear them, from this origin', async () => {
  const open = (options: object): Promise<string> =>
    new Promise((resolve) => {
      const socket = new WebSocket(`ws://127.0.0.1:${plain.port}/live`, options);
      socket.on('message', (data: Buffer) => {
        resolve(data.toString());
        socket.close();
      });
      socket.on('unexpected-response', (_request, response) => resolve(String(response.statusCode)));
      socket.on('error', (error) => resolve(error.message));
    });
  assert.deepEqual(JSON.parse(await open({ headers: admin })), { type: 'admin', name: 'ada' });
  assert.equal(await open({}), '401');
  assert.equal(await open({ headers: admin, origin: 'https://evil.example.com' }), '403');
  assert.deepEqual(JSON.parse(await open({ headers: admin, origin: `http://127.0.0.1:${plain.port}` })), {
    type: 'admin',
    name: 'ada',
  });
});

test('a stop lets what is under way end, and takes nothing new', async () => {
  const other = await createHttp({ log: silentLog, version: {}, limits: { drainMs: 2000 } });
  let finish: (() => void) | undefined;
  other.route({
    surface: 'system',
    method: 'GET',
    path: '/work',
    permission: { allow: 'public' },
    handler: async () => {
      await new Promise<void>((resolve) => (finish = resolve));
      return jsonResponse(200, { done: true });
    },
  });
  other.route({
    surface: 'system',
    method: 'GET',
    path: '/wait',
    permission: { allow: 'public' },
    handler: () => ({
      status: 200,
      stream: (out) => new Promise((resolve) => out.closed.addEventListener('abort', () => resolve())),
    }),
  });
  const listener = await other.listenLoopback({ port: 0 });
  const work = send(listener, 'GET', '/work');
  const wait = send(listener, 'GET', '/wait');
  await waitFor('the work', () => finish !== undefined, { timeoutMs: 2000 });
  const stopped = other.stop();
  assert.equal((await wait).status, 200, 'a stream is ended, not broken');
  finish?.();
  assert.equal((await work).json['done'], true);
  await stopped;
  await assert.rejects(send(listener, 'GET', '/healthz'));
});

test('connections that never begin TLS keep nobody out', async () => {
  const idle = await Promise.all(
    Array.from(
      { length: 60 },
      () =>
        new Promise<ReturnType<typeof connect>>((resolve) => {
          const socket = connect({ port: tls.port, host: '127.0.0.1' }, () => resolve(socket));
          socket.on('error', () => undefined);
        }),
    ),
  );
  const answers = await Promise.all(Array.from({ length: 40 }, () => send(tls, 'GET', '/readyz')));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  for (const socket of idle) socket.destroy();
});

test('probes have a port of their own, which answers nothing else', async () => {
  const health = await http.listenHealth({ host: '127.0.0.1', port: 0 });
  assert.deepEqual(
    await Promise.all(
      ['/healthz', '/livez', '/readyz', '/version', '/metrics', '/views/v1/who'].map(
        async (path) => (await send(health, 'GET', path)).status,
      ),
    ),
    [200, 200, 200, 404, 404, 404],
  );
  let fault: string | undefined = 'the fleet is being read';
  http.readiness('test', () => fault);
  const answer = await send(health, 'GET', '/readyz');
  assert.deepEqual([answer.status, answer.text], [503, 'test: the fleet is being read']);
  assert.equal((await send(health, 'POST', '/readyz')).status, 405);
  fault = undefined;
});

test('who is refused with a small body keeps the connection, a large one is not received', async () => {
  const refused = (body: string) => send(tls, 'POST', '/views/v1/who', { connection: 'keep-alive' }, body);
  const small = await refused('{"n":1}');
  assert.deepEqual([small.status, small.headers.connection], [401, 'keep-alive']);
  const large = await refused('x'.repeat(100_000));
  assert.deepEqual([large.status, large.headers.connection], [401, 'close']);
});
