import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { Delivery, Release } from '#api';
import { waitFor, type Sensitive } from '#base';
import { testbedMissing } from '#testbed';
import { openPostgresStore } from '../../plane/store/postgres/postgres-store.ts';
import {
  POSTGRES_MISSING,
  postgresPrograms,
  startPostgres,
  type PostgresServer,
} from '../../plane/store/testing/postgres-server.ts';
import { startChild, type Child } from '../demo/child.ts';
import { freePort } from '../demo/free-port.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = postgresPrograms() === undefined ? POSTGRES_MISSING : testbedMissing();
const root = resolve(import.meta.dirname, '..', '..', '..');

let server: PostgresServer;
let url: Sensitive<string>;
let dir: string;
let fleet: Fleet;
let first: Replica;
let balancer: Balancer;

before(async () => {
  if (skip !== false) return;
  dir = mkdtempSync(join(tmpdir(), 'fairlead-replicas-'));
  server = await startPostgres();
  url = await server.createDatabase();
  writeFileSync(join(dir, 'database-url'), `${url.reveal()}\n`, { mode: 0o600 });
  // Both start at once, on an empty database and an empty key directory.
  first = new Replica('first', await freePort(0));
  const planeArgs = shared();
  [fleet] = await Promise.all([
    Fleet.start({ clusters: { dev: { on: 'a', isLate: true }, eu: { on: 'b', isLate: true } }, planeArgs }),
    first.start(),
  ]);
  balancer = await Balancer.listen([first.port, Number(new URL(fleet.planeUrl).port)]);
  fleet.agentPlaneUrl = `https://127.0.0.1:${balancer.port}`;
  await fleet.enroll('dev');
  await fleet.enroll('eu');
});

after(async () => {
  if (skip !== false) return;
  await fleet?.[Symbol.asyncDispose]();
  await first?.stop();
  await balancer?.close();
  await server?.destroy();
  if (process.env['FAIRLEAD_TEST_KEEP'] === undefined) rmSync(dir, { recursive: true, force: true });
});

/** What every process of the plane is given. */
function shared(): readonly string[] {
  return ['--database-url-file', join(dir, 'database-url'), '--keys', join(dir, 'keys')];
}

/** A further process of the plane. */
class Replica {
  readonly name: string;
  readonly port: number;
  child: Child | undefined;

  constructor(name: string, port: number) {
    this.name = name;
    this.port = port;
  }

  get log(): string {
    return join(dir, `${this.name}.log`);
  }

  async start(roles?: string): Promise<void> {
    this.child = startChild(
      [
        join(root, 'src/cli/main.ts'),
        'plane',
        '--data',
        join(dir, this.name),
        '--listen',
        `127.0.0.1:${this.port}`,
        '--console',
        'off',
        '--allow-http-urls',
        '--allow-egress',
        '127.0.0.0/8',
        ...shared(),
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
class Balancer {
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

const clusters = ['dev', 'eu'] as const;
let version = 0;

/** Commits the next version; the commit. */
function next(): Promise<string> {
  version += 1;
  return fleet.git.commit('fleet', { 'web/one.yaml': configMapYaml('one', { n: String(version) }) }, `Version ${version}`);
}

async function arrived(commit: string): Promise<void> {
  for (const cluster of clusters) {
    await fleet.ready('web', cluster, commit, 120_000);
    assert.equal((await fleet.configMap(cluster, fleet.ns('web'), 'one'))?.data?.['n'], String(version));
  }
}

/** Every version made one Release, and the numbers have no gap: nothing was lost and nothing was made twice. */
async function assertOneReleaseEach(): Promise<void> {
  const releases = await fleet.list(Release, 'default');
  assert.deepEqual(
    releases.map((one) => one.spec.number).toSorted((a, b) => a - b),
    Array.from({ length: version }, (_, n) => n + 1),
  );
  for (const delivery of await fleet.list(Delivery, 'default')) assert.equal(delivery.spec.wanted?.number, version);
}

/** The token under which a process took a lease last, by its log. */
function tokenOf(log: string, role: string): number {
  const tokens = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line.includes('controllers started') && line.includes(`"lease":"${role}"`))
    .map((line) => Number(/"token":(\d+)/.exec(line)?.[1]));
  return Math.max(0, ...tokens);
}

function leader(role: string): 'first' | 'fleet' {
  return tokenOf(first.log, role) > tokenOf(fleet.plane.log, role) ? 'first' : 'fleet';
}

/** Both run, and the first leads. */
async function firstLeads(): Promise<void> {
  const isSo = (): boolean => leader('render') === 'first' && leader('controllers') === 'first';
  if (isSo()) return;
  await fleet.plane.stop(5_000);
  await waitFor('the first to lead', isSo, { timeoutMs: 60_000 });
  await fleet.startPlane();
}

test('two processes on one database deliver as one plane, whichever an agent comes to', { skip, timeout: 300_000 }, async () => {
  const commit = await next();
  await fleet.look();
  await fleet.application('web');
  await arrived(commit);
  await assertOneReleaseEach();
  assert.equal(balancer.taken.size, 2, 'agents came to both');
  assert.equal(Math.min(tokenOf(first.log, 'render'), tokenOf(fleet.plane.log, 'render')), 0, 'one of them renders');
});

test(
  'the process that leads is killed in the middle of a commit: the other goes on, nothing is lost or doubled',
  { skip, timeout: 300_000 },
  async () => {
    await firstLeads();
    const commit = await next();
    await fleet.look();
    // Somewhere between the fetch and the signed documents.
    await new Promise((resolve) => setTimeout(resolve, 400));
    first.signal('SIGKILL');
    await arrived(commit);
    await assertOneReleaseEach();
    await first.start();
  },
);

test(
  'one after the other restarts: agents are answered throughout, and the work is handed over',
  { skip, timeout: 300_000 },
  async () => {
    await first.stop();
    const during = await next();
    await fleet.look();
    await arrived(during);
    await first.start();
    await fleet.plane.stop(5_000);
    const without = await next();
    await fleet.startPlane();
    await fleet.look();
    await arrived(without);
    await assertOneReleaseEach();
  },
);

test('a leader that was stopped for a minute finds itself deposed and writes nothing', { skip, timeout: 300_000 }, async () => {
  await firstLeads();
  first.signal('SIGSTOP');
  const commit = await next();
  await waitFor('the other to lead', () => leader('render') === 'fleet' && leader('controllers') === 'fleet', {
    timeoutMs: 60_000,
  });
  await fleet.look();
  // Its agents' connections hang with it until their time is up; the others are answered.
  first.signal('SIGCONT');
  await arrived(commit);
  await assertOneReleaseEach();
  const last = await next();
  await fleet.look();
  await arrived(last);
  await assertOneReleaseEach();
});

test('divided roles: one process serves agents and the API, another decides', { skip, timeout: 300_000 }, async () => {
  await first.stop();
  await first.start('controllers,render');
  await firstLeads();
  const commit = await next();
  await fleet.look();
  await arrived(commit);
  await assertOneReleaseEach();
});

test('the audit chain of all of them is one chain', { skip, timeout: 60_000 }, async () => {
  const store = await openPostgresStore({ url });
  const verdict = await store.verifyAudit();
  await store.close();
  assert.equal(verdict.brokenAt, undefined);
  assert.ok(verdict.leaves > 5);
});
