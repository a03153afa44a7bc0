import 'reflect-metadata';
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';

export interface ClusterPki {
  /** PEM of the cluster's own certificate authority; no two clusters share one. */
  readonly caCert: string;
  readonly caKey: string;
  /** For 127.0.0.1, localhost and the names a pod would use. */
  readonly serverCert: string;
  readonly serverKey: string;
  /** Signs service account tokens (ES256). */
  readonly serviceAccountKey: string;
  readonly serviceAccountPublicKey: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const LIFETIME_MS = 365 * 24 * 3_600_000;

/** Keys and certificates of one control plane, valid from an hour before `now` (ms since the epoch) for a year. */
export async function createPki(clusterName: string, now: number): Promise<ClusterPki> {
  const validity = { notBefore: new Date(now - 3_600_000), notAfter: new Date(now + LIFETIME_MS) };
  const caKeys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=testbed ${clusterName}`,
    ...validity,
    signingAlgorithm: ALGORITHM,
    keys: caKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  const serverKeys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const server = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: 'CN=kube-apiserver',
    issuer: ca.subject,
    ...validity,
    signingAlgorithm: ALGORITHM,
    publicKey: serverKeys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'ip', value: '10.96.0.1' },
        { type: 'dns', value: 'localhost' },
        { type: 'dns', value: 'kubernetes.default.svc' },
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });
  const account = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'sec1', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  return {
    caCert: pem(ca),
    caKey: await pemOfKey(caKeys.privateKey),
    serverCert: pem(server),
    serverKey: await pemOfKey(serverKeys.privateKey),
    serviceAccountKey: account.privateKey,
    serviceAccountPublicKey: account.publicKey,
  };
}

function serial(): string {
  return `01${randomBytes(8).toString('hex')}`;
}

function pem(certificate: x509.X509Certificate): string {
  return new X509Certificate(Buffer.from(certificate.rawData)).toString();
}

async function pemOfKey(key: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END PRIVATE KEY-----\n`;
}
