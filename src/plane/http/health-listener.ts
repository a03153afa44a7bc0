import { createServer, type Server } from 'node:http';
import type { Listener } from './create-http.ts';

/**
 * Plain HTTP for probes: `/healthz`, `/livez` and `/readyz`, nothing else, no body read, no credential looked at. It has a port of
 * its own so that a probe never waits behind TLS handshakes of a fleet that comes back.
 */
export class HealthListener {
  readonly #server: Server;

  constructor(readiness: () => Promise<{ readonly isReady: boolean; readonly words: string }>) {
    this.#server = createServer({ maxHeaderSize: 8192, headersTimeout: 5000, requestTimeout: 5000 }, (request, response) => {
      const answer = (status: number, words: string): void => {
        response.writeHead(status, {
          'content-type': 'text/plain; charset=utf-8',
          'x-content-type-options': 'nosniff',
          connection: 'close',
        });
        response.end(request.method === 'HEAD' ? undefined : words);
      };
      if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'only GET');
      switch ((request.url ?? '').split('?')[0]) {
        case '/healthz':
        case '/livez':
          return answer(200, 'ok');
        case '/readyz':
          void readiness().then(
            ({ isReady, words }) => answer(isReady ? 200 : 503, words),
            () => answer(503, 'readiness cannot be told'),
          );
          return;
        default:
          return answer(404, 'not here');
      }
    });
    this.#server.maxConnections = 100;
  }

  async listen(host: string, port: number): Promise<Listener> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    const address = this.#server.address();
    const actual = typeof address === 'object' && address !== null ? address.port : port;
    return { url: `http://${host.includes(':') ? `[${host}]` : host}:${actual}`, port: actual };
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
