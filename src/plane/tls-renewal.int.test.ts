import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import { FakeClock, silentLog, supervise, waitFor, type Log } from '#base';
import { createHttp, jsonResponse, type Http } from '#plane/http';
import { openKeys, type PlaneKeys } from '#plane/keys';
import { tlsRenewal } from './key-watch.ts';

const DAY = 86_400_000;
const dir = mkdtempSync(join(tmpdir(), 'fairlead-tls-'));
after(() => rmSync(dir, { recursive: true, force: true }));

/** Sleeps minute by minute as told, and may jump over months in which nobody is awake. */
class JumpingClock extends FakeClock {
  #jumpedMs = 0;

  override now(): number {
    return super.now() + this.#jumpedMs;
  }

  jump(ms: number): void {
    this.#jumpedMs += ms;
  }
}

/** A listener of a process with these keys, and its renewal under way. */
async function serve(keys: PlaneKeys, clock: FakeClock, held: (() => void)[], log: Log = silentLog): Promise<Serving> {
  const http = await createHttp({ log: silentLog, version: {}, limits: { drainMs: 100 } });
  http.authenticate(() => ({ type: 'admin', name: 'ada' }));
  const permission = { allow: 'public' } as const;
  http.route({ surface: 'views', method: 'GET', path: '/views/v1/now', permission, handler: () => jsonResponse(200, {}) });
  http.route({
    surface: 'views',
    method: 'GET',
    path: '/views/v1/held',
    permission,
    handler: async () => {
      await new Promise<void>((resolve) => held.push(resolve));
      return jsonResponse(200, { isHeld: true });
    },
  });
  http.live({
    path: '/live',
    permission,
    handler: (socket) => socket.on('message', (data: Buffer) => socket.send(data.toString())),
  });
  const stop = new AbortController();
  const running = supervise([tlsRenewal({ keys, http, clock, log })], stop.signal, { log: silentLog, clock });
  const { port } = await http.listenTls({
    host: '127.0.0.1',
    port: 0,
    tls: { cert: keys.tls.cert, key: keys.tls.key.reveal() },
  });
  return {
    http,
    port,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await http.stop();
    },
  };
}

interface Serving extends AsyncDisposable {
  readonly http: Http;
  readonly port: number;
}

/** Serial number of what a new connection is shown, checked as a client does. */
async function shown(port: number, ca: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, ca, servername: 'localhost' });
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

function get(port: number, path: string, agent: Agent): Promise<{ body: string; from: number | undefined; serial: string }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: 'Bearer x' };
    const asked = request({ host: '127.0.0.1', port, path, agent, headers }, (response) => {
      const socket = response.socket as TLSSocket; // of an https request
      const { localPort: from } = socket;
      const serial = socket.getPeerCertificate().serialNumber;
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('end', () => resolve({ body, from, serial }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

test(
  'two processes renew their certificate while they run: new connections get the same new one, open ones go on',
  { timeout: 60_000 },
  async () => {
    // Of ten months ago, so that the real clock of the clients takes the old certificate and the new one.
    const clock = new JumpingClock(Date.now() - 310 * DAY);
    const keysDir = join(dir, 'keys');
    const [one, two] = [await openKeys({ dir: keysDir, clock }), await openKeys({ dir: keysDir, clock })];
    const held: (() => void)[] = [];
    await using first = await serve(one, clock, held);
    await using second = await serve(two, clock, held);
    const { ca } = one.tls;
    const before = await shown(first.port, ca);
    assert.equal(await shown(second.port, ca), before);

    const idle = new Agent({ keepAlive: true, maxSockets: 1, ca });
    const busy = new Agent({ keepAlive: true, maxSockets: 1, ca });
    const kept = await get(first.port, '/views/v1/now', idle);
    const waiting = get(first.port, '/views/v1/held', busy);
    const socket = new WebSocket(`wss://127.0.0.1:${first.port}/live`, { ca });
    await once(socket, 'open');
    await waitFor('the held request to arrive', () => held.length === 1, { timeoutMs: 10_000 });

    await waitFor('both to wait for their next look', () => clock.sleeping === 2, { timeoutMs: 10_000 });
    clock.jump(309 * DAY);
    await clock.advance(60_000);
    for (const { port } of [first, second]) {
      await waitFor(
        'the new certificate',
        async () => {
          await clock.advance(60_000);
          const [a, b] = [await shown(first.port, ca), await shown(second.port, ca)];
          return a !== before && a === b;
        },
        { timeoutMs: 20_000 },
      );
      assert.notEqual(await shown(port, ca), before);
    }
    assert.equal(one.tls.ca, ca, 'by the same authority');

    assert.equal((await get(first.port, '/views/v1/now', idle)).from, kept.from, 'an idle connection is used again');
    socket.send('still here');
    const [answer] = (await once(socket, 'message')) as [Buffer];
    assert.equal(answer.toString(), 'still here');
    held[0]?.();
    const late = await waiting;
    assert.deepEqual([late.body, late.serial], ['{"isHeld":true}', before], 'what was under way is answered');
    socket.close();
    idle.destroy();
    busy.destroy();
    const metrics = await get(first.port, '/metrics', new Agent({ ca })).then(({ body }) => body);
    const notAfter = Number(/^fairlead_tls_certificate_not_after_seconds (\d+)$/m.exec(metrics)?.[1]);
    assert.ok(notAfter * 1000 > Date.now() + 300 * DAY, metrics);
  },
);

test('a certificate that cannot be renewed stays, is said once, and is renewed when it can be', { timeout: 60_000 }, async () => {
  const clock = new JumpingClock(Date.now() - 310 * DAY);
  const keysDir = join(dir, 'damaged');
  const keys = await openKeys({ dir: keysDir, clock });
  const said: string[] = [];
  const log: Log = { ...silentLog, error: (_fields, message) => void said.push(message) };
  await using serving = await serve(keys, clock, [], log);
  const before = await shown(serving.port, keys.tls.ca);
  const whole = JSON.stringify({ cert: keys.tls.cert, key: keys.tls.key.reveal() });
  writeFileSync(join(keysDir, 'server.json'), '{');
  await waitFor('it to wait', () => clock.sleeping === 1, { timeoutMs: 10_000 });
  clock.jump(309 * DAY);
  await clock.advance(60_000);
  await waitFor('the failure to be said', () => said.length > 0, { timeoutMs: 10_000 });
  await clock.advance(60_000);
  assert.equal(await shown(serving.port, keys.tls.ca), before);
  assert.deepEqual(said, ['the certificate of the API cannot be renewed']);
  writeFileSync(join(keysDir, 'server.json'), whole);
  await waitFor(
    'the renewal',
    async () => {
      await clock.advance(60_000);
      return (await shown(serving.port, keys.tls.ca)) !== before;
    },
    { timeoutMs: 20_000 },
  );
});
