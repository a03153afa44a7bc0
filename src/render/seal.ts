import { createHmac } from 'node:crypto';
import { Encrypter } from 'age-encryption';
import type { Recipient } from './types.ts';

/** Seals clear bytes once for a recipient. Runs in the child only: the clear bytes never leave it. */
export class Sealer {
  readonly #encrypter = new Encrypter();
  readonly #equalityKey: Buffer;
  readonly cluster: string;

  /** Throws on an `ageRecipient` that is none. */
  constructor(recipient: Recipient) {
    this.cluster = recipient.cluster;
    this.#encrypter.addRecipient(recipient.ageRecipient);
    this.#equalityKey = Buffer.from(recipient.equalityKey, 'hex');
  }

  async seal(clear: Uint8Array): Promise<{ readonly equality: string; readonly bytes: Uint8Array }> {
    const equality = createHmac('sha256', this.#equalityKey).update(clear).digest('hex');
    return { equality, bytes: await this.#encrypter.encrypt(clear) };
  }
}
