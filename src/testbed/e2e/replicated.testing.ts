import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { waitFor, type Sensitive } from '#base';
import { startPostgres, type PostgresServer } from '../../plane/store/testing/postgres-server.ts';
import { startChild, type Child } from '../demo/child.ts';
import { freePort } from '../demo/free-port.ts';
import { Fleet, type FleetOptions } from './fleet.ts';

const root = resolve(import.meta.dirname, '..', '..', '..');

/** A fleet whose plane is two processes on one PostgreSQL (`fleet.plane` and `first`), with a balancer before them for the agents. */
export class ReplicatedFleet implements AsyncDisposable {
  readonly dir: string;
  readonly server: PostgresServer;
  readonly url: Sensitive<string>;
  /** What every process, and every command on their database and keys, is given. */
  readonly database: readonly string[];
  readonly keys: readonly string[];
  readonly fleet: Fleet;
  readonly first: Replica;
  readonly balancer: Balancer;

  private constructor(
    parts: Pick<ReplicatedFleet, 'dir' | 'server' | 'url' | 'database' | 'keys' | 'fleet' | 'first' | 'balancer'>,
  ) {
    this.dir = parts.dir;
    this.server = parts.server;
    this.url = parts.url;
    this.database = parts.database;
    this.keys = parts.keys;
    this.fleet = parts.fleet;
    this.first = parts.first;
    this.balancer = parts.balancer;
  }

  /** Both processes start at once, on an empty database and an empty key directory. No cluster is enrolled yet. */
  static async start(clusters: FleetOptions['clusters'], more: Omit<FleetOptions, 'clusters'> = {}): Promise<ReplicatedFleet> {
    await using stack = new AsyncDisposableStack();
    const dir = mkdtempSync(join(tmpdir(), 'fairlead-replicas-'));
    // To look at logs afterwards.
    if (process.env['FAIRLEAD_TEST_KEEP'] === undefined) stack.defer(() => rmSync(dir, { recursive: true, force: true }));
    const server = await startPostgres();
    stack.defer(() => server.destroy());
    const url = await server.createDatabase();
    const urlFile = join(dir, 'database-url');
    writeFileSync(urlFile, `${url.reveal()}\n`, { mode: 0o600 });
    const database = ['--database-url-file', urlFile];
    const keys = ['--keys', join(dir, 'keys')];
    const planeArgs = [...database, ...keys];
    const first = new Replica('first', await freePort(0), dir, planeArgs);
    stack.defer(() => first.stop());
    const late = Object.entries(clusters).map(([name, one]) => [name, { ...one, isLate: true }] as const);
    const [fleet] = await Promise.all([
      Fleet.start({ ...more, clusters: Object.fromEntries(late), planeArgs: [...planeArgs, ...(more.planeArgs ?? [])] }),
      first.start(),
    ]);
    stack.use(fleet);
    const balancer = await Balancer.listen([first.port, Number(new URL(fleet.planeUrl).port)]);
    stack.defer(() => balancer.close());
    fleet.agentPlaneUrl = `https://127.0.0.1:${balancer.port}`;
    const started = new ReplicatedFleet({ dir, server, url, database, keys, fleet, first, balancer });
    started.#stack = stack.move();
    return started;
  }

  #stack: AsyncDisposableStack | undefined;

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack?.disposeAsync();
  }
}

/** A further process of the plane. */
export class Replica {
  readonly name: string;
  readonly port: number;
  child: Child | undefined;
  readonly #dir: string;
  readonly #args: readonly string[];

  /** `dir`: for its log and its own data; `args`: what every process of the plane is given. */
  constructor(name: string, port: number, dir: string, args: readonly string[]) {
    this.name = name;
    this.port = port;
    this.#dir = dir;
    this.#args = args;
  }

  get log(): string {
    return join(this.#dir, `${this.name}.log`);
  }

  async start(roles?: string): Promise<void> {
    this.child = startChild(
      [
        join(root, 'src/cli/main.ts'),
        'plane',
        '--data',
        join(this.#dir, this.name),
        '--listen',
        `127.0.0.1:${this.port}`,
        '--console',
        'off',
        '--allow-http-urls',
        '--allow-egress',
        '127.0.0.0/8',
        ...this.#args,
        ...(roles === undefined ? [] : ['--roles', roles]),
      ],
      this.log,
    );
    const before = this.ups();
    await waitFor(`${this.name} to be up`, () => this.ups() > before, { timeoutMs: 120_000 });
  }

  /** How often it has come up. */
  ups(): number {
    return this.count('the plane is up');
  }

  count(words: string): number {
    try {
      return readFileSync(this.log, 'utf8').split(words).length - 1;
    } catch {
      return 0;
    }
  }

  signal(name: NodeJS.Signals): void {
    assert.ok(this.child);
    process.kill(this.child.pid, name);
  }

  async stop(): Promise<void> {
    await this.child?.stop(5_000);
  }
}

/** Hands each connection to the next backend that takes it, as a load balancer without memory. */
export class Balancer {
  readonly port: number;
  readonly taken = new Map<number, number>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(listening: Server, port: number) {
    this.#server = listening;
    this.port = port;
  }

  static async listen(backends: readonly number[]): Promise<Balancer> {
    let next = 0;
    const listening = createServer({ pauseOnConnect: true }, (client) => {
      const from = next++;
      balance.#keep(client);
      const attempt = (n: number): void => {
        const port = backends[(from + n) % backends.length];
        if (port === undefined || n === backends.length) {
          client.destroy();
          return;
        }
        const upstream = connect(port, '127.0.0.1');
        upstream.once('error', () => attempt(n + 1));
        upstream.once('connect', () => {
          balance.taken.set(port, (balance.taken.get(port) ?? 0) + 1);
          balance.#keep(upstream);
          upstream.removeAllListeners('error');
          for (const [one, other] of [
            [client, upstream],
            [upstream, client],
          ] as const) {
            one.on('error', () => other.destroy());
            one.on('close', () => other.destroy());
            one.pipe(other);
          }
          client.resume();
        });
      };
      attempt(0);
    }).listen(0, '127.0.0.1');
    await once(listening, 'listening');
    const address = listening.address();
    assert.ok(address !== null && typeof address === 'object');
    const balance: Balancer = new Balancer(listening, address.port);
    return balance;
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await once(this.#server, 'close');
  }
}
