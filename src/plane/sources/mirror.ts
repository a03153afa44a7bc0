import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, messageOf, type ExecResult } from '#base';
import { formatReference, type GitReference } from '#api';
import { classifyFailure, hostKeyOf, sourceError, wordsOf } from './classify.ts';
import { formatDuration } from './duration.ts';
import type { EgressGrant } from '#plane/fetch';
import type { Git } from './git.ts';
import type { GitAuth } from './git-auth.ts';
import { parseCommit } from './git-objects.ts';
import { ObjectReader } from './object-reader.ts';
import { isCommit, keptRef, mirrorRef, wantedRef } from './references.ts';
import { highestTag, parseRange } from './semver.ts';
import { shownUrl } from './source-url.ts';
import { printable } from './text.ts';

export interface SourceLimits {
  /** All packs of one mirror together. */
  readonly packBytes: number;
  /** Tags that a semver range chooses from, as bytes of `ls-remote`. */
  readonly listingBytes: number;
  /** Files under one path. */
  readonly files: number;
  readonly fileBytes: number;
  /** All files under one path together. */
  readonly pathBytes: number;
  /** Packs after which a mirror is repacked. */
  readonly packs: number;
}

export const defaultSourceLimits: SourceLimits = {
  packBytes: 512 << 20,
  listingBytes: 16 << 20,
  files: 5_000,
  fileBytes: 8 << 20,
  pathBytes: 31 << 20,
  packs: 50,
};

export interface FetchRequest {
  /** What messages show. */
  readonly url: URL;
  /** What git is given; default the URL. */
  readonly address?: string;
  readonly reference: GitReference | undefined;
  readonly auth?: GitAuth;
  readonly egress?: EgressGrant;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Everything a server may send for all references of a repository together, kept or not. */
export const maxLookBytes = 1 << 30;

/** A commit whose message is longer is not looked into. */
const maxCommitBytes = 1 << 20;

/** A commit that the mirror holds, with its whole tree. */
export interface FetchedCommit {
  readonly commit: string;
  /** `branch main`, `semver ^1.0 (v1.2.3)`. */
  readonly ref: string;
  /** The tag object that led to it. */
  readonly tag?: { readonly oid: string; readonly name: string };
  readonly committedAtMs: number;
  readonly author: string;
  readonly subject: string;
}

/**
 * A bare repository that holds the last commits seen of one source, each with its tree and without history. A cache: it
 * may be deleted at any time. One operation at a time; a git process that was killed leaves no lock behind.
 *
 * Errors: `FL_SOURCE_UNREACHABLE`, `FL_SOURCE_DENIED`, `FL_SOURCE_HOST_KEY`, `FL_SOURCE_NO_REF`, `FL_SOURCE_EMPTY`, `FL_SOURCE_REFUSED`, `FL_SOURCE_ADDRESS`,
 * `FL_SOURCE_LIMIT`, with the arguments of the reason as details.
 */
export class Mirror {
  readonly dir: string;
  readonly objects: ObjectReader;
  readonly #git: Git;
  readonly #limits: SourceLimits;
  #turn: Promise<unknown> = Promise.resolve();
  #isReady = false;

  constructor(dir: string, git: Git, limits: SourceLimits) {
    this.dir = dir;
    this.objects = new ObjectReader(dir, git);
    this.#git = git;
    this.#limits = limits;
  }

  /** Asks the server for exactly one reference and brings its commit here if it is not here yet. */
  fetch(request: FetchRequest): Promise<FetchedCommit> {
    return this.#alone(async () => {
      for (let attempt = 0; ; attempt += 1) {
        try {
          await this.#prepare();
          return await this.#fetch(request);
        } catch (error) {
          // What a killed process or a full disk left behind; once is enough.
          const failure = error instanceof MirrorDamage ? error.damage : undefined;
          if (failure === undefined || attempt > 0)
            throw failure === undefined ? error : this.#unreachable(request, messageOf(error));
          if (failure === 'stale-lock') await removeLocks(this.dir);
          else await this.#remove();
        }
      }
    });
  }

  /**
   * Packs what is kept into one and forgets the rest, when many fetches have left many packs. `keep`: commits, each held by a
   * ref of its own from then on; until then nothing is ever thrown away.
   */
  tidy(keep: ReadonlySet<string>, signal?: AbortSignal): Promise<boolean> {
    return this.#alone(async () => {
      const { packs } = await packSizes(this.dir);
      if (packs < this.#limits.packs) return false;
      const run = { timeoutMs: 600_000, maxOutputBytes: 16 << 20, ...(signal === undefined ? {} : { signal }) };
      const listing = [`--git-dir=${this.dir}`, 'for-each-ref', '--format=%(refname)', 'refs/fairlead/kept'];
      const refs = (await this.#git.must(listing, run))
        .toString('utf8')
        .split('\n')
        .filter((ref) => ref !== '');
      const commits = [...keep].filter(isCommit);
      const found = await this.objects.check(commits.map((commit) => `${commit}^{commit}`));
      const wanted = new Map(commits.filter((_, index) => found[index] !== undefined).map((commit) => [keptRef(commit), commit]));
      const input = [
        ...refs.filter((ref) => !wanted.has(ref)).map((ref) => `delete ${ref}\n`),
        ...[...wanted].map(([ref, commit]) => `update ${ref} ${commit}\n`),
      ].join('');
      if (input !== '') await this.#git.must([`--git-dir=${this.dir}`, 'update-ref', '--stdin'], { ...run, input });
      this.objects.close();
      await this.#git.must([`--git-dir=${this.dir}`, 'gc', '--quiet', '--prune=now', '--no-cruft'], run).catch(() =>
        // --no-cruft is newer than the oldest git that we support.
        this.#git.must([`--git-dir=${this.dir}`, 'gc', '--quiet', '--prune=now'], run),
      );
      return true;
    });
  }

  /** Whether enough packs have come together to be worth a `tidy`. */
  async isUntidy(): Promise<boolean> {
    return (await packSizes(this.dir)).packs >= this.#limits.packs;
  }

  remove(): Promise<void> {
    return this.#alone(() => this.#remove());
  }

  async #remove(): Promise<void> {
    this.#isReady = false;
    this.objects.close();
    await rm(this.dir, { recursive: true, force: true });
  }

  #alone<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(task, task);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  async #prepare(): Promise<void> {
    if (this.#isReady) return;
    await mkdir(this.dir, { recursive: true, mode: 0o700 });
    await removeLocks(this.dir);
    const run = { timeoutMs: 30_000, maxOutputBytes: 1 << 20 };
    await this.#git.must(['init', '--quiet', '--bare', '--template=', '--end-of-options', this.dir], run);
    this.#isReady = true;
  }

  async #fetch(request: FetchRequest): Promise<FetchedCommit> {
    const wanted = wantedRef(request.reference);
    const ref = formatReference(request.reference);
    if (wanted === undefined) throw sourceError('FL_SOURCE_NO_REF', { url: shownUrl(request.url), ref });
    switch (wanted.kind) {
      case 'ref':
        return this.#bring(request, wanted.name, mirrorRef(request.reference), ref);
      case 'semver': {
        const tag = await this.#highestTag(request, wanted.range);
        return this.#bring(request, `refs/tags/${tag}`, mirrorRef(request.reference), `${ref} (${tag})`);
      }
      case 'commit':
        // A commit never changes: when it is here, nobody is asked.
        return (await this.#describe(wanted.commit, ref)) ?? this.#bring(request, wanted.commit, keptRef(wanted.commit), ref);
    }
  }

  async #bring(request: FetchRequest, remote: string, local: string, ref: string): Promise<FetchedCommit> {
    const result = await this.#talk(request, [
      'fetch',
      '--quiet',
      '--depth=1',
      '--no-tags',
      '--no-write-fetch-head',
      '--no-recurse-submodules',
      '--no-show-forced-updates',
      '--end-of-options',
      addressOf(request),
      `+${remote}:${local}`,
    ]);
    if (result.exitCode !== 0) throw await this.#failure(request, ref, result.stderr);
    const found = await this.#describe(local, ref);
    // A tag may name a tree or a blob.
    if (found === undefined) throw sourceError('FL_SOURCE_NO_REF', { url: shownUrl(request.url), ref: `commit at ${ref}` });
    if (!remote.startsWith('refs/tags/')) return found;
    const [object] = await this.objects.check([local]);
    return object?.type === 'tag' ? { ...found, tag: { oid: object.oid, name: remote.slice('refs/tags/'.length) } } : found;
  }

  /** The commit that `rev` is or points at, if it is here. */
  async #describe(rev: string, ref: string): Promise<FetchedCommit | undefined> {
    const [info] = await this.objects.check([`${rev}^{commit}`]);
    if (info === undefined || info.bytes > maxCommitBytes) return undefined;
    const [content] = await this.objects.read([info.oid]);
    if (content === undefined) return undefined;
    const { committedAtMs, author, subject } = parseCommit(content);
    return { commit: info.oid, ref, committedAtMs, author: printable(author, 200), subject: printable(subject, 200) };
  }

  async #highestTag(request: FetchRequest, text: string): Promise<string> {
    const missing = sourceError('FL_SOURCE_NO_REF', { url: shownUrl(request.url), ref: `tag within the range ${text}` });
    const range = parseRange(text);
    if (range === undefined) throw missing;
    const args = ['ls-remote', '--quiet', '--tags', '--refs', '--end-of-options', addressOf(request)];
    const result = await this.#talk(request, args, 'the list of tags, in bytes,');
    if (result.exitCode !== 0) throw await this.#failure(request, `semver ${text}`, result.stderr);
    const tags = result.stdout
      .toString('utf8')
      .split('\n')
      .map((line) => line.slice(line.indexOf('\t') + 1 + 'refs/tags/'.length))
      .filter((tag) => tag !== '' && wantedRef({ tag }) !== undefined);
    const tag = highestTag(tags, range);
    if (tag === undefined) throw missing;
    return tag;
  }

  /** Runs a command that talks to the server, within the request's time and the mirror's room. */
  async #talk(request: FetchRequest, args: readonly string[], listing = 'the answer, in bytes,'): Promise<ExecResult> {
    const url = shownUrl(request.url);
    const over = new AbortController();
    let size = 0;
    const watching = setInterval(() => {
      void packSizes(this.dir).then((found) => {
        size = found.bytes;
        if (size > this.#limits.packBytes) over.abort();
      });
    }, 200);
    const signals = [over.signal, ...(request.signal === undefined ? [] : [request.signal])];
    try {
      const result = await this.#git.run([`--git-dir=${this.dir}`, ...args], {
        timeoutMs: request.timeoutMs,
        maxOutputBytes: this.#limits.listingBytes,
        signal: AbortSignal.any(signals),
        ...(request.auth === undefined ? {} : { auth: request.auth }),
        ...(request.egress === undefined ? {} : { egress: request.egress }),
      });
      size = (await packSizes(this.dir)).bytes;
      if (size > this.#limits.packBytes) over.abort();
      if (!over.signal.aborted) return result;
    } catch (error) {
      await removeLocks(this.dir);
      const code = codeOf(error);
      if (code === 'FL_EXEC_OUTPUT') {
        throw sourceError('FL_SOURCE_LIMIT', {
          url,
          what: listing,
          value: `more than ${this.#limits.listingBytes}`,
          limit: this.#limits.listingBytes,
        });
      }
      if (code === 'FL_EXEC_TIMEOUT')
        throw this.#unreachable(request, `it did not answer within ${formatDuration(request.timeoutMs)}`);
      if (code !== 'FL_EXEC_CANCELLED' || !over.signal.aborted) throw error;
    } finally {
      clearInterval(watching);
    }
    // What came does not fit: the next attempt must not find the room taken.
    await this.#remove();
    throw sourceError('FL_SOURCE_LIMIT', {
      url,
      what: 'the size of its packs, in bytes,',
      value: size,
      limit: this.#limits.packBytes,
    });
  }

  async #failure(request: FetchRequest, ref: string, stderr: string): Promise<Error> {
    const url = shownUrl(request.url);
    // What the way out refused, git knows as a status of a proxy.
    const blocked = request.egress?.failure();
    if (blocked?.code === 'FL_FETCH_ADDRESS')
      return sourceError('FL_SOURCE_ADDRESS', { url, why: blocked.message.replace(/^.*? is not connected to: /, '') });
    if (blocked?.code === 'FL_FETCH_LIMIT') {
      const what = 'what it sent for one look, in bytes,';
      return sourceError('FL_SOURCE_LIMIT', { url, what, value: `more than ${maxLookBytes}`, limit: maxLookBytes });
    }
    const failure = classifyFailure(stderr);
    switch (failure) {
      case 'denied':
        return sourceError('FL_SOURCE_DENIED', { url });
      case 'host-key':
        return sourceError('FL_SOURCE_HOST_KEY', { host: request.url.host, ...hostKeyOf(stderr) });
      case 'refused':
        return sourceError('FL_SOURCE_REFUSED', { url, words: wordsOf(stderr) });
      case 'no-ref':
        return (await this.#isEmpty(request))
          ? sourceError('FL_SOURCE_EMPTY', { url })
          : sourceError('FL_SOURCE_NO_REF', { url, ref });
      case 'stale-lock':
      case 'corrupt-mirror':
        return new MirrorDamage(failure, wordsOf(stderr));
      case 'no-space':
        return this.#unreachable(request, 'the disk of the plane is full');
      case 'unreachable':
        return this.#unreachable(request, blocked === undefined ? wordsOf(stderr) : blocked.message);
    }
  }

  #unreachable(request: FetchRequest, words: string): Error {
    return sourceError('FL_SOURCE_UNREACHABLE', { url: shownUrl(request.url), words });
  }

  async #isEmpty(request: FetchRequest): Promise<boolean> {
    const args = ['ls-remote', '--quiet', '--heads', '--tags', '--end-of-options', addressOf(request)];
    const result = await this.#talk(request, args).catch(() => undefined);
    return result !== undefined && result.exitCode === 0 && result.stdout.length === 0;
  }
}

function addressOf(request: FetchRequest): string {
  return request.address ?? request.url.href;
}

class MirrorDamage extends Error {
  readonly damage: 'stale-lock' | 'corrupt-mirror';

  constructor(damage: 'stale-lock' | 'corrupt-mirror', words: string) {
    super(words);
    this.damage = damage;
  }
}

async function packSizes(dir: string): Promise<{ readonly packs: number; readonly bytes: number }> {
  const packDir = join(dir, 'objects', 'pack');
  const names = await readdir(packDir).catch(() => []);
  let bytes = 0;
  let packs = 0;
  for (const name of names) {
    if (name.endsWith('.pack')) packs += 1;
    bytes += await stat(join(packDir, name)).then(
      (s) => s.size,
      () => 0,
    );
  }
  return { packs, bytes };
}

/** Nobody else works in a mirror: a lock file found while no git runs is what a killed one left. */
async function removeLocks(dir: string): Promise<void> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const isLeftover = entry.name.endsWith('.lock') || entry.name.startsWith('tmp_');
    if (isLeftover && !entry.isDirectory()) await rm(join(entry.parentPath, entry.name), { force: true });
  }
}
