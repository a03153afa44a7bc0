import { open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { newUid } from '#base';

/** Text that only processes of this user can read, for as long as it is open. */
export interface PrivateFile extends AsyncDisposable {
  /** Opens the same bytes from the start, as often as wanted, in this process and its children. */
  readonly path: string;
}

/**
 * Hands a secret to a child that takes it from a file: the file has no name when the first byte is written, so nothing is
 * left behind however this process ends, and neither arguments nor environment hold more than a descriptor's number.
 * (Linux: an open descriptor of this process is a path under /proc.)
 */
export async function openPrivateFile(dir: string, text: string): Promise<PrivateFile> {
  const name = join(dir, `.private-${newUid()}`);
  const handle = await open(name, 'wx+', 0o600);
  try {
    await unlink(name);
    await handle.writeFile(text);
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    path: `/proc/${process.pid}/fd/${handle.fd}`,
    [Symbol.asyncDispose]: () => handle.close(),
  };
}
