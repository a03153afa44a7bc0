import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { codeOf, FairleadError } from '#base';

/** The directory of one testbed, and who may remove what of it. */
export interface TestbedDir {
  readonly path: string;
  /** Removes what the testbed wrote, and the directory if it was made for it. Synchronous: it also runs as the process exits. */
  remove(): void;
}

const PREFIX = 'fairlead-testbed-';
const OWNER = 'owner.pid';
/** A Unix socket's path may have 107 bytes on Linux and 103 on macOS; ours is this directory plus 12. */
const MAX_PATH_BYTES = 90;

/**
 * Opens `path`, which must be empty, absent (it is then made), or left by a testbed whose process is gone; without a path, a new directory
 * for temporary files. Also removes temporary directories whose testbed was killed. Errors: FL_TESTBED_DIR.
 */
export async function openTestbedDir(path?: string): Promise<TestbedDir> {
  if (path === undefined) {
    removeLeftovers();
    const made = await mkdtemp(join(tmpdir(), PREFIX));
    return await claim(made, true);
  }
  const absolute = resolve(path);
  const isNew = (await mkdir(absolute, { recursive: true, mode: 0o700 })) !== undefined;
  if (isLeftover(absolute)) removeOurs(absolute);
  const found = (await readdir(absolute)).filter((name) => !name.startsWith('README'));
  if (found.length > 0) {
    throw new FairleadError(
      'FL_TESTBED_DIR',
      `the testbed's directory ${absolute} holds ${found[0]}; name an empty directory, or end the testbed that uses it`,
      { kind: 'conflict' },
    );
  }
  return await claim(absolute, isNew);
}

async function claim(path: string, isOurs: boolean): Promise<TestbedDir> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new FairleadError(
      'FL_TESTBED_DIR',
      `the testbed's directory ${path} is longer than ${MAX_PATH_BYTES} bytes, too long for a Unix socket in it; name a shorter one`,
      { kind: 'invalid' },
    );
  }
  await writeFile(join(path, OWNER), String(process.pid));
  return {
    path,
    remove() {
      if (isOurs) rmSync(path, { recursive: true, force: true, maxRetries: 5 });
      else removeOurs(path);
    },
  };
}

function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const path = join(tmpdir(), name);
    if (name.startsWith(PREFIX) && isLeftover(path)) rmSync(path, { recursive: true, force: true, maxRetries: 5 });
  }
}

function removeOurs(path: string): void {
  for (const name of ['clusters', 'etcd', 'etcd.log', 'etcd.sock', 'testbed.json', 'kubectl', OWNER]) {
    rmSync(join(path, name), { recursive: true, force: true, maxRetries: 5 });
  }
}

function isLeftover(path: string): boolean {
  let pid: number;
  try {
    pid = Number(readFileSync(join(path, OWNER), 'utf8'));
  } catch {
    return false; // not a testbed's, or just being made
  }
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return codeOf(error) === 'ESRCH';
  }
}
