import { createHash } from 'node:crypto';

/** Hash before the first audit leaf. */
export const AUDIT_START = '0'.repeat(64);

/** sha256 over the previous hash and the leaf's exact text, as 64 hex digits. */
export function auditHash(previous: string, leaf: string): string {
  return createHash('sha256').update(previous).update('\n').update(leaf).digest('hex');
}

/** Sequence and hash of the newest leaf, as kept in the meta row `audit`. */
export function readAuditHead(text: string): { readonly seq: number; readonly hash: string } {
  const [seq, hash] = text.split(' ');
  return { seq: Number(seq), hash: hash ?? '' };
}
