import { FairleadError } from '#base';
import type { Kind, PlaneObject } from '#api';
import type { AuditLeaf, Transaction, Write } from './types.ts';

/** What one transaction may hold; a larger one stalls every other writer. Bring fleets in chunks. */
export const transactionLimits = {
  writes: 1_000,
  /** Writes, expectations, blobs, issued digests, sealed forms and effects together. */
  rows: 20_000,
  bytes: 64 * 1024 * 1024,
} as const;

/** A write as the writer stores it: the object's text is `head + '"resourceVersion":"<n>",' + tail`. */
export interface EncodedWrite {
  readonly op: 'put' | 'delete';
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly head: string;
  readonly tail: string;
  /** The rows by which selectors find the object, as JSON: `[[key, value][] of labels, [path, value][] of fields]`. */
  readonly index: string;
}

export interface EncodedExpectation {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number | 'absent' | 'present';
}

export interface EncodedTransaction {
  readonly expect: readonly EncodedExpectation[];
  readonly write: readonly EncodedWrite[];
  readonly blobs: readonly { readonly digest: string; readonly bytes: Uint8Array }[];
  readonly issue: readonly { readonly cluster: string; readonly digests: readonly string[] }[];
  readonly sealed: readonly { readonly cluster: string; readonly equality: string; readonly digest: string }[];
  readonly forget: readonly string[];
  /** Canonical JSON without the opening brace; the writer prepends sequence and revision. */
  readonly audit: string | undefined;
  readonly effects: readonly { readonly type: string; readonly key: string; readonly payload: string }[];
  readonly bytes: number;
}

/**
 * A transaction as plain strings and bytes, checked against the limits. Errors: FL_STORE_TOO_LARGE, FL_STORE_OBJECT,
 * FL_STORE_DIGEST.
 */
export function encodeTransaction(transaction: Transaction): EncodedTransaction {
  const write = (transaction.write ?? []).map(encodeWrite);
  const blobs = transaction.blobs ?? [];
  const issue = transaction.issue ?? [];
  const sealed = transaction.sealed ?? [];
  const effects = (transaction.effects ?? []).map((effect) => ({
    type: effect.type,
    key: effect.key,
    payload: JSON.stringify(effect.payload ?? null),
  }));
  const audit = transaction.audit === undefined ? undefined : encodeLeaf(transaction.audit);
  let bytes = audit?.length ?? 0;
  for (const one of write) bytes += one.head.length + one.tail.length;
  for (const blob of blobs) bytes += blob.bytes.byteLength;
  for (const effect of effects) bytes += effect.payload.length;
  for (const { digest } of blobs) checkDigest(digest);
  let issued = 0;
  for (const { digests } of issue) {
    issued += digests.length;
    digests.forEach(checkDigest);
  }
  for (const { digest } of sealed) checkDigest(digest);
  const rows = write.length + (transaction.expect?.length ?? 0) + blobs.length + issued + sealed.length + effects.length;
  const limits = transactionLimits;
  if (write.length > limits.writes) throw tooLarge(`${write.length} writes`, `${limits.writes} writes`);
  if (rows > limits.rows) throw tooLarge(`${rows} rows`, `${limits.rows} rows`);
  if (bytes > limits.bytes) throw tooLarge(`${bytes} bytes`, `${limits.bytes} bytes`);
  return {
    expect: (transaction.expect ?? []).map(({ kind, key, revision }) => ({ kind: kind.kind, ...key, revision })),
    write,
    blobs: blobs.map(({ digest, bytes }) => ({ digest, bytes })),
    issue: issue.map(({ cluster, digests }) => ({ cluster, digests })),
    sealed: sealed.map(({ cluster, equality, digest }) => ({ cluster, equality, digest })),
    forget: transaction.forget ?? [],
    audit,
    effects,
    bytes,
  };
}

function tooLarge(has: string, limit: string): FairleadError {
  return new FairleadError(
    'FL_STORE_TOO_LARGE',
    `a transaction has ${has}, more than the ${limit} that one may have; commit it in chunks`,
    { kind: 'too-large' },
  );
}

function encodeWrite(write: Write): EncodedWrite {
  if (write.op === 'delete') {
    return { op: 'delete', kind: write.kind.kind, ...write.key, head: '', tail: '', index: '' };
  }
  const { apiVersion, kind, metadata, ...rest } = write.object;
  if (kind !== write.kind.kind || metadata.name === '') {
    throw new FairleadError('FL_STORE_OBJECT', `cannot store ${kind} "${metadata.name}" as a ${write.kind.kind}`, {
      kind: 'internal',
    });
  }
  const { resourceVersion: _, ...meta } = metadata;
  const head = `{"apiVersion":${JSON.stringify(apiVersion)},"kind":${JSON.stringify(kind)},"metadata":{`;
  const text = JSON.stringify({ apiVersion, kind, metadata: meta, ...rest });
  return {
    op: 'put',
    kind,
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    head,
    tail: text.slice(head.length),
    index: indexOf(write.kind, write.object),
  };
}

/** Where the selectors of a kind look: its labels, and its selectable fields that have a value. */
export function indexOf(kind: Pick<Kind, 'selectable'>, object: PlaneObject): string {
  const labels = Object.entries(object.metadata.labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const fields: [string, string][] = [];
  for (const path of kind.selectable) {
    const value = valueAt(object, path);
    if (value !== '') fields.push([path, value]);
  }
  return labels.length === 0 && fields.length === 0 ? '' : JSON.stringify([labels, fields]);
}

/** The value of a selectable field as a selector sees it: '' where the object has none, as for a CRD's selectable fields. */
export function valueAt(object: PlaneObject, path: string): string {
  let value: unknown = object;
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null) return '';
    value = Object.hasOwn(value, part) ? (value as Readonly<Record<string, unknown>>)[part] : undefined;
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}

/** The stored text of a write at a revision. */
export function textAt(write: Pick<EncodedWrite, 'head' | 'tail'>, revision: number): string {
  return `${write.head}"resourceVersion":"${revision}",${write.tail}`;
}

/** The same stored text at another revision. */
export function retext(text: string, from: number, to: number): string {
  const mark = `"metadata":{"resourceVersion":"${from}",`;
  const at = text.indexOf(mark);
  return `${text.slice(0, at)}"metadata":{"resourceVersion":"${to}",${text.slice(at + mark.length)}`;
}

/** JSON with sorted keys: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  );
}

function encodeLeaf(leaf: AuditLeaf): string {
  const { actor, verb, object, at, details } = leaf;
  return canonicalJson({ actor, verb, object, at, ...(details === undefined ? {} : { details }) }).slice(1);
}

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Throws FL_STORE_DIGEST unless `digest` is `sha256:<64 hex digits>`. */
export function checkDigest(digest: string): void {
  if (!DIGEST.test(digest)) {
    throw new FairleadError('FL_STORE_DIGEST', `"${digest.slice(0, 80)}" is not a digest of the form sha256:<64 hex digits>`, {
      kind: 'invalid',
    });
  }
}

/** The 32 bytes of a digest, as rows hold it. */
export function digestBytes(digest: string): Buffer {
  return Buffer.from(digest.slice(7), 'hex');
}

export function digestText(bytes: Uint8Array): string {
  return `sha256:${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`;
}

/** Whether a put says what is stored already. Reordered keys keep the length, so most different texts are never parsed. */
export function isSame(stored: string, write: EncodedWrite, revision: number): boolean {
  const text = textAt(write, revision);
  if (stored === text) return true;
  if (stored.length !== text.length) return false;
  return canonicalJson(JSON.parse(stored)) === canonicalJson(JSON.parse(text));
}

export type Pairs = readonly (readonly [string, string])[];

export function parseIndex(text: string): readonly [Pairs, Pairs] {
  // Written by indexOf.
  return text === '' ? [[], []] : (JSON.parse(text) as [Pairs, Pairs]);
}
