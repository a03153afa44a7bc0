import { posix } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { FairleadError, sha256, shortHash } from '#base';
import { isReasonCode, reasonOf, type RenderRow, type UntimedReason, type ReasonCode } from '#api';
import type { Reader } from '#plane/engine';
import type { Blob } from '#plane/store';
import {
  covers,
  type FetchedEntry,
  type Listing,
  type Recipient,
  type Renderer,
  type RenderRequest,
  type RenderResult,
} from '#render';
import { buildBundle, digestOf } from './bundle.ts';
import { staleLocks } from './chart-lock.ts';
import type { Pins } from './pins.ts';
import {
  describeReference,
  referenceKey,
  remoteReferences,
  withResolved,
  type ResolvedReference,
  type ResolveReferences,
} from './remote-references.ts';
import { collectFiles, treeKey, type RenderFiles } from './render-files.ts';
import { reasonOfRender } from './render-reason.ts';
import type { SnapshotFile, SnapshotFiles } from './snapshot-files.ts';
import {
  isCapability,
  mentionedVariables,
  narrowed,
  valuesKey,
  variablesOf,
  type BaseGroup,
  type Member,
} from './wanted-groups.ts';

export type TreeRow = RenderRow['spec']['trees'][number];
type GroupRow = TreeRow['groups'][number];
type BundleRow = GroupRow['bundles'][number];

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

/** What rendering made that is not stored yet. */
export interface Staged {
  readonly blobs: Map<string, Blob>;
  readonly sealed: { readonly cluster: string; readonly equality: string; readonly digest: string }[];
  /** Of bundles made now: what their receivers must be able to fetch. */
  readonly digests: Map<string, readonly string[]>;
  /** How many times the renderer was asked. */
  renders: number;
}

export function nothingStaged(): Staged {
  return { blobs: new Map(), sealed: [], digests: new Map(), renders: 0 };
}

export type TreeOutcome = { readonly row: TreeRow } | { readonly reason: UntimedReason };

/** Of all notes in one tree: where a thousand clusters have each their own, those of the first are kept. */
const mostNotesBytes = 512 * 1024;

/** Recipients of one render; more are sealed to in further renders, which give the same bytes. */
const recipientsPerRender = 100;

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
  const inputs = new Inputs(group, context);
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
async function isAsFetched(known: TreeRow, inputs: Inputs, { pins }: TreeContext): Promise<boolean> {
  if (!pins.concerns(known)) return true;
  const { pins: now } = await inputs.fetchedRow();
  return isDeepStrictEqual(now, known.pins);
}

function fetchedOf({ pins, floating, staleLocks: stale }: TreeRow): Pick<TreeRow, 'pins' | 'floating' | 'staleLocks'> {
  return {
    ...(pins === undefined ? {} : { pins }),
    ...(floating === undefined ? {} : { floating }),
    ...(stale === undefined ? {} : { staleLocks: stale }),
  };
}

/** What a group is rendered from, read from the snapshot at most once and only if something is rendered. */
class Inputs {
  readonly #group: BaseGroup;
  readonly #context: TreeContext;
  #collected: Promise<RenderFiles> | undefined;
  #contents:
    | Promise<{ readonly files: ReadonlyMap<string, Uint8Array>; readonly resolved: readonly ResolvedReference[] }>
    | undefined;

  constructor(group: BaseGroup, context: TreeContext) {
    this.#group = group;
    this.#context = context;
  }

  collected(): Promise<RenderFiles> {
    const { path, render } = this.#group;
    const wanted = { path, named: render.helm?.valueFiles ?? [], follows: render.engine !== 'manifests' };
    const components = (render.kustomize?.components ?? []).map((one) => posix.join(path, one));
    return (this.#collected ??= collectFiles(this.#context.snapshot, { ...wanted, directories: components }));
  }

  async tree(): Promise<string> {
    return treeKey(this.#context.snapshot, this.#group.path, (await this.collected()).outside);
  }

  /** Throws the reason why something that is not in the repository cannot be had. */
  async contents(): Promise<{ readonly files: ReadonlyMap<string, Uint8Array>; readonly fetched: readonly FetchedEntry[] }> {
    const { files, resolved } = await this.#load();
    return withResolved(files, resolved);
  }

  /** What was fetched, as a row keeps it. */
  async fetchedRow(): Promise<Pick<TreeRow, 'pins' | 'floating' | 'staleLocks'>> {
    const { files, resolved } = await this.#load();
    const charts = resolved.flatMap(({ reference }) => (reference.kind === 'chart' ? [posix.dirname(reference.into)] : []));
    const stale = staleLocks(files, charts);
    return { ...this.#context.pins.rowOf(resolved), ...(stale.length === 0 ? {} : { staleLocks: [...stale] }) };
  }

  #load(): Promise<{ readonly files: ReadonlyMap<string, Uint8Array>; readonly resolved: readonly ResolvedReference[] }> {
    return (this.#contents ??= this.#read());
  }

  async #read(): Promise<{ readonly files: ReadonlyMap<string, Uint8Array>; readonly resolved: readonly ResolvedReference[] }> {
    const { snapshot } = this.#context;
    const { files } = await this.collected();
    const byOid = await snapshot.read(files);
    const contents = new Map(files.map((file) => [file.path, byOid.get(file.oid) ?? new Uint8Array()]));
    return { files: contents, resolved: await this.#resolve(contents) };
  }

  /** What was fetched may ask for more: a remote base has bases of its own. */
  async #resolve(contents: ReadonlyMap<string, Uint8Array>): Promise<readonly ResolvedReference[]> {
    const { project, signal, resolveReferences, pins, nowMs } = this.#context;
    if (this.#group.render.engine === 'manifests') return [];
    const resolved: ResolvedReference[] = [];
    for (let round = 0; ; round += 1) {
      const done = new Set(resolved.map(({ reference }) => referenceKey(reference)));
      const missing = remoteReferences(withResolved(contents, resolved).files, this.#group.path).filter(
        (one) => !done.has(referenceKey(one)),
      );
      const [first] = missing;
      if (first === undefined) return resolved;
      if (resolveReferences === undefined || round >= 5) {
        const message = `it needs ${describeReference(first)}, which is not in the repository${missing.length > 1 ? ` (and ${missing.length - 1} more)` : ''}`;
        throw new FairleadError('FL_RENDER_REMOTE', message, {
          kind: 'invalid',
          details: { file: first.file, line: first.line, what: describeReference(first) },
        });
      }
      const isDue = (key: string): boolean => pins.isDue(key);
      const found = await resolveReferences(missing, { project, pins: pins.digests, isDue, signal });
      pins.keep(found, nowMs);
      resolved.push(...found);
    }
  }
}

/** Of files and options: more than a render will ask for, never less. What a chart asks of the cluster shows when it is rendered. */
async function initialVariables({ render }: BaseGroup, inputs: Inputs): Promise<readonly string[]> {
  const values = [...textsOf(render.helm?.values ?? {})].map((text) => Buffer.from(text));
  const files = render.substitute ? (await inputs.contents()).files.values() : [];
  return mentionedVariables([...values, ...files]);
}

function* textsOf(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) yield* textsOf(inner);
}

type ReadSets = Extract<RenderResult, { readonly ok: true }>['readSet'];

type MembersOutcome =
  | {
      readonly groups: GroupRow[];
      readonly reads: readonly ReadSets[];
      /** By which the groups are told apart: those given, and what the renders asked for besides. */
      readonly variables: readonly string[];
    }
  | { readonly reason: UntimedReason }
  /** Variables by which members differ after all: start again with them. */
  | { readonly more: readonly string[] };

async function renderMembers(
  group: BaseGroup,
  row: TreeRow | undefined,
  known: readonly string[],
  clockMs: number,
  inputs: Inputs,
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
    const bundles = new Bundles(former?.bundles ?? []);
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
  { files, fetched }: { readonly files: ReadonlyMap<string, Uint8Array>; readonly fetched: readonly FetchedEntry[] },
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

function recipientOf({ cluster }: Member, { derive }: TreeContext): Recipient[] {
  if (cluster?.sealingKey === undefined) return [];
  // The sealing key is part of it: what was sealed to a former key of the cluster is equal to nothing.
  const equalityKey = derive('equality', cluster.name, cluster.sealingKey).toString('hex');
  return [{ cluster: cluster.name, ageRecipient: cluster.sealingKey, equalityKey }];
}

function sealId(member: Member, context: TreeContext): string {
  const [recipient] = recipientOf(member, context);
  return recipient === undefined ? '' : shortHash('seal', recipient.ageRecipient, sha256(recipient.equalityKey));
}

/** Puts the objects of a render and the bundles of its members where the next commit takes them from. */
async function stage(
  result: Extract<RenderResult, { readonly ok: true }>,
  members: readonly Member[],
  bundles: Bundles,
  context: TreeContext,
  staged: Staged,
): Promise<void> {
  const keep = (bytes: Uint8Array): string => {
    const digest = digestOf(bytes);
    if (!staged.blobs.has(digest)) staged.blobs.set(digest, { digest, bytes });
    return digest;
  };
  const all = [...result.objects, ...result.hooks];
  for (const object of all) if (!object.sensitive) keep(object.body);
  const isSealed = all.some((object) => object.sensitive);
  for (const [index, member] of members.entries()) {
    const known = isSealed ? await sealedFor(result, nameOf(member), context, staged, keep) : new Map<string, string>();
    const built = buildBundle(result.objects, member.cluster?.name, (equality) => known.get(equality) ?? '', result.hooks);
    staged.blobs.set(built.digest, { digest: built.digest, bytes: built.bytes });
    staged.digests.set(built.digest, built.digests);
    if (!isSealed) {
      bundles.share(built.digest, built.objects);
      return;
    }
    bundles.give(nameOf(member), sealId(member, context), built.digest, built.objects);
    // Bundles of a thousand clusters are a thousand JSON texts.
    if (index % 20 === 19) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Equality → digest of the sealed form that the cluster is to fetch: one made before, if there is one. */
async function sealedFor(
  result: Extract<RenderResult, { readonly ok: true }>,
  cluster: string,
  context: TreeContext,
  staged: Staged,
  keep: (bytes: Uint8Array) => string,
): Promise<ReadonlyMap<string, string>> {
  const made = new Map<string, Uint8Array>();
  for (const object of [...result.objects, ...result.hooks]) {
    const own = object.sensitive ? object.sealed.find((sealed) => sealed.cluster === cluster) : undefined;
    if (own !== undefined) made.set(own.equality, own.bytes);
  }
  const digests = new Map(await context.read.sealedDigests(cluster, [...made.keys()]));
  for (const [equality, bytes] of made) {
    if (digests.has(equality)) continue;
    const digest = keep(bytes);
    digests.set(equality, digest);
    staged.sealed.push({ cluster, equality, digest });
  }
  return digests;
}

/** The bundles of one group while it is put together. */
class Bundles {
  readonly #objects = new Map<string, number>();
  /** Of sealed ones: which bundle a member has, and by which keys. */
  readonly #sealed = new Map<string, { readonly digest: string; readonly seal: string }>();
  /** The one bundle that everybody shares because nothing in it is sealed. */
  #shared: string | undefined;

  constructor(rows: readonly BundleRow[]) {
    for (const { digest, objects, members } of rows) {
      this.#objects.set(digest, objects);
      for (const [name, seal] of Object.entries(members)) {
        if (seal === '') this.#shared = digest;
        else this.#sealed.set(name, { digest, seal });
      }
    }
  }

  covers(member: Member, seal: string): boolean {
    return this.#shared !== undefined || (seal !== '' && this.#sealed.get(nameOf(member))?.seal === seal);
  }

  share(digest: string, objects: number): void {
    this.#objects.set(digest, objects);
    this.#shared = digest;
  }

  give(name: string, seal: string, digest: string, objects: number): void {
    this.#objects.set(digest, objects);
    this.#sealed.set(name, { digest, seal });
  }

  rows(names: readonly string[]): BundleRow[] {
    const byDigest = new Map<string, [string, string][]>();
    for (const name of names.toSorted()) {
      const own = this.#shared === undefined ? this.#sealed.get(name) : { digest: this.#shared, seal: '' };
      if (own === undefined) continue;
      const members = byDigest.get(own.digest);
      if (members === undefined) byDigest.set(own.digest, [[name, own.seal]]);
      else members.push([name, own.seal]);
    }
    return [...byDigest]
      .map(([digest, members]) => ({ digest, objects: this.#objects.get(digest) ?? 0, members: Object.fromEntries(members) }))
      .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  }
}

/** Name of a member in rows: '' is the plane itself, which no cluster can be called. */
export function nameOf(member: Member): string {
  return member.cluster?.name ?? '';
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

/** The reason in an error of the source room, if it is one. */
export function reasonOfError(error: unknown): UntimedReason | undefined {
  if (!(error instanceof FairleadError) || error.retryable) return undefined;
  return isReasonCode(error.code) ? reasonOf(error.code, error.details) : undefined;
}
