import { generateKeyPairSync } from 'node:crypto';
import { signerFromPem, signKeySet, signingKeys, type Envelope, type KeySet, type Signer } from '#api';
import type { SecretFiles } from './secret-files.ts';

/** Former keys that still prove what they signed, beyond the one that agents accept. */
const MAX_RETIRED = 100;

interface PublicKey {
  readonly id: string;
  readonly publicKey: string;
}

interface StoredKeySet {
  readonly version: number;
  readonly keys: readonly PublicKey[];
  /** Newest first; absent where no key was rotated out yet. */
  readonly retired?: readonly PublicKey[];
  /** Whoever finds another signing key than the newest of these completes a revocation, and no mere rotation. */
  readonly isRevoking?: true;
  readonly tlsAuthority: string;
  readonly envelope: Envelope;
}

/** The signing key and its key set, as one version of them. */
interface Signing {
  readonly signer: Signer;
  readonly keySet: KeySet;
  readonly envelope: Envelope;
  readonly verifyKeys: ReadonlyMap<string, string>;
}

/**
 * The key that signs what agents believe. Agents accept this one and its predecessor; the plane itself goes on to believe what
 * older ones signed, as receipts and proofs of agents that were away, until they are revoked.
 */
export class SigningKeys {
  readonly #files: SecretFiles;
  readonly #planeId: string;
  readonly #root: Signer;
  readonly #tlsAuthority: string;
  readonly #listeners = new Set<() => void>();
  #current: Signing;

  /** Completes the key set on file where it does not name the signing key on file yet. */
  constructor(files: SecretFiles, planeId: string, root: Signer, signingPem: string, tlsAuthority: string, nowMs: number) {
    this.#files = files;
    this.#planeId = planeId;
    this.#root = root;
    this.#tlsAuthority = tlsAuthority;
    const signer = signerFromPem(signingPem);
    const stored = this.#stored();
    const isNamed = stored?.keys[0]?.id === signer.keyId;
    const isRight = isNamed && stored.tlsAuthority === tlsAuthority;
    this.#current = signingOf(
      signer,
      isRight ? stored : this.#write(signer, stored, !isNamed && stored?.isRevoking === true, nowMs),
    );
  }

  get current(): Signing {
    return this.#current;
  }

  /** Takes over what another process rotated. Whether anything is another one now. */
  refresh(): boolean {
    const pem = this.#files.read('signing.pem');
    const stored = this.#stored();
    if (pem === undefined || stored === undefined || stored.version <= this.#current.keySet.version) return false;
    const signer = signerFromPem(pem);
    // A rotation under way: both files will be there in a moment.
    if (stored.keys[0]?.id !== signer.keyId) return false;
    this.#take(signingOf(signer, stored));
    return true;
  }

  /** `revoke`: nothing that a former key signed is believed any more, by the plane or by agents. */
  rotate(revoke: boolean, nowMs: number): void {
    this.refresh();
    const pem = newSigningPem();
    const signer = signerFromPem(pem);
    const former = this.#stored();
    if (revoke && former !== undefined) this.#files.write('key-set.json', JSON.stringify({ ...former, isRevoking: true }));
    this.#files.write('signing.pem', pem);
    this.#take(signingOf(signer, this.#write(signer, former, revoke, nowMs)));
  }

  onRotation(listener: () => void, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => this.#listeners.delete(listener), { once: true });
  }

  #take(next: Signing): void {
    this.#current = next;
    for (const listener of this.#listeners) listener();
  }

  #stored(): StoredKeySet | undefined {
    const text = this.#files.read('key-set.json');
    return text === undefined ? undefined : (JSON.parse(text) as StoredKeySet);
  }

  #write(signer: Signer, stored: StoredKeySet | undefined, revoke: boolean, nowMs: number): StoredKeySet {
    const known = revoke ? [] : [...(stored?.keys ?? []), ...(stored?.retired ?? [])].filter(({ id }) => id !== signer.keyId);
    const [former, ...retired] = known;
    const keys = [{ id: signer.keyId, publicKey: signer.publicKey }, ...(former === undefined ? [] : [former])];
    const version = (stored?.version ?? 0) + 1;
    const keySet: KeySet = {
      planeId: this.#planeId,
      version,
      root: this.#root.publicKey,
      keys,
      tlsAuthorities: [this.#tlsAuthority],
      issuedAt: new Date(nowMs).toISOString(),
    };
    const next: StoredKeySet = {
      version,
      keys,
      ...(retired.length === 0 ? {} : { retired: retired.slice(0, MAX_RETIRED) }),
      tlsAuthority: this.#tlsAuthority,
      envelope: signKeySet(keySet, this.#root),
    };
    this.#files.write('key-set.json', JSON.stringify(next));
    return next;
  }
}

export function newSigningPem(): string {
  return generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
}

function signingOf(signer: Signer, { envelope, retired = [] }: StoredKeySet): Signing {
  const keySet = JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8')) as KeySet; // of our own writing
  const verifyKeys = new Map([...retired.map(({ id, publicKey }) => [id, publicKey] as const), ...signingKeys(keySet)]);
  return { signer, keySet, envelope, verifyKeys };
}
