import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { Type, type Static } from 'typebox';
import { FairleadError, sha256 } from '#base';

/**
 * DSSE (Dead Simple Signing Envelope v1.0.2, secure-systems-lab/dsse): a signature over exact bytes together with their
 * type, so that one document can never be taken for another and nothing is parsed before it is verified.
 */
export const Envelope = Type.Object({
  payloadType: Type.String({ maxLength: 200 }),
  /** base64 of the exact bytes. */
  payload: Type.String(),
  signatures: Type.Array(Type.Object({ keyid: Type.String({ maxLength: 100 }), sig: Type.String({ maxLength: 200 }) }), {
    minItems: 1,
    maxItems: 8,
  }),
});
export type Envelope = Static<typeof Envelope>;

export const payloadTypes = {
  desired: 'application/vnd.fairlead.desired+json',
  head: 'application/vnd.fairlead.head+json',
  receipt: 'application/vnd.fairlead.receipt+json',
  keySet: 'application/vnd.fairlead.keyset+json',
  looks: 'application/vnd.fairlead.looks+json',
} as const;
export type PayloadType = (typeof payloadTypes)[keyof typeof payloadTypes];

/** An Ed25519 key pair with its id: the fingerprint of the public key. */
export interface Signer {
  readonly keyId: string;
  /** Raw 32 bytes, base64url. */
  readonly publicKey: string;
  sign(bytes: Uint8Array): Buffer;
}

/** A Signer from a PKCS#8 PEM. */
export function signerFromPem(pem: string): Signer {
  const privateKey = createPrivateKey(pem);
  const publicKey = rawPublicKey(createPublicKey(privateKey));
  return { keyId: keyIdOf(publicKey), publicKey, sign: (bytes) => sign(null, bytes, privateKey) };
}

/** `ed25519:<32 hex digits>`: what logs and people see of a public key. */
export function keyIdOf(publicKey: string): string {
  return `ed25519:${sha256(Buffer.from(publicKey, 'base64url')).slice(7, 39)}`;
}

export function rawPublicKey(key: KeyObject): string {
  const jwk = key.export({ format: 'jwk' });
  if (jwk.crv !== 'Ed25519' || jwk.x === undefined)
    throw new FairleadError('FL_KEY_TYPE', 'the key is not an Ed25519 key', { kind: 'invalid' });
  return jwk.x;
}

export function publicKeyObject(publicKey: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
}

/** DSSE pre-authentication encoding. */
function pae(payloadType: string, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `), payload]);
}

export function seal(payloadType: PayloadType, payload: Uint8Array, signers: readonly Signer[]): Envelope {
  const toSign = pae(payloadType, payload);
  return {
    payloadType,
    payload: Buffer.from(payload).toString('base64'),
    signatures: signers.map((signer) => ({ keyid: signer.keyId, sig: signer.sign(toSign).toString('base64') })),
  };
}

/**
 * The exact bytes of an envelope that at least one of `keys` (key id → raw public key, base64url) has signed. Anything
 * else, also anything malformed, throws `FL_SIGNATURE`: failing to verify is never success.
 */
export function open(envelope: Envelope, payloadType: PayloadType, keys: ReadonlyMap<string, string>): Buffer {
  const refuse = (why: string): never => {
    throw new FairleadError('FL_SIGNATURE', `refused a signed document: ${why}`, { kind: 'denied', details: { why } });
  };
  if (envelope.payloadType !== payloadType) return refuse(`it is of type ${envelope.payloadType}, wanted ${payloadType}`);
  const payload = Buffer.from(envelope.payload, 'base64');
  const signed = pae(payloadType, payload);
  for (const { keyid, sig } of envelope.signatures) {
    const key = keys.get(keyid);
    if (key !== undefined && keyIdOf(key) === keyid && verify(null, signed, publicKeyObject(key), Buffer.from(sig, 'base64')))
      return payload;
  }
  return refuse(`no valid signature by a known key; it names ${envelope.signatures.map((s) => s.keyid).join(', ')}`);
}
