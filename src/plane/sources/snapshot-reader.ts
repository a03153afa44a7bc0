import { FairleadError } from '#base';
import { sourceError } from './classify.ts';
import type { Git } from './git.ts';
import type { SourceLimits } from './mirror.ts';
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
  /** Bytes of files from `list`, by object id. */
  read(files: readonly Pick<TreeFile, 'path' | 'oid' | 'bytes'>[]): Promise<ReadonlyMap<string, Uint8Array>>;
}

interface Waiting {
  readonly path: string;
  readonly resolve: (tree: string) => void;
  readonly reject: (error: unknown) => void;
}

export class SnapshotReader implements Snapshot {
  readonly commit: string;
  readonly #dir: string;
  readonly #git: Git;
  readonly #limits: SourceLimits;
  readonly #shown: string;
  #waiting: Waiting[] = [];

  /** `shown`: what messages call the repository. */
  constructor(dir: string, commit: string, shown: string, git: Git, limits: SourceLimits) {
    if (!isCommit(commit)) throw new FairleadError('FL_SOURCE_GONE', `"${commit}" is no commit id`, { kind: 'not-found' });
    this.#dir = dir;
    this.commit = commit;
    this.#shown = shown;
    this.#git = git;
    this.#limits = limits;
  }

  /** Questions asked in the same turn of the event loop share one process: a commit may concern hundreds of Applications. */
  async treeHash(path: string): Promise<string> {
    const normal = this.#normalise(path);
    return await new Promise((resolve, reject) => {
      if (this.#waiting.length === 0) setImmediate(() => void this.#answer());
      this.#waiting.push({ path: normal, resolve, reject });
    });
  }

  async list(path: string): Promise<readonly TreeFile[]> {
    const normal = this.#normalise(path);
    const tree = await this.treeHash(path);
    const limits = this.#limits;
    const result = await this.#git
      .run([`--git-dir=${this.#dir}`, 'ls-tree', '-r', '-z', '-l', '--full-tree', '--end-of-options', tree], {
        timeoutMs: 60_000,
        // Mode, id, size and name of every file.
        maxOutputBytes: limits.files * 400,
      })
      .catch((error: unknown) => {
        if (error instanceof FairleadError && error.code === 'FL_EXEC_OUTPUT') throw this.#tooMany(normal);
        throw error;
      });
    if (result.exitCode !== 0) throw this.#gone();
    const files: TreeFile[] = [];
    let total = 0;
    for (const entry of parseEntries(result.stdout)) {
      const file = normal === '' ? entry.path : `${normal}/${entry.path}`;
      const what = refusal(entry);
      if (what !== undefined) throw sourceError('FL_SOURCE_FILE', { file: quoted(file), what });
      if (entry.bytes > limits.fileBytes) {
        throw sourceError('FL_SOURCE_LIMIT', {
          url: this.#shown,
          what: `${quoted(file)}, in bytes,`,
          value: entry.bytes,
          limit: limits.fileBytes,
        });
      }
      total += entry.bytes;
      files.push({ path: entry.path, oid: entry.oid, bytes: entry.bytes, isExecutable: entry.mode === '100755' });
    }
    if (files.length > limits.files) throw this.#tooMany(normal);
    if (total > limits.pathBytes) {
      const what = `all files under ${quoted(normal === '' ? '.' : normal)}, in bytes,`;
      throw sourceError('FL_SOURCE_LIMIT', { url: this.#shown, what, value: total, limit: limits.pathBytes });
    }
    return files;
  }

  async read(files: readonly Pick<TreeFile, 'path' | 'oid' | 'bytes'>[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const byOid = new Map(files.map((file) => [file.oid, file]));
    if (byOid.size === 0) return new Map();
    const bytes = [...byOid.values()].reduce((sum, file) => sum + file.bytes + 100, 0);
    const result = await this.#git.run([`--git-dir=${this.#dir}`, 'cat-file', '--batch', '--buffer'], {
      timeoutMs: 60_000,
      maxOutputBytes: bytes,
      input: [...byOid.keys()].join('\n') + '\n',
    });
    if (result.exitCode !== 0) throw this.#gone();
    const contents = new Map<string, Uint8Array>();
    let at = 0;
    while (at < result.stdout.length) {
      const end = result.stdout.indexOf(0x0a, at);
      const [oid = '', type = '', size = ''] = result.stdout.toString('latin1', at, end).split(' ');
      if (type !== 'blob') throw this.#gone();
      const length = Number(size);
      const content = result.stdout.subarray(end + 1, end + 1 + length);
      const file = byOid.get(oid);
      if (file !== undefined && isLfsPointer(content)) {
        throw sourceError('FL_SOURCE_FILE', { file: quoted(file.path), what: 'a Git LFS pointer' });
      }
      contents.set(oid, content);
      at = end + 1 + length + 1;
    }
    return contents;
  }

  async #answer(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      const input = waiting.map(({ path }) => (path === '' ? `${this.commit}^{tree}\n` : `${this.commit}:${path}\n`)).join('');
      const output = await this.#git.must([`--git-dir=${this.#dir}`, 'cat-file', '--batch-check=%(objectname) %(objecttype)'], {
        timeoutMs: 60_000,
        maxOutputBytes: 4_096 * waiting.length + 4_096,
        input: `${this.commit}^{commit}\n${input}`,
      });
      const [head = '', ...lines] = output.toString('utf8').split('\n');
      if (!head.endsWith(' commit')) throw this.#gone();
      await Promise.all(
        waiting.map(async ({ path, resolve, reject }, index) => {
          const [oid = '', type] = (lines[index] ?? '').split(' ');
          if (type === 'tree') resolve(oid);
          else reject(await this.#notATree(path).catch((error: unknown) => error));
        }),
      );
    } catch (error) {
      for (const { reject } of waiting) reject(error);
    }
  }

  /** Says what stands where a directory was expected: git follows no symbolic link, and neither do we. */
  async #notATree(path: string): Promise<Error> {
    const parts = path.split('/');
    const prefixes = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    const output = await this.#git.must(
      [`--git-dir=${this.#dir}`, 'ls-tree', '-z', '-l', '--full-tree', '--end-of-options', this.commit, '--', ...prefixes],
      { timeoutMs: 60_000, maxOutputBytes: 1 << 20 },
    );
    for (const entry of parseEntries(output)) {
      const what =
        refusal(entry) ??
        (entry.type === 'blob' && prefixes.includes(entry.path) ? 'a file where a directory is wanted' : undefined);
      if (what !== undefined) return sourceError('FL_SOURCE_FILE', { file: quoted(entry.path), what });
    }
    return sourceError('FL_RENDER_NO_PATH', { path: quoted(path), source: this.#shown, commit: this.commit });
  }

  #normalise(path: string): string {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    // A line break would be a second question to git.
    if (path.startsWith('/') || parts.includes('..') || hasControls(path) || path.length > 4_096) {
      throw sourceError('FL_RENDER_NO_PATH', { path: quoted(path), source: this.#shown, commit: this.commit });
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

  #gone(): FairleadError {
    return new FairleadError(
      'FL_SOURCE_GONE',
      `the mirror of ${this.#shown} does not hold commit ${this.commit}; it is fetched again`,
      {
        kind: 'unavailable',
      },
    );
  }
}

interface Entry {
  readonly mode: string;
  readonly type: string;
  readonly oid: string;
  readonly bytes: number;
  readonly path: string;
  readonly isText: boolean;
}

/** `<mode> <type> <oid> <size>\t<path>\0` of `git ls-tree -z -l`. */
function* parseEntries(output: Buffer): Generator<Entry> {
  let at = 0;
  while (at < output.length) {
    const end = output.indexOf(0, at);
    const tab = output.indexOf(0x09, at);
    if (end < 0 || tab < 0) return;
    const [mode = '', type = '', oid = '', size = ''] = output.toString('latin1', at, tab).split(/ +/);
    const name = output.subarray(tab + 1, end);
    const path = name.toString('utf8');
    yield { mode, type, oid, bytes: size === '-' ? 0 : Number(size), path, isText: Buffer.from(path).equals(name) };
    at = end + 1;
  }
}

function refusal(entry: Entry): string | undefined {
  if (entry.mode === '120000') return 'a symbolic link';
  if (entry.mode === '160000' || entry.type === 'commit') return 'a submodule';
  if (!entry.isText) return 'a file whose name is not UTF-8';
  if (hasControls(entry.path)) return 'a file whose name holds control characters';
  if (entry.path.length > 1_024) return 'a file whose name is longer than 1024 characters';
  return undefined;
}

function isLfsPointer(content: Uint8Array): boolean {
  return (
    content.length < 1_024 && Buffer.from(content).toString('latin1', 0, 43) === 'version https://git-lfs.github.com/spec/v1\n'
  );
}
