import { posix } from 'node:path';
import { JSON_SCHEMA, load } from 'js-yaml';
import { shortHash } from '#base';
import type { FetchedEntry } from '#render';

/** Where in the repository a reference is written. */
interface Place {
  readonly file: string;
  readonly line: number;
}

/** A dependency of a chart that is not in its charts/. Its archive belongs into `into`, as `<name>-<version>.tgz`. */
export interface ChartReference extends Place {
  readonly kind: 'chart';
  readonly name: string;
  /** `https://…` or `oci://…`, as written. */
  readonly repository: string;
  /** A version or a range, as written; `locked` is what Chart.lock says of it. */
  readonly version: string;
  readonly locked?: string;
  readonly into: string;
}

/** A base of a kustomization in another repository. */
export interface GitReference extends Place {
  readonly kind: 'git';
  /** As written: what the fetched directory stands for. */
  readonly entry: string;
  /** `https://…`, `ssh://…` or `git@host:…`. */
  readonly repository: string;
  /** Branch, tag or commit; absent: the default branch. */
  readonly ref?: string;
  /** Directory in that repository. */
  readonly path: string;
}

/** A file at an address, as a resource of a kustomization. */
export interface FileReference extends Place {
  readonly kind: 'https';
  readonly entry: string;
  readonly url: string;
}

export type RemoteReference = ChartReference | GitReference | FileReference;

/** What was fetched for a reference, and by which digest it is known. */
export interface ResolvedReference {
  readonly reference: RemoteReference;
  /** Of the content: a commit id, or `sha256:…` of the archive or file. */
  readonly digest: string;
  /**
   * chart: one file, `<name>-<version>.tgz`; git: the files of the repository that the base needs, by their path in it;
   * https: one file, whose name does not matter.
   */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Where it was asked for now: what it was found to be (`1.2.3`, `branch main at 8a1f…`), and whether that may be another tomorrow. */
  readonly found?: { readonly as: string; readonly floats: boolean };
}

/**
 * Fetches, through the one guarded client. Called with every reference of a render that has to be made; `pins` are the digests
 * of the last time, by `referenceKey`, which hold until `isDue` says of one that it is to be asked for again. Errors: a FairleadError with the
 * code of a reason and its arguments as details; retryable ones mean: later.
 */
export type ResolveReferences = (
  references: readonly RemoteReference[],
  context: {
    readonly project: string;
    readonly pins: ReadonlyMap<string, string>;
    readonly isDue: (key: string) => boolean;
    readonly signal: AbortSignal;
  },
) => Promise<readonly ResolvedReference[]>;

/** Equal for references to the same thing, wherever they are written. */
export function referenceKey(reference: RemoteReference): string {
  return reference.kind === 'chart'
    ? `chart ${reference.repository} ${reference.name} ${reference.locked ?? reference.version} ${reference.into}`
    : reference.entry;
}

/** What a person reads: `chart redis 17.x from https://charts.example.com`. */
export function describeReference(reference: RemoteReference): string {
  return reference.kind === 'chart'
    ? `chart ${reference.name} ${reference.version} from ${reference.repository}`
    : reference.kind === 'git'
      ? `base ${reference.entry}`
      : `file ${reference.entry}`;
}

/** Directory of the file set, outside of every repository, that holds what was fetched. */
const reserved = '.fairlead/remote';

export const kustomizationNames: readonly string[] = ['kustomization.yaml', 'kustomization.yml', 'Kustomization'];

/** Larger ones are left to the engine, which has a deadline. */
const largestDescription = 256 * 1024;

export interface Reach {
  readonly remote: readonly RemoteReference[];
  /** Directories that a kustomization or chart reaches and that are not among the files. */
  readonly missing: readonly string[];
}

/**
 * What an application at `path` needs besides its own directory, as far as the files tell: its kustomizations and charts are
 * followed, one from the other. Called again with what was missing, until nothing is. Pure.
 */
export function reachOf(files: ReadonlyMap<string, Uint8Array>, path: string, besides: readonly string[] = []): Reach {
  const remote = new Map<string, RemoteReference>();
  const missing = new Set<string>();
  const seen = new Set<string>();
  const directories = directoriesOf(files);
  const waiting = [normalised(path), ...besides.filter((one) => directories.has(one))];
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    if (seen.has(directory) || seen.size > 1_000) continue;
    seen.add(directory);
    const found = [...chartReferences(files, directory), ...kustomizeReferences(files, directory)];
    for (const one of found) {
      if (typeof one !== 'string') remote.set(referenceKey(one), one);
      else if (files.has(one)) continue;
      else if (directories.has(one)) waiting.push(one);
      else missing.add(one);
    }
    for (const one of found) {
      if (typeof one !== 'string' && one.kind === 'git') {
        const fetched = posix.join(mountOf(one), one.path);
        if (directories.has(fetched)) waiting.push(fetched);
      }
    }
  }
  return { remote: [...remote.values()], missing: [...missing].sort() };
}

/** What must be fetched before an application at `path` can be rendered. Pure. */
export function remoteReferences(files: ReadonlyMap<string, Uint8Array>, path: string): readonly RemoteReference[] {
  return reachOf(files, path).remote;
}

/** The files with what was fetched for them, and which entries of kustomizations it stands for. Pure. */
export function withResolved(
  files: ReadonlyMap<string, Uint8Array>,
  resolved: readonly ResolvedReference[],
): { readonly files: ReadonlyMap<string, Uint8Array>; readonly fetched: readonly FetchedEntry[] } {
  const all = new Map(files);
  const fetched: FetchedEntry[] = [];
  for (const { reference, files: own } of resolved) {
    if (reference.kind === 'chart') {
      for (const [name, bytes] of own) all.set(posix.join(reference.into, posix.basename(name)), bytes);
      continue;
    }
    const mount = mountOf(reference);
    if (reference.kind === 'git') {
      for (const [name, bytes] of own) all.set(posix.join(mount, normalised(name)), bytes);
      fetched.push({ entry: reference.entry, directory: posix.join(mount, reference.path) });
    } else {
      // A directory of its own: Kustomize takes no file from outside of a kustomization's directory.
      for (const bytes of own.values()) all.set(`${mount}/content.yaml`, bytes);
      all.set(`${mount}/kustomization.yaml`, Buffer.from('resources: [content.yaml]\n'));
      fetched.push({ entry: reference.entry, directory: mount });
    }
  }
  return { files: all, fetched };
}

function mountOf(reference: GitReference | FileReference): string {
  return `${reserved}/${shortHash('remote', reference.entry)}`;
}

function directoriesOf(files: ReadonlyMap<string, Uint8Array>): ReadonlySet<string> {
  const directories = new Set<string>(['.']);
  for (const name of files.keys()) {
    for (let parent = posix.dirname(name); !directories.has(parent); parent = posix.dirname(parent)) directories.add(parent);
  }
  return directories;
}

/** `.` for the root; no `./`, no slash at the end. */
function normalised(path: string): string {
  return posix.join('.', path).replace(/\/$/, '');
}

/** Undefined when it leads out of the repository. */
function inside(directory: string, path: string): string | undefined {
  const joined = posix.join(directory, path).replace(/\/$/, '');
  return joined === '..' || joined.startsWith('../') || path.startsWith('/') ? undefined : joined;
}

function describe(files: ReadonlyMap<string, Uint8Array>, name: string): Readonly<Record<string, unknown>> | undefined {
  const bytes = files.get(name);
  if (bytes === undefined || bytes.byteLength > largestDescription) return undefined;
  try {
    const value: unknown = load(Buffer.from(bytes).toString('utf8'), { schema: JSON_SCHEMA });
    // A mapping with string keys is what a kustomization or a chart is; anything else the engine explains.
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function lineOf(files: ReadonlyMap<string, Uint8Array>, name: string, text: string): number {
  const content = Buffer.from(files.get(name) ?? '').toString('utf8');
  const at = content.indexOf(text);
  return at < 0 ? 1 : content.slice(0, at).split('\n').length;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

function* chartReferences(files: ReadonlyMap<string, Uint8Array>, directory: string): Generator<RemoteReference | string> {
  const file = posix.join(directory, 'Chart.yaml');
  const dependencies = describe(files, file)?.['dependencies'];
  if (!Array.isArray(dependencies)) return;
  const lock = describe(files, posix.join(directory, 'Chart.lock'))?.['dependencies'];
  const into = posix.join(directory, 'charts');
  for (const one of dependencies.slice(0, 200) as readonly Readonly<Record<string, unknown>>[]) {
    const { name, repository, version } = one ?? {};
    if (!isText(name) || !isText(repository) || isVendored(files, into, name)) continue;
    if (repository.startsWith('file://')) {
      const where = inside(directory, repository.slice('file://'.length));
      if (where !== undefined) yield where;
      continue;
    }
    const locked: unknown = Array.isArray(lock)
      ? (lock as readonly Readonly<Record<string, unknown>>[]).find((entry) => entry?.['name'] === name)?.['version']
      : undefined;
    yield {
      kind: 'chart',
      name,
      repository,
      version: isText(version) ? version : '*',
      ...(isText(locked) ? { locked } : {}),
      into,
      file,
      line: lineOf(files, file, name),
    };
  }
}

function isVendored(files: ReadonlyMap<string, Uint8Array>, charts: string, name: string): boolean {
  for (const path of files.keys()) {
    if (!path.startsWith(`${charts}/`)) continue;
    const below = path.slice(charts.length + 1);
    if (/^[^/]+\.tgz$/.test(below) && below.startsWith(`${name}-`)) return true;
    if (/^[^/]+\/Chart\.yaml$/.test(below) && (below === `${name}/Chart.yaml` || describe(files, path)?.['name'] === name)) {
      return true;
    }
  }
  return false;
}

function* kustomizeReferences(files: ReadonlyMap<string, Uint8Array>, directory: string): Generator<RemoteReference | string> {
  for (const name of kustomizationNames) {
    const file = posix.join(directory, name);
    const kustomization = describe(files, file);
    if (kustomization === undefined) continue;
    for (const field of [
      'resources',
      'bases',
      'components',
      'generators',
      'transformers',
      'validators',
      'configurations',
      'crds',
    ]) {
      const entries = kustomization[field];
      if (!Array.isArray(entries)) continue;
      for (const entry of entries.slice(0, 5_000).filter(isText)) {
        // A plug-in's configuration may be written in place.
        if (entry.includes('\n')) continue;
        const remote = parseRemoteEntry(entry);
        if (remote !== undefined) yield { ...remote, entry, file, line: lineOf(files, file, entry) };
        else {
          const where = inside(directory, entry);
          if (where !== undefined) yield where;
        }
      }
    }
  }
}

type ParsedEntry = Pick<GitReference, 'kind' | 'repository' | 'ref' | 'path'> | Pick<FileReference, 'kind' | 'url'>;

/**
 * What an entry of a kustomization refers to, by the rules of Kustomize for remote targets: undefined for a local one. Source:
 * https://github.com/kubernetes-sigs/kustomize/blob/master/examples/remoteBuild.md
 */
export function parseRemoteEntry(entry: string): ParsedEntry | undefined {
  const bare = entry.replace(/^git::/, '');
  const isForced = bare !== entry;
  const [address = '', query = ''] = bare.split('?', 2);
  const parameters = new URLSearchParams(query);
  const ref = parameters.get('ref') ?? parameters.get('version') ?? undefined;
  const git = (repository: string, path: string): ParsedEntry => ({
    kind: 'git',
    repository,
    ...(ref === undefined || ref === '' ? {} : { ref }),
    path: normalised(path.replace(/^\/+/, '')),
  });
  const short = /^(?:gh:|(?=(?:github|gitlab|bitbucket)\.(?:com|org)[:/]))(.+)$/i.exec(address);
  const scp = /^([\w.-]+@[\w.-]+:(?!\/\/))(.+)$/.exec(address);
  const url = /^((?:https?|ssh|git|file):\/\/[^/]+\/)(.*)$/i.exec(address);
  if (scp !== null) return splitRepository(scp[1] ?? '', scp[2] ?? '', git);
  if (short !== null && url === null) {
    const rest = (short[1] ?? '').replace(/^(github|gitlab|bitbucket)\.(com|org):/i, '$1.$2/');
    const host = /^(?:github|gitlab|bitbucket)\.(?:com|org)\//i.exec(rest)?.[0];
    return splitRepository(`https://${host ?? 'github.com/'}`, host === undefined ? rest : rest.slice(host.length), git);
  }
  if (url === null) return undefined;
  const [, base = '', rest = ''] = url;
  const isFileHost = /^https?:\/\/(raw\.githubusercontent|gist\.githubusercontent)\.com\//i.test(base);
  const isGit =
    isForced ||
    !/^https?:/i.test(base) ||
    ref !== undefined ||
    rest.includes('//') ||
    /\.git(\/|$)/.test(rest) ||
    (/^https?:\/\/(github|gitlab|bitbucket)\.(com|org)\//i.test(base) && !/\/(raw|releases|archive|-\/raw)\//.test(rest));
  if (!isGit || isFileHost) return { kind: 'https', url: bare };
  return splitRepository(base, rest, git);
}

/** Host and rest → repository and the directory in it: `//` and `.git/` end the repository, else it has two parts. */
function splitRepository(host: string, rest: string, git: (repository: string, path: string) => ParsedEntry): ParsedEntry {
  const marked = /^(.*?)\/\/(.*)$/.exec(rest) ?? /^(.*?\.git)\/(.*)$/.exec(rest);
  if (marked !== null) return git(`${host}${marked[1] ?? ''}`, marked[2] ?? '');
  const parts = rest.split('/').filter((part) => part !== '');
  return git(`${host}${parts.slice(0, 2).join('/')}`, parts.slice(2).join('/'));
}
