import { readFile, readdir } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join, relative, sep } from 'node:path';
import { FairleadError } from '#base';
import type { HttpRequest, PlainResponse } from './types.ts';

interface StaticFile {
  readonly bytes: Buffer;
  readonly type: string;
  readonly etag: string;
  readonly isHashed: boolean;
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  png: 'image/png',
  ico: 'image/x-icon',
  json: 'application/json',
  woff2: 'font/woff2',
  txt: 'text/plain; charset=utf-8',
};
const MAX_FILES = 2000;
const MAX_BYTES = 64 * 1024 * 1024;

/** Nothing from elsewhere, no inline script or style, no frame, and no text that becomes markup or script. */
export const CONSOLE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/**
 * The console's files, read once into memory: a request can only name a file that was there, so no path reaches outside.
 * A path without a file is a page of the console and gets index.html.
 */
export class ConsoleFiles {
  readonly #files: ReadonlyMap<string, StaticFile>;

  private constructor(files: ReadonlyMap<string, StaticFile>) {
    this.#files = files;
  }

  static async read(dir: string): Promise<ConsoleFiles> {
    const files = new Map<string, StaticFile>();
    let bytes = 0;
    for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const content = await readFile(path);
      bytes += content.length;
      if (files.size >= MAX_FILES || bytes > MAX_BYTES) {
        throw new FairleadError('FL_HTTP_CONSOLE', `${dir} is larger than a console; build it anew`, { kind: 'invalid' });
      }
      const name = relative(dir, path).split(sep).join('/');
      files.set(`/${name}`, {
        bytes: content,
        type: TYPES[name.slice(name.lastIndexOf('.') + 1)] ?? 'application/octet-stream',
        etag: `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`,
        // Vite writes the hash of the content into the names of assets.
        isHashed: /^assets\/.*-[A-Za-z0-9_-]{8,}\.[a-z0-9]+$/.test(name),
      });
    }
    return new ConsoleFiles(files);
  }

  get size(): number {
    return this.#files.size;
  }

  answer(request: Pick<HttpRequest, 'segments' | 'headers'>): PlainResponse {
    const path = `/${request.segments.join('/')}`;
    const last = request.segments.at(-1) ?? '';
    const file =
      this.#files.get(path) ?? (last.includes('.') && path.startsWith('/assets/') ? undefined : this.#files.get('/index.html'));
    if (file === undefined) {
      throw new FairleadError('FL_HTTP_NOT_FOUND', `${path} is no file of the console`, { kind: 'not-found' });
    }
    const headers = {
      ...CONSOLE_HEADERS,
      'content-type': file.type,
      etag: file.etag,
      'cache-control': file.isHashed ? 'public, max-age=31536000, immutable' : 'no-cache',
    };
    if (request.headers['if-none-match'] === file.etag) return { status: 304, headers };
    return { status: 200, headers, body: file.bytes };
  }
}
