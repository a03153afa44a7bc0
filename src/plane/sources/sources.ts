import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { FairleadError, fullJitter, jittered, must, type Clock, type Log, type Rng } from '#base';
import {
  Application,
  Credential,
  formatKey,
  formatReference,
  GitRepository,
  keyOf,
  parseKey,
  Project,
  reasonOf,
  RECONCILE_ANNOTATION,
  suspended,
  type GitReference,
  type Kind,
  type PlaneObject,
} from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext, type ReconcileResult } from '#plane/engine';
import type { Store } from '#plane/store';
import { deliveredCommits } from './delivered-commits.ts';
import { Git } from './git.ts';
import { intervalOf, look, type Decrypt, type Egress, type Finding } from './look.ts';
import { defaultSourceLimits, Mirror, type SourceLimits } from './mirror.ts';
import { statusAfter } from './repository-status.ts';
import { SnapshotReader, type Snapshot } from './snapshot-reader.ts';
import type { UrlPolicy } from './source-url.ts';
import { Verifier } from './verify.ts';

export interface SourcesOptions extends Partial<UrlPolicy> {
  /** The plane's data directory; mirrors are below `sources/`. */
  readonly dataDir: string;
  readonly decrypt: Decrypt;
  readonly log: Log;
  readonly clock: Clock;
  readonly rng?: Rng;
  /** Where the time of the last look goes; it never touches an object's revision. */
  readonly pulse?: Store['pulse'];
  readonly limits?: Partial<SourceLimits>;
  /** PEM file of authorities for https in place of the system's. */
  readonly caFile?: string;
  /** The guarded way out. Undefined leaves addresses unchecked: for tests alone. */
  readonly egress: Egress | undefined;
}

export interface Sources {
  readonly controller: Controller;
  /** `namespace/name` of a GitRepository: looks at it now (or once more, when a look is under way). False if it is not followed here. */
  requestLook(key: string): boolean;
  /** Reads one commit of a repository. `uid` is the GitRepository's. */
  openSnapshot(uid: string, commit: string): Snapshot;
  /** Fetches one more reference, for a person who asks what it would change; it is not followed. */
  resolve(
    repository: GitRepository,
    reference: GitReference | undefined,
    context: Pick<ReconcileContext, 'read' | 'clock' | 'signal'>,
  ): Promise<Finding>;
}

/** What is remembered of a repository between looks. Losing it costs one look. */
interface Memory {
  readonly uid: string;
  /** Everything that makes a look due when it changes. */
  readonly cause: string;
  readonly findings: readonly Finding[];
  readonly nextAtMs: number;
  readonly failures: number;
}

const maxReferences = 100;
/** Commits that somebody wanted to read and the mirror no longer holds, of one repository. */
const maxMissing = 20;

/** Follows every GitRepository. Errors: `FL_SOURCE_GIT` when git does not work at all. */
export async function createSources(options: SourcesOptions): Promise<Sources> {
  const root = join(options.dataDir, 'sources');
  const home = join(root, 'home');
  // Nothing in it is worth keeping, and a new start may have other keys.
  await rm(home, { recursive: true, force: true });
  await mkdir(home, { recursive: true, mode: 0o700 });
  const policy: UrlPolicy = { allowFileUrls: options.allowFileUrls ?? false, allowHttp: options.allowHttp ?? false };
  const git = new Git({
    home,
    protocols: ['https', 'ssh', ...(policy.allowHttp ? ['http'] : []), ...(policy.allowFileUrls ? ['file'] : [])].join(':'),
    ...(options.caFile === undefined ? {} : { caFile: options.caFile }),
  });
  return new SourcesController(options, root, policy, git, new Verifier(git, home));
}

class SourcesController implements Sources {
  readonly controller: Controller;
  readonly #options: SourcesOptions;
  readonly #root: string;
  readonly #policy: UrlPolicy;
  readonly #git: Git;
  readonly #verifier: Verifier;
  readonly #limits: SourceLimits;
  readonly #memory = new Map<string, Memory>();
  readonly #mirrors = new Map<string, Mirror>();
  readonly #requested = new Set<string>();
  readonly #readers = new Map<string, Snapshot>();
  /** By uid of a repository. */
  readonly #missing = new Map<string, Set<string>>();
  /** Applications that name a reference in spec.source.files → what they name: no field selects them. */
  readonly #files = new Map<string, { readonly namespace: string; readonly followed: readonly Followed[] }>();
  #wake: (key: string) => void = () => undefined;

  constructor(options: SourcesOptions, root: string, policy: UrlPolicy, git: Git, verifier: Verifier) {
    this.#options = options;
    this.#root = root;
    this.#policy = policy;
    this.#git = git;
    this.#verifier = verifier;
    this.#limits = { ...defaultSourceLimits, ...options.limits };
    this.controller = {
      name: 'sources',
      // Looks wait for servers far more than they work.
      concurrency: 8,
      wakes: [
        wakeOn(GitRepository, ({ after }) => [formatKey(keyOf(after))]),
        wakeOn(Application, ({ type, before, after }) => {
          this.#followFiles(after, type === 'deleted');
          // Only what names another reference than the repository's own.
          return [before, after].flatMap((app) =>
            app === undefined ? [] : followedBy(app).map(({ name }) => `${app.metadata.namespace ?? ''}/${name}`),
          );
        }),
        wakeOn(Credential, ({ after }, read) =>
          this.#repositoriesOf(
            read,
            after.metadata.namespace ?? '',
            (repo) => repo.spec.credential?.name === after.metadata.name,
          ),
        ),
        wakeOn(Project, ({ before, after }, read) =>
          isDeepStrictEqual(before?.spec.sources, after.spec.sources)
            ? []
            : this.#repositoriesOf(read, after.metadata.name, () => true),
        ),
      ],
      initial: (read) => this.#initial(read),
      listen: (wake, signal) => {
        this.#wake = wake;
        const end = (): void => {
          this.#wake = () => undefined;
          // Another process may follow them from now on; should it be this one again, it looks anew.
          this.#memory.clear();
          for (const mirror of this.#mirrors.values()) mirror.objects.close();
        };
        signal.addEventListener('abort', end, { once: true });
      },
      reconcile: (key, context) => this.#reconcile(key, context),
    };
  }

  requestLook(key: string): boolean {
    if (!this.#memory.has(key)) return false;
    this.#requested.add(key);
    this.#wake(key);
    return true;
  }

  openSnapshot(uid: string, commit: string): Snapshot {
    const id = `${uid} ${commit}`;
    const known = this.#readers.get(id);
    if (known !== undefined) return known;
    const reader = new SnapshotReader(this.#mirrorOf(uid).objects, commit, this.#nameOf(uid), this.#limits);
    // A reader holds nothing but questions under way; the map only lets callers of one moment share them.
    if (this.#readers.size >= 64) this.#readers.clear();
    const watched = this.#watched(reader, uid);
    this.#readers.set(id, watched);
    return watched;
  }

  async resolve(
    repository: GitRepository,
    reference: GitReference | undefined,
    context: Pick<ReconcileContext, 'read' | 'clock' | 'signal'>,
  ): Promise<Finding> {
    const [finding] = await look(repository, [reference], this.#mirrorOf(repository.metadata.uid), {
      ...context,
      log: this.#options.log,
      policy: this.#policy,
      decrypt: this.#options.decrypt,
      verifier: this.#verifier,
      egress: this.#options.egress,
    });
    return must(finding, 'a look at one reference finds one thing');
  }

  /** A commit that is gone from the mirror is fetched by the next look, which is now; by its id, should no ref lead to it. */
  #watched(reader: Snapshot, uid: string): Snapshot {
    const watch = async <T>(answer: Promise<T>): Promise<T> => {
      try {
        return await answer;
      } catch (error) {
        if (error instanceof FairleadError && error.code === 'FL_SOURCE_GONE') {
          const missing = this.#missing.get(uid) ?? new Set();
          if (missing.size < maxMissing) this.#missing.set(uid, missing.add(reader.commit));
          for (const [key, memory] of this.#memory) if (memory.uid === uid) this.requestLook(key);
        }
        throw error;
      }
    };
    return {
      commit: reader.commit,
      treeHash: (path) => watch(reader.treeHash(path)),
      list: (path) => watch(reader.list(path)),
      find: (path) => watch(reader.find(path)),
      read: (files) => watch(reader.read(files)),
    };
  }

  async #initial(read: Reader): Promise<readonly string[]> {
    this.#files.clear();
    for (const application of await allOf(read, Application)) this.#followFiles(application, false);
    const repositories = await allOf(read, GitRepository);
    const wanted = new Set(repositories.map((repo) => `${repo.metadata.uid}.git`));
    for (const name of await readdir(this.#root)) {
      if (name.endsWith('.git') && !wanted.has(name)) await rm(join(this.#root, name), { recursive: true, force: true });
    }
    return repositories.map((repo) => formatKey(keyOf(repo)));
  }

  async #repositoriesOf(read: Reader, namespace: string, wants: (repo: GitRepository) => boolean): Promise<string[]> {
    const { items } = await read.list(GitRepository, { namespace });
    return items.filter(wants).map((repo) => formatKey(keyOf(repo)));
  }

  async #reconcile(key: string, context: ReconcileContext): Promise<ReconcileResult> {
    const { read, clock, signal } = context;
    const repository = await read.get(GitRepository, parseKey(key));
    const memory = this.#memory.get(key);
    if (repository === undefined || repository.metadata.uid !== memory?.uid) await this.#forget(key);
    if (repository === undefined || repository.metadata.deletionTimestamp !== undefined) return {};
    if (repository.spec.suspend === true) {
      this.#memory.delete(key);
      const reason = reasonOf(
        'FL_SOURCE_SUSPENDED',
        suspended(`gitrepository/${repository.metadata.name}`, repository.metadata.namespace),
      );
      return this.#write(repository, [{ ref: formatReference(repository.spec.ref), reason }], clock.now());
    }
    const references = await this.#references(repository, read);
    const cause = await this.#causeOf(repository, references, read);
    const isDue = memory === undefined || memory.cause !== cause || this.#requested.has(key) || clock.now() >= memory.nextAtMs;
    const next = isDue ? await this.#look(key, repository, references, cause, context) : memory;
    const result = this.#write(repository, next.findings, clock.now());
    if (isDue) await this.#tidy(repository, references, next.findings, read, signal);
    return { ...result, againMs: Math.max(0, next.nextAtMs - clock.now()) };
  }

  async #look(
    key: string,
    repository: GitRepository,
    references: readonly (GitReference | undefined)[],
    cause: string,
    context: ReconcileContext,
  ): Promise<Memory> {
    const { clock } = context;
    const startedAt = clock.monotonic();
    // Before the look: a request that comes meanwhile asks for another one.
    this.#requested.delete(key);
    const missing = [...(this.#missing.get(repository.metadata.uid) ?? [])].map((commit) => ({ commit }));
    this.#missing.delete(repository.metadata.uid);
    const all = await look(repository, [...references, ...missing], this.#mirrorOf(repository.metadata.uid), {
      ...context,
      log: this.#options.log,
      policy: this.#policy,
      decrypt: this.#options.decrypt,
      verifier: this.#verifier,
      egress: this.#options.egress,
    });
    const findings = all.slice(0, references.length);
    const interval = intervalOf(repository);
    const isUnreachable = findings.some((finding) => 'reason' in finding && finding.reason.code === 'FL_SOURCE_UNREACHABLE');
    const failures = isUnreachable ? (this.#memory.get(key)?.failures ?? 0) + 1 : 0;
    // A server that does not answer is tried sooner at first, and never more often than every five seconds.
    const waitMs = isUnreachable
      ? Math.max(5_000, fullJitter(failures, { baseMs: 5_000, maxMs: interval }, this.#options.rng))
      : Math.max(5_000, jittered(interval, 0.1, this.#options.rng));
    const memory: Memory = { uid: repository.metadata.uid, cause, findings, failures, nextAtMs: clock.now() + waitMs };
    this.#memory.set(key, memory);
    this.#options.pulse?.(GitRepository, keyOf(repository), {
      lookedAt: new Date(clock.now()).toISOString(),
      tookMs: Math.round(clock.monotonic() - startedAt),
      ok: findings.every((finding) => 'snapshot' in finding),
    });
    return memory;
  }

  #write(repository: GitRepository, findings: readonly Finding[], nowMs: number): ReconcileResult {
    const status = statusAfter(repository, findings, nowMs);
    if (isDeepStrictEqual(status, repository.status)) return {};
    const key = keyOf(repository);
    return {
      commit: {
        expect: [{ kind: GitRepository, key, revision: Number(repository.metadata.resourceVersion) }],
        write: [{ op: 'put', kind: GitRepository, object: { ...repository, status } }],
      },
    };
  }

  /** The repository's own reference first, then what Applications name. */
  async #references(repository: GitRepository, read: Reader): Promise<readonly (GitReference | undefined)[]> {
    const references = new Map([[formatReference(repository.spec.ref), repository.spec.ref]]);
    const { items } = await read.list(Application, {
      namespace: repository.metadata.namespace ?? '',
      fields: [{ path: 'spec.source.sourceRef.name', operator: '=', value: repository.metadata.name }],
    });
    for (const { spec } of items) {
      if (spec.source.sourceRef.kind === repository.kind) add(spec.source.ref);
    }
    for (const { namespace, followed } of this.#files.values()) {
      if (namespace !== repository.metadata.namespace) continue;
      for (const { name, ref } of followed) if (name === repository.metadata.name) add(ref);
    }
    return [...references.values()];

    function add(ref: GitReference | undefined): void {
      if (ref !== undefined && references.size <= maxReferences) references.set(formatReference(ref), ref);
    }
  }

  #followFiles(application: Application, isDeleted: boolean): void {
    const followed = isDeleted ? [] : followedBy(application).filter(({ isFiles }) => isFiles);
    const key = formatKey(keyOf(application));
    if (followed.length === 0) this.#files.delete(key);
    else this.#files.set(key, { namespace: application.metadata.namespace ?? '', followed });
  }

  async #causeOf(repository: GitRepository, references: readonly (GitReference | undefined)[], read: Reader): Promise<string> {
    const namespace = repository.metadata.namespace ?? '';
    const name = repository.spec.credential?.name;
    const credential = name === undefined ? undefined : await read.get(Credential, { namespace, name });
    const project = await read.get(Project, { namespace: '', name: namespace });
    return JSON.stringify([
      repository.metadata.generation,
      repository.metadata.annotations?.[RECONCILE_ANNOTATION],
      references.map(formatReference).sort(),
      credential?.metadata.uid,
      credential?.metadata.generation,
      project?.spec.sources,
    ]);
  }

  /** Keeps the commits that Snapshots name and that were delivered; the rest goes when the mirror is packed. */
  async #tidy(
    repository: GitRepository,
    references: readonly (GitReference | undefined)[],
    findings: readonly Finding[],
    read: Reader,
    signal: AbortSignal,
  ): Promise<void> {
    const mirror = this.#mirrorOf(repository.metadata.uid);
    if (!(await mirror.isUntidy())) return;
    const keep = new Set<string>(findings.flatMap((finding) => ('snapshot' in finding ? [finding.snapshot.commit] : [])));
    for (const held of [repository.status?.snapshot, ...(repository.status?.refs ?? []).map((entry) => entry.snapshot)]) {
      if (held !== undefined) keep.add(held.commit);
    }
    for (const reference of references) if (reference?.commit !== undefined) keep.add(reference.commit);
    for (const commit of await deliveredCommits(repository, read)) keep.add(commit);
    await mirror.tidy(keep, signal).catch((error: unknown) => {
      this.#options.log.warn(
        { repository: repository.metadata.name, error },
        'packing a mirror failed; it is tried again after the next look',
      );
    });
  }

  async #forget(key: string): Promise<void> {
    const memory = this.#memory.get(key);
    this.#requested.delete(key);
    if (memory === undefined) return;
    this.#memory.delete(key);
    await this.#mirrorOf(memory.uid).remove();
    this.#mirrors.delete(memory.uid);
    this.#missing.delete(memory.uid);
  }

  #mirrorOf(uid: string): Mirror {
    const known = this.#mirrors.get(uid);
    if (known !== undefined) return known;
    const mirror = new Mirror(this.#dirOf(uid), this.#git, this.#limits);
    this.#mirrors.set(uid, mirror);
    return mirror;
  }

  #dirOf(uid: string): string {
    if (!/^[A-Za-z0-9-]{1,64}$/.test(uid)) {
      throw new FairleadError('FL_SOURCE_UID', `"${uid}" is no uid of a GitRepository`, { kind: 'internal' });
    }
    return join(this.#root, `${uid}.git`);
  }

  #nameOf(uid: string): string {
    for (const [key, memory] of this.#memory) if (memory.uid === uid) return `GitRepository ${parseKey(key).name}`;
    return 'the repository';
  }
}

/** A reference of a GitRepository that is not the repository's own. */
interface Followed {
  readonly name: string;
  readonly ref: GitReference;
  readonly isFiles: boolean;
}

function followedBy({ spec: { source } }: Application): readonly Followed[] {
  const own = source.sourceRef.kind === GitRepository.kind ? [{ ...source, isFiles: false }] : [];
  const files = (source.files ?? []).map((file) => ({ ...file, isFiles: true }));
  return [...own, ...files].flatMap(({ sourceRef, ref, isFiles }) =>
    ref === undefined ? [] : [{ name: sourceRef.name, ref, isFiles }],
  );
}

async function allOf<S, T>(read: Reader, kind: Kind<S, T>): Promise<PlaneObject<S, T>[]> {
  const all: PlaneObject<S, T>[] = [];
  let page = await read.list(kind);
  for (;;) {
    all.push(...page.items);
    if (page.next === undefined) return all;
    page = await read.list(kind, { after: page.next });
  }
}
