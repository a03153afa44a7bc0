import { FairleadError } from '#base';

export interface MetadataInjection {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Sets `metadata.namespace`; an object that names another one is refused. */
  readonly namespace?: string;
}

interface Member {
  readonly key: string;
  /** Of the value, end exclusive. */
  readonly start: number;
  readonly end: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;

/**
 * The same JSON object with labels and annotations added (or replaced) in its top-level metadata. Only bytes inside
 * `metadata.labels`, `.annotations` and `.namespace` are rewritten, all of them text: every number elsewhere keeps its
 * digits, which JSON.parse and JSON.stringify would not promise above 2^53. Throws `FL_KUBE_BODY` for anything that is
 * not one JSON object, and for keys given twice where a reader could pick the other one.
 */
export function injectMetadata(bytes: Uint8Array, add: MetadataInjection): Buffer {
  const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const top = readObject(json, skipSpace(json, 0));
  if (skipSpace(json, top.end) !== json.length) throw bad('there is something after the object');
  const metadata = memberOf(top.members, 'metadata');
  if (metadata === undefined) {
    const rendered = renderMembers({ ...mapsOf(add), ...(add.namespace === undefined ? {} : { namespace: add.namespace }) });
    return insertMember(json, top, `"metadata":{${rendered}}`);
  }
  if (json[metadata.start] !== OPEN) throw bad('metadata is no object');
  const inner = readObject(json, metadata.start);
  const edits: { readonly start: number; readonly end: number; readonly text: string }[] = [];
  const missing: string[] = [];
  for (const [field, wanted] of Object.entries(mapsOf(add))) {
    const member = memberOf(inner.members, field);
    if (member === undefined) missing.push(`${JSON.stringify(field)}:${JSON.stringify(sorted(wanted))}`);
    else
      edits.push({
        start: member.start,
        end: member.end,
        text: JSON.stringify(sorted({ ...readTexts(json, member), ...wanted })),
      });
  }
  if (add.namespace !== undefined) {
    const member = memberOf(inner.members, 'namespace');
    if (member === undefined) missing.push(`"namespace":${JSON.stringify(add.namespace)}`);
    else {
      const named = parse(json, member.start, member.end);
      if (named !== add.namespace && named !== '' && named !== null) {
        throw bad(`metadata.namespace is ${JSON.stringify(named)}, not ${JSON.stringify(add.namespace)}`);
      }
      edits.push({ start: member.start, end: member.end, text: JSON.stringify(add.namespace) });
    }
  }
  if (missing.length > 0) {
    const text = missing.join(',') + (inner.members.length > 0 ? ',' : '');
    edits.push({ start: inner.start + 1, end: inner.start + 1, text });
  }
  return splice(json, edits);
}

function mapsOf(add: MetadataInjection): Record<string, Readonly<Record<string, string>>> {
  return {
    ...(add.annotations === undefined || Object.keys(add.annotations).length === 0 ? {} : { annotations: add.annotations }),
    ...(add.labels === undefined || Object.keys(add.labels).length === 0 ? {} : { labels: add.labels }),
  };
}

function renderMembers(members: Readonly<Record<string, unknown>>): string {
  return Object.entries(members)
    .map(
      ([key, value]) =>
        `${JSON.stringify(key)}:${typeof value === 'string' ? JSON.stringify(value) : JSON.stringify(sorted(value))}`,
    )
    .join(',');
}

function sorted(value: unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value as Record<string, unknown>).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/** A label or annotation map, which holds nothing but text; null counts as absent. */
function readTexts(json: Buffer, member: Member): Record<string, string> {
  const value = parse(json, member.start, member.end);
  if (value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw bad(`metadata.${member.key} is no object`);
  for (const [key, item] of Object.entries(value)) {
    if (typeof item !== 'string') throw bad(`metadata.${member.key}[${JSON.stringify(key)}] is no text; quote it`);
  }
  return value as Record<string, string>; // every value was just seen to be a string
}

function insertMember(
  json: Buffer,
  object: { readonly start: number; readonly members: readonly Member[] },
  text: string,
): Buffer {
  const at = object.start + 1;
  return splice(json, [{ start: at, end: at, text: object.members.length > 0 ? `${text},` : text }]);
}

function splice(json: Buffer, edits: readonly { readonly start: number; readonly end: number; readonly text: string }[]): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.start - b.start)) {
    parts.push(json.subarray(at, edit.start), Buffer.from(edit.text));
    at = edit.end;
  }
  parts.push(json.subarray(at));
  return Buffer.concat(parts);
}

function memberOf(members: readonly Member[], key: string): Member | undefined {
  const found = members.filter((member) => member.key === key);
  if (found.length > 1) throw bad(`${key} is given twice`);
  return found[0];
}

/** The members of the object that begins at `start`. Their values are skipped, not read. */
function readObject(json: Buffer, start: number): { readonly start: number; readonly end: number; readonly members: Member[] } {
  if (json[start] !== OPEN) throw bad('it is no object');
  const members: Member[] = [];
  let at = skipSpace(json, start + 1);
  if (json[at] === CLOSE) return { start, end: at + 1, members };
  for (;;) {
    if (json[at] !== QUOTE) throw bad(`a key is missing at byte ${at}`);
    const keyEnd = skipString(json, at);
    const key = String(parse(json, at, keyEnd));
    at = skipSpace(json, keyEnd);
    if (json[at] !== COLON) throw bad(`a colon is missing at byte ${at}`);
    const valueStart = skipSpace(json, at + 1);
    const valueEnd = skipValue(json, valueStart);
    members.push({ key, start: valueStart, end: valueEnd });
    at = skipSpace(json, valueEnd);
    if (json[at] === CLOSE) return { start, end: at + 1, members };
    if (json[at] !== COMMA) throw bad(`a comma is missing at byte ${at}`);
    at = skipSpace(json, at + 1);
  }
}

function parse(json: Buffer, start: number, end: number): unknown {
  try {
    return JSON.parse(json.toString('utf8', start, end));
  } catch {
    throw bad(`what is at byte ${start} is no JSON`);
  }
}

function skipSpace(json: Buffer, from: number): number {
  let at = from;
  for (let byte = json[at]; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = json[at]) at += 1;
  return at;
}

function skipString(json: Buffer, from: number): number {
  for (let at = from + 1; at < json.length; at += 1) {
    const byte = json[at];
    if (byte === BACKSLASH) at += 1;
    else if (byte === QUOTE) return at + 1;
  }
  throw bad('a string does not end');
}

/** The end of the value at `from`. Nesting is counted, not recursed into, so depth costs nothing. */
function skipValue(json: Buffer, from: number): number {
  const first = json[from];
  if (first === QUOTE) return skipString(json, from);
  if (first === OPEN || first === OPEN_LIST) {
    let depth = 0;
    for (let at = from; at < json.length; at += 1) {
      const byte = json[at];
      if (byte === QUOTE) at = skipString(json, at) - 1;
      else if (byte === OPEN || byte === OPEN_LIST) depth += 1;
      else if (byte === CLOSE || byte === CLOSE_LIST) {
        depth -= 1;
        if (depth === 0) return at + 1;
      }
    }
    throw bad('an object or list does not end');
  }
  let at = from;
  while (at < json.length && /[-+.0-9A-Za-z]/.test(String.fromCharCode(json[at] ?? 0))) at += 1;
  if (at === from) throw bad(`a value is missing at byte ${from}`);
  return at;
}

function bad(why: string): FairleadError {
  return new FairleadError('FL_KUBE_BODY', `the object to apply is not the JSON it should be: ${why}`, { kind: 'invalid' });
}
