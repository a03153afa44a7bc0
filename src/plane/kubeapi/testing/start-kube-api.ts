import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { newUid, randomToken, rfc3339, silentLog, systemClock, type Clock, type Log } from '#base';
import { allKinds, Project, servedKinds, type Kind } from '#api';
import { createHttp, type Http, type HttpLimits, type Listener } from '#plane/http';
import { openSqliteStore, type Store } from '#plane/store';
import { createKubeApi, VERSION_INFO, type KubeApi, type KubeApiOptions } from '../index.ts';

export interface TestKubeApi extends AsyncDisposable {
  readonly store: Store;
  readonly http: Http;
  readonly api: KubeApi;
  /** https://127.0.0.1:PORT */
  readonly server: string;
  readonly listener: Listener;
  readonly token: string;
  readonly caPem: string;
  /** Path of a kubeconfig for the administrator. */
  readonly kubeconfig: string;
  stop(): Promise<void>;
}

export interface TestKubeApiOptions {
  readonly dir: string;
  readonly kinds?: readonly Kind[];
  readonly log?: Log;
  readonly clock?: Clock;
  readonly port?: number;
  readonly limits?: HttpLimits;
  readonly consoleDir?: string;
  readonly admission?: KubeApiOptions['admission'];
  readonly subresources?: KubeApiOptions['subresources'];
  readonly watchLimits?: KubeApiOptions['limits'];
  readonly writeOnly?: KubeApiOptions['writeOnly'];
  readonly frozen?: () => boolean;
  /** Of the store's change log. */
  readonly logMaxBytes?: number;
}

/** The API alone on the real store and real TLS, with a certificate made for the occasion and the Project `default`. */
export async function startKubeApiForTest(options: TestKubeApiOptions): Promise<TestKubeApi> {
  const log = options.log ?? silentLog;
  const clock = options.clock ?? systemClock;
  const kinds = options.kinds ?? servedKinds;
  const store = await openSqliteStore({
    dir: join(options.dir, 'db'),
    kinds: [...new Map([...allKinds, ...kinds].map((kind) => [kind.kind, kind])).values()],
    log,
    clock,
    ...(options.logMaxBytes === undefined ? {} : { logMaxBytes: options.logMaxBytes }),
  });
  await createDefaultProject(store, clock);
  const tls = await selfSigned(clock.now());
  const http = await createHttp({
    log,
    clock,
    version: VERSION_INFO,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.consoleDir === undefined ? {} : { consoleDir: options.consoleDir }),
  });
  const token = randomToken();
  http.authenticate((head) => (head.headers.authorization === `Bearer ${token}` ? { type: 'admin', name: 'admin' } : undefined));
  const api = createKubeApi({
    store,
    kinds,
    http,
    log,
    clock,
    ...(options.admission === undefined ? {} : { admission: options.admission }),
    ...(options.subresources === undefined ? {} : { subresources: options.subresources }),
    ...(options.watchLimits === undefined ? {} : { limits: options.watchLimits }),
    ...(options.frozen === undefined ? {} : { frozen: options.frozen }),
    ...(options.writeOnly === undefined ? {} : { writeOnly: options.writeOnly }),
  });
  const listener = await http.listenTls({ host: '127.0.0.1', port: options.port ?? 0, tls });
  const kubeconfig = await writeKubeconfig(options.dir, listener.url, tls.cert, token);
  const stop = async (): Promise<void> => {
    await http.stop();
    await api.stop();
    await store.close();
  };
  return {
    store,
    http,
    api,
    server: listener.url,
    listener,
    token,
    caPem: tls.cert,
    kubeconfig,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function createDefaultProject(store: Store, clock: Clock): Promise<void> {
  const key = { namespace: '', name: 'default' };
  await store.commit({
    expect: [{ kind: Project, key, revision: 'absent' }],
    write: [
      {
        op: 'put',
        kind: Project,
        object: {
          apiVersion: Project.apiVersion,
          kind: Project.kind,
          metadata: { name: 'default', uid: newUid(), generation: 1, creationTimestamp: rfc3339(clock.now()) },
          spec: {},
        },
      },
    ],
  });
}

async function writeKubeconfig(dir: string, server: string, caPem: string, token: string): Promise<string> {
  const path = join(dir, 'admin.kubeconfig');
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'plane', cluster: { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'plane', context: { cluster: 'plane', user: 'admin', namespace: 'default' } }],
    'current-context': 'plane',
  };
  await mkdir(dir, { recursive: true });
  await writeFile(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}

/** A certificate that is its own authority, for 127.0.0.1 and localhost, of one day. */
export async function selfSigned(now: number): Promise<{ readonly cert: string; readonly key: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=fairlead test',
    notBefore: new Date(now - 3_600_000),
    notAfter: new Date(now + 24 * 3_600_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        { type: 'ip', value: '127.0.0.1' },
        { type: 'dns', value: 'localhost' },
      ]),
    ],
  });
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    cert: new X509Certificate(Buffer.from(certificate.rawData)).toString(),
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END PRIVATE KEY-----\n`,
  };
}
