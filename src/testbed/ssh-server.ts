import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { exec, FairleadError, waitFor } from '#base';
import { choosePort } from './ports.ts';

/** Names the sshd for test processes; set and empty where the machine cannot have one. */
export const SSHD_VARIABLE = 'FAIRLEAD_SSHD';

const known = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/usr/bin/sshd'];

/** Path of an sshd, or undefined. */
export function findSshd(): string | undefined {
  const named = process.env[SSHD_VARIABLE];
  if (named !== undefined) return named === '' ? undefined : named;
  return known.find((path) => existsSync(path));
}

/** For `test(name, {skip: sshdMissing()}, …)`: false where an sshd can run, else the reason it cannot. */
export function sshdMissing(): string | false {
  return findSshd() === undefined ? 'no sshd on this machine (Debian: apt-get install openssh-server)' : false;
}

export interface SshServer {
  readonly port: number;
  readonly user: string;
  /** Of the one user it lets in, without passphrase. */
  readonly identity: string;
  /** Its line for known_hosts. */
  readonly knownHosts: string;
  /** `SHA256:…` of its host key. */
  readonly fingerprint: string;
  /** `ssh://user@127.0.0.1:port/<path>` */
  url(path: string): string;
  stop(): Promise<void>;
}

/**
 * A real sshd on the loopback that lets one key in, to Git and nothing else (`git shell`). `dir`: its files; made when
 * missing. Errors: `FL_TESTBED_SSH`.
 */
export async function startSshServer(options: { readonly dir: string }): Promise<SshServer> {
  const { dir } = options;
  const sshd = findSshd();
  if (sshd === undefined) throw failed(String(sshdMissing()));
  await mkdir(dir, { recursive: true, mode: 0o700 });
  // As root it wants this directory and does not make it.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 });
  for (const name of ['host', 'user']) await makeSshKey(join(dir, name));
  const port = await choosePort();
  const user = userInfo().username;
  await writeFile(
    join(dir, 'authorized_keys'),
    `restrict,command="git shell -c \\"$SSH_ORIGINAL_COMMAND\\"" ${await readFile(join(dir, 'user.pub'), 'utf8')}`,
    { mode: 0o600 },
  );
  await writeFile(
    join(dir, 'sshd_config'),
    `Port ${port}
ListenAddress 127.0.0.1
HostKey ${join(dir, 'host')}
PidFile none
AuthorizedKeysFile ${join(dir, 'authorized_keys')}
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin forced-commands-only
AcceptEnv GIT_PROTOCOL
LogLevel VERBOSE
`,
  );
  const child = spawn(sshd, ['-D', '-e', '-f', join(dir, 'sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString('utf8')).slice(-16_384);
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  try {
    await waitFor('sshd to listen', () => log.includes('Server listening') || child.exitCode !== null, { timeoutMs: 20_000 });
  } finally {
    if (!log.includes('Server listening')) child.kill('SIGKILL');
  }
  if (!log.includes('Server listening')) throw failed(log.trim());
  const hostKey = (await readFile(join(dir, 'host.pub'), 'utf8')).split(' ').slice(0, 2).join(' ').trim();
  return {
    port,
    user,
    identity: await readFile(join(dir, 'user'), 'utf8'),
    knownHosts: `[127.0.0.1]:${port} ${hostKey}\n`,
    fingerprint: await fingerprintOf(join(dir, 'host.pub')),
    url: (path) => `ssh://${user}@127.0.0.1:${port}${path}`,
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

/** An Ed25519 key pair in `<path>` and `<path>.pub`, without passphrase unless one is given. */
export async function makeSshKey(path: string, passphrase = ''): Promise<void> {
  await keygen(['-q', '-t', 'ed25519', '-N', passphrase, '-C', 'testbed', '-f', path]);
}

/** `SHA256:…` of a public key file. */
export async function fingerprintOf(path: string): Promise<string> {
  return (await keygen(['-l', '-f', path])).split(' ')[1] ?? '';
}

async function keygen(args: readonly string[]): Promise<string> {
  const env = { PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: '/nonexistent' };
  const result = await exec('ssh-keygen', args, { env, timeoutMs: 20_000, maxOutputBytes: 65_536 });
  if (result.exitCode !== 0) throw failed(`ssh-keygen ${args[0] ?? ''} failed: ${result.stderr.trim()}`);
  return result.stdout.toString('utf8');
}

function failed(why: string): FairleadError {
  return new FairleadError('FL_TESTBED_SSH', `sshd cannot be started: ${why}`, { kind: 'unavailable' });
}
