import { Type, type Static } from 'typebox';
import { FairleadError, sha256 } from '#base';
import { keyIdOf, open, payloadTypes, seal, type Envelope, type Signer } from './envelope.ts';

/**
 * The keys by which agents know their plane. A root key (may be offline) signs numbered versions; each names the keys that
 * may sign desired states, so two keys can overlap during a rotation. Agents pin the hash of the root key, from their join
 * token, and never accept a version below the highest they have seen.
 */
export const KeySet = Type.Object({
  planeId: Type.String({ description: 'Identity of the plane: survives moves and restores.' }),
  version: Type.Integer({ minimum: 1 }),
  root: Type.String({ description: 'Raw Ed25519 public key, base64url.' }),
  keys: Type.Array(Type.Object({ id: Type.String(), publicKey: Type.String() }), { minItems: 1, maxItems: 8 }),
  /** PEM certificates that the plane's TLS certificate must chain to. Empty: the system's authorities. */
  tlsAuthorities: Type.Array(Type.String(), { maxItems: 8 }),
  issuedAt: Type.String(),
});
export type KeySet = Static<typeof KeySet>;

/** What a join token pins: sha256 of the raw root public key, 128 bits as hex. */
export function rootHash(rootPublicKey: string): string {
  return sha256(Buffer.from(rootPublicKey, 'base64url')).slice(7, 39);
}

export function signKeySet(keySet: KeySet, root: Signer): Envelope {
  return seal(payloadTypes.keySet, Buffer.from(JSON.stringify(keySet)), [root]);
}

/** The key set in `envelope`, if it is signed by the root key whose hash is `pinnedRootHash` and not older than `minVersion`. */
export function openKeySet(envelope: Envelope, pinnedRootHash: string, minVersion = 1): KeySet {
  // The root key travels in the document that it signs: its hash is what makes it trusted.
  const claimed = JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8')) as Partial<KeySet>;
  if (typeof claimed.root !== 'string' || rootHash(claimed.root) !== pinnedRootHash) {
    throw new FairleadError(
      'FL_KEYSET_ROOT',
      'the plane shows another root key than the join token names; check the address, or ask for a new token',
      { kind: 'denied' },
    );
  }
  const payload = open(envelope, payloadTypes.keySet, new Map([[keyIdOf(claimed.root), claimed.root]]));
  const keySet = JSON.parse(payload.toString('utf8')) as KeySet;
  if (keySet.version < minVersion) {
    throw new FairleadError('FL_KEYSET_OLD', `the plane shows key set ${keySet.version}, but ${minVersion} was seen before`, {
      kind: 'denied',
    });
  }
  return keySet;
}

/** Key id → public key, for `open`. */
export function signingKeys(keySet: KeySet): ReadonlyMap<string, string> {
  return new Map(keySet.keys.map((key) => [key.id, key.publicKey]));
}
