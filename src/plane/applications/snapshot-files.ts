/** A file under a path of a commit, as the sources room gives it. */
export interface SnapshotFile {
  /** Relative to the path asked for. */
  readonly path: string;
  readonly oid: string;
  readonly bytes: number;
}

/**
 * One commit of a source. Errors with the code of a reason (`FL_SOURCE_FILE`, `FL_SOURCE_LIMIT`, `FL_RENDER_NO_PATH`) carry its
 * arguments as details; retryable ones mean: later.
 */
export interface SnapshotFiles {
  readonly commit: string;
  treeHash(path: string): Promise<string>;
  list(path: string): Promise<readonly SnapshotFile[]>;
  /** The one file at a path, if there is one; its `path` is the one asked for. */
  find(path: string): Promise<SnapshotFile | undefined>;
  /** By object id. */
  read(files: readonly SnapshotFile[]): Promise<ReadonlyMap<string, Uint8Array>>;
}

/** `uid` and `kind` are the source object's. */
export type OpenSnapshot = (uid: string, commit: string, kind: string) => SnapshotFiles;
