import { FairleadError } from '#base';
import { sourceError } from './classify.ts';
import { parseTree, type TreeEntry } from './git-objects.ts';
import type { SourceLimits } from './mirror.ts';
import { gone, type ObjectInfo, type ObjectReader } from './object-reader.ts';
import { isCommit } from './references.ts';
import { hasControls, quoted } from './text.ts';

/** A file under a path of a commit. */
export interface TreeFile {
  /** Relative to the path asked for, with `/`. */
  readonly path: string;
  readonly oid: string;
  readonly bytes: number;
  readonly isExecutable: boolean;
}

/**
 * One commit, read from the object database without a checkout: nothing on disk is named after anything in the repository,
 * so there is no symbolic link to follow, no `..`, no race between check and use, and no filter, hook or configuration.
 *
 * Errors: `FL_SOURCE_FILE` (symbolic link, submodule, LFS pointer, unreadable name), `FL_SOURCE_LIMIT`, `FL_RENDER_NO_PATH`,
 * with the arguments of the reason as details; `FL_SOURCE_GONE` when the mirror does not hold the commit (look again).
 */
export interface Snapshot {
  readonly commit: string;
  /** Object id of the tree at a path: equal ids mean equal content, all the way down. */
  treeHash(path: string): Promise<string>;
  list(path: string): Promise<readonly TreeFile[]>;
  /** The one file at a path, by its path in the repository; undefined where there is none, or a directory. */
  find(path: string): Promise<TreeFile | undefined>;
  /** Bytes of files from `list`, by object id. */
  read(files: readonly Pick<TreeFile, 'path' | 'oid' | 'bytes'>[]): Promise<ReadonlyMap<string, Uint8Array>>;
}

/** A tree of directories shares objects: what is small in the repository may be endless when it is walked. */
const maxDepth = 200;

interface Found {
  readonly path: string;
  readonly entry: TreeEntry;
}

export class SnapshotReader implements Snapshot {
  readonly commit: string;
  readonly #objects: ObjectReader;
  readonly #limits: SourceLimits;
  readonly #shown: string;
  /** Under which path a file was listed: messages name it from the root of the repository. */
  readonly #directories = new WeakMap<object, string>();

  /** `shown`: what messages call the repository. */
  constructor(objects: ObjectReader, commit: string, shown: string, limits: SourceLimits) {
    if (!isCommit(commit)) throw new FairleadError('FL_SOURCE_GONE', `"${commit}" is no commit id`, { kind: 'not-found' });
    this.commit = commit;
    this.#objects = objects;
    this.#shown = shown;
    this.#limits = limits;
  }

  async treeHash(path: string): Promise<string> {
    return (await this.#tree(this.#normalise(path))).oid;
  }

  async list(path: string): Promise<readonly TreeFile[]> {
    const normal = this.#normalise(path);
    const limits = this.#limits;
    const found = await this.#walk(await this.#tree(normal), normal);
    const infos = await this.#objects.check(found.map(({ entry }) => entry.oid));
    const files: TreeFile[] = [];
    let total = 0;
    for (const [index, { path: name, entry }] of found.entries()) {
      const info = infos[index];
      if (info === undefined) throw gone('an object is missing');
      if (info.bytes > limits.fileBytes) {
        const what = `${quoted(inside(normal, name))}, in bytes,`;
        throw sourceError('FL_SOURCE_LIMIT', { url: this.#shown, what, value: info.bytes, limit: limits.fileBytes });
      }
      total += info.bytes;
      const file = { path: name, oid: entry.oid, bytes: info.bytes, isExecutable: entry.mode === '100755' };
      this.#directories.set(file, normal);
      files.push(file);
    }
    if (total > limits.pathBytes) {
      const what = `all files under ${quoted(normal === '' ? '.' : normal)}, in bytes,`;
      throw sourceError('FL_SOURCE_LIMIT', { url: this.#shown, what, value: total, limit: limits.pathBytes });
    }
    return files;
  }

  async find(path: string): Promise<TreeFile | undefined> {
    const normal = this.#normalise(path);
    const slash = normal.lastIndexOf('/');
    const parent = slash < 0 ? '' : normal.slice(0, slash);
    const [tree] = await this.#objects.check([parent === '' ? `${this.commit}^{tree}` : `${this.commit}:${parent}`]);
    if (tree?.type !== 'tree' || tree.bytes > this.#limits.files * 400) return undefined;
    const [content] = await this.#objects.read([tree.oid]);
    const entry = parseTree(content ?? Buffer.alloc(0)).find((one) => one.name === normal.slice(slash + 1));
    if (entry === undefined || isDirectory(entry)) return undefined;
    const what = refusal(entry, normal);
    if (what !== undefined) throw sourceError('FL_SOURCE_FILE', { file: quoted(normal), what });
    const [info] = await this.#objects.check([entry.oid]);
    if (info === undefined) throw gone('an object is missing');
    if (info.bytes > this.#limits.fileBytes) {
      const words = `${quoted(normal)}, in bytes,`;
      throw sourceError('FL_SOURCE_LIMIT', { url: this.#shown, what: words, value: info.bytes, limit: this.#limits.fileBytes });
    }
    return { path: normal, oid: entry.oid, bytes: info.bytes, isExecutable: entry.mode === '100755' };
  }

  async read(files: readonly Pick<TreeFile, 'path' | 'oid' | 'bytes'>[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const byOid = new Map(files.map((file) => [file.oid, file]));
    const oids = [...byOid.keys()];
    const contents = await this.#objects.read(oids);
    return new Map(
      oids.map((oid, index) => {
        const content = contents[index] ?? Buffer.alloc(0);
        if (isLfsPointer(content)) {
          const file = byOid.get(oid);
          const name = file === undefined ? oid : inside(this.#directories.get(file) ?? '', file.path);
          throw sourceError('FL_SOURCE_FILE', { file: quoted(name), what: 'a Git LFS pointer' });
        }
        return [oid, content];
      }),
    );
  }

  async #tree(path: string): Promise<ObjectInfo> {
    const names = [`${this.commit}^{commit}`, path === '' ? `${this.commit}^{tree}` : `${this.commit}:${path}`];
    const [commit, found] = await this.#objects.check(names);
    if (commit === undefined) throw gone(`${this.commit} is missing`);
    if (found?.type !== 'tree') throw await this.#notATree(path);
    return found;
  }

  /** Every file below a tree, level by level: as many questions as the deepest path has parts. */
  async #walk(root: ObjectInfo, normal: string): Promise<readonly Found[]> {
    const files: Found[] = [];
    let level: { readonly path: string; readonly oid: string }[] = [{ path: '', oid: root.oid }];
    let seen = 0;
    for (let depth = 0; level.length > 0; depth += 1) {
      const next: { readonly path: string; readonly oid: string }[] = [];
      const infos = await this.#objects.check(level.map(({ oid }) => oid));
      const bytes = infos.reduce((sum, info) => sum + (info?.bytes ?? 0), 0);
      // Names and ids of everything allowed; more is too many before it is read.
      if (depth > maxDepth) {
        const what = `the depth of directories under ${quoted(normal === '' ? '.' : normal)}`;
        throw sourceError('FL_SOURCE_LIMIT', { url: this.#shown, what, value: `more than ${maxDepth}`, limit: maxDepth });
      }
      if (bytes > this.#limits.files * 400) throw this.#tooMany(normal);
      const contents = await this.#objects.read(level.map(({ oid }) => oid));
      for (const [index, { path }] of level.entries()) {
        for (const entry of parseTree(contents[index] ?? Buffer.alloc(0))) {
          const full = path === '' ? entry.name : `${path}/${entry.name}`;
          const what = refusal(entry, full);
          if (what !== undefined) throw sourceError('FL_SOURCE_FILE', { file: quoted(inside(normal, full)), what });
          if (isDirectory(entry)) next.push({ path: full, oid: entry.oid });
          else files.push({ path: full, entry });
          seen += 1;
        }
        if (files.length > this.#limits.files || seen > 2 * this.#limits.files) throw this.#tooMany(normal);
      }
      level = next;
    }
    return files.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** Says what stands where a directory was expected: git follows no symbolic link, and neither do we. */
  async #notATree(path: string): Promise<Error> {
    let parent = '';
    for (const part of path.split('/')) {
      const [info] = await this.#objects.check([parent === '' ? `${this.commit}^{tree}` : `${this.commit}:${parent}`]);
      if (info?.type !== 'tree' || info.bytes > this.#limits.files * 400) break;
      const [content] = await this.#objects.read([info.oid]);
      const entry = parseTree(content ?? Buffer.alloc(0)).find((one) => one.name === part);
      if (entry === undefined) break;
      parent = inside(parent, part);
      const what = refusal(entry, part) ?? (isDirectory(entry) ? undefined : 'a file where a directory is wanted');
      if (what !== undefined) return sourceError('FL_SOURCE_FILE', { file: quoted(parent), what });
    }
    return sourceError('FL_RENDER_NO_PATH', { path: quoted(path), source: this.#shown, commit: this.commit.slice(0, 12) });
  }

  #normalise(path: string): string {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    // A line break would be a second question to git.
    if (path.startsWith('/') || parts.includes('..') || hasControls(path) || path.length > 4_096) {
      throw sourceError('FL_RENDER_NO_PATH', { path: quoted(path), source: this.#shown, commit: this.commit.slice(0, 12) });
    }
    return parts.join('/');
  }

  #tooMany(path: string): FairleadError {
    const what = `the number of files under ${quoted(path === '' ? '.' : path)}`;
    return sourceError('FL_SOURCE_LIMIT', {
      url: this.#shown,
      what,
      value: `more than ${this.#limits.files}`,
      limit: this.#limits.files,
    });
  }
}

function inside(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}

function isDirectory(entry: TreeEntry): boolean {
  return entry.mode === '40000' || entry.mode === '040000';
}

function refusal(entry: TreeEntry, path: string): string | undefined {
  if (entry.mode === '120000') return 'a symbolic link';
  if (entry.mode === '160000') return 'a submodule';
  if (!entry.isText) return 'a file whose name is not UTF-8';
  if (hasControls(entry.name)) return 'a file whose name holds control characters';
  if (path.length > 1_024) return 'a file whose name is longer than 1024 characters';
  return undefined;
}

function isLfsPointer(content: Uint8Array): boolean {
  return (
    content.length < 1_024 && Buffer.from(content).toString('latin1', 0, 43) === 'version https://git-lfs.github.com/spec/v1\n'
  );
}
