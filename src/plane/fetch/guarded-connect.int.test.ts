import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { after, before, test } from 'node:test';
import { EgressPolicy } from './egress-policy.ts';
import { createGuardedConnect } from './guarded-connect.ts';

let server: Server;
let port: number;
let accepted = 0;

before(async () => {
  server = createServer((socket) => {
    accepted += 1;
    // A client that goes away at once resets the connection.
    socket.on('error', () => undefined);
    socket.end('hello');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as AddressInfo).port;
});
after(() => server.close());

const open = new EgressPolicy({ allow: ['127.0.0.1/32'] });

test('a name whose addresses are refused is not connected to, and the words say which and what to do', async () => {
  const connect = createGuardedConnect(new EgressPolicy());
  const before = accepted;
  for (const host of ['localhost', '127.0.0.1', '[::1]', '::ffff:127.0.0.1', '2130706433', '0x7f.1', '0'])
    await assert.rejects(connect({ host, port }), (error: unknown) => {
      assert.ok(error instanceof Error && 'code' in error);
      // How the system's resolver reads odd forms is its own business; that none of them gets through is ours.
      assert.ok(error.code === 'FL_FETCH_ADDRESS' || error.code === 'FL_FETCH_CONNECT', error.message);
      if (host === 'localhost') assert.match(error.message, /localhost:\d+ is not connected to: .* loopback .*--allow-egress/);
      return true;
    });
  assert.equal(accepted, before);
});

test('only the allowed addresses of a name are used, and the name is resolved once', async () => {
  let asked = 0;
  const connect = createGuardedConnect(open, (host) => {
    asked += 1;
    assert.equal(host, 'rebound.example');
    // The second answer would be refused: nobody asks a second time.
    return Promise.resolve(asked === 1 ? ['169.254.169.254', '127.0.0.1'] : ['169.254.169.254']);
  });
  const socket = await connect({ host: 'rebound.example', port });
  assert.equal(socket.remoteAddress, '127.0.0.1');
  socket.destroy();
  assert.equal(asked, 1);
  await assert.rejects(connect({ host: 'rebound.example', port }), { code: 'FL_FETCH_ADDRESS' });
});

test('the next address is tried when one does not answer', async () => {
  const connect = createGuardedConnect(new EgressPolicy({ allow: ['127.0.0.0/8'] }), () =>
    Promise.resolve(['127.0.0.2', '127.0.0.1']),
  );
  const socket = await connect({ host: 'two.example', port });
  assert.equal(socket.remoteAddress, '127.0.0.1');
  socket.destroy();
});

test('a resolver that never answers ends at the deadline, and on abort', async () => {
  const connect = createGuardedConnect(open, () => new Promise(() => undefined));
  await assert.rejects(connect({ host: 'slow.example', port, timeoutMs: 50 }), /not resolved in time/);
  const controller = new AbortController();
  const pending = connect({ host: 'slow.example', port, signal: controller.signal });
  controller.abort();
  await assert.rejects(pending, { code: 'FL_FETCH_CONNECT' });
});

test('a closed port is named as what it is', async () => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port: free } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, 'close');
  await assert.rejects(createGuardedConnect(open)({ host: '127.0.0.1', port: free }), /connection refused/);
});
