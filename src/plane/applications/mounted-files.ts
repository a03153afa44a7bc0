import { FairleadError, sha256 } from '#base';
import { plainDirectory, reasonOf, say } from '#api';
import type { SnapshotFile, SnapshotFiles } from './snapshot-files.ts';

/** A directory of a snapshot, and where its files are found. */
export interface Mount {
  /** `values`, `values/eu`; '' is the root. */
  readonly at: string;
  readonly snapshot: SnapshotFiles;
  /** Directory in the snapshot. */
  readonly path: string;
  /** What messages call it: `GitRepository values`. */
  readonly shown: string;
}

/**
 * The files of an Application's own source with those of others beside them: one snapshot, whose commit is that of its own.
 * Each file is read, and each tree is compared, where it comes from; nothing is listed that was not asked for.
 *
 * Errors: `FL_SOURCE_FILES_TAKEN` where a directory is there already, `FL_RENDER_NO_PATH` of a source that has no such path.
 */
export async function mountFiles(own: Mount, others: readonly Mount[]): Promise<SnapshotFiles> {
  if (own.at === '' && others.length === 0) return own.snapshot;
  for (const other of others) {
    await refuseTaken(own, other);
    // An empty place is an error here, and not only for those who name a file of it.
    await other.snapshot.treeHash(other.path);
  }
  return new MountedFiles(own, others);
}

async function refuseTaken(own: Mount, other: Mount): Promise<void> {
  const inside = restOf(own.at, other.at);
  if (inside === undefined) return;
  const parts = inside.split('/');
  let isTaken = inside === '' || (await exists(own, inside));
  for (let depth = 1; depth < parts.length && !isTaken; depth += 1)
    isTaken = (await own.snapshot.find(join(own.path, parts.slice(0, depth).join('/')))) !== undefined;
  if (!isTaken) return;
  const commit = own.snapshot.commit.slice(0, 12);
  const reason = reasonOf('FL_SOURCE_FILES_TAKEN', { at: other.at, source: other.shown, owner: own.shown, commit });
  throw new FairleadError(reason.code, say(reason), { kind: 'conflict', retryable: false, details: reason.args });
}

async function exists(own: Mount, inside: string): Promise<boolean> {
  const path = join(own.path, inside);
  if ((await own.snapshot.find(path)) !== undefined) return true;
  return own.snapshot.treeHash(path).then(
    () => true,
    (error: unknown) => (ifAbsent(error), false),
  );
}

class MountedFiles implements SnapshotFiles {
  readonly commit: string;
  readonly #own: Mount;
  readonly #mounts: readonly Mount[];
  /** By object id: equal ids mean equal content, whoever has it. */
  readonly #owners = new Map<string, SnapshotFiles>();

  constructor(own: Mount, others: readonly Mount[]) {
    this.commit = own.snapshot.commit;
    this.#own = own;
    // The deepest first: it is the one that a path belongs to.
    this.#mounts = [...others, own].sort((a, b) => b.at.length - a.at.length);
  }

  async treeHash(path: string): Promise<string> {
    const { owner, below } = this.#placeOf(path);
    if (below.length === 0) return owner === undefined ? this.#refuse(path) : owner.mount.snapshot.treeHash(owner.path);
    const absent = (error: unknown): string => (ifAbsent(error), 'absent');
    const hashes = [owner === undefined ? 'absent' : await owner.mount.snapshot.treeHash(owner.path).catch(absent)];
    for (const { at, snapshot, path: from } of below) hashes.push(at, await snapshot.treeHash(from));
    return sha256(JSON.stringify(hashes));
  }

  async list(path: string): Promise<readonly SnapshotFile[]> {
    const { plain, owner, below } = this.#placeOf(path);
    if (owner === undefined && below.length === 0) return this.#refuse(path);
    const found: SnapshotFile[] = [];
    if (owner !== undefined) {
      const none = (error: unknown): readonly SnapshotFile[] => {
        if (below.length === 0) throw error;
        ifAbsent(error);
        return [];
      };
      for (const file of await owner.mount.snapshot.list(owner.path).catch(none))
        found.push(this.#take(owner.mount, file, file.path));
    }
    for (const mount of below) {
      const prefix = restOf(plain, mount.at) ?? '';
      for (const file of await mount.snapshot.list(mount.path)) found.push(this.#take(mount, file, join(prefix, file.path)));
    }
    return found.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async find(path: string): Promise<SnapshotFile | undefined> {
    const { owner } = this.#placeOf(path);
    const file = await owner?.mount.snapshot.find(owner.path);
    return file === undefined || owner === undefined ? undefined : this.#take(owner.mount, file, path);
  }

  async read(files: readonly SnapshotFile[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const contents = new Map<string, Uint8Array>();
    const byOwner = Map.groupBy(files, (file) => this.#owners.get(file.oid) ?? this.#own.snapshot);
    for (const [owner, own] of byOwner) for (const [oid, bytes] of await owner.read(own)) contents.set(oid, bytes);
    return contents;
  }

  #take(mount: Mount, file: SnapshotFile, path: string): SnapshotFile {
    this.#owners.set(file.oid, mount.snapshot);
    return { ...file, path };
  }

  /** Whose files are at a path, and what is mounted below it. A path that leads out of everything is its own source's to refuse. */
  #placeOf(path: string): {
    readonly plain: string;
    readonly owner: { readonly mount: Mount; readonly path: string } | undefined;
    readonly below: readonly Mount[];
  } {
    const plain = plainDirectory(path);
    if (path.startsWith('/') || plain.split('/').includes('..')) return { plain, owner: { mount: this.#own, path }, below: [] };
    const below = this.#mounts.filter((mount) => mount.at !== plain && restOf(plain, mount.at) !== undefined);
    for (const mount of this.#mounts) {
      const rest = restOf(mount.at, plain);
      if (rest !== undefined) return { plain, owner: { mount, path: join(mount.path, rest) }, below };
    }
    return { plain, owner: undefined, below };
  }

  #refuse(path: string): never {
    const args = { path, source: this.#own.shown, commit: this.commit.slice(0, 12) };
    throw new FairleadError('FL_RENDER_NO_PATH', say(reasonOf('FL_RENDER_NO_PATH', args)), {
      kind: 'not-found',
      retryable: false,
      details: args,
    });
  }
}

/** What leads from a directory to a path in it: '' when they are the same, undefined when it is not in it. Pure. */
export function restOf(directory: string, path: string): string | undefined {
  if (directory === '' || directory === path) return directory === '' ? path : '';
  return path.startsWith(`${directory}/`) ? path.slice(directory.length + 1) : undefined;
}

function join(directory: string, path: string): string {
  const plain = plainDirectory(directory);
  if (plain === '' || path === '') return path === '' ? (plain === '' ? '.' : plain) : path;
  return `${plain}/${path}`;
}

function ifAbsent(error: unknown): void {
  if (!(error instanceof FairleadError) || error.code !== 'FL_RENDER_NO_PATH') throw error;
}
