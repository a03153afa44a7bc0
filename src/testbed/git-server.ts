import { spawn } from 'node:child_process';
import { timingSafeEqual } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exec, FairleadError } from '#base';

/** What a path of a commit holds: text, bytes, or one of the things that Git can store and a renderer must refuse. */
export type GitContent =
  | string
  | Uint8Array
  | { readonly symlink: string }
  | { readonly submodule: string }
  | { readonly executable: string }
  | { readonly delete: true };

export interface GitCommitOptions {
  /** Default `main`. */
  readonly branch?: string;
  /** The commit to build on; default the branch's head. `'none'` starts a history of its own (a force-push). */
  readonly parent?: string;
  /** Seconds since the epoch; default now. */
  readonly at?: number;
  readonly author?: string;
  /** Paths that are not UTF-8. */
  readonly rawPaths?: readonly (readonly [Uint8Array, GitContent])[];
}

export interface GitCounters {
  /** Requests by kind: advertisement, fetches (and ls-refs), pushes. */
  readonly infoRefs: number;
  readonly uploadPack: number;
  readonly receivePack: number;
  /** Bytes of bodies in both directions. */
  readonly bytes: number;
}

export interface GitServerOptions {
  /** Where the bare repositories are; made when missing. */
  readonly dir: string;
  /** Asked from everybody (HTTP Basic). */
  readonly auth?: { readonly username: string; readonly password: string };
  /** PEM. */
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly port?: number;
  /** Answers a request itself when it returns true: for redirects, refusals and floods in tests. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** Called after every push over HTTP with the repository's name. */
  readonly onPush?: (repo: string) => void;
}

export interface GitServer {
  /** `http(s)://127.0.0.1:<port>`. */
  readonly url: string;
  /** Address of a repository: `<url>/<name>.git`. */
  repoUrl(repo: string): string;
  /** Directory of a repository. */
  path(repo: string): string;
  createRepo(repo: string): Promise<void>;
  /** Adds, replaces and deletes files in one commit; gives its id. */
  commit(repo: string, files: Readonly<Record<string, GitContent>>, message: string, options?: GitCommitOptions): Promise<string>;
  tag(repo: string, name: string, commit: string, annotation?: string): Promise<void>;
  /** Deletes a ref such as `refs/heads/main`. */
  deleteRef(repo: string, ref: string): Promise<void>;
  /** Any git command in the repository, for what the functions above do not cover. */
  git(repo: string, args: readonly string[], input?: string | Uint8Array): Promise<string>;
  counters(): GitCounters;
  stop(): Promise<void>;
}

const gitEnv: Readonly<Record<string, string>> = {
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Testbed',
  GIT_AUTHOR_EMAIL: 'testbed@example.com',
  GIT_COMMITTER_NAME: 'Testbed',
  GIT_COMMITTER_EMAIL: 'testbed@example.com',
};

/**
 * A real Git server on the loopback: `git http-backend` (smart HTTP, protocol v2, push allowed) behind Node's HTTP server.
 * Repositories are plain directories. Errors: `FL_TESTBED_GIT`.
 */
export async function startGitServer(options: GitServerOptions): Promise<GitServer> {
  await mkdir(options.dir, { recursive: true });
  const counts = { infoRefs: 0, uploadPack: 0, receivePack: 0, bytes: 0 };
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    if (options.intercept?.(request, response) === true) return;
    if (options.auth !== undefined && !isAuthorized(request, options.auth)) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
      return;
    }
    serve(options, counts, request, response);
  };
  const server = options.tls === undefined ? createHttpServer(handler) : createHttpsServer(options.tls, handler);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  // A listening TCP server has an AddressInfo.
  const { port } = server.address() as AddressInfo;
  const url = `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
  const path = (repo: string): string => join(options.dir, `${repo}.git`);
  const git = (repo: string, args: readonly string[], input?: string | Uint8Array): Promise<string> =>
    runGit(path(repo), args, input);
  return {
    url,
    path,
    repoUrl: (repo) => `${url}/${repo}.git`,
    async createRepo(repo) {
      await mkdir(path(repo), { recursive: true });
      await git(repo, ['init', '--quiet', '--bare', '--initial-branch=main', '.']);
      await git(repo, ['config', 'http.receivepack', 'true']);
      await git(repo, ['config', 'uploadpack.allowAnySHA1InWant', 'true']);
    },
    async commit(repo, files, message, commitOptions = {}) {
      const ref = `refs/heads/${commitOptions.branch ?? 'main'}`;
      const head = await git(repo, ['rev-parse', '--verify', '--quiet', ref]).catch(() => '');
      const parent = commitOptions.parent === 'none' ? '' : (commitOptions.parent ?? head.trim());
      await git(repo, ['fast-import', '--quiet', '--force', '--done'], importStream(ref, parent, files, message, commitOptions));
      return (await git(repo, ['rev-parse', ref])).trim();
    },
    async tag(repo, name, commit, annotation) {
      await git(
        repo,
        annotation === undefined ? ['tag', '-f', name, commit] : ['tag', '-f', '-a', '-m', annotation, name, commit],
      );
    },
    async deleteRef(repo, ref) {
      await git(repo, ['update-ref', '-d', ref]);
    },
    git,
    counters: () => ({ ...counts }),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function runGit(cwd: string, args: readonly string[], input?: string | Uint8Array): Promise<string> {
  const result = await exec('git', args, {
    cwd,
    env: gitEnv,
    timeoutMs: 60_000,
    maxOutputBytes: 64 << 20,
    ...(input === undefined ? {} : { input }),
  });
  if (result.exitCode !== 0) {
    throw new FairleadError('FL_TESTBED_GIT', `git ${args[0] ?? ''} failed in ${cwd}: ${result.stderr.trim()}`, {
      kind: 'internal',
    });
  }
  return result.stdout.toString('utf8');
}

function isAuthorized(request: IncomingMessage, auth: { readonly username: string; readonly password: string }): boolean {
  const wanted = Buffer.from(`Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`);
  const given = Buffer.from(request.headers.authorization ?? '');
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

/** One request through `git http-backend`, a CGI program: headers and a blank line, then the body. */
function serve(
  options: GitServerOptions,
  counts: { -readonly [K in keyof GitCounters]: number },
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (url.pathname.endsWith('/info/refs')) counts.infoRefs += 1;
  if (url.pathname.endsWith('/git-upload-pack')) counts.uploadPack += 1;
  const isPush = url.pathname.endsWith('/git-receive-pack');
  if (isPush) counts.receivePack += 1;
  const child = spawn('git', ['http-backend'], {
    env: {
      ...gitEnv,
      GIT_PROJECT_ROOT: options.dir,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method ?? 'GET',
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      REMOTE_USER: options.auth?.username ?? 'anonymous',
      REMOTE_ADDR: '127.0.0.1',
      ...(request.headers['content-length'] === undefined ? {} : { CONTENT_LENGTH: request.headers['content-length'] }),
      ...(request.headers['content-encoding'] === undefined
        ? {}
        : { HTTP_CONTENT_ENCODING: request.headers['content-encoding'] }),
      ...(typeof request.headers['git-protocol'] === 'string' ? { GIT_PROTOCOL: request.headers['git-protocol'] } : {}),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  request.on('data', (chunk: Buffer) => {
    counts.bytes += chunk.length;
  });
  request.pipe(child.stdin);
  child.stdin.on('error', () => undefined);
  response.on('close', () => child.kill('SIGKILL'));
  child.on('error', () => response.destroy());
  let head: Buffer | undefined = Buffer.alloc(0);
  child.stdout.on('data', (chunk: Buffer) => {
    counts.bytes += chunk.length;
    if (head === undefined) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    const body = head.subarray(end + 4);
    writeCgiHead(response, head.subarray(0, end).toString('latin1'));
    head = undefined;
    response.write(body);
  });
  child.stdout.on('end', () => {
    response.end();
    if (isPush) options.onPush?.(url.pathname.replace(/^\//, '').replace(/\.git\/git-receive-pack$/, ''));
  });
}

function writeCgiHead(response: ServerResponse, head: string): void {
  let status = 200;
  const headers: Record<string, string> = {};
  for (const line of head.split('\r\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (name === 'status') status = Number.parseInt(value, 10);
    else if (name !== '') headers[name] = value;
  }
  response.writeHead(status, headers);
}

/** `git fast-import` input: one commit in one process, however many files. */
function importStream(
  ref: string,
  parent: string,
  files: Readonly<Record<string, GitContent>>,
  message: string,
  options: GitCommitOptions,
): Buffer {
  const parts: (string | Uint8Array)[] = [];
  const data = (bytes: Uint8Array): void => void parts.push(`data ${bytes.length}\n`, bytes, '\n');
  // Without an empty reset, fast-import would build on the branch's head.
  if (parent === '') parts.push(`reset ${ref}\n\n`);
  const at = options.at ?? Math.floor(Date.now() / 1000);
  parts.push(`commit ${ref}\n`);
  parts.push(`author ${options.author ?? 'Testbed'} <testbed@example.com> ${at} +0000\n`);
  parts.push(`committer Testbed <testbed@example.com> ${at} +0000\n`);
  data(Buffer.from(message));
  if (parent !== '') parts.push(`from ${parent}\n`);
  const all: (readonly [Uint8Array, GitContent])[] = [
    ...Object.entries(files).map(([path, content]) => [Buffer.from(path), content] as const),
    ...(options.rawPaths ?? []),
  ];
  for (const [path, content] of all) {
    const quoted = quotePath(path);
    if (typeof content === 'string' || content instanceof Uint8Array) {
      parts.push(`M 100644 inline ${quoted}\n`);
      data(Buffer.from(content as Uint8Array));
    } else if ('delete' in content) parts.push(`D ${quoted}\n`);
    else if ('submodule' in content) parts.push(`M 160000 ${content.submodule} ${quoted}\n`);
    else if ('symlink' in content) {
      parts.push(`M 120000 inline ${quoted}\n`);
      data(Buffer.from(content.symlink));
    } else {
      parts.push(`M 100755 inline ${quoted}\n`);
      data(Buffer.from(content.executable));
    }
  }
  parts.push('\ndone\n');
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
}

function quotePath(path: Uint8Array): string {
  const escaped = [...path].map((byte) =>
    byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c
      ? `\\${byte.toString(8).padStart(3, '0')}`
      : String.fromCharCode(byte),
  );
  return `"${escaped.join('')}"`;
}
