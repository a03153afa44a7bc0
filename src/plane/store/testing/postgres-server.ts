import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { Sensitive, waitFor } from '#base';

/** Says why there is no PostgreSQL for tests, where tools/prerequisites.ts could not have one. */
export const POSTGRES_MISSING = 'PostgreSQL is not installed (Debian: apt-get install postgresql)';

export interface PostgresServer {
  readonly port: number;
  readonly dir: string;
  /** A new database of its own; its URL. */
  createDatabase(): Promise<Sensitive<string>>;
  /** Runs SQL as the owner of everything, in a database; the rows as `psql -At` prints them. */
  sql(url: Sensitive<string>, text: string): string;
  /** Ends the server: `fast` cuts every connection, `immediate` is a crash. */
  stop(how?: 'fast' | 'immediate'): Promise<void>;
  start(): Promise<void>;
  destroy(): Promise<void>;
}

export interface ServerOptions {
  /** Further settings, such as `['ssl=on']`. */
  readonly settings?: readonly string[];
  /** Files put into the data directory, readable by the server alone. */
  readonly files?: Readonly<Record<string, string>>;
  /** Whether a commit waits for the disk. Default false: tests of processes that die, not of machines. */
  readonly fsync?: boolean;
}

const PASSWORD = 'geheim/%@:';

/** Directory of initdb and postgres, newest version first; undefined where there is none. */
export function postgresPrograms(): string | undefined {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(root, version, 'bin')).find((bin) => existsSync(join(bin, 'initdb')));
}

/**
 * A private server on a free port of the loopback, with its data below the temporary directory. PostgreSQL refuses to run
 * as root: then it runs as `postgres`, or as nobody.
 */
export async function startPostgres(options: ServerOptions = {}): Promise<PostgresServer> {
  const bin = postgresPrograms();
  if (bin === undefined) throw new Error(POSTGRES_MISSING);
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-postgres-'));
  const user = process.getuid?.() === 0 ? lesserUser() : undefined;
  if (user !== undefined) chownSync(dir, user.uid, user.gid);
  const data = join(dir, 'data');
  writeFileSync(join(dir, 'password'), PASSWORD, { mode: 0o644 });
  execFileSync(
    join(bin, 'initdb'),
    [
      '-D',
      data,
      '-U',
      'owner',
      '--auth=scram-sha-256',
      `--pwfile=${join(dir, 'password')}`,
      '-E',
      'UTF8',
      '--no-locale',
      '--no-sync',
    ],
    { ...user, cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] },
  );
  for (const [name, text] of Object.entries(options.files ?? {})) {
    writeFileSync(join(data, name), text, { mode: 0o600 });
    if (user !== undefined) chownSync(join(data, name), user.uid, user.gid);
  }
  const port = await freePort();
  let child: ChildProcess | undefined;
  let databases = 0;
  const urlOf = (database: string): Sensitive<string> =>
    new Sensitive(`postgres://owner:${encodeURIComponent(PASSWORD)}@127.0.0.1:${port}/${database}`);
  const sql = (url: Sensitive<string>, text: string): string =>
    execFileSync(
      join(bin, 'psql'),
      [
        '-AtX',
        '-v',
        'ON_ERROR_STOP=1',
        '-h',
        '127.0.0.1',
        '-p',
        String(port),
        '-U',
        'owner',
        '-d',
        new URL(url.reveal()).pathname.slice(1),
      ],
      {
        input: text,
        encoding: 'utf8',
        env: { ...process.env, PGPASSWORD: PASSWORD },
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    ).trim();
  const server: PostgresServer = {
    port,
    dir,
    sql,
    async createDatabase() {
      const name = `t${++databases}`;
      sql(urlOf('postgres'), `CREATE DATABASE ${name} TEMPLATE template0`);
      return urlOf(name);
    },
    async start() {
      const settings = [
        `port=${port}`,
        'listen_addresses=127.0.0.1',
        `unix_socket_directories=${dir}`,
        'max_connections=200',
        'shared_buffers=64MB',
        `fsync=${options.fsync === true ? 'on' : 'off'}`,
        'log_min_messages=fatal',
        ...(options.settings ?? []),
      ];
      child = spawn(join(bin, 'postgres'), ['-D', data, ...settings.flatMap((one) => ['-c', one])], {
        ...user,
        cwd: dir,
        stdio: ['ignore', 'ignore', 'ignore'],
      });
      await waitFor('PostgreSQL to answer', async () => (await answers(port)) && sql(urlOf('postgres'), 'SELECT 1') === '1', {
        timeoutMs: 30_000,
      });
    },
    async stop(how = 'fast') {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill(how === 'fast' ? 'SIGINT' : 'SIGQUIT');
      await ended;
    },
    async destroy() {
      await server.stop('immediate');
      rmSync(dir, { recursive: true, force: true });
    },
  };
  try {
    await server.start();
  } catch (error) {
    await server.destroy();
    throw error;
  }
  return server;
}

function lesserUser(): { readonly uid: number; readonly gid: number } {
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (flag: string): number => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: 'pipe' }).trim());
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // No such user: the next one.
    }
  }
  throw new Error('PostgreSQL does not run as root, and there is neither a user postgres nor nobody');
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } finally {
    socket.destroy();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}
