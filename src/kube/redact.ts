import { REDACTED } from '#base';
import { isRecord, type KubeObject } from './objects.ts';

/** kubectl's copy of the last applied object: for a Secret it holds the data in clear. */
export const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

const MAX_MESSAGE_BYTES = 1024;

/** Whether objects of this kind hold secret values. */
export function isSecretKind(id: { readonly group: string; readonly kind: string }): boolean {
  return id.group === '' && id.kind === 'Secret';
}

/** A copy fit to be shown: a Secret keeps its keys, its values become `[redacted]`. Other objects are returned as they are. */
export function redactObject(object: KubeObject): KubeObject {
  if (!isSecretKind({ group: object.apiVersion.includes('/') ? 'other' : '', kind: object.kind })) return object;
  const redacted: Record<string, unknown> = { ...object };
  for (const field of ['data', 'stringData']) {
    const values = object[field];
    if (isRecord(values)) redacted[field] = Object.fromEntries(Object.keys(values).map((key) => [key, REDACTED]));
    else if (values !== undefined && values !== null) redacted[field] = REDACTED;
  }
  const annotations = object.metadata.annotations;
  if (annotations !== undefined && Object.hasOwn(annotations, LAST_APPLIED)) {
    redacted['metadata'] = { ...object.metadata, annotations: { ...annotations, [LAST_APPLIED]: REDACTED } };
  }
  return redacted as unknown as KubeObject;
}

export interface RedactOptions {
  /** Values that must not appear, whatever they look like. */
  readonly secrets?: Iterable<string>;
  /** Kind (or plural) the text is about: of a Secret every quoted or echoed value goes. */
  readonly kind?: string;
}

/**
 * Free text from elsewhere (API server, webhooks), fit for logs, reports and pages: known secrets, tokens, private keys
 * and credentials in URLs become `[redacted]`, control characters become spaces, and at most 1 KiB remains.
 */
export function redactMessage(text: string, options: RedactOptions = {}): string {
  // Bounded before any pattern runs; a value cut in two here is still caught, because what follows the cut is dropped.
  let out = text.slice(0, 64 * 1024);
  for (const secret of [...(options.secrets ?? [])].filter((s) => s.length >= 4).sort((a, b) => b.length - a.length)) {
    out = out.replaceAll(secret, REDACTED).replaceAll(Buffer.from(secret).toString('base64'), REDACTED);
  }
  out = out
    .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, REDACTED)
    .replace(/\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(\.[A-Za-z0-9_-]*)?/g, REDACTED)
    .replace(/\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}/gi, `$1 ${REDACTED}`)
    .replace(/(\/\/)[^/@\s:]{1,200}:[^/@\s]{1,200}@/g, `$1${REDACTED}@`)
    .replace(
      /\b(password|passwd|token|secret|api[-_]?key)(["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;"'}]{4,})/gi,
      `$1$2${REDACTED}`,
    );
  if (/^secrets?$/i.test(options.kind ?? '') || /\bSecret "/.test(out) || /\bkind\\?":\\?"Secret\b/.test(out)) {
    out = out
      .replace(/Invalid value: ("(?:[^"\\]|\\.)*"|\S+)/g, `Invalid value: ${REDACTED}`)
      .replace(/\\?"(data|stringData)\\?":\s*\{[^}]*\}?/g, `"$1":${REDACTED}`)
      // What a policy or a webhook says of a Secret may quote it in any form: only that it said no is repeated.
      .replace(/(denied (?:the )?request: )[\s\S]*$/, `$1${REDACTED}`)
      .replace(/(?!ValidatingAdmissionPolicy\b)\b[A-Za-z0-9+/]{24,}={0,2}/g, REDACTED);
  }
  return capBytes(out.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]+/gu, ' '), MAX_MESSAGE_BYTES);
}

/** At most `maxBytes` of UTF-8, never half a character; what was cut ends in `…`. */
export function capBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const buffer = Buffer.from(text.slice(0, maxBytes));
  let end = Math.min(maxBytes - 3, buffer.length);
  while (end > 0 && ((buffer[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${buffer.toString('utf8', 0, end)}…`;
}
