import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { FairleadError, Sensitive } from '#base';

const prefix = 'fle1:';
/** Stated when decrypting: without it a shorter tag, easier to guess, would be taken. */
const TAG_BYTES = 16;

/**
 * AES-256-GCM with a random nonce. `context` is authenticated and not stored: what is encrypted for one context (such as
 * `Credential/default/fleet-git/password`) cannot be used in another.
 */
export function encrypt(key: Uint8Array, context: string, plaintext: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(context));
  const body = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
  return `${prefix}${Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64url')}`;
}

/** Fails closed: a wrong key, another context or a changed byte is `FL_KEYS_DECRYPT`. */
export function decrypt(key: Uint8Array, context: string, text: string): Sensitive<string> {
  try {
    if (!text.startsWith(prefix)) throw new Error('it does not begin with fle1:');
    const bytes = Buffer.from(text.slice(prefix.length), 'base64url');
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.from(context));
    decipher.setAuthTag(bytes.subarray(12, 12 + TAG_BYTES));
    return new Sensitive(Buffer.concat([decipher.update(bytes.subarray(12 + TAG_BYTES)), decipher.final()]).toString('utf8'));
  } catch (cause) {
    throw new FairleadError(
      'FL_KEYS_DECRYPT',
      `cannot decrypt ${context}: it was encrypted by another plane or for another object; write it again in clear`,
      {
        kind: 'invalid',
        cause,
      },
    );
  }
}
