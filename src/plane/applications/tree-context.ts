import type { RenderRow, UntimedReason } from '#api';
import type { Reader } from '#plane/engine';
import type { Renderer } from '#render';
import type { Pins } from './pins.ts';
import type { ResolveReferences } from './remote-references.ts';
import type { SnapshotFiles } from './snapshot-files.ts';

/** What the plane keeps of the renders of one group of clusters: a RenderRow has one per group. */
export type TreeRow = RenderRow['spec']['trees'][number];
export type GroupRow = TreeRow['groups'][number];
export type BundleRow = GroupRow['bundles'][number];

/** 32 bytes made of a secret of the plane; equal parts give equal bytes. */
export type Derive = (purpose: string, ...parts: readonly string[]) => Buffer;

export interface TreeContext {
  readonly project: string;
  readonly application: string;
  readonly defaultNamespace: string | undefined;
  readonly snapshot: SnapshotFiles;
  readonly commitTimeMs: number;
  /** When what is fetched from elsewhere is said to be found. */
  readonly nowMs: number;
  /** Shared by all groups of an Application. */
  readonly pins: Pins;
  readonly renderer: Pick<Renderer, 'render' | 'version'>;
  readonly derive: Derive;
  readonly read: Pick<Reader, 'sealedDigests'>;
  readonly signal: AbortSignal;
  /** Verdicts on inputs that do not change by being tried again. */
  readonly verdicts: Map<string, UntimedReason>;
  /** Fetches what is not in the repository; absent: such an application says what it needs. */
  readonly resolveReferences?: ResolveReferences | undefined;
  /** Whether a message must name the cluster. */
  readonly isOneOfMany: boolean;
}
