import { createServer } from 'node:net';
import { FairleadError } from '#base';

/** `preferred` if nobody listens there on the loopback, else any free port. */
export async function freePort(preferred: number): Promise<number> {
  return (await tryPort(preferred)) ?? (await tryPort(0)) ?? fail();
}

function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      const taken = typeof address === 'object' && address !== null ? address.port : undefined;
      server.close(() => resolve(taken));
    });
  });
}

function fail(): never {
  throw new FairleadError('FL_DEMO_PORT', 'no port is free on 127.0.0.1; end a program that listens there and run this again', {
    kind: 'unavailable',
  });
}
