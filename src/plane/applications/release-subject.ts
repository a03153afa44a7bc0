import { Release, type Application, type RenderRow, type Snapshot, type UntimedReason } from '#api';
import type { Reader } from '#plane/engine';
import type { FoundSource } from './application-source.ts';
import type { ReleaseContent } from './plan-release.ts';
import type { Staged } from './staged.ts';
import type { TreeRow } from './tree-context.ts';

/** What is remembered of an Application between looks; losing it costs one listing and at most one render. */
export interface ReleaseMemory {
  readonly uid: string;
  /** What was rendered last, stored or about to be; undefined until something was. */
  trees: readonly TreeRow[] | undefined;
  /** What rendering them made, until a commit with them is seen in the store: a conflict must not lose it. */
  staged: Staged;
  /** The refresh that `trees` were rendered after. */
  refreshed: string | undefined;
  /** Numbers of its Releases. */
  numbers: number[];
  releasedAtMs: number;
}

/** What a look starts from. */
export interface Subject {
  readonly application: Application;
  readonly newest: Release | undefined;
  readonly row: RenderRow | undefined;
  readonly memory: ReleaseMemory;
}

/** What a look comes to before it is written. */
export interface Found {
  readonly reason?: UntimedReason;
  readonly snapshot?: Snapshot;
  /** With the content, always. */
  readonly source?: FoundSource;
  readonly content?: ReleaseContent;
  /** When what stands in the way may be gone without anything changing in the store. */
  readonly againMs?: number;
}

/** The newest Release that was made of this very Application. */
export async function newestRelease(application: Application, read: Reader): Promise<Release | undefined> {
  const name = application.status?.release?.name;
  if (name === undefined) return undefined;
  const release = await read.get(Release, { namespace: application.metadata.namespace ?? '', name });
  // One of an Application of the same name that is no more says nothing about this one.
  return release?.spec.applicationUid === application.metadata.uid ? release : undefined;
}
