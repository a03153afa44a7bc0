import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FairleadError, must } from '#base';
import { Application, formatKey, formatReference, GitRepository, keyOf, type GitReference } from '#api';
import { wakeOn, type Controller, type Reader, type ReconcileContext } from '#plane/engine';
import { deliveredCommits } from './delivered-commits.ts';
import { followSources, type FollowedSources, type FollowOptions, type SourceKind } from './follow-sources.ts';
import { Git } from './git.ts';
import { intervalOf, look, type Egress, type Finding, type LookContext } from './look.ts';
import { defaultSourceLimits, Mirror, type SourceLimits } from './mirror.ts';
import { pages } from './pages.ts';
import { statusAfter, type RepositoryStatus } from './repository-status.ts';
import { SnapshotReader, type Snapshot } from './snapshot-reader.ts';
import type { UrlPolicy } from './source-url.ts';
import { Verifier } from './verify.ts';

export interface SourcesOptions extends FollowOptions {
  /** The plane's data directory; mirrors are below `sources/`. */
  readonly dataDir: string;
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

type Wanted = GitReference | undefined;

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
  return new GitSources(options, root, policy, git, new Verifier(git, home));
}

class GitSources implements Sources {
  readonly controller: Controller;
  readonly #options: SourcesOptions;
  readonly #root: string;
  readonly #policy: UrlPolicy;
  readonly #git: Git;
  readonly #verifier: Verifier;
  readonly #limits: SourceLimits;
  readonly #followed: FollowedSources;
  /** By uid of a repository. */
  readonly #mirrors = new Map<string, Mirror>();
  readonly #readers = new Map<string, Snapshot>();
  /** By uid of a repository. */
  readonly #missing = new Map<string, Set<string>>();
  /** Applications that name a reference in spec.source.files → what they name: no field selects them. */
  readonly #files = new Map<string, { readonly namespace: string; readonly followed: readonly Followed[] }>();

  constructor(options: SourcesOptions, root: string, policy: UrlPolicy, git: Git, verifier: Verifier) {
    this.#options = options;
    this.#root = root;
    this.#policy = policy;
    this.#git = git;
    this.#verifier = verifier;
    this.#limits = { ...defaultSourceLimits, ...options.limits };
    this.#followed = followSources(this.#repositories(), options);
    this.controller = this.#followed.controller;
  }

  requestLook(key: string): boolean {
    return this.#followed.requestLook(key);
  }

  openSnapshot(uid: string, commit: string): Snapshot {
    const id = `${uid} ${commit}`;
    const known = this.#readers.get(id);
    if (known !== undefined) return known;
    const reader = new SnapshotReader(this.#mirrorOf(uid).objects, commit, this.#shown(uid), this.#limits);
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
    const [finding] = await look(repository, [reference], this.#mirrorOf(repository.metadata.uid), this.#lookContext(context));
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
          this.#followed.requestLookOf(uid);
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

  /** How a GitRepository is followed. */
  #repositories(): SourceKind<GitRepository['spec'], RepositoryStatus, Wanted, readonly Finding[]> {
    return {
      kind: GitRepository,
      name: 'sources',
      concurrency: 8,
      wakes: [
        wakeOn(Application, ({ type, before, after }) => {
          this.#followFiles(after, type === 'deleted');
          // Only what names another reference than the repository's own.
          return [before, after].flatMap((app) =>
            app === undefined ? [] : followedBy(app).map(({ name }) => `${app.metadata.namespace ?? ''}/${name}`),
          );
        }),
      ],
      begin: async (all, read) => {
        this.#files.clear();
        for await (const application of pages(read, Application)) this.#followFiles(application, false);
        await this.#sweep(new Set(all.map((repository) => `${repository.metadata.uid}.git`)));
      },
      end: () => {
        for (const mirror of this.#mirrors.values()) mirror.objects.close();
      },
      wanted: (repository, read) => this.#references(repository, read),
      causes: (_, references) => references.map(formatReference).sort(),
      intervalMs: intervalOf,
      look: (repository, references, _, context) => this.#look(repository, references, context),
      notLooked: (_, references, reason) => references.map((one) => ({ ref: formatReference(one), reason })),
      reasonsOf: (findings) => findings.flatMap((finding) => ('reason' in finding ? [finding.reason] : [])),
      statusAfter,
      tidy: (repository, references, findings, context) => this.#tidy(repository, references, findings, context),
      forget: async (uid) => {
        await this.#mirrorOf(uid).remove();
        this.#mirrors.delete(uid);
        this.#missing.delete(uid);
      },
    };
  }

  /** Removes mirrors of repositories that are no more. */
  async #sweep(wanted: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.#root)) {
      if (name.endsWith('.git') && !wanted.has(name)) await rm(join(this.#root, name), { recursive: true, force: true });
    }
  }

  async #look(repository: GitRepository, references: readonly Wanted[], context: ReconcileContext): Promise<readonly Finding[]> {
    const { uid } = repository.metadata;
    const missing = [...(this.#missing.get(uid) ?? [])].map((commit) => ({ commit }));
    this.#missing.delete(uid);
    const all = await look(repository, [...references, ...missing], this.#mirrorOf(uid), this.#lookContext(context));
    return all.slice(0, references.length);
  }

  #lookContext({ read, clock, signal }: Pick<ReconcileContext, 'read' | 'clock' | 'signal'>): LookContext {
    const { log, decrypt, egress } = this.#options;
    return { read, clock, signal, log, decrypt, egress, policy: this.#policy, verifier: this.#verifier };
  }

  /** The repository's own reference first, then what Applications name. */
  async #references(repository: GitRepository, read: Reader): Promise<readonly Wanted[]> {
    const references = new Map([[formatReference(repository.spec.ref), repository.spec.ref]]);
    const naming = pages(read, Application, {
      namespace: repository.metadata.namespace ?? '',
      fields: [{ path: 'spec.source.sourceRef.name', operator: '=', value: repository.metadata.name }],
    });
    for await (const { spec } of naming) {
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

  /** Keeps the commits that Snapshots name and that were delivered; the rest goes when the mirror is packed. */
  async #tidy(
    repository: GitRepository,
    references: readonly Wanted[],
    findings: readonly Finding[],
    { read, signal }: ReconcileContext,
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

  #shown(uid: string): string {
    const name = this.#followed.nameOf(uid);
    return name === undefined ? 'the repository' : `GitRepository ${name}`;
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
