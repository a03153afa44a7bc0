import { generateKeyPairSync, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import { FairleadError, newUid, randomToken, Sensitive, sha256, type Clock } from '#base';
import { rootHash, signerFromPem, signKeySet, signingKeys, type Envelope, type KeySet, type Signer } from '#api';
import { makeAuthority, type KeyPairPem } from './certificates.ts';
import { decrypt, encrypt } from './encryption.ts';
import { SecretFiles } from './secret-files.ts';
import { ServerCertificate } from './server-certificate.ts';

export interface KeysOptions {
  readonly dir: string;
  readonly clock: Clock;
  /** Names and addresses of the server certificate, beside localhost. */
  readonly serverNames?: readonly string[];
}

/** bound: these keys know this database. first: neither has been bound. foreign: they belong to another one; start frozen. */
export type InstanceVerdict = 'bound' | 'first' | 'foreign';

export interface PlaneKeys {
  readonly dir: string;
  /** Nothing can be bound, reserved or rotated here. */
  readonly isReadOnly: boolean;
  readonly planeId: string;
  /** Signs desired states, heads and receipts. */
  readonly signer: Signer;
  readonly keySet: KeySet;
  readonly keySetEnvelope: Envelope;
  /** Key id → raw public key, of every key that may have signed. */
  readonly verifyKeys: ReadonlyMap<string, string>;
  /** What join tokens pin. */
  readonly rootHash: string;
  /** PEM: the server certificate as it is now. */
  readonly tls: { readonly key: Sensitive<string>; readonly cert: string; readonly ca: string };
  /**
   * Renews the server certificate from 60 days before its end, or takes over what another process renewed. Whether `tls` is
   * another one now.
   */
  renewTls(): Promise<boolean>;
  readonly adminToken: Sensitive<string>;
  /** Compares in constant time. */
  isAdminToken(token: string): boolean;
  /** 32 bytes for one purpose and its parts; the same for the same plane. */
  derive(purpose: string, ...parts: readonly string[]): Buffer;
  encrypt(context: string, plaintext: string): string;
  decrypt(context: string, text: string): Sensitive<string>;
  checkInstance(instanceId: string): InstanceVerdict;
  /** Binds these keys to a database. */
  bind(instanceId: string): void;
  /** The highest revision promised; survives the database. */
  readonly revisionFloor: { read(): number; reserve(upTo: number): void };
  /** A new signing key beside the old one; both are valid until the next rotation. Takes effect at the next start. */
  rotateSigningKey(): void;
}

interface StoredKeySet {
  readonly version: number;
  readonly keys: readonly { readonly id: string; readonly publicKey: string }[];
  readonly tlsAuthority: string;
  readonly envelope: Envelope;
}

/** Opens the key directory, making what is missing. A plane that lost only one of its files is refused, not given a new one. */
export async function openKeys(options: KeysOptions): Promise<PlaneKeys> {
  const files = new SecretFiles(options.dir);
  const isNew = !files.has('plane-id');
  // Written last at the first start: a directory without it was never complete and may be filled; with it, gaps are losses.
  const existing = (name: string, make: () => string): string => {
    if (isNew) return files.readOrMake(name, make);
    const found = files.read(name);
    if (found !== undefined) return found;
    throw new FairleadError(
      'FL_KEYS_MISSING',
      `${join(options.dir, name)} is missing; restore the key directory from its backup`,
      { kind: 'invalid' },
    );
  };
  const rootPem = existing('root.pem', newEd25519Pem);
  const signingPem = existing('signing.pem', newEd25519Pem);
  const master = Buffer.from(
    existing('master', () => randomBytes(32).toString('base64')),
    'base64',
  );
  const adminToken = new Sensitive(existing('admin-token', () => `${randomToken(32)}\n`).trim());
  const authority = parsePair(
    await existingAsync(files, isNew, options.dir, 'authority.json', async () =>
      JSON.stringify(await makeAuthority('Fairlead plane', options.clock.now())),
    ),
  );
  const planeId = (isNew ? files.readOrMake('plane-id', () => `${newUid()}\n`) : (files.read('plane-id') ?? '')).trim();

  const root = signerFromPem(rootPem);
  const signer = signerFromPem(signingPem);
  const stored = currentKeySet(files, planeId, root, signer, authority.cert, options.clock.now());
  const keySet = JSON.parse(Buffer.from(stored.envelope.payload, 'base64').toString('utf8')) as KeySet;
  const names = ['localhost', '127.0.0.1', '::1', ...(options.serverNames ?? [])];
  const server = new ServerCertificate(files, authority, names, options.clock);
  await server.refresh();
  const adminDigest = Buffer.from(sha256(adminToken.reveal()));

  const derive = (purpose: string, ...parts: readonly string[]): Buffer =>
    // Parts are length-prefixed: no two different lists of parts make the same input.
    Buffer.from(
      hkdfSync('sha256', master, planeId, parts.map((part) => `${Buffer.byteLength(part)}:${part}`).join('') + `/${purpose}`, 32),
    );
  const dataKey = derive('credential-encryption');

  return {
    dir: options.dir,
    isReadOnly: files.isReadOnly,
    planeId,
    signer,
    keySet,
    keySetEnvelope: stored.envelope,
    verifyKeys: signingKeys(keySet),
    rootHash: rootHash(root.publicKey),
    get tls() {
      return { key: new Sensitive(server.pair.key), cert: server.pair.cert, ca: authority.cert };
    },
    renewTls: () => server.refresh(),
    adminToken,
    isAdminToken: (token) => timingSafeEqual(Buffer.from(sha256(token)), adminDigest),
    derive,
    encrypt: (context, plaintext) => encrypt(dataKey, context, plaintext),
    decrypt: (context, text) => decrypt(dataKey, context, text),
    checkInstance(instanceId) {
      const bound = files.read('instance')?.trim();
      if (bound === undefined) return 'first';
      return bound === instanceId ? 'bound' : 'foreign';
    },
    bind: (instanceId) => files.write('instance', `${instanceId}\n`),
    revisionFloor: {
      read: () => floorOf(options.dir, files.read('revision-floor') ?? '0'),
      reserve: (upTo) => files.write('revision-floor', `${upTo}\n`),
    },
    rotateSigningKey() {
      files.write('signing.pem', newEd25519Pem());
    },
  };
}

/** A floor that cannot be read is no floor: revisions could come back after a restore. */
function floorOf(dir: string, text: string): number {
  const floor = Number(text.trim());
  if (text.trim() !== '' && Number.isSafeInteger(floor) && floor >= 0) return floor;
  throw new FairleadError(
    'FL_KEYS_FLOOR',
    `${join(dir, 'revision-floor')} holds no number; restore the key directory from its backup`,
    { kind: 'invalid' },
  );
}

async function existingAsync(
  files: SecretFiles,
  isNew: boolean,
  dir: string,
  name: string,
  make: () => Promise<string>,
): Promise<string> {
  const found = files.read(name);
  if (found !== undefined) return found;
  if (!isNew)
    throw new FairleadError('FL_KEYS_MISSING', `${join(dir, name)} is missing; restore the key directory from its backup`, {
      kind: 'invalid',
    });
  return files.writeFirst(name, await make());
}

function newEd25519Pem(): string {
  return generateKeyPairSync('ed25519', {
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey;
}

/** The signed key set on file if it says what these keys say; else its next version, which keeps the former signing key valid. */
function currentKeySet(
  files: SecretFiles,
  planeId: string,
  root: Signer,
  signer: Signer,
  tlsAuthority: string,
  nowMs: number,
): StoredKeySet {
  const text = files.read('key-set.json');
  const stored = text === undefined ? undefined : (JSON.parse(text) as StoredKeySet);
  if (stored !== undefined && stored.keys[0]?.id === signer.keyId && stored.tlsAuthority === tlsAuthority) return stored;
  const former = stored?.keys[0];
  const keys = [
    { id: signer.keyId, publicKey: signer.publicKey },
    ...(former === undefined || former.id === signer.keyId ? [] : [former]),
  ];
  const version = (stored?.version ?? 0) + 1;
  const keySet: KeySet = {
    planeId,
    version,
    root: root.publicKey,
    keys,
    tlsAuthorities: [tlsAuthority],
    issuedAt: new Date(nowMs).toISOString(),
  };
  const next: StoredKeySet = { version, keys, tlsAuthority, envelope: signKeySet(keySet, root) };
  files.write('key-set.json', JSON.stringify(next));
  return next;
}

function parsePair(text: string): KeyPairPem {
  return JSON.parse(text) as KeyPairPem;
}
