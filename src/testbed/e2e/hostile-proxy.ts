import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

export interface ProxyAnswer {
  readonly status: number;
  readonly body: Buffer;
}

export interface ProxyRequest {
  readonly method: string;
  readonly path: string;
  readonly body: Buffer;
}

/**
 * Stands between agents and their plane with the plane's own TLS key, so that nothing but the signatures protects them:
 * forwards, records, and answers what a test says instead.
 */
export class HostileProxy implements AsyncDisposable {
  readonly url: string;
  /** Answers instead of the plane; undefined: as the plane answers. */
  instead: ((request: ProxyRequest) => ProxyAnswer | undefined) | undefined;
  /** Changes what the plane answered. */
  change: ((request: ProxyRequest, answer: ProxyAnswer) => ProxyAnswer) | undefined;
  /** What the plane answered, newest last. */
  readonly seen: { readonly request: ProxyRequest; readonly answer: ProxyAnswer }[] = [];
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true, rejectUnauthorized: false });
  readonly #held = new Set<ServerResponse>();

  private constructor(server: Server) {
    this.#server = server;
    this.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`; // it listens on a port
  }

  static async start(planeUrl: string, planeDir: string): Promise<HostileProxy> {
    const pair = JSON.parse(readFileSync(join(planeDir, 'keys', 'server.json'), 'utf8')) as { key: string; cert: string };
    const holder: { proxy?: HostileProxy } = {};
    const server = createServer({ key: pair.key, cert: pair.cert }, (request, response) => {
      void holder.proxy?.serve(planeUrl, request, response).catch(() => response.destroy());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    holder.proxy = new HostileProxy(server);
    return holder.proxy;
  }

  /** Cuts every request that the plane holds, so that agents ask again now. */
  cut(): void {
    for (const response of this.#held) response.destroy();
  }

  async serve(planeUrl: string, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of incoming) chunks.push(chunk as Buffer); // no encoding is set
    const request: ProxyRequest = { method: incoming.method ?? '', path: incoming.url ?? '', body: Buffer.concat(chunks) };
    this.#held.add(response);
    response.on('close', () => this.#held.delete(response));
    const given = this.instead?.(request);
    if (given !== undefined) {
      response.writeHead(given.status, { 'content-type': 'application/json' }).end(given.body);
      return;
    }
    const answer = await this.#forward(planeUrl, request, incoming, response);
    this.seen.push({ request, answer });
    if (this.seen.length > 500) this.seen.shift();
    const changed = this.change?.(request, answer) ?? answer;
    response.writeHead(changed.status, { 'content-type': 'application/json' }).end(changed.body);
  }

  #forward(planeUrl: string, given: ProxyRequest, incoming: IncomingMessage, response: ServerResponse): Promise<ProxyAnswer> {
    return new Promise((resolve, reject) => {
      const { authorization } = incoming.headers;
      const outgoing = httpsRequest(
        new URL(given.path, planeUrl),
        {
          method: given.method,
          agent: this.#agent,
          headers: {
            ...(authorization === undefined ? {} : { authorization }),
            ...(given.body.length === 0 ? {} : { 'content-type': 'application/json', 'content-length': given.body.length }),
          },
        },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.on('error', reject);
          answer.on('end', () => resolve({ status: answer.statusCode ?? 502, body: Buffer.concat(chunks) }));
        },
      );
      outgoing.on('error', reject);
      response.on('close', () => outgoing.destroy());
      outgoing.end(given.body);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#agent.destroy();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
