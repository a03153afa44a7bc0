/** The way to the plane through an HTTP proxy. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { systemClock } from '#base';
import { ConnectProxy } from '../../testbed/connect-proxy.ts';
import { TestPlane } from '../testing/plane.ts';
import { createPlaneClient, type PlaneClient } from './plane-client.ts';

const keys = { method: 'GET', path: '/agent/v1/keys', timeoutMs: 10_000, maxResponseBytes: 1_000_000 } as const;
let plane: TestPlane;

before(async () => {
  plane = await TestPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

const clientBy = (proxy?: string): PlaneClient =>
  createPlaneClient({
    url: plane.url,
    userAgent: 'test',
    clock: systemClock,
    ...(proxy === undefined ? {} : { proxy }),
  });

const planeIdOf = (answer: Buffer): string => {
  // What the plane of the tests answers.
  const { keySet } = JSON.parse(answer.toString('utf8')) as { keySet: { payload: string } };
  return (JSON.parse(Buffer.from(keySet.payload, 'base64').toString('utf8')) as { planeId: string }).planeId;
};

test('calls tunnel through the proxy, with its password, and TLS is with the plane', async () => {
  await using proxy = await ConnectProxy.start('s3cret');
  const client = clientBy(proxy.url);
  const direct = clientBy();
  try {
    await client.callUntrusted(keys);
    await assert.rejects(client.call(keys), /certificate|self.signed|unable to verify/, 'nobody is trusted yet');
    client.trust(plane.keySet().tlsAuthorities);
    assert.equal(planeIdOf(await client.call(keys)), planeIdOf(await direct.callUntrusted(keys)));
    assert.deepEqual([...new Set(proxy.tunnels)], [new URL(plane.url).host]);
    const opened = proxy.tunnels.length;
    await client.call(keys);
    assert.equal(proxy.tunnels.length, opened, 'a tunnel is kept');
  } finally {
    client.close();
    direct.close();
  }
});

test('a proxy that refuses, or is not there, is said; its password never', async () => {
  const proxy = await ConnectProxy.start('s3cret');
  const refused = clientBy(proxy.url.replace('s3cret', 'wr0ng'));
  const gone = clientBy(proxy.url);
  try {
    const saysProxy = (error: Error): boolean =>
      /proxy/i.test(error.message) && !/s3cret|wr0ng/.test(`${error.message} ${String(error.cause)} ${error.stack}`);
    await assert.rejects(refused.callUntrusted(keys), saysProxy);
    assert.equal(proxy.refused, 1);
    await proxy[Symbol.asyncDispose]();
    await assert.rejects(gone.callUntrusted(keys), saysProxy);
  } finally {
    refused.close();
    gone.close();
  }
});

test('what is no address of a proxy is refused at once, without being repeated', () => {
  for (const text of [
    'proxy:3128',
    'https://proxy:3128',
    'http://user:s3cret@proxy/path',
    'socks5://proxy',
    'http://u:s3cret@',
    'http://u:s3cret%@proxy',
  ]) {
    assert.throws(
      () => clientBy(text),
      (error: Error) => 'code' in error && error.code === 'FL_PLANE_PROXY' && !error.message.includes('s3cret'),
      text,
    );
  }
});
