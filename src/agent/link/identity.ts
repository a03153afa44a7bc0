import { generateKeyPairSync } from 'node:crypto';
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { signerFromPem, type Signer } from '#api';
import { FairleadError, Sensitive } from '#base';

/** The keys of one agent. Made in the cluster; the private halves never leave it. */
export interface AgentKeys {
  readonly signer: Signer;
  /** age recipient (`age1…`). */
  readonly sealingKey: string;
  /** The clear bytes of something sealed to this agent. Errors: `FL_AGENT_UNSEAL`. */
  unseal(sealed: Uint8Array): Promise<Uint8Array>;
  /** What is stored: `parseKeys` reads it back. */
  serialize(): Sensitive<Buffer>;
}

interface StoredKeys {
  readonly version: 1;
  readonly signing: string;
  readonly sealing: string;
}

/** A new Ed25519 signing key and a new X25519 sealing key. */
export async function generateKeys(): Promise<AgentKeys> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const signing = privateKey.export({ type: 'pkcs8', format: 'pem' });
  return keysOf({ version: 1, signing: signing.toString(), sealing: await generateX25519Identity() });
}

export async function parseKeys(bytes: Uint8Array): Promise<AgentKeys> {
  try {
    const stored = JSON.parse(Buffer.from(bytes).toString('utf8')) as StoredKeys;
    return await keysOf(stored);
  } catch {
    // Without a cause: its text may hold a piece of a key.
    throw new FairleadError('FL_STATE_CORRUPT', 'the stored keys of this agent cannot be read; delete the state and join again', {
      kind: 'internal',
    });
  }
}

async function keysOf(stored: StoredKeys): Promise<AgentKeys> {
  const signer = signerFromPem(stored.signing);
  const sealingKey = await identityToRecipient(stored.sealing);
  return {
    signer,
    sealingKey,
    async unseal(sealed) {
      try {
        const decrypter = new Decrypter();
        decrypter.addIdentity(stored.sealing);
        return await decrypter.decrypt(sealed);
      } catch {
        throw new FairleadError(
          'FL_AGENT_UNSEAL',
          'a sealed object cannot be opened with the key of this agent; enroll the cluster again',
          {
            kind: 'denied',
          },
        );
      }
    },
    serialize: () => new Sensitive(Buffer.from(JSON.stringify(stored))),
  };
}
