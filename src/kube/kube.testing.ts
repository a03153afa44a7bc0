import { connect, createServer, type Socket } from 'node:net';
import { silentLog } from '#base';
import type { ClusterHandle } from '#testbed';
import { createKubeClient, type KubeClient } from './client.ts';
import { createRestMapper, type RestMapper } from './discovery.ts';
import { loadKubeconfig } from './kubeconfig.ts';

/** A client and a mapper for a cluster of the testbed; `using` closes the client. */
export interface ClusterUnderTest extends Disposable {
  readonly client: KubeClient;
  readonly mapper: RestMapper;
}

export async function connectTo(
  cluster: Pick<ClusterHandle, 'kubeconfig'>,
  userAgent = 'fairlead-test/0',
): Promise<ClusterUnderTest> {
  const client = createKubeClient({ access: await loadKubeconfig(cluster.kubeconfig), userAgent, log: silentLog });
  return {
    client,
    mapper: createRestMapper({ client, log: silentLog, minRefreshMs: 0 }),
    [Symbol.dispose]: () => client.close(),
  };
}

/** Canonical bytes of an object, as the renderer would hand them over. */
export function bytesOf(object: unknown): Buffer {
  return Buffer.from(JSON.stringify(object));
}

/** A TCP relay in front of an API server, whose connections can be cut or made to hang. */
export interface Relay extends AsyncDisposable {
  /** `https://127.0.0.1:port`; the certificate of the API server is valid for it. */
  readonly server: string;
  /** Ends every connection without a word. */
  cut(): void;
  /** Passes nothing on any more, in either direction, until told otherwise. */
  hang(isHanging: boolean): void;
  readonly connections: number;
}

export async function relayTo(server: string): Promise<Relay> {
  const target = new URL(server);
  const pairs = new Set<readonly [Socket, Socket]>();
  let isHanging = false;
  let connections = 0;
  const listener = createServer((near) => {
    connections += 1;
    const far = connect(Number(target.port), target.hostname);
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      if (isHanging) from.pause();
      from.on('data', (chunk) => to.write(chunk));
      from.on('error', () => to.destroy());
      from.on('close', () => {
        to.destroy();
        pairs.delete(pair);
      });
      if (isHanging) from.pause();
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const cut = (): void => pairs.forEach((pair) => pair.forEach((socket) => socket.destroy()));
  return {
    server: `https://127.0.0.1:${port}`,
    cut,
    hang(hanging) {
      isHanging = hanging;
      for (const socket of [...pairs].flat()) {
        if (hanging) socket.pause();
        else socket.resume();
      }
    },
    get connections() {
      return connections;
    },
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        listener.close(() => resolve());
        cut();
      }),
  };
}

/** A client of `cluster` through another address. */
export async function connectThrough(cluster: Pick<ClusterHandle, 'kubeconfig'>, server: string): Promise<KubeClient> {
  const access = await loadKubeconfig(cluster.kubeconfig);
  return createKubeClient({ access: { ...access, server }, userAgent: 'fairlead-test/0', log: silentLog });
}
