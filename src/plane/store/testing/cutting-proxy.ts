import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface CuttingProxy {
  readonly port: number;
  /** Cuts made so far. */
  readonly cuts: number;
  close(): Promise<void>;
}

/**
 * Between a client and PostgreSQL. `when` is asked at each COMMIT: 'before' cuts the connection without handing it on,
 * 'after' hands it on and swallows the answer, undefined lets it pass.
 */
export async function startCuttingProxy(port: number, when: () => 'before' | 'after' | undefined): Promise<CuttingProxy> {
  const sockets = new Set<Socket>();
  let cuts = 0;
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    let isCut = false;
    client.on('data', (chunk: Buffer) => {
      if (isCut) return;
      const cut = chunk.includes('COMMIT\0') ? when() : undefined;
      if (cut === undefined) {
        upstream.write(chunk);
        return;
      }
      isCut = true;
      cuts += 1;
      // Half of what was sent at once reaches the server, or all of it.
      if (cut === 'before') client.destroy();
      else upstream.write(chunk, () => client.destroy());
    });
    upstream.on('data', (chunk: Buffer) => {
      if (!isCut) client.write(chunk);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return {
    port: address.port,
    get cuts() {
      return cuts;
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
