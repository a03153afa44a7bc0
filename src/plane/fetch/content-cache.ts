import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, must, newUid, sha256, shortHash, type Clock } from '#base';

/**
 * Digests are `sha256:<hex>`. A scope, such as the uid of a source, sees only what was put for it: knowing a digest gives
 * nobody what another project fetched with a credential.
 */
export interface ContentCache {
  /** Undefined when it is not here, or not what it was. */
  get(scope: string, digest: string): Promise<Buffer | undefined>;
  put(scope: string, bytes: Uint8Array): Promise<string>;
}

/**
 * Files on disk named by their sha256. What is read is checked, so that a torn or changed file is as good as none. A cache: it
 * may be deleted at any time. When it grows over `maxBytes` what was not used longest goes.
 */
export async function openContentCache(options: {
  readonly dir: string;
  readonly clock: Clock;
  readonly maxBytes?: number;
}): Promise<ContentCache> {
  const { dir, clock } = options;
  const maxBytes = options.maxBytes ?? 2 * 2 ** 30;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  for (const name of await readdir(dir)) if (name.endsWith('.tmp')) await rm(join(dir, name), { force: true });
  let total = (await entries(dir)).reduce((sum, entry) => sum + entry.bytes, 0);
  let sweeping: Promise<void> | undefined;

  async function sweep(): Promise<void> {
    const all = (await entries(dir)).sort((a, b) => a.usedMs - b.usedMs);
    total = all.reduce((sum, entry) => sum + entry.bytes, 0);
    // Down to nine tenths, so that not every further file sweeps again.
    for (const entry of all) {
      if (total <= maxBytes * 0.9) return;
      await rm(join(dir, entry.name), { force: true });
      total -= entry.bytes;
    }
  }

  return {
    async get(scope, digest) {
      const name = nameOf(scope, digest);
      if (name === undefined) return undefined;
      const path = join(dir, name);
      let bytes: Buffer;
      try {
        bytes = await readFile(path);
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return undefined;
        throw error;
      }
      if (sha256(bytes) !== digest) {
        await rm(path, { force: true });
        return undefined;
      }
      const now = clock.now() / 1_000;
      await utimes(path, now, now).catch(() => undefined);
      return bytes;
    },
    async put(scope, bytes) {
      const digest = sha256(bytes);
      const path = join(dir, must(nameOf(scope, digest), 'a digest made here has the form of one'));
      const temporary = join(dir, `${newUid()}.tmp`);
      await writeFile(temporary, bytes, { mode: 0o600, flush: true });
      await rename(temporary, path);
      total += bytes.length;
      if (total > maxBytes) {
        sweeping ??= sweep().finally(() => (sweeping = undefined));
        await sweeping;
      }
      return digest;
    },
  };
}

function nameOf(scope: string, digest: string): string | undefined {
  const hex = /^sha256:([0-9a-f]{64})$/.exec(digest)?.[1];
  return hex === undefined ? undefined : `${shortHash(scope)}.${hex}`;
}

async function entries(dir: string): Promise<{ readonly name: string; readonly bytes: number; readonly usedMs: number }[]> {
  const found: { readonly name: string; readonly bytes: number; readonly usedMs: number }[] = [];
  for (const name of await readdir(dir)) {
    const info = await stat(join(dir, name)).catch(() => undefined);
    if (info !== undefined && !name.endsWith('.tmp')) found.push({ name, bytes: info.size, usedMs: info.mtimeMs });
  }
  return found;
}
