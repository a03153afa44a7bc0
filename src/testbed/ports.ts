import { createServer } from 'node:net';
import { codeOf, FairleadError, type Rng } from '#base';

// Below the ephemeral range of Linux (32768) and macOS (49152): no outgoing connection can take one of these away between
// our asking and the server's binding, or while a cluster restarts.
const FIRST = 20_000;
const COUNT = 12_000;
const handedOut = new Set<number>();

/** A port of the loopback that nobody listens on and that this process has not handed out before. Errors: FL_TESTBED_PORT. */
export async function choosePort(rng: Rng = Math.random): Promise<number> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const port = FIRST + Math.floor(rng() * COUNT);
    if (handedOut.has(port)) continue;
    handedOut.add(port);
    if (await isFree(port)) return port;
  }
  throw new FairleadError('FL_TESTBED_PORT', `found no free port on 127.0.0.1 from ${FIRST} to ${FIRST + COUNT - 1}`, {
    kind: 'unavailable',
  });
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => {
      if (codeOf(error) === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
