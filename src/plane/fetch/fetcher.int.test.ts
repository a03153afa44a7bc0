import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { FakeClock, Sensitive, sha256, systemClock, waitFor } from '#base';
import { createPki, type ClusterPki } from '../../testbed/pki.ts';
import { openContentCache } from './content-cache.ts';
import { EgressPolicy } from './egress-policy.ts';
import { createFetcher, type FetchRequest } from './fetcher.ts';
import { createGuardedConnect } from './guarded-connect.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let pki: ClusterPki;
const servers: Server[] = [];
before(async () => {
  pki = await createPki('fetch', systemClock.now());
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function serve(handler: Handler, tls = true): Promise<URL> {
  const server = tls ? createTlsServer({ key: pki.serverKey, cert: pki.serverCert }, handler) : createServer(handler);
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return new URL(`${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}

const connect = createGuardedConnect(new EgressPolicy({ allow: ['127.0.0.0/8'] }));
const fetcher = createFetcher({ connect, idleMs: 400, rng: () => 0 });
const ask = (url: URL, more: Partial<FetchRequest> = {}): ReturnType<typeof fetcher> =>
  fetcher({ url, ca: pki.caCert, maxBytes: 1_000_000, timeoutMs: 20_000, ...more });

test('a private authority is trusted where it is given, and nowhere else', async () => {
  const url = await serve((_request, response) => response.end('hello'));
  assert.equal((await ask(url)).body.toString(), 'hello');
  await assert.rejects(ask(url, { ca: undefined }), { code: 'FL_FETCH_TLS' });
  const http = await serve((_request, response) => response.end('plain'), false);
  await assert.rejects(ask(http), { code: 'FL_FETCH_SCHEME' });
  assert.equal((await ask(http, { allowHttp: true })).body.toString(), 'plain');
  await assert.rejects(ask(new URL('file:///etc/passwd')), { code: 'FL_FETCH_SCHEME' });
});

test('a credential goes to its origin only, and a redirect elsewhere is followed without it', async () => {
  const seen: IncomingMessage[] = [];
  const other = await serve((request, response) => {
    seen.push(request);
    response.end('elsewhere');
  }, false);
  const first = await serve((request, response) => {
    seen.push(request);
    response.writeHead(302, { location: `${other.href}blob?token=x` }).end();
  }, false);
  const answer = await ask(first, {
    allowHttp: true,
    headers: { accept: 'text/plain', 'if-none-match': '"1"', 'x-secret': 'a' },
    authorize: (origin) => (origin === first.origin ? new Sensitive('Basic abc') : undefined),
  });
  assert.equal(answer.body.toString(), 'elsewhere');
  assert.equal(answer.url.pathname, '/blob');
  assert.equal(seen[0]?.headers.authorization, 'Basic abc');
  assert.equal(seen[1]?.headers.authorization, undefined);
  assert.equal(seen[1]?.headers['x-secret'], undefined);
  assert.equal(seen[1]?.headers.accept, 'text/plain');
});

test('redirects end: in a circle, away from https, to an address that is refused, with a credential', async () => {
  let target = '/';
  const url = await serve((_request, response) => response.writeHead(301, { location: target }).end());
  await assert.rejects(ask(url), { code: 'FL_FETCH_REDIRECT', message: /more than 5 times/ });
  target = 'http://127.0.0.1:1/';
  await assert.rejects(ask(url, { allowHttp: true }), { code: 'FL_FETCH_REDIRECT', message: /away from https/ });
  target = 'https://169.254.169.254/latest/meta-data';
  await assert.rejects(ask(url), { code: 'FL_FETCH_ADDRESS', message: /metadata/ });
  target = 'https://[::ffff:169.254.169.254]/';
  await assert.rejects(ask(url), { code: 'FL_FETCH_ADDRESS' });
  target = 'https://u:p@example.com/';
  await assert.rejects(ask(url), { code: 'FL_FETCH_REDIRECT' });
});

test('a body has a cap: announced, unannounced, and inflated', async () => {
  let sent = 0;
  const url = await serve((request, response) => {
    if (request.url === '/announced') response.writeHead(200, { 'content-length': '5000000' }).write('x');
    else if (request.url === '/endless') {
      const more = (): void => {
        sent += 65_536;
        if (response.write(Buffer.alloc(65_536))) setImmediate(more);
        else response.once('drain', more);
      };
      response.on('close', () => (sent = -1e15));
      more();
    } else if (request.url === '/bomb')
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(50_000_000)));
    else if (request.url === '/br') response.writeHead(200, { 'content-encoding': 'br' }).end('x');
    else if (request.url === '/broken') response.writeHead(200, { 'content-encoding': 'gzip' }).end('no gzip at all');
    else response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('small'));
  });
  assert.equal((await ask(new URL('/fine', url))).body.toString(), 'small');
  for (const path of ['/announced', '/endless', '/bomb'])
    await assert.rejects(ask(new URL(path, url)), { code: 'FL_FETCH_LIMIT' }, path);
  for (const path of ['/br', '/broken']) await assert.rejects(ask(new URL(path, url)), { code: 'FL_FETCH_ENCODING' }, path);
  await waitFor('the server to be left alone', () => sent < 0, { timeoutMs: 5_000 });
});

test('a server that does not speak, or stops, costs its deadline and no more', async () => {
  const url = await serve((request, response) => {
    if (request.url === '/stops') response.writeHead(200, { 'content-length': '10' }).write('half');
    if (request.url === '/cut') {
      response.writeHead(200, { 'content-length': '10' }).write('half');
      setImmediate(() => request.socket.destroy());
    }
  });
  for (const path of ['/silent', '/stops', '/cut']) {
    await assert.rejects(ask(new URL(path, url), { timeoutMs: 1_000 }), (error: unknown) => {
      assert.ok(error instanceof Error && 'code' in error);
      assert.match(String(error.code), /^FL_FETCH_(TIMEOUT|CONNECT)$/, path);
      return true;
    });
  }
});

test('what may pass is tried again, as late as the server asks; what will not is not', async () => {
  const statuses = [503, 429, 200];
  let asked = 0;
  const url = await serve((_request, response) => {
    const status = statuses[asked] ?? 404;
    asked += 1;
    response.writeHead(status, status === 429 ? { 'retry-after': '7' } : {}).end('body');
  });
  const clock = new FakeClock();
  const patient = createFetcher({ connect, clock, rng: () => 0 });
  const pending = patient({ url, ca: pki.caCert, maxBytes: 1_000, timeoutMs: 60_000 });
  await waitFor('the first pause', () => clock.sleeping === 1, { timeoutMs: 5_000 });
  await clock.advance(50);
  await waitFor('the second pause', () => asked === 2 && clock.sleeping === 1, { timeoutMs: 5_000 });
  await clock.advance(6_900);
  assert.equal(clock.sleeping, 1);
  await clock.advance(200);
  assert.equal((await pending).status, 200);
  assert.equal(asked, 3);
  assert.equal((await patient({ url, ca: pki.caCert, maxBytes: 1_000 })).status, 404);
  assert.equal(asked, 4);
});

test('a server that asks for more patience than there is time gives an error that says when to come back', async () => {
  const url = await serve((_request, response) => response.writeHead(503, { 'retry-after': '120' }).end());
  await assert.rejects(ask(url, { timeoutMs: 5_000 }), { code: 'FL_FETCH_STATUS', retryAfterMs: 120_000 });
});

test('a host is asked for a few things at once, not for all', async () => {
  let now = 0;
  let most = 0;
  const held: ServerResponse[] = [];
  const url = await serve((_request, response) => {
    now += 1;
    most = Math.max(most, now);
    held.push(response);
  });
  const few = createFetcher({ connect, perHost: 2 });
  const all = Array.from({ length: 6 }, () => few({ url, ca: pki.caCert, maxBytes: 100 }));
  for (let done = 0; done < 6; done += 1) {
    await waitFor('a request', () => held.length > 0, { timeoutMs: 5_000 });
    now -= 1;
    held.shift()?.end('x');
  }
  await Promise.all(all);
  assert.equal(most, 2);
});

test('the content cache survives a restart, checks what it reads and keeps within its bound', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-cache-'));
  try {
    const cache = await openContentCache({ dir, clock: systemClock, maxBytes: 1_000 });
    const digest = await cache.put('a', Buffer.from('hello'));
    assert.equal(digest, sha256('hello'));
    const again = await openContentCache({ dir, clock: systemClock, maxBytes: 1_000 });
    assert.equal((await again.get('a', digest))?.toString(), 'hello');
    assert.equal(await again.get('b', digest), undefined);
    assert.equal(await again.get('a', 'sha256:../../etc/passwd'), undefined);
    const [name = ''] = await readdir(dir);
    await writeFile(join(dir, name), 'hellO');
    assert.equal(await again.get('a', digest), undefined);
    for (let i = 0; i < 10; i += 1) await again.put('a', Buffer.alloc(200, i));
    assert.ok((await readdir(dir)).length <= 5);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
});
