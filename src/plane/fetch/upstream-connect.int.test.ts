import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { waitFor } from '#base';
import { ConnectProxy } from '../../testbed/connect-proxy.ts';
import { EgressPolicy } from './egress-policy.ts';
import { createGuardedConnect, type GuardedConnect, type Resolve } from './guarded-connect.ts';
import { createUpstreamConnect } from './upstream-connect.ts';

let server: Server;
let port: number;

before(async () => {
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    // As an ssh server does, it speaks first.
    socket.write('hello\n');
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
after(() => server.close());

const unknown: Resolve = () => Promise.reject(Object.assign(new Error('nobody'), { code: 'ENOTFOUND' }));
const never: GuardedConnect = () => Promise.reject(new Error('connected directly'));

async function said(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  let heard = '';
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
  while (!heard.endsWith(text)) await once(socket, 'data');
  socket.destroy();
  return heard;
}

test('a name that only the proxy knows is tunnelled to, with the password, and no byte is lost', async () => {
  await using proxy = await ConnectProxy.start('p@ss:w%rd');
  const connect = createUpstreamConnect({ proxy: proxy.url }, new EgressPolicy(), never, unknown);
  assert.equal(await said(await connect({ host: 'git.inside.example', port }), 'bye\n'), 'hello\nbye\n');
  assert.deepEqual(proxy.tunnels, [`git.inside.example:${port}`]);
});

test('what the policy refuses does not reach the proxy: addresses, and names the plane can resolve', async () => {
  await using proxy = await ConnectProxy.start();
  const to = (resolve: Resolve): GuardedConnect =>
    createUpstreamConnect({ proxy: proxy.url }, new EgressPolicy(), never, resolve);
  for (const host of ['127.0.0.1', '[::1]', '169.254.169.254', '[::ffff:169.254.169.254]'])
    await assert.rejects(to(unknown)({ host, port }), { code: 'FL_FETCH_ADDRESS' }, host);
  await assert.rejects(to(() => Promise.resolve(['169.254.169.254']))({ host: 'metadata.example', port }), {
    code: 'FL_FETCH_ADDRESS',
  });
  assert.deepEqual(proxy.tunnels, []);
  (await to(() => Promise.resolve(['93.184.215.14']))({ host: 'known.example', port })).destroy();
  assert.deepEqual(proxy.tunnels, [`known.example:${port}`]);
});

test('a name with one address that is refused is not tunnelled to: which of them the proxy takes, nobody knows', async () => {
  await using proxy = await ConnectProxy.start();
  const both: Resolve = () => Promise.resolve(['93.184.215.14', '169.254.169.254']);
  const connect = createUpstreamConnect({ proxy: proxy.url }, new EgressPolicy(), never, both);
  await assert.rejects(connect({ host: 'rebind.example', port }), { code: 'FL_FETCH_ADDRESS' });
  assert.deepEqual(proxy.tunnels, []);
});

test('what one resolver takes for a name and another for an address does not reach the proxy', async () => {
  await using proxy = await ConnectProxy.start();
  const connect = createUpstreamConnect({ proxy: proxy.url }, new EgressPolicy(), never, unknown);
  for (const host of [
    '2130706433',
    '0x7f000001',
    '0X7F.1',
    '127.1',
    '0177.0.0.1',
    '169.254.169.254.',
    '1.2.3',
    'localhost',
    'a.LOCALHOST.',
  ])
    await assert.rejects(connect({ host, port }), { code: 'FL_FETCH_ADDRESS' }, host);
  assert.deepEqual(proxy.tunnels, []);
  for (const host of ['1password.example', 'git.0x7f.example', '10.example', 'localhost.example'])
    (await connect({ host, port })).destroy();
  assert.equal(proxy.tunnels.length, 4);
});

test('nothing of a host gets into the request but as its name', async () => {
  await using proxy = await ConnectProxy.start();
  const connect = createUpstreamConnect({ proxy: proxy.url }, new EgressPolicy(), never, unknown);
  for (const host of ['a.example\r\nx: y', 'a.example b', 'a.example\0'])
    await assert.rejects(connect({ host, port }), { code: 'FL_FETCH_CONNECT' }, JSON.stringify(host));
  assert.deepEqual(proxy.tunnels, []);
});

test('an open tunnel outlives the time that opening it may take', async () => {
  await using proxy = await ConnectProxy.start();
  const connect = createUpstreamConnect({ proxy: proxy.url }, new EgressPolicy(), never, unknown);
  const opened = performance.now();
  const socket = await connect({ host: 'git.inside.example', port, timeoutMs: 300 });
  await waitFor('the deadline passes', () => performance.now() > opened + 600, { timeoutMs: 5_000 });
  assert.equal(await said(socket, 'bye\n'), 'hello\nbye\n');
});

test('a resolver that does not answer holds nobody up', async () => {
  await using proxy = await ConnectProxy.start();
  const connect = createUpstreamConnect({ proxy: proxy.url }, new EgressPolicy(), never, () => new Promise(() => undefined));
  (await connect({ host: 'git.inside.example', port })).destroy();
  assert.equal(proxy.tunnels.length, 1);
});

test('hosts that are named go directly, under the same policy', async () => {
  await using proxy = await ConnectProxy.start();
  const policy = new EgressPolicy({ allow: ['127.0.0.0/8'] });
  const direct = createGuardedConnect(policy, () => Promise.resolve(['127.0.0.1']));
  const connect = createUpstreamConnect(
    { proxy: proxy.url, direct: ['.corp.example', 'GIT.example', '127.0.0.1'] },
    policy,
    direct,
    unknown,
  );
  for (const host of ['a.corp.example', 'git.example', '127.0.0.1']) (await connect({ host, port })).destroy();
  assert.deepEqual(proxy.tunnels, []);
  for (const host of ['corp.example.org', 'agit.example']) (await connect({ host, port })).destroy();
  assert.equal(proxy.tunnels.length, 2);
});

test('a proxy that refuses, is gone or is none is said, and its password never', async () => {
  const proxy = await ConnectProxy.start('s3cret');
  const by = (url: string): GuardedConnect => createUpstreamConnect({ proxy: url }, new EgressPolicy(), never, unknown);
  const says = (words: RegExp) => (error: Error) =>
    words.test(error.message) && !/s3cret|wr0ng/.test(`${error.stack} ${String(error.cause)}`);
  const target = { host: 'git.inside.example', port };
  await assert.rejects(
    by(proxy.url.replace('s3cret', 'wr0ng'))(target),
    says(/git\.inside\.example:\d+: the proxy .* wants a user name/),
  );
  await proxy[Symbol.asyncDispose]();
  await assert.rejects(by(proxy.url)(target), says(/the proxy 127\.0\.0\.1:\d+ cannot be reached/));
  await assert.rejects(by(`http://127.0.0.1:${port}`)({ ...target, timeoutMs: 2_000 }), says(/the proxy/));
  for (const none of ['https://u:s3cret@proxy', 'http://u:s3cret%@proxy']) assert.throws(() => by(none), says(/--egress-proxy/));
});
