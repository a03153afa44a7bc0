import { FairleadError, messageOf, rfc3339, sha256, shortHash, type Clock, type Log } from '#base';
import {
  ACCEPT_MOVED_ANNOTATION,
  ChartRepository,
  GitRepository,
  Project,
  reasonOf,
  say,
  type GitReference,
  type UntimedReason,
} from '#api';
import type { Reader } from '#plane/engine';
import type { ContentCache, Fetcher } from '#plane/fetch';
import { unpackChart } from '../charts/chart-archive.ts';
import { chartOrigin, isAllowed, reasonOfFetch, type ChartOrigin } from '../charts/chart-origin.ts';
import { chooseVersion } from '../charts/choose-version.ts';
import { ChartFinder } from '../charts/find-chart.ts';
import type { Decrypt } from '../look.ts';
import { defaultSourceLimits, type SourceLimits } from '../mirror.ts';
import type { Sources } from '../sources.ts';
import { checkUrl, shownUrl, type UrlPolicy } from '../source-url.ts';
import { parseVersion } from '../semver.ts';

/** A dependency of a chart that is not vendored. */
export interface RemoteChart {
  readonly kind: 'chart';
  readonly file: string;
  readonly line: number;
  readonly name: string;
  /** `https://…`, `oci://…`, or `@name` of a ChartRepository of the project. */
  readonly repository: string;
  /** As Chart.yaml says; `locked` as Chart.lock does. */
  readonly version: string;
  readonly locked?: string;
  readonly into: string;
}

/** A base of a kustomization in a Git repository. */
export interface RemoteBase {
  readonly kind: 'git';
  readonly file: string;
  readonly line: number;
  readonly entry: string;
  readonly repository: string;
  readonly ref?: string;
  readonly path: string;
}

/** A file at an address. */
export interface RemoteFile {
  readonly kind: 'https';
  readonly file: string;
  readonly line: number;
  readonly entry: string;
  readonly url: string;
}

export type Remote = RemoteChart | RemoteBase | RemoteFile;

export interface Resolved<R> {
  readonly reference: R;
  /** A commit id, or `sha256:…` of the archive or file. */
  readonly digest: string;
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Where it was asked for, and not taken by its pin: what it is, and whether that may be another thing tomorrow. */
  readonly found?: { readonly as: string; readonly floats: boolean };
}

export interface ResolverOptions extends Partial<UrlPolicy> {
  readonly read: Pick<Reader, 'get' | 'list'>;
  readonly sources: Pick<Sources, 'resolve' | 'openSnapshot'>;
  readonly fetch: Fetcher;
  readonly cache: ContentCache;
  readonly decrypt: Decrypt;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<SourceLimits>;
}

export interface ResolveContext {
  readonly project: string;
  /** Digests that hold whatever a repository says today, by `keyOf`. */
  readonly pin: (reference: Remote) => string | undefined;
  /** Of which it is asked again what they are, in spite of the pin. A version that is not what it was is refused all the same. */
  readonly isDue?: (reference: Remote) => boolean;
  readonly signal: AbortSignal;
}

const timeoutMs = 60_000;
const archiveBytes = 16 << 20;

/**
 * Fetches what the files of a source name elsewhere: dependencies of charts, remote bases and files of kustomizations. From
 * addresses that the Project's spec.sources names, with the Credential of the project's source of the same URL if it has one.
 *
 * Errors: a FairleadError with the code of a reason and its arguments as details.
 */
export class RemoteResolver {
  readonly #options: ResolverOptions;
  readonly #policy: UrlPolicy;
  readonly #limits: SourceLimits;

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#policy = { allowFileUrls: options.allowFileUrls ?? false, allowHttp: options.allowHttp ?? false };
    this.#limits = { ...defaultSourceLimits, ...options.limits };
  }

  async resolve<R extends Remote>(references: readonly R[], context: ResolveContext): Promise<readonly Resolved<R>[]> {
    const resolved: Resolved<R>[] = [];
    // One after the other: they are few, and one that is refused spares the rest.
    for (const reference of references) resolved.push({ reference, ...(await this.#one(reference, context)) });
    return resolved;
  }

  #one(reference: Remote, context: ResolveContext): Promise<Omit<Resolved<Remote>, 'reference'>> {
    switch (reference.kind) {
      case 'chart':
        return this.#chart(reference, context);
      case 'git':
        return this.#base(reference, context);
      case 'https':
        return this.#file(reference, context);
    }
  }

  async #chart(reference: RemoteChart, context: ResolveContext): Promise<Omit<Resolved<Remote>, 'reference'>> {
    const { name, version, locked, file, line } = reference;
    const { cache } = this.#options;
    const scope = scopeOf(context.project);
    if (locked !== undefined && chooseVersion([locked], version) === undefined) {
      const message = `${name} is ${locked} in Chart.lock and ${version} here; run helm dependency update and commit Chart.lock`;
      throw refusal(reasonOf('FL_RENDER_FAILED', { file, line, message }));
    }
    const pin = context.pin(reference);
    const isDue = context.isDue?.(reference) === true;
    const held = pin === undefined || isDue ? undefined : await cache.get(scope, pin);
    if (held !== undefined && pin !== undefined) return await this.#packed(name, pin, held);
    const repository = await this.#chartRepository(reference.repository, context.project);
    const url = repository?.spec.url ?? reference.repository;
    if (!/^(https?|oci):\/\//.test(url)) {
      const message = `the repository of ${name}, ${url}, is neither a URL nor a ChartRepository of the project`;
      throw refusal(reasonOf('FL_RENDER_FAILED', { file, line, message }));
    }
    const credential = repository?.spec.credential?.name;
    const checked = await chartOrigin(url, context.project, credential, {
      read: this.#options.read,
      log: this.#options.log,
      policy: this.#policy,
      decrypt: this.#options.decrypt,
    });
    if (!checked.ok) throw refusal(checked.reason);
    const found = await this.#guard(checked.origin.shown, credential, () =>
      new ChartFinder(checked.origin, [name], undefined, {
        fetch: this.#options.fetch,
        cache,
        scope,
        signal: context.signal,
        timeoutMs,
        archiveBytes,
        allowHttp: this.#policy.allowHttp,
      }).find({ chart: name, version: locked ?? version }),
    );
    this.#refuseMoved(reference, pin, found.digest, checked.origin, repository);
    const bytes = await cache.get(scope, found.digest);
    if (bytes === undefined)
      throw new FairleadError('FL_FETCH_CONNECT', 'the chart is not in the cache any more', { kind: 'unavailable' });
    const floats = locked === undefined && parseVersion(version) === undefined;
    return { ...(await this.#packed(name, found.digest, bytes)), found: { as: found.version, floats } };
  }

  /** The very version that was rendered before with other content is refused, as a chart of its own would be. */
  #refuseMoved(
    { name, version, locked }: RemoteChart,
    pin: string | undefined,
    digest: string,
    origin: ChartOrigin,
    repository: ChartRepository | undefined,
  ): void {
    const exact = locked ?? version;
    if (pin === undefined || pin === digest || parseVersion(exact) === undefined) return;
    const now = digest.slice('sha256:'.length);
    const accepted = repository?.metadata.annotations?.[ACCEPT_MOVED_ANNOTATION] ?? '';
    if (accepted.length >= 12 && now.startsWith(accepted)) return;
    throw refusal(
      reasonOf('FL_SOURCE_MOVED', {
        chart: name,
        version: exact,
        url: origin.shown,
        was: pin.slice('sha256:'.length).slice(0, 12),
        now: now.slice(0, 12),
        source: repository?.metadata.name ?? '(one with that URL)',
        project: origin.project,
      }),
    );
  }

  /** Checked as a whole here, so that the renderer gets an archive that holds ordinary files only. */
  async #packed(name: string, digest: string, bytes: Buffer): Promise<Omit<Resolved<Remote>, 'reference'>> {
    const { files } = await unpackChart(bytes, `the chart ${name}`, this.#limits);
    const chart = files.find((one) => one.path === 'Chart.yaml')?.content.toString('utf8') ?? '';
    const version = /^version:\s*["']?([0-9A-Za-z.+-]{1,100})/m.exec(chart)?.[1] ?? '0.0.0';
    return { digest, files: new Map([[`${name}-${version}.tgz`, bytes]]) };
  }

  async #base(reference: RemoteBase, context: ResolveContext): Promise<Omit<Resolved<Remote>, 'reference'>> {
    const { project, signal } = context;
    const url = reference.repository;
    const known = await this.#gitRepository(url, project);
    const repository: GitRepository = {
      apiVersion: GitRepository.apiVersion,
      kind: GitRepository.kind,
      metadata: {
        name: known?.metadata.name ?? 'remote-base',
        namespace: project,
        uid: `remote-${shortHash(project, url)}`,
        generation: 1,
        creationTimestamp: rfc3339(0),
      },
      // With what the project's own source of that URL has: its Credential, and whose signatures it asks for.
      spec: { ...known?.spec, url },
    };
    // What is due is asked for by its name alone.
    const pin = context.isDue?.(reference) === true ? undefined : context.pin(reference);
    if (pin !== undefined) {
      const files = await this.#filesOf(repository, pin, reference.path).catch((error: unknown) => {
        if (error instanceof FairleadError && error.code === 'FL_SOURCE_GONE') return undefined;
        throw error;
      });
      if (files !== undefined) return { digest: pin, files };
    }
    const wanted = pin === undefined ? wantedReferences(reference.ref) : [{ commit: pin }, ...wantedReferences(reference.ref)];
    let last: UntimedReason | undefined;
    for (const ref of wanted) {
      const finding = await this.#options.sources.resolve(repository, ref, {
        read: this.#reader(),
        clock: this.#options.clock,
        signal,
      });
      if ('snapshot' in finding) {
        const { commit, ref: named } = finding.snapshot;
        const files = await this.#filesOf(repository, commit, reference.path);
        // By its pin it is only read again.
        if (pin !== undefined && ref.commit === pin) return { digest: commit, files };
        return { digest: commit, files, found: { as: `${named} at ${commit.slice(0, 12)}`, floats: ref.branch !== undefined } };
      }
      last = finding.reason;
      if (last.code !== 'FL_SOURCE_NO_REF') break;
    }
    throw refusal(last ?? reasonOf('FL_SOURCE_EMPTY', { url }));
  }

  /** The whole repository where that is small: a base may have bases beside it. Else its directory. */
  async #filesOf(repository: GitRepository, commit: string, path: string): Promise<ReadonlyMap<string, Uint8Array>> {
    const snapshot = this.#options.sources.openSnapshot(repository.metadata.uid, commit);
    let prefix = '';
    let listed: Awaited<ReturnType<typeof snapshot.list>>;
    try {
      listed = await snapshot.list('.');
    } catch (error) {
      const isTooMuch = error instanceof FairleadError && ['FL_SOURCE_LIMIT', 'FL_SOURCE_FILE'].includes(error.code);
      if (!isTooMuch || path === '.') throw error;
      listed = await snapshot.list(path);
      prefix = `${path}/`;
    }
    const contents = await snapshot.read(listed);
    return new Map(listed.map((file) => [`${prefix}${file.path}`, contents.get(file.oid) ?? new Uint8Array()]));
  }

  async #file(reference: RemoteFile, context: ResolveContext): Promise<Omit<Resolved<Remote>, 'reference'>> {
    const { cache, fetch } = this.#options;
    const scope = scopeOf(context.project);
    const pin = context.isDue?.(reference) === true ? undefined : context.pin(reference);
    const held = pin === undefined ? undefined : await cache.get(scope, pin);
    if (held !== undefined && pin !== undefined) return { digest: pin, files: new Map([['content.yaml', held]]) };
    const [address = ''] = reference.url.split('#');
    const query = address.indexOf('?');
    const checked = checkUrl(query < 0 ? address : address.slice(0, query), { ...this.#policy, allowFileUrls: false });
    if (!checked.ok) throw refusal(reasonOf('FL_SOURCE_URL', { url: checked.shown, why: checked.why }));
    const shown = shownUrl(checked.url);
    const project = await this.#options.read.get(Project, { namespace: '', name: context.project });
    if (!isAllowed(project?.spec.sources ?? [], shown))
      throw refusal(reasonOf('FL_SOURCE_FORBIDDEN', { project: context.project, url: shown }));
    const answer = await this.#guard(shown, undefined, () =>
      fetch({
        url: new URL(address),
        maxBytes: this.#limits.fileBytes,
        allowHttp: this.#policy.allowHttp,
        signal: context.signal,
        timeoutMs,
      }),
    );
    if (answer.status !== 200)
      throw refusal(reasonOf('FL_SOURCE_REFUSED', { url: shown, words: `it answered ${answer.status}` }));
    await cache.put(scope, answer.body);
    const digest = sha256(answer.body);
    return { digest, files: new Map([['content.yaml', answer.body]]), found: { as: digest.slice(0, 19), floats: true } };
  }

  async #guard<T>(shown: string, credential: string | undefined, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const reason = reasonOfFetch(error, shown, credential);
      if (reason !== undefined) throw refusal(reason);
      if (error instanceof FairleadError && error.code.startsWith('FL_FETCH_'))
        throw refusal(reasonOf('FL_SOURCE_UNREACHABLE', { url: shown, words: messageOf(error), retry: 'within a minute' }));
      throw error;
    }
  }

  /** By `@name`, or the one with that URL. */
  async #chartRepository(written: string, namespace: string): Promise<ChartRepository | undefined> {
    const alias = /^(?:@|alias:)(.+)$/.exec(written)?.[1];
    if (alias !== undefined) return await this.#options.read.get(ChartRepository, { namespace, name: alias });
    const { items } = await this.#options.read.list(ChartRepository, { namespace });
    return items.find((one) => trimmed(one.spec.url) === trimmed(written));
  }

  async #gitRepository(url: string, namespace: string): Promise<GitRepository | undefined> {
    const { items } = await this.#options.read.list(GitRepository, { namespace });
    return items.find((one) => trimmed(one.spec.url) === trimmed(url));
  }

  #reader(): Reader {
    // The store itself, or what a controller reads with.
    return this.#options.read as Reader;
  }
}

/** A project sees only what was fetched for it. */
function scopeOf(project: string): string {
  return `project ${project}`;
}

/** As git resolves a name: a commit, a tag, a branch; without one the usual names of the first branch. */
function wantedReferences(ref: string | undefined): readonly GitReference[] {
  if (ref === undefined) return [{ branch: 'main' }, { branch: 'master' }];
  if (/^[0-9a-f]{40}$/.test(ref)) return [{ commit: ref }];
  return [{ tag: ref }, { branch: ref }];
}

function trimmed(url: string): string {
  return url.replace(/\/$/, '').replace(/\.git$/, '');
}

function refusal(reason: UntimedReason): FairleadError {
  return new FairleadError(reason.code, say(reason), { kind: 'invalid', details: reason.args });
}
