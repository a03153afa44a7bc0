import 'reflect-metadata';
import { randomBytes, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

export interface KeyPairPem {
  readonly cert: string;
  readonly key: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const day = 24 * 3_600_000;
const authorityLifetimeMs = 3650 * day;
const serverLifetimeMs = 365 * day;
/** A certificate is replaced this long before it ends. */
const renewBeforeMs = 60 * day;

/** A certificate authority of the plane's own, for ten years from an hour before `nowMs`. */
export async function makeAuthority(name: string, nowMs: number): Promise<KeyPairPem> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${name}`,
    notBefore: new Date(nowMs - 3_600_000),
    notAfter: new Date(nowMs + authorityLifetimeMs),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: pemOf(certificate), key: await pemOfKey(keys.privateKey) };
}

/** A server certificate for exactly these names, signed by the authority. */
export async function makeServerCertificate(authority: KeyPairPem, names: readonly string[], nowMs: number): Promise<KeyPairPem> {
  const issuer = new x509.X509Certificate(authority.cert);
  const signingKey = await crypto.subtle.importKey('pkcs8', derOf(authority.key), algorithm, false, ['sign']);
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: 'CN=fairlead-plane',
    issuer: issuer.subject,
    notBefore: new Date(nowMs - 3_600_000),
    notAfter: new Date(nowMs + serverLifetimeMs),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => (isIP(value) === 0 ? { type: 'dns' as const, value } : { type: 'ip' as const, value })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return { cert: pemOf(certificate), key: await pemOfKey(keys.privateKey) };
}

/** Whether a server certificate still serves: of this authority, for all of these names, and not near its end. */
export function stillServes(pair: KeyPairPem, authority: KeyPairPem, names: readonly string[], nowMs: number): boolean {
  const certificate = new X509Certificate(pair.cert);
  return (
    isCurrent(pair, authority, nowMs) &&
    names.every((name) => (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined)
  );
}

/** Of this authority and not near its end. */
export function isCurrent(pair: KeyPairPem, authority: KeyPairPem, nowMs: number): boolean {
  const certificate = new X509Certificate(pair.cert);
  return certificate.checkIssued(new X509Certificate(authority.cert)) && Date.parse(certificate.validTo) - nowMs > renewBeforeMs;
}

/** The names and addresses of a certificate. */
export function namesOf({ cert }: Pick<KeyPairPem, 'cert'>): readonly string[] {
  const extension = new x509.X509Certificate(cert).getExtension(x509.SubjectAlternativeNameExtension);
  return extension?.names.items.filter(({ type }) => type === 'dns' || type === 'ip').map(({ value }) => value) ?? [];
}

function serial(): string {
  return `01${randomBytes(15).toString('hex')}`;
}

function pemOf(certificate: x509.X509Certificate): string {
  return new X509Certificate(Buffer.from(certificate.rawData)).toString();
}

async function pemOfKey(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replaceAll(/(.{64})/g, '$1\n').trimEnd()}\n-----END PRIVATE KEY-----\n`;
}

function derOf(pem: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64'));
}
