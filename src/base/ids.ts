import { createHash, randomBytes, randomUUID } from 'node:crypto';

export type NewId = () => string;

/** A random UUID (version 4), as Kubernetes uses for `metadata.uid`. */
export const newUid: NewId = () => randomUUID();

/** `n` random bytes as base64url; 32 bytes for anything that must not be guessed. */
export function randomToken(bytes = 32): string {
  return randomBytes(bytes).toString('base64url');
}

/** `sha256:<64 hex digits>` over the exact bytes. The one digest format on every wire and in every row. */
export function sha256(data: string | Uint8Array): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** A short, label-safe hash ([a-z0-9]{16}, 80 bits) of parts that must not run into one another. */
export function shortHash(...parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:${part}`);
  return base32(hash.digest().subarray(0, 10));
}

function base32(bytes: Uint8Array): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let out = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      out += alphabet[(value >>> (bits - 5)) & 31];
      bits -= 5;
    }
    value &= (1 << bits) - 1;
  }
  return out;
}

/** Random numbers in [0, 1) as a parameter; `Math.random` in production, a seeded generator in tests. */
export type Rng = () => number;

/** mulberry32: a tiny seeded generator for reproducible schedules in tests. Not for secrets. */
export function seededRng(seed: number): Rng {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
