import { mkdir, open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, FairleadError, shortHash } from '#base';
import type { Medium } from './medium.ts';

const POINTER = 'state.json';
const LOCK = 'lock.json';
/** Locks of this very process: its id alone does not tell a lock in use from one left over. */
const heldHere = new Set<string>();
const SEGMENT = /^([a-z0-9-]+)\.segment$/;

/**
 * State in a directory of mode 0700. A segment is fsynced before the pointer that names it; the pointer is replaced by one
 * rename, and the directory fsynced. A lock file keeps a second process of this machine out: `FL_STATE_LOCKED`.
 */
export async function openDirectoryMedium(directory: string): Promise<Medium> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await lock(directory);
  return {
    title: `directory ${directory}`,
    // A copy of the directory, here or elsewhere, is another user.
    exclusiveUser: `${hostname()}-${shortHash(hostname(), await realpath(directory), String((await stat(directory)).ino))}`,
    writeGapMs: 50,
    maxSegmentBytes: 32 * 1024 * 1024,
    async readPointer() {
      return await readIfThere(join(directory, POINTER));
    },
    async writePointer(bytes) {
      await writeDurably(join(directory, `${POINTER}.next`), bytes);
      await rename(join(directory, `${POINTER}.next`), join(directory, POINTER));
      await syncDirectory(directory);
    },
    async writeSegment(id, bytes) {
      await writeDurably(join(directory, `${id}.segment`), bytes);
      await syncDirectory(directory);
    },
    readSegment: (id) => readFile(join(directory, `${id}.segment`)),
    removeSegment: (id) => rm(join(directory, `${id}.segment`), { force: true }),
    async listSegments() {
      return (await readdir(directory)).flatMap((name) => SEGMENT.exec(name)?.[1] ?? []);
    },
    async close() {
      await rm(join(directory, LOCK), { force: true });
      heldHere.delete(join(directory, LOCK));
    },
  };
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function lock(directory: string): Promise<void> {
  const path = join(directory, LOCK);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    try {
      const file = await open(path, 'wx', 0o600);
      await file.writeFile(JSON.stringify({ pid: process.pid, host: hostname(), started: startOf(process.pid) }));
      await file.close();
      heldHere.add(path);
      return;
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
    const owner = await ownerOf(path);
    if (owner !== undefined && isAlive(owner, path)) {
      throw new FairleadError(
        'FL_STATE_LOCKED',
        `the state in ${directory} is used by process ${owner.pid}; end it, or give this one a directory of its own`,
        { kind: 'conflict' },
      );
    }
    await rm(path, { force: true });
  }
  throw new FairleadError('FL_STATE_LOCKED', `cannot lock ${directory}: another process keeps taking it`, { kind: 'conflict' });
}

interface LockOwner {
  readonly pid: number;
  readonly host: string;
  /** See `startOf`. */
  readonly started: string | undefined;
}

async function ownerOf(path: string): Promise<LockOwner | undefined> {
  try {
    const value: unknown = JSON.parse((await readFile(path)).toString('utf8'));
    if (typeof value !== 'object' || value === null || !('pid' in value) || !('host' in value)) return undefined;
    if (typeof value.pid !== 'number' || typeof value.host !== 'string') return undefined;
    const started = 'started' in value && typeof value.started === 'string' ? value.started : undefined;
    return { pid: value.pid, host: value.host, started };
  } catch {
    return undefined;
  }
}

/** A lock of another host (a moved volume), or of an earlier process with our own id (1 in every container), is left over. */
function isAlive(owner: LockOwner, path: string): boolean {
  if (owner.host !== hostname()) return false;
  if (owner.pid === process.pid) return heldHere.has(path);
  try {
    process.kill(owner.pid, 0);
    // After a kill its id may have gone to another process.
    return owner.started === undefined || owner.started === (startOf(owner.pid) ?? owner.started);
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}

/** What tells a process from another one with its id: which boot of the machine, and when in it. Undefined where there is no /proc. */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // After the name, which may hold anything but ends with the last bracket: field 22 of proc(5).
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()} ${ticks ?? ''}`;
  } catch {
    return undefined;
  }
}
