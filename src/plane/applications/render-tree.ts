import { isDeepStrictEqual } from 'node:util';
import { sha256 } from '#base';
import type { UntimedReason } from '#api';
import { covers, type Listing } from '#render';
import { treeKey } from './render-files.ts';
import { initialVariables, RenderInputs, type FetchedRow } from './render-inputs.ts';
import { renderMembers } from './render-members.ts';
import type { SnapshotFile } from './snapshot-files.ts';
import type { Staged } from './staged.ts';
import type { TreeContext, TreeRow } from './tree-context.ts';
import type { BaseGroup } from './wanted-groups.ts';

export type TreeOutcome = { readonly row: TreeRow } | { readonly reason: UntimedReason };

/**
 * The bundles of all members of a group, from what an earlier render left as far as it still holds. Nothing is rendered when
 * the path has the same tree, or when another tree has the same files as far as they were read; a cluster that joins later
 * is rendered only if there are secrets to seal to it.
 *
 * Throws what a retry may mend (the renderer is busy, the commit is being fetched again).
 */
export async function renderTree(
  group: BaseGroup,
  cached: TreeRow | undefined,
  context: TreeContext,
  staged: Staged,
): Promise<TreeOutcome> {
  const { snapshot } = context;
  const known = cached?.base === group.base ? cached : undefined;
  const inputs = new RenderInputs(group, context);
  let row: TreeRow | undefined;
  if (known !== undefined && (await isAsFetched(known, inputs, context))) {
    const tree = await treeKey(snapshot, group.path, known.outside ?? []);
    if (tree === known.tree) row = known;
    else {
      const { files, outside } = await inputs.collected();
      if (filesKey(files, known) === known.files) row = { ...known, tree: await inputs.tree(), outside: [...outside] };
    }
  }
  // What was made at one time stays as it was made until something of it changes: a certificate is not renewed by a commit elsewhere.
  const clockMs = row?.clockMs ?? context.commitTimeMs;
  let variables = row?.variables ?? (await initialVariables(group, inputs));
  for (;;) {
    const outcome = await renderMembers(group, row, variables, clockMs, inputs, context, staged);
    if ('more' in outcome) {
      variables = [...new Set([...variables, ...outcome.more])];
      row = undefined;
      continue;
    }
    if ('reason' in outcome) return outcome;
    ({ variables } = outcome);
    const read = new Set(outcome.reads.flatMap((one) => one.files));
    const listed = new Map(outcome.reads.flatMap((one) => one.listed).map((one) => [JSON.stringify(one), one]));
    for (const path of row?.read ?? []) read.add(path);
    for (const one of row?.listed ?? []) listed.set(JSON.stringify(one), one);
    const seen = { read: [...read].sort(), listed: [...listed.values()].map(copyOf) };
    const isTimed = row?.clockMs !== undefined || outcome.reads.some((one) => one.clock);
    const isOld = outcome.reads.length === 0 && row !== undefined;
    const outside = isOld ? (row?.outside ?? []) : (await inputs.collected()).outside;
    const fetched = isOld && row !== undefined ? fetchedOf(row) : await inputs.fetchedRow();
    return {
      row: {
        base: group.base,
        tree: row?.tree ?? (await inputs.tree()),
        files: isOld && row !== undefined ? row.files : filesKey((await inputs.collected()).files, seen),
        ...seen,
        ...(outside.length === 0 ? {} : { outside: [...outside] }),
        ...fetched,
        variables: [...variables],
        ...(isTimed ? { clockMs } : {}),
        groups: outcome.groups,
      },
    };
  }
}

/** Whether what a tree was rendered with from elsewhere is still that, where somebody asks for it anew. */
async function isAsFetched(known: TreeRow, inputs: RenderInputs, { pins }: TreeContext): Promise<boolean> {
  if (!pins.concerns(known)) return true;
  const { pins: now } = await inputs.fetchedRow();
  return isDeepStrictEqual(now, known.pins);
}

function fetchedOf({ pins, floating, staleLocks: stale }: TreeRow): FetchedRow {
  return {
    ...(pins === undefined ? {} : { pins }),
    ...(floating === undefined ? {} : { floating }),
    ...(stale === undefined ? {} : { staleLocks: stale }),
  };
}

/** sha256 over names and object ids of the files that a render read, and the names of those it looked for. Pure. */
export function filesKey(
  files: readonly SnapshotFile[],
  seen: { readonly read: readonly string[]; readonly listed: readonly Listing[] },
): string {
  const read = new Set(seen.read);
  const counted = files.flatMap((file) => {
    if (read.has(file.path)) return [[file.path, file.oid]];
    return seen.listed.some((listing) => covers(listing, file.path)) ? [[file.path, '']] : [];
  });
  return sha256(JSON.stringify(counted.sort(([a = ''], [b = '']) => (a < b ? -1 : 1))));
}

function copyOf({ directory, suffixes, names, recurse }: Listing): TreeRow['listed'][number] {
  return { directory, suffixes: [...suffixes], names: [...names], recurse };
}
