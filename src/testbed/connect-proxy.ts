import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** An HTTP proxy for tests: tunnels to loopback, for those who know the password, and remembers to where. */
export class ConnectProxy implements AsyncDisposable {
  /** `host:port` of every tunnel that was opened. */
  readonly tunnels: string[] = [];
  /** Tunnels that were refused for want of the password. */
  refused = 0;
  readonly #server = createServer((_request, response) => response.writeHead(405).end());
  readonly #sockets = new Set<Socket>();
  readonly #password: string | undefined;
  #port = 0;

  private constructor(password: string | undefined) {
    this.#password = password;
    const expected = `Basic ${Buffer.from(`agent:${password ?? ''}`).toString('base64')}`;
    this.#server.on('connection', (socket) => this.#keep(socket));
    this.#server.on('connect', (request, client: Socket, head) => {
      client.on('error', () => client.destroy());
      if (password !== undefined && request.headers['proxy-authorization'] !== expected) {
        this.refused += 1;
        client.end('HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n');
        return;
      }
      const target = request.url ?? '';
      this.tunnels.push(target);
      const upstream = connect(Number(target.split(':').at(-1)), '127.0.0.1', () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        upstream.write(head);
        upstream.pipe(client).pipe(upstream);
      });
      this.#keep(upstream);
      upstream.on('error', () => client.destroy());
      client.on('close', () => upstream.destroy());
    });
  }

  static async start(password?: string): Promise<ConnectProxy> {
    const proxy = new ConnectProxy(password);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    // A listening TCP server has a port.
    proxy.#port = (proxy.#server.address() as AddressInfo).port;
    return proxy;
  }

  /** With the password, if there is one. */
  get url(): string {
    return `http://${this.#password === undefined ? '' : `agent:${encodeURIComponent(this.#password)}@`}127.0.0.1:${this.#port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
  }
}
