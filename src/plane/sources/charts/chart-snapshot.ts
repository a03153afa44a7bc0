import { sha256 } from '#base';
import { sourceError } from '../classify.ts';
import type { SourceLimits } from '../mirror.ts';
import type { Snapshot, TreeFile } from '../snapshot-reader.ts';
import { hasControls, quoted } from '../text.ts';
import { unpackChart, type ChartArchive } from './chart-archive.ts';

/**
 * One packed chart, read as a commit is: its files below the chart's own directory. `commit` is the sha256 of the archive in
 * hexadecimal. Errors as Snapshot's.
 */
export class ChartSnapshot implements Snapshot {
  readonly commit: string;
  readonly #shown: string;
  readonly #load: () => Promise<Uint8Array>;
  readonly #limits: SourceLimits;
  #archive: Promise<ChartArchive> | undefined;

  /** `shown`: what messages call the chart. `load`: the bytes of the archive. */
  constructor(commit: string, shown: string, load: () => Promise<Uint8Array>, limits: SourceLimits) {
    this.commit = commit;
    this.#shown = shown;
    this.#load = load;
    this.#limits = limits;
  }

  async treeHash(path: string): Promise<string> {
    const files = await this.list(path);
    return sha256(JSON.stringify(files.map((file) => [file.path, file.oid])));
  }

  async list(path: string): Promise<readonly TreeFile[]> {
    const parts = path.split('/').filter((part) => part !== '' && part !== '.');
    const prefix = parts.map((part) => `${part}/`).join('');
    const isBad = path.startsWith('/') || parts.includes('..') || hasControls(path);
    const { files } = await this.#unpacked();
    const found = isBad ? [] : files.filter((file) => file.path.startsWith(prefix));
    if (found.length === 0) {
      throw sourceError('FL_RENDER_NO_PATH', { path: quoted(path), source: this.#shown, commit: this.commit.slice(0, 12) });
    }
    return found.map((file) => ({
      path: file.path.slice(prefix.length),
      oid: file.oid,
      bytes: file.content.length,
      isExecutable: false,
    }));
  }

  /** The one file at a path; undefined where there is none, or a directory. */
  async find(path: string): Promise<TreeFile | undefined> {
    const wanted = path
      .split('/')
      .filter((part) => part !== '' && part !== '.')
      .join('/');
    const file = (await this.#unpacked()).files.find((one) => one.path === wanted);
    return file === undefined ? undefined : { path: wanted, oid: file.oid, bytes: file.content.length, isExecutable: false };
  }

  async read(files: readonly Pick<TreeFile, 'path' | 'oid' | 'bytes'>[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const wanted = new Set(files.map((file) => file.oid));
    const { files: all } = await this.#unpacked();
    return new Map(all.filter((file) => wanted.has(file.oid)).map((file) => [file.oid, file.content]));
  }

  #unpacked(): Promise<ChartArchive> {
    this.#archive ??= this.#load()
      .then((bytes) => unpackChart(bytes, this.#shown, this.#limits))
      .catch((error: unknown) => {
        this.#archive = undefined;
        throw error;
      });
    return this.#archive;
  }
}
