import { isDeepStrictEqual } from 'node:util';
import { rfc3339, type Log, type NewId } from '#base';
import {
  Application,
  applyIdentity,
  commitsOf,
  ChartRepository,
  formatKey,
  GitRepository,
  keyOf,
  parseKey,
  Project,
  reasonOf,
  REFRESH_ANNOTATION,
  Release,
  releaseName,
  RenderRow,
  suspended,
  type Snapshot,
  type Source,
  type UntimedReason,
} from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { Transaction, Write } from '#plane/store';
import type { Renderer } from '#render';
import { byStatus, findSource, lookedAtFiles, openSource, releasedFiles, type FoundSource } from './application-source.ts';
import { withStanding, type ApplicationStatus } from './application-status.ts';
import type { Fleet } from './fleet.ts';
import { asRead, newObject, withSpec } from './new-object.ts';
import { ACTOR, DELIVERIES_FINALIZER } from './names.ts';
import {
  bundlesOf,
  emptiedCluster,
  isNews,
  nextNumber,
  outdatedReleases,
  settingsOf,
  type ReleaseContent,
} from './plan-release.ts';
import { noticesOf, Pins } from './pins.ts';
import { reasonOfError } from './render-reason.ts';
import { renderTree } from './render-tree.ts';
import { planRetirement } from './retire.ts';
import { retryAfterMs } from './retry.ts';
import { deliveriesOf, eachPage } from './shadow.ts';
import type { ResolveReferences } from './remote-references.ts';
import type { OpenSnapshot } from './snapshot-files.ts';
import { contentFirst, planContent } from './stage-content.ts';
import { nothingStaged, type Staged } from './staged.ts';
import { targetsOf, type Targeting } from './targets.ts';
import type { Derive, TreeRow } from './tree-context.ts';
import { baseGroups } from './wanted-groups.ts';

export interface ReleaseControllerOptions {
  readonly fleet: Fleet;
  readonly renderer: Pick<Renderer, 'render' | 'version'>;
  readonly openSnapshot: OpenSnapshot;
  /** Fetches what an application needs from other places; absent: it says what that is. */
  readonly resolveReferences?: ResolveReferences;
  readonly derive: Derive;
  readonly newId: NewId;
  readonly log: Log;
  /** Releases kept per Application beside those in use; default 20. */
  readonly keptReleases?: number;
  /** While clusters come and go, at most one Release per this many ms; default 1,000. A new commit never waits. */
  readonly fleetReleaseMs?: number;
  /** Told after each look: what it cost. For figures and tests. */
  readonly onLook?: (look: {
    readonly application: string;
    readonly renders: number;
    readonly released: number | undefined;
  }) => void;
}

/** What is remembered of an Application between looks; losing it costs one listing and at most one render. */
interface Memory {
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

/** From Snapshots to Releases. One key per Application. */
export function createReleaseController(options: ReleaseControllerOptions): Controller {
  const looker = new ReleaseLook(options);
  return {
    name: 'applications',
    // One of them computes at a time; the others wait for git or the renderer.
    concurrency: 8,
    wakes: [
      ...options.fleet.wakes(),
      wakeOn(GitRepository, async ({ type, before, after }, read) => {
        const isNew = type !== 'modified' || !isDeepStrictEqual(sourceOf(before), sourceOf(after));
        return isNew ? [...(await applicationsOf(read, after)), ...(await options.fleet.withFilesOf(read, after))] : [];
      }),
      wakeOn(ChartRepository, ({ type, before, after }, read) => {
        const seen = (one: ChartRepository | undefined): unknown => [one?.status?.charts, one?.status?.reason];
        return type !== 'modified' || !isDeepStrictEqual(seen(before), seen(after)) ? applicationsOf(read, after) : [];
      }),
      wakeOn(Project, async ({ type, before, after }, read) =>
        type === 'modified' && before?.metadata.generation === after.metadata.generation
          ? []
          : options.fleet.applicationsOf(read, after),
      ),
    ],
    initial: async (read) => {
      await options.fleet.reload(read);
      const keys: string[] = [];
      await eachPage(read, Application, (application) => keys.push(formatKey(keyOf(application))));
      return keys;
    },
    reconcile: (key, context) => looker.reconcile(key, context),
  };
}

function sourceOf(repository: GitRepository | undefined): unknown {
  return [repository?.status?.snapshot, repository?.status?.refs, repository?.status?.reason, repository?.spec.ref];
}

async function applicationsOf(read: Reader, repository: Source): Promise<string[]> {
  const keys: string[] = [];
  const namespace = repository.metadata.namespace ?? '';
  const fields = [{ path: 'spec.source.sourceRef.name', operator: '=', value: repository.metadata.name }] as const;
  await eachPage(read, Application, (application) => keys.push(formatKey(keyOf(application))), { namespace, fields });
  return keys;
}

/** What a look starts from. */
interface Subject {
  readonly application: Application;
  readonly newest: Release | undefined;
  readonly row: RenderRow | undefined;
  readonly memory: Memory;
}

/** What it comes to before it is written. */
interface Found {
  readonly reason?: UntimedReason;
  readonly snapshot?: Snapshot;
  /** With the content, always. */
  readonly source?: FoundSource;
  readonly content?: ReleaseContent;
  /** When what stands in the way may be gone without anything changing in the store. */
  readonly againMs?: number;
}

interface Decision {
  readonly result: ReconcileResult;
  readonly released?: number;
}

class ReleaseLook {
  readonly #options: ReleaseControllerOptions;
  readonly #memory = new Map<string, Memory>();
  readonly #verdicts = new Map<string, UntimedReason>();

  constructor(options: ReleaseControllerOptions) {
    this.#options = options;
  }

  async reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult> {
    const { read, clock } = context;
    const application = await read.get(Application, parseKey(key));
    if (application === undefined) {
      this.#memory.delete(key);
      return {};
    }
    const finalizers = application.metadata.finalizers ?? [];
    const isHeld = finalizers.includes(DELIVERIES_FINALIZER);
    if (application.metadata.deletionTimestamp !== undefined) {
      if (!isHeld) return {};
      const deliveries = await deliveriesOf(application, read);
      return {
        chunks: planRetirement(application, deliveries, { nowMs: clock.now(), newId: this.#options.newId, actor: ACTOR }),
      };
    }
    const { namespace = '', name } = application.metadata;
    const row = await read.get(RenderRow, { namespace, name });
    const memory = await this.#remember(key, application, read);
    const subject: Subject = {
      application,
      row: row?.spec.applicationUid === application.metadata.uid ? row : undefined,
      newest: await newestRelease(application, read),
      memory,
    };
    // The row is written in one commit with the last of the content.
    if (isDeepStrictEqual(subject.row?.spec.trees, memory.trees)) memory.staged = nothingStaged();
    const before = memory.staged.renders;
    const found = await this.#look(subject, context);
    const { result, released } = await this.#decide(subject, found, context);
    this.#options.onLook?.({ application: key, renders: memory.staged.renders - before, released });
    if (found.content === undefined) {
      // Nothing of it will be stored: what is right in it is rendered again when the rest is.
      memory.trees = undefined;
      memory.staged = nothingStaged();
    }
    return found.againMs === undefined ? result : { againMs: found.againMs, ...result };
  }

  async #remember(key: string, application: Application, read: Reader): Promise<Memory> {
    const known = this.#memory.get(key);
    const number = application.status?.release?.number;
    if (known?.uid === application.metadata.uid) {
      if (number !== undefined && !known.numbers.includes(number)) known.numbers.push(number);
      return known;
    }
    const { namespace = '', name, uid } = application.metadata;
    const numbers: number[] = [];
    const fields = [{ path: 'spec.application', operator: '=', value: name }] as const;
    await eachPage(read, Release, ({ spec }) => numbers.push(spec.number), { namespace, fields });
    const memory: Memory = {
      uid,
      trees: undefined,
      refreshed: undefined,
      staged: nothingStaged(),
      numbers,
      releasedAtMs: Number.NEGATIVE_INFINITY,
    };
    this.#memory.set(key, memory);
    return memory;
  }

  /** Everything up to the content of a Release, or why there is none. */
  async #look(subject: Subject, context: ReconcileContext): Promise<Found> {
    const { read } = context;
    const { application, newest } = subject;
    const { namespace = '', name } = application.metadata;
    if (application.spec.suspend === true)
      return { reason: reasonOf('FL_HOLD_SUSPENDED', suspended(`application/${name}`, namespace)) };
    const project = await read.get(Project, { namespace: '', name: namespace });
    if (project === undefined) return { reason: reasonOf('FL_CLAIM_PROJECT', { project: namespace }) };
    const { path = '.' } = application.spec.source;
    const given = await findSource(read, application, byStatus(application));
    if ('reason' in given) return given;
    const { found: source } = given;
    const { snapshot } = source;
    const targeting = targetsOf(application, project, await this.#options.fleet.clusters(read));
    const { settings, settingsDigest } = settingsOf(application);
    if (targeting.clusters.length > 0) {
      const { refused } = applyIdentity(project, settings);
      if (refused !== undefined) return { snapshot, source, reason: refused };
    }
    const failure = await this.#render(subject, source, targeting, context);
    if (failure !== undefined) {
      const againMs = retryAfterMs(failure.code);
      return { snapshot, source, reason: failure, ...(againMs === undefined ? {} : { againMs }) };
    }
    const bundles = bundlesOf(subject.memory.trees ?? []);
    const emptied = emptiedCluster(bundles, newest);
    if (emptied !== undefined) {
      const objects = `${emptied.objects} objects`;
      return { snapshot, source, reason: reasonOf('FL_RENDER_EMPTY', { path, commit: snapshot.commit.slice(0, 12), objects }) };
    }
    // A source that fails now does not undo what its last Snapshot says; it only has to be said.
    const reason = source.reason ?? targetingReason(targeting, namespace);
    return { snapshot, source, content: { settings, settingsDigest, bundles }, ...(reason === undefined ? {} : { reason }) };
  }

  /** Brings the memory's trees to this snapshot, or says why not. */
  async #render(
    { application, memory, row }: Subject,
    source: FoundSource,
    targeting: Targeting,
    context: ReconcileContext,
  ): Promise<UntimedReason | undefined> {
    const { renderer, derive } = this.#options;
    const grouping = baseGroups(application, targeting, renderer.version);
    if (!grouping.ok) return reasonOf('FL_RENDER_PATH', { message: pathMessage(grouping) });
    const known = memory.trees ?? row?.spec.trees ?? [];
    const asked = application.metadata.annotations?.[REFRESH_ANNOTATION];
    const refreshed = memory.trees === undefined ? row?.spec.refreshed : memory.refreshed;
    const pins = new Pins(known, asked, refreshed);
    const trees: TreeRow[] = [];
    try {
      const files = await openSource(application, source, this.#options.openSnapshot);
      for (const group of grouping.groups) {
        const outcome = await renderTree(
          group,
          known.find((tree) => tree.base === group.base),
          {
            project: application.metadata.namespace ?? '',
            application: application.metadata.name,
            defaultNamespace: application.spec.defaultNamespace,
            snapshot: files,
            commitTimeMs: Date.parse(source.snapshot.committedAt),
            nowMs: context.clock.now(),
            pins,
            renderer,
            derive,
            read: context.read,
            signal: context.signal,
            verdicts: this.#verdicts,
            resolveReferences: this.#options.resolveReferences,
            isOneOfMany: grouping.groups.length > 1,
          },
          memory.staged,
        );
        if ('reason' in outcome) return outcome.reason;
        trees.push(outcome.row);
      }
    } catch (error) {
      const reason = reasonOfError(error);
      if (reason === undefined) throw error;
      return reason;
    }
    memory.trees = trees.sort((a, b) => (a.base < b.base ? -1 : 1));
    memory.refreshed = asked;
    return undefined;
  }

  async #decide(subject: Subject, found: Found, context: ReconcileContext): Promise<Decision> {
    const { application, newest, memory } = subject;
    const { content, source } = found;
    if (content === undefined || source === undefined || !isNews(content, newest))
      return { result: this.#quiet(subject, found, context) };
    const waitMs = memory.releasedAtMs + (this.#options.fleetReleaseMs ?? 1_000) - context.clock.now();
    const commits = [source.snapshot.commit, ...source.files.map(({ snapshot }) => snapshot.commit)];
    const isFleetOnly =
      newest !== undefined &&
      isDeepStrictEqual(
        commitsOf(newest).map(({ commit }) => commit),
        commits,
      ) &&
      newest.spec.applicationGeneration === application.metadata.generation;
    if (isFleetOnly && waitMs > 0) return { result: { againMs: waitMs } };
    const prepared = await planContent(memory.staged, content.bundles, newest?.spec.bundles ?? [], context.read);
    if ('missing' in prepared) {
      const { name, namespace } = application.metadata;
      this.#options.log.warn(
        { application: name, namespace, digest: prepared.missing },
        'a bundle is gone from the store; it is rendered again',
      );
      memory.trees = [];
      memory.staged = nothingStaged();
      return { result: { againMs: 0 } };
    }
    const { number, transaction } = await this.#release(subject, content, source, found.reason, context);
    return { result: { chunks: contentFirst(prepared.chunks, transaction) }, released: number };
  }

  async #release(
    subject: Subject,
    content: ReleaseContent,
    { snapshot, files }: FoundSource,
    reason: UntimedReason | undefined,
    context: ReconcileContext,
  ): Promise<{ readonly number: number; readonly transaction: Transaction }> {
    const { application, memory } = subject;
    const nowMs = context.clock.now();
    const { namespace = '', name, uid, generation } = application.metadata;
    const deliveries = await deliveriesOf(application, context.read);
    const number = nextNumber(application, memory.numbers, deliveries);
    const key = { namespace, name: releaseName(name, number) };
    const { chart, sourceRef } = application.spec.source;
    const { kind, name: sourceName } = sourceRef;
    const { commit, committedAt, author, subject: title, version } = snapshot;
    const spec: Release['spec'] = {
      application: name,
      applicationUid: uid,
      applicationGeneration: generation,
      number,
      source: {
        kind,
        name: sourceName,
        commit,
        committedAt,
        ...(author === undefined ? {} : { author }),
        ...(title === undefined ? {} : { subject: title }),
        ...(chart === undefined ? {} : { chart }),
        ...(version === undefined ? {} : { version }),
        ...(files.length === 0 ? {} : { files: releasedFiles(files) }),
      },
      rendererVersion: this.#options.renderer.version,
      settings: content.settings,
      settingsDigest: content.settingsDigest,
      bundles: [...content.bundles],
      renderedAt: rfc3339(nowMs),
    };
    const base = lookedAt(
      { ...application.status, release: { name: key.name, number, commit } },
      subject,
      { snapshot, files },
      nowMs,
    );
    const status = withStanding(application, base, { reason, summary: undefined, now: rfc3339(nowMs) });
    const outdated = outdatedReleases(memory.numbers, name, deliveries, this.#options.keptReleases ?? 20).slice(0, 100);
    memory.numbers = memory.numbers.filter((old) => !outdated.includes(old));
    memory.releasedAtMs = nowMs;
    return {
      number,
      transaction: {
        expect: [asRead(Application, application), { kind: Release, key, revision: 'absent' }],
        write: [
          { op: 'put', kind: Release, object: newObject(Release, key, spec, { nowMs, newId: this.#options.newId }) },
          { op: 'put', kind: Application, object: { ...held(application), status } },
          this.#rowWrite(subject, nowMs),
          ...outdated.map((old): Write => ({ op: 'delete', kind: Release, key: { namespace, name: releaseName(name, old) } })),
        ],
        audit: {
          actor: ACTOR,
          verb: 'release',
          object: `Release/${namespace}/${key.name}`,
          at: rfc3339(nowMs),
          details: {
            commit,
            ...(files.length === 0 ? {} : { files: files.map(({ snapshot: { commit: other } }) => other) }),
            bundles: content.bundles.length,
          },
        },
      },
    };
  }

  /** Nothing new to release: at most the commit that was looked at, the reason, and what was learnt about the files. */
  #quiet(subject: Subject, found: Found, context: ReconcileContext): ReconcileResult {
    const { application, memory, row } = subject;
    const nowMs = context.clock.now();
    const former = application.status;
    const seen: ApplicationStatus = { ...former, observedGeneration: application.metadata.generation };
    const base =
      found.source !== undefined
        ? lookedAt(seen, subject, found.source, nowMs)
        : { ...seen, ...(found.snapshot === undefined ? {} : { commit: found.snapshot.commit }) };
    const isSameReason =
      former?.reason?.code === found.reason?.code && isDeepStrictEqual(former?.reason?.args, found.reason?.args);
    // How far the Deliveries are is for the status controller to say; until then the former conditions stand.
    const status =
      isSameReason && former?.conditions !== undefined
        ? base
        : withStanding(application, base, { reason: found.reason, summary: undefined, now: rfc3339(nowMs) });
    const write: Write[] =
      isDeepStrictEqual(status, former) && held(application) === application
        ? []
        : [{ op: 'put', kind: Application, object: { ...held(application), status } }];
    const isRowNew =
      found.content !== undefined &&
      former?.release !== undefined &&
      !(isDeepStrictEqual(row?.spec.trees, memory.trees) && row?.spec.refreshed === memory.refreshed);
    if (isRowNew) write.push(this.#rowWrite(subject, nowMs));
    return write.length === 0 ? {} : { commit: { expect: [asRead(Application, application)], write } };
  }

  #rowWrite({ application, memory, row }: Subject, nowMs: number): Write {
    const { namespace = '', name, uid } = application.metadata;
    const spec: RenderRow['spec'] = {
      applicationUid: uid,
      ...(memory.refreshed === undefined ? {} : { refreshed: memory.refreshed }),
      trees: [...(memory.trees ?? [])],
    };
    const object =
      row === undefined
        ? newObject(RenderRow, { namespace, name }, spec, { nowMs, newId: this.#options.newId })
        : withSpec(row, spec);
    return { op: 'put', kind: RenderRow, object };
  }
}

/** With the finalizer, without which nothing is delivered: its deletion would otherwise be an absence. */
function held(application: Application): Application {
  const finalizers = application.metadata.finalizers ?? [];
  if (finalizers.includes(DELIVERIES_FINALIZER)) return application;
  return { ...application, metadata: { ...application.metadata, finalizers: [...finalizers, DELIVERIES_FINALIZER] } };
}

/** A status that says which commits were looked at, and what is worth knowing about what was rendered from them. */
function lookedAt(
  status: ApplicationStatus,
  { application, memory }: Subject,
  { snapshot, files: found }: Pick<FoundSource, 'snapshot' | 'files'>,
  nowMs: number,
): ApplicationStatus {
  const { files: _files, notices: formerNotices, ...kept } = status;
  const files = lookedAtFiles(found);
  const notices = memory.trees === undefined ? formerNotices : noticesOf(memory.trees, application, formerNotices, nowMs);
  return {
    ...kept,
    commit: snapshot.commit,
    ...(files.length === 0 ? {} : { files }),
    ...(notices === undefined || notices.length === 0 ? {} : { notices }),
  };
}

function targetingReason(targeting: Targeting, project: string): UntimedReason | undefined {
  if (targeting.clusters.length > 0 || targeting.plane !== undefined) return undefined;
  const [refused] = targeting.refused;
  return refused === undefined ? reasonOf('FL_NO_TARGETS', {}) : reasonOf('FL_CLAIM_CLUSTER', { project, cluster: refused.name });
}

export async function newestRelease(application: Application, read: Reader): Promise<Release | undefined> {
  const name = application.status?.release?.name;
  if (name === undefined) return undefined;
  const release = await read.get(Release, { namespace: application.metadata.namespace ?? '', name });
  // One of an Application of the same name that is no more says nothing about this one.
  return release?.spec.applicationUid === application.metadata.uid ? release : undefined;
}

/** Names the cluster once, and leaves out how a manifest would escape a variable. */
function pathMessage({ message, cluster }: { readonly message: string; readonly cluster: string }): string {
  const text = message.replace(/^variable /, '').replace(/; write \$\$\{ for a literal \$\{$/, '');
  return text.includes(`"${cluster}"`) ? text : `${text} (cluster ${cluster})`;
}
