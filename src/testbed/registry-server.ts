import { spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { exec, FairleadError, goBuild, sha256, waitFor } from '#base';

export interface RegistryOptions {
  /** Where its content and configuration are; made when missing. */
  readonly dir: string;
  /** PEM. */
  readonly tls: { readonly key: string; readonly cert: string };
  /** Asked from everybody: HTTP Basic, or tokens of a service of yours. */
  readonly auth?:
    | { readonly username: string; readonly password: string }
    | {
        readonly realm: string;
        readonly service: string;
        readonly issuer: string;
        /** PEM file. */ readonly rootcertbundle: string;
      };
}

export interface RegistryServer extends AsyncDisposable {
  /** `127.0.0.1:<port>`. */
  readonly host: string;
  /** Pushes a packed chart as `helm push` does; answers the digest of its layer. */
  pushChart(repository: string, tag: string, archive: Uint8Array, options?: PushOptions): Promise<string>;
}

export interface PushOptions {
  /** The Authorization header; default that of `auth` with a password. */
  readonly authorization?: string;
  /** Replaces the manifest that is pushed. */
  readonly manifest?: (usual: Readonly<Record<string, unknown>>) => unknown;
  readonly manifestType?: string;
}

const manifestType = 'application/vnd.oci.image.manifest.v1+json';

/** The program of a real registry (CNCF distribution), built once per content of its sources. Errors: those of `goBuild`. */
export function buildRegistry(): Promise<string> {
  return goBuild({
    name: 'registry',
    sourceDir: join(import.meta.dirname, 'registry'),
    args: ['-trimpath', '-buildvcs=false', '-ldflags', '-s -w', '.'],
    outName: 'registry',
    takes: 'about 2 min on 2 cores',
  });
}

/** Serves on the loopback with TLS until it is disposed of. */
export async function startRegistry(options: RegistryOptions): Promise<RegistryServer> {
  const program = await buildRegistry();
  const { dir, auth } = options;
  await mkdir(join(dir, 'content'), { recursive: true });
  await writeFile(join(dir, 'tls.key'), options.tls.key, { mode: 0o600 });
  await writeFile(join(dir, 'tls.crt'), options.tls.cert);
  const port = await freePort();
  const host = `127.0.0.1:${port}`;
  let access: unknown;
  let authorization: string | undefined;
  if (auth !== undefined && 'password' in auth) {
    const line = await exec(program, ['hash', auth.username], {
      env: {},
      input: auth.password,
      timeoutMs: 10_000,
      maxOutputBytes: 4_096,
    });
    await writeFile(join(dir, 'htpasswd'), line.stdout);
    access = { htpasswd: { realm: 'test', path: join(dir, 'htpasswd') } };
    authorization = `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
  } else if (auth !== undefined) access = { token: auth };
  // JSON is YAML.
  const config = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(dir, 'content') }, delete: { enabled: true } },
    http: { addr: host, secret: 'test', tls: { certificate: join(dir, 'tls.crt'), key: join(dir, 'tls.key') } },
    ...(access === undefined ? {} : { auth: access }),
  };
  await writeFile(join(dir, 'config.yaml'), JSON.stringify(config));
  const child = spawn(program, [join(dir, 'config.yaml')], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { OTEL_TRACES_EXPORTER: 'none' },
  });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => (words = (words + chunk.toString('utf8')).slice(-4_096)));
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const call = caller(host);
  await waitFor(
    'the registry',
    async () => {
      if (child.exitCode !== null) throw new ReferenceError(`the registry ended: ${words}`);
      return (await call('GET', '/v2/', {})).status > 0;
    },
    { timeoutMs: 20_000 },
  );
  return {
    host,
    async pushChart(repository, tag, archive, push = {}) {
      const given = push.authorization ?? authorization;
      const headers: Record<string, string> = given === undefined ? {} : { authorization: given };
      const config = Buffer.from('{"name":"chart"}');
      for (const blob of [config, archive]) {
        const begun = await call('POST', `/v2/${repository}/blobs/uploads/`, headers);
        const location = new URL(begun.location ?? '/', `https://${host}`);
        location.searchParams.set('digest', sha256(blob));
        const type = { 'content-type': 'application/octet-stream' };
        expect(await call('PUT', `${location.pathname}${location.search}`, { ...headers, ...type }, blob), 201);
      }
      const usual = {
        schemaVersion: 2,
        mediaType: manifestType,
        config: { mediaType: 'application/vnd.cncf.helm.config.v1+json', digest: sha256(config), size: config.length },
        layers: [
          { mediaType: 'application/vnd.cncf.helm.chart.content.v1.tar+gzip', digest: sha256(archive), size: archive.length },
        ],
      };
      const manifest = Buffer.from(JSON.stringify(push.manifest?.(usual) ?? usual));
      const type = { 'content-type': push.manifestType ?? manifestType };
      expect(await call('PUT', `/v2/${repository}/manifests/${tag}`, { ...headers, ...type }, manifest), 201);
      return sha256(archive);
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      child.kill('SIGTERM');
      await ended;
    },
  };
}

interface Answer {
  readonly status: number;
  readonly location: string | undefined;
  readonly text: string;
}

function caller(host: string) {
  return (method: string, path: string, headers: Readonly<Record<string, string>>, body?: Uint8Array): Promise<Answer> =>
    new Promise((resolve, reject) => {
      // Its own certificate is what the test is about on the other side; here it only has to be written to.
      const outgoing = request(
        `https://${host}${path}`,
        { method, headers, rejectUnauthorized: false, agent: false },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.once('error', reject);
          incoming.once('end', () =>
            resolve({
              status: incoming.statusCode ?? 0,
              location: incoming.headers.location,
              text: Buffer.concat(chunks).toString('utf8'),
            }),
          );
        },
      );
      outgoing.once('error', reject);
      outgoing.end(body);
    });
}

function expect(answer: Answer, status: number): void {
  if (answer.status === status) return;
  throw new FairleadError('FL_TESTBED_REGISTRY', `the registry answered ${answer.status}: ${answer.text.slice(0, 500)}`, {
    kind: 'internal',
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
