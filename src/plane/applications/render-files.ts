import { posix } from 'node:path';
import { FairleadError, sha256 } from '#base';
import { kustomizationNames, reachOf, type RemoteReference } from './remote-references.ts';
import type { SnapshotFile, SnapshotFiles } from './snapshot-files.ts';

/** The files of a commit that a render of one path may need, by their path in the repository. */
export interface RenderFiles {
  readonly files: readonly SnapshotFile[];
  /** Directories and files outside of the path that were looked for, there or not. */
  readonly outside: readonly string[];
  /** What has to be fetched besides. */
  readonly remote: readonly RemoteReference[];
}

export interface FilesWanted {
  readonly path: string;
  /** Files outside of the path that the options name. */
  readonly named: readonly string[];
  /** Directories that they name. */
  readonly directories?: readonly string[];
  /** Whether kustomizations and charts are followed to where they lead. */
  readonly follows: boolean;
}

/** Directories outside of its path that one application may reach. */
const mostOutside = 200;

/** `apps/web` for `./apps/web/`, `.` for the root. */
export function plainPath(path: string): string {
  return posix.join('.', path).replace(/(.)\/$/, '$1');
}

function below(directory: string, name: string): string {
  return directory === '.' ? name : `${directory}/${name}`;
}

function isWithin(directory: string, name: string): boolean {
  return directory === '.' || name === directory || name.startsWith(`${directory}/`);
}

/**
 * Lists what an application may read: its directory, and as far as its kustomizations and charts lead out of it, the
 * directories they lead to. Reads nothing but those descriptions.
 */
export async function collectFiles(snapshot: SnapshotFiles, wanted: FilesWanted): Promise<RenderFiles> {
  const path = plainPath(wanted.path);
  const listed = new Map<string, SnapshotFile>();
  const outside = new Set<string>();
  const add = async (directory: string): Promise<void> => {
    for (const file of await snapshot.list(directory)) {
      const full = below(directory, file.path);
      listed.set(full, { ...file, path: full });
    }
  };
  await add(path);
  for (const name of wanted.named) {
    if (isWithin(path, name) || name.startsWith('../')) continue;
    outside.add(name);
    const file = await snapshot.find(name);
    if (file !== undefined) listed.set(name, { ...file, path: name });
  }
  for (const name of wanted.directories ?? []) {
    if (isWithin(path, name) || name.startsWith('../')) continue;
    outside.add(name);
    await add(name).catch(ifAbsent);
  }
  const contents = new Map<string, Uint8Array>();
  for (;;) {
    if (!wanted.follows) return { files: [...listed.values()], outside: [...outside].sort(), remote: [] };
    const descriptions = [...listed.values()].filter((file) => isDescription(file.path) && contents.get(file.path) === undefined);
    const bytes = descriptions.length === 0 ? new Map<string, Uint8Array>() : await snapshot.read(descriptions);
    for (const file of descriptions) contents.set(file.path, bytes.get(file.oid) ?? new Uint8Array());
    // Every file counts for what is there; only the descriptions have content here.
    const all = new Map([...listed.keys()].map((name) => [name, contents.get(name) ?? empty]));
    const { remote, missing } = reachOf(all, path, wanted.directories);
    const next = missing.filter((name) => !outside.has(name) && !isWithin(path, name));
    if (next.length === 0) return { files: [...listed.values()], outside: [...outside].sort(), remote };
    for (const name of next) {
      if (outside.size >= mostOutside) {
        throw new FairleadError('FL_RENDER_LIMIT', `${path} reaches more than ${mostOutside} directories`, {
          kind: 'too-large',
          retryable: false,
          details: {
            file: path,
            what: 'the number of directories it reaches',
            value: `more than ${mostOutside}`,
            limit: mostOutside,
          },
        });
      }
      outside.add(name);
      const file = await snapshot.find(name);
      if (file !== undefined) listed.set(name, { ...file, path: name });
      else await add(name).catch(ifAbsent);
    }
  }
}

const empty = new Uint8Array();

function isDescription(path: string): boolean {
  const name = posix.basename(path);
  return name === 'Chart.yaml' || name === 'Chart.lock' || kustomizationNames.includes(name);
}

/** What is not there the engine explains, with the line that wants it. */
function ifAbsent(error: unknown): void {
  if (!(error instanceof FairleadError) || error.code !== 'FL_RENDER_NO_PATH') throw error;
}

/** Equal for two commits exactly when the path and everything looked for outside of it are equal. */
export async function treeKey(snapshot: SnapshotFiles, path: string, outside: readonly string[]): Promise<string> {
  const own = await snapshot.treeHash(path);
  if (outside.length === 0) return own;
  const parts: string[] = [own];
  for (const name of outside) {
    const file = await snapshot.find(name);
    parts.push(name, file?.oid ?? (await snapshot.treeHash(name).catch((error: unknown) => (ifAbsent(error), 'absent'))));
  }
  return sha256(JSON.stringify(parts));
}
