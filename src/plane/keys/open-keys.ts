import { hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { join } from 'node:path';
import { FairleadError, newUid, randomToken, Sensitive, sha256, type Clock } from '#base';
import { rootHash, signerFromPem, type Envelope, type KeySet, type Signer } from '#api';
import { makeAuthority, type KeyPairPem } from './certificates.ts';
import { decrypt, encrypt } from './encryption.ts';
import { SecretFiles } from './secret-files.ts';
import { ServerCertificate } from './server-certificate.ts';
import { newSigningPem, SigningKeys } from './signing-keys.ts';

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
  /** Key id → raw public key, of every key that may have signed; agents accept only those of the key set. */
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
  /**
   * A new signing key. Agents accept it beside its predecessor until the next rotation; receipts and proofs by older ones stay
   * good. `revoke`, for a key that others may have: nothing that a former key signed is believed any more.
   */
  rotateSigningKey(options: { readonly revoke: boolean }): void;
  /** Takes over what another process rotated in this directory. Whether there was anything. */
  takeOverRotation(): boolean;
  /** Called after every rotation here and every one taken over, until the signal aborts. */
  onRotation(listener: () => void, signal: AbortSignal): void;
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
  const rootPem = existing('root.pem', newSigningPem);
  const signingPem = existing('signing.pem', newSigningPem);
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
  const signing = new SigningKeys(files, planeId, root, signingPem, authority.cert, options.clock.now());
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
    get signer() {
      return signing.current.signer;
    },
    get keySet() {
      return signing.current.keySet;
    },
    get keySetEnvelope() {
      return signing.current.envelope;
    },
    get verifyKeys() {
      return signing.current.verifyKeys;
    },
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
    rotateSigningKey: ({ revoke }) => signing.rotate(revoke, options.clock.now()),
    takeOverRotation: () => signing.refresh(),
    onRotation: (listener, signal) => signing.onRotation(listener, signal),
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

function parsePair(text: string): KeyPairPem {
  return JSON.parse(text) as KeyPairPem;
}
