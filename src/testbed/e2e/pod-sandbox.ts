import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, lstatSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FairleadError } from '#base';

/** A process in a container's surroundings, as far as a kernel alone can make them. */
export interface SandboxOptions {
  /** Made by this; everything in it is the root file system. Exists not yet. */
  readonly root: string;
  /** Path in the root → path on this machine, bound read-only. */
  readonly mounts: Readonly<Record<string, string>>;
  /** Paths in the root that may be written → directory on this machine. */
  readonly writable?: Readonly<Record<string, string>>;
  /** Path in the root → text, such as what the kubelet mounts. */
  readonly files?: Readonly<Record<string, string>>;
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Program and arguments, by their paths in the root. */
  readonly command: readonly string[];
  readonly log: string;
}

export interface Sandbox {
  readonly pid: number;
  readonly exited: Promise<number | null>;
  /** Local addresses (as in /proc/net/tcp) on which it, or a process below it, listens. */
  listening(): readonly string[];
  stop(): Promise<void>;
}

const UID = '65532';

/** Why this machine cannot make such surroundings (it takes a mount namespace and another user), or false. */
export function sandboxMissing(): string | false {
  if (process.platform !== 'linux') return 'read-only roots need Linux';
  const tried = spawnSync('unshare', ['--mount', '--setuid', UID, '--setgid', UID, 'true'], { encoding: 'utf8' });
  return tried.status === 0 ? false : `a mount namespace and another user need root: ${tried.stderr.trim()}`;
}

/**
 * Starts a program as user 65532 in a root of its own that is read-only, without capabilities, without the right to gain any, with
 * nothing of this machine's environment. The network is this machine's.
 */
export async function startSandbox(options: SandboxOptions): Promise<Sandbox> {
  const { root } = options;
  const steps = ['set -e', `mount --bind '${root}' '${root}'`];
  const inside = async (path: string, isFile: boolean): Promise<string> => {
    const target = join(root, path);
    await mkdir(isFile ? join(target, '..') : target, { recursive: true });
    if (isFile) await writeFile(target, '', { flag: 'a' });
    return target;
  };
  await mkdir(root, { recursive: true });
  for (const [path, from] of Object.entries(options.mounts)) {
    const link = existsSync(from) && lstatSync(from).isSymbolicLink() ? readlinkSync(from) : undefined;
    if (link !== undefined) {
      await symlink(link, join(root, path));
      continue;
    }
    const target = await inside(path, !lstatSync(from).isDirectory());
    steps.push(`mount --bind '${from}' '${target}'`, `mount -o remount,ro,bind '${target}'`);
  }
  for (const [path, text] of Object.entries(options.files ?? {}))
    await writeFile(await inside(path, true), text, { mode: 0o644 });
  for (const [path, from] of Object.entries(options.writable ?? {})) {
    steps.push(`mount --bind '${from}' '${await inside(path, false)}'`, `chown ${UID}:${UID} '${from}'`);
  }
  const proc = await inside('/proc', false);
  steps.push(`mount --bind /proc '${proc}'`);
  for (const device of ['/dev/null', '/dev/urandom']) steps.push(`mount --bind ${device} '${await inside(device, true)}'`);
  steps.push(
    `mount -o remount,ro,bind '${root}'`,
    'unset PWD OLDPWD SHLVL _',
    `exec unshare --root '${root}' --wd / --setuid ${UID} --setgid ${UID} -- "$@"`,
  );
  const file = openSync(options.log, 'a', 0o600);
  const child: ChildProcess = spawn(
    '/usr/bin/setpriv',
    [
      '--no-new-privs',
      '/usr/bin/unshare',
      '--mount',
      '--propagation',
      'private',
      '/bin/sh',
      '-c',
      steps.join('\n'),
      'sh',
      ...options.command,
    ],
    { stdio: ['ignore', file, file], env: { ...options.env }, detached: true },
  );
  closeSync(file);
  const { pid } = child;
  if (pid === undefined) throw new FairleadError('FL_TESTBED_START', 'setpriv cannot be started', { kind: 'unavailable' });
  const exited = new Promise<number | null>((resolve) => child.on('exit', resolve));
  let isOver = false;
  void exited.then(() => (isOver = true));
  // It is a group of its own, so nothing of it outlives this process by accident.
  const killGroup = (): void => {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // Nothing of it is left.
    }
  };
  process.once('exit', killGroup);
  return {
    pid,
    exited,
    listening: () => listeningOf(groupOf(pid)),
    async stop() {
      if (!isOver) {
        process.kill(pid, 'SIGTERM');
        const timer = setTimeout(killGroup, 5000);
        await exited;
        clearTimeout(timer);
      }
      killGroup();
      process.removeListener('exit', killGroup);
    },
  };
}

/** Processes of a process group. */
function groupOf(leader: number): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) === leader;
      } catch {
        return false;
      }
    })
    .map(Number);
}

function listeningOf(pids: readonly number[]): readonly string[] {
  const inodes = new Set<string>();
  for (const pid of pids) {
    for (const name of readdirSync(`/proc/${pid}/fd`)) {
      const target = readlinkSync(`/proc/${pid}/fd/${name}`);
      if (target.startsWith('socket:[')) inodes.add(target.slice(8, -1));
    }
  }
  const found: string[] = [];
  for (const table of ['tcp', 'tcp6', 'udp', 'udp6']) {
    for (const line of readFileSync(`/proc/net/${table}`, 'utf8').split('\n').slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      // 0A is LISTEN; a UDP socket that is bound and not connected is in state 07.
      if (inodes.has(inode) && (state === '0A' || (table.startsWith('udp') && state === '07'))) found.push(`${table} ${local}`);
    }
  }
  return found;
}
