import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { codeOf, sha256 } from '#base';
import { sourceError } from '../classify.ts';
import type { SourceLimits } from '../mirror.ts';
import { hasControls, quoted } from '../text.ts';

/** A file of a chart, relative to the chart's directory. */
export interface ChartFile {
  readonly path: string;
  readonly oid: string;
  readonly content: Buffer;
}

export interface ChartArchive {
  /** By path. */
  readonly files: readonly ChartFile[];
  /** Newest time in the archive: what `now` is in templates. It depends on nothing but the bytes. */
  readonly packedAtMs: number;
}

const block = 512;
/** Headers and padding of as many files as are allowed. */
const overheadPerFile = 3 * block;
const earliestMs = Date.UTC(1980, 0, 1);
const latestMs = Date.UTC(2100, 0, 1);

const inflate = promisify(gunzip);

/**
 * Reads a packed chart (tar, gzip) in memory; nothing is written anywhere. Only ordinary files in one directory count; links,
 * devices, sparse files and names that lead elsewhere are refused, not skipped.
 *
 * Errors: `FL_SOURCE_REFUSED`, `FL_SOURCE_FILE`, `FL_SOURCE_LIMIT`, with the arguments of the reason.
 */
export async function unpackChart(bytes: Uint8Array, shown: string, limits: SourceLimits): Promise<ChartArchive> {
  const most = limits.pathBytes + limits.files * overheadPerFile;
  let tar: Buffer;
  try {
    tar = await inflate(bytes, { maxOutputLength: most });
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') {
      throw sourceError('FL_SOURCE_LIMIT', {
        url: shown,
        what: 'the unpacked chart, in bytes,',
        value: `more than ${most}`,
        limit: most,
      });
    }
    throw refused(shown, 'it is no gzip archive');
  }
  const files = new Map<string, ChartFile>();
  let base: string | undefined;
  let total = 0;
  let packedAtMs = 0;
  for (const entry of entriesOf(tar, shown)) {
    const path = pathOf(entry.name);
    if (path === undefined)
      throw sourceError('FL_SOURCE_FILE', { file: quoted(entry.name), what: 'a name that leads out of the chart' });
    const what = refusalOf(entry);
    if (what !== undefined) throw sourceError('FL_SOURCE_FILE', { file: quoted(path), what });
    if (entry.type === '5') continue;
    const slash = path.indexOf('/');
    const directory = path.slice(0, Math.max(slash, 0));
    base ??= directory;
    if (slash < 0 || directory !== base) throw refused(shown, `${quoted(path)} is not in the directory of the chart`);
    const inside = path.slice(slash + 1);
    if (files.has(inside)) throw refused(shown, `it holds ${quoted(inside)} twice`);
    if (entry.content.length > limits.fileBytes) {
      const said = `${quoted(inside)}, in bytes,`;
      throw sourceError('FL_SOURCE_LIMIT', { url: shown, what: said, value: entry.content.length, limit: limits.fileBytes });
    }
    total += entry.content.length;
    if (total > limits.pathBytes) {
      throw sourceError('FL_SOURCE_LIMIT', {
        url: shown,
        what: 'all files of the chart, in bytes,',
        value: total,
        limit: limits.pathBytes,
      });
    }
    files.set(inside, { path: inside, oid: sha256(entry.content), content: entry.content });
    if (files.size > limits.files) {
      const said = 'the number of files of the chart';
      throw sourceError('FL_SOURCE_LIMIT', { url: shown, what: said, value: `more than ${limits.files}`, limit: limits.files });
    }
    packedAtMs = Math.max(packedAtMs, entry.mtimeMs);
  }
  if (!files.has('Chart.yaml')) throw refused(shown, 'it holds no Chart.yaml');
  return {
    files: [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
    packedAtMs: Math.min(Math.max(packedAtMs, earliestMs), latestMs),
  };
}

interface TarEntry {
  readonly name: string;
  readonly isText: boolean;
  readonly type: string;
  readonly isSparse: boolean;
  readonly content: Buffer;
  readonly mtimeMs: number;
}

/** POSIX ustar and pax, and GNU's long names. */
function* entriesOf(tar: Buffer, shown: string): Generator<TarEntry> {
  let longName: Buffer | undefined;
  let pax = new Map<string, string>();
  for (let at = 0; at + block <= tar.length;) {
    const header = tar.subarray(at, at + block);
    if (header.every((byte) => byte === 0)) return;
    if (!isSound(header)) throw refused(shown, 'a header of the archive is damaged');
    const type = String.fromCharCode(header[156] ?? 0).replace('\0', '0');
    const size = numberOf(pax.get('size') ?? octal(header, 124, 12));
    if (size === undefined || at + block + size > tar.length) throw refused(shown, 'the archive ends before its end');
    const content = tar.subarray(at + block, at + block + size);
    at += block + Math.ceil(size / block) * block;
    if (type === 'L') longName = untilZero(content);
    else if (type === 'x') pax = paxOf(content, shown);
    else if (type !== 'g' && type !== 'K') {
      const raw = longName ?? nameOf(header);
      const named = pax.get('path');
      const name = named ?? raw.toString('utf8');
      yield {
        name,
        isText: named !== undefined || Buffer.from(name).equals(raw),
        type: type === '7' ? '0' : type,
        isSparse: [...pax.keys()].some((key) => key.startsWith('GNU.sparse')),
        content,
        mtimeMs: Math.floor(Number(pax.get('mtime') ?? numberOf(octal(header, 136, 12)) ?? 0)) * 1_000 || 0,
      };
      longName = undefined;
      pax = new Map();
    }
  }
}

function isSound(header: Buffer): boolean {
  let sum = 0;
  for (const [index, byte] of header.entries()) sum += index >= 148 && index < 156 ? 32 : byte;
  return sum === numberOf(octal(header, 148, 8));
}

function nameOf(header: Buffer): Buffer {
  const name = untilZero(header.subarray(0, 100));
  const prefix = header.toString('latin1', 257, 262) === 'ustar' ? untilZero(header.subarray(345, 500)) : Buffer.alloc(0);
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
}

function untilZero(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

/** A field of octal digits, as decimal text; the binary form, which is for gigabytes, gives no number. */
function octal(header: Buffer, at: number, length: number): string {
  const text = untilZero(header.subarray(at, at + length))
    .toString('latin1')
    .trim();
  return /^[0-7]{1,12}$/.test(text) ? String(parseInt(text, 8)) : text === '' ? '0' : 'none';
}

function numberOf(text: string): number | undefined {
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Records of `<length> <key>=<value>\n`. */
function paxOf(content: Buffer, shown: string): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(32, at);
    const length = numberOf(content.toString('latin1', at, Math.max(space, at)));
    if (space < 0 || length === undefined || length < 3 || at + length > content.length)
      throw refused(shown, 'a header of the archive is damaged');
    const record = content.toString('utf8', space + 1, at + length - 1);
    const equals = record.indexOf('=');
    if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}

/** Relative, without `.` and empty parts; undefined when it would lead anywhere else. */
function pathOf(name: string): string | undefined {
  if (name.startsWith('/') || name.includes('\\') || /^[A-Za-z]:/.test(name)) return undefined;
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  return parts.length === 0 || parts.includes('..') ? undefined : parts.join('/');
}

function refusalOf(entry: TarEntry): string | undefined {
  if (entry.isSparse) return 'a sparse file';
  if (!entry.isText || entry.name.includes('\ufffd')) return 'a file whose name is not UTF-8';
  if (hasControls(entry.name)) return 'a file whose name holds control characters';
  if (entry.name.length > 1_024) return 'a file whose name is longer than 1024 characters';
  switch (entry.type) {
    case '0':
    case '5':
      return undefined;
    case '1':
      return 'a hard link';
    case '2':
      return 'a symbolic link';
    default:
      return 'a device or another special file';
  }
}

function refused(shown: string, words: string): Error {
  return sourceError('FL_SOURCE_REFUSED', { url: shown, words });
}
