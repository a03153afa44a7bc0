import { FairleadError } from '#base';
import { reasonOf, type ReasonCode, type UntimedReason } from '#api';
import type { Recipient, RenderRequest, RenderResult } from '#render';
import { MemberBundles, nameOf, recipientOf, sealId } from './member-bundles.ts';
import type { RenderContents, RenderInputs } from './render-inputs.ts';
import { reasonOfRender } from './render-reason.ts';
import { stage, type Staged } from './staged.ts';
import type { GroupRow, TreeContext, TreeRow } from './tree-context.ts';
import { isCapability, narrowed, valuesKey, variablesOf, type BaseGroup, type Member } from './wanted-groups.ts';

/** Of all notes in one tree: where a thousand clusters have each their own, those of the first are kept. */
const mostNotesBytes = 512 * 1024;

/** Recipients of one render; more are sealed to in further renders, which give the same bytes. */
const recipientsPerRender = 100;

type ReadSets = Extract<RenderResult, { readonly ok: true }>['readSet'];

/** What the members of a group hold after all renders that it took. */
export type MembersOutcome =
  | {
      readonly groups: GroupRow[];
      readonly reads: readonly ReadSets[];
      /** By which the groups are told apart: those given, and what the renders asked for besides. */
      readonly variables: readonly string[];
    }
  | { readonly reason: UntimedReason }
  /** Variables by which members differ after all: start again with them. */
  | { readonly more: readonly string[] };

/**
 * Renders a group for as many of its members as the row does not cover, once for all members whose variables are alike. Throws
 * what a retry may mend, and the reason why something that is not in the repository cannot be had.
 */
export async function renderMembers(
  group: BaseGroup,
  row: TreeRow | undefined,
  known: readonly string[],
  clockMs: number,
  inputs: RenderInputs,
  context: TreeContext,
  staged: Staged,
): Promise<MembersOutcome> {
  let variables = known;
  const byValues = byValuesOf(group.members, variables);
  const groups: GroupRow[] = [];
  const reads: ReadSets[] = [];
  let notesBytes = 0;
  for (const [first, members] of byValues) {
    let values = first;
    const former = row?.groups.find((one) => one.values === values);
    const bundles = new MemberBundles(former?.bundles ?? []);
    let notes = former?.notes ?? '';
    let missing = members.filter((member) => !bundles.covers(member, sealId(member, context)));
    while (missing.length > 0) {
      const now = missing.slice(0, recipientsPerRender);
      const tree = row?.tree ?? (await inputs.tree());
      const verdict = context.verdicts.get(`${group.base} ${tree} ${values} ${context.pins.refresh}`);
      if (verdict !== undefined) return { reason: verdict };
      const request = requestFor(group, now, variables, clockMs, await inputs.contents(), context);
      staged.renders += 1;
      const result = await context.renderer.render(request, context.signal);
      const more = learnt(result, variables);
      if (more.length > 0) {
        const wider = byValuesOf(group.members, [...variables, ...more]);
        const [same] = wider.keys();
        // Where all are alike in what it asked of the cluster, too, the render is what it would be again.
        if (!more.every(isCapability) || byValues.size > 1 || wider.size > 1 || same === undefined) return { more };
        variables = [...variables, ...more];
        values = same;
      }
      if (!result.ok) {
        if (result.retryable) {
          const [first] = result.errors;
          // Nobody's input is at fault and it may last: it has to be said. Anything else passes within moments.
          if (first?.code !== 'FL_RENDER_UNAVAILABLE') throw retryable(result);
          return { reason: reasonOf('FL_RENDER_UNAVAILABLE', { path: group.path, message: first.message }) };
        }
        const isOneOfMany = context.isOneOfMany || byValues.size > 1;
        const example = variablesOf(now[0] ?? {}).name;
        const cluster = isOneOfMany ? example : undefined;
        const reason = reasonOfRender(result.errors, { path: group.path, commit: context.snapshot.commit, cluster, example });
        // How long something takes is not the input's alone: that is tried again.
        if (!timed.has(reason.code))
          remember(context.verdicts, `${group.base} ${tree} ${values} ${context.pins.refresh}`, reason);
        return { reason };
      }
      notes = result.notes;
      reads.push(result.readSet);
      await stage(result, now, bundles, context, staged);
      missing = members.filter((member) => !bundles.covers(member, sealId(member, context)));
    }
    notesBytes += Buffer.byteLength(notes);
    const areNotesKept = notes !== '' && notesBytes <= mostNotesBytes;
    groups.push({ values, ...(areNotesKept ? { notes } : {}), bundles: bundles.rows(members.map(nameOf)) });
  }
  return { groups, reads, variables };
}

/** Members by the values that the variables have for them. */
function byValuesOf(all: readonly Member[], variables: readonly string[]): ReadonlyMap<string, readonly Member[]> {
  const byValues = new Map<string, Member[]>();
  for (const member of all) {
    const values = valuesKey(variablesOf(member), variables);
    const members = byValues.get(values);
    if (members === undefined) byValues.set(values, [member]);
    else members.push(member);
  }
  return byValues;
}

/**
 * By what else members differ, or will once more of them join, as a render found out: what a chart asked of its cluster; and,
 * where it asked for randomness, everything, because no two clusters share a password.
 */
function learnt(result: RenderResult, variables: readonly string[]): readonly string[] {
  const { readSet } = result;
  if (readSet === undefined) return [];
  const wanted = readSet.variables.filter(isCapability);
  if (result.ok && readSet.randomness) wanted.push('cluster.name');
  return wanted.filter((one) => !variables.includes(one));
}

function requestFor(
  group: BaseGroup,
  members: readonly Member[],
  variables: readonly string[],
  clockMs: number,
  { files, fetched }: RenderContents,
  context: TreeContext,
): RenderRequest {
  const { project, application, derive } = context;
  const first = members[0] ?? {};
  const seedParts = variables.includes('cluster.name') ? [nameOf(first)] : [];
  return {
    project,
    application,
    cluster: narrowed(variablesOf(first), variables),
    files,
    path: group.path,
    ...(fetched.length === 0 ? {} : { fetched }),
    render: group.render,
    ...(context.defaultNamespace === undefined ? {} : { defaultNamespace: context.defaultNamespace }),
    commitTimeMs: clockMs,
    seed: derive('render-seed', project, application, ...seedParts).toString('hex'),
    recipients: members.flatMap((member): Recipient[] => recipientOf(member, context)),
  };
}

const timed: ReadonlySet<string> = new Set<ReasonCode>(['FL_RENDER_TIMEOUT', 'FL_RENDER_QUARANTINED']);

function remember(verdicts: Map<string, UntimedReason>, key: string, reason: UntimedReason): void {
  if (verdicts.size >= 1_000) verdicts.clear();
  verdicts.set(key, reason);
}

function retryable(result: Extract<RenderResult, { readonly ok: false }>): FairleadError {
  const [first] = result.errors;
  return new FairleadError(first?.code ?? 'FL_RENDER_UNAVAILABLE', first?.message ?? 'the renderer is not available', {
    kind: 'unavailable',
    ...(result.retryAfterMs === undefined ? {} : { retryAfterMs: result.retryAfterMs }),
  });
}
