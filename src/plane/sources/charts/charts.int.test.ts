import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer as createTlsServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { exportJWK, importPKCS8, SignJWT } from 'jose';
import { createPublicKey } from 'node:crypto';
import { FairleadError, Sensitive, sha256, silentLog, systemClock, waitFor } from '#base';
import {
  allKinds,
  Application,
  ChartRepository,
  conditionOf,
  Credential,
  Project,
  RECONCILE_ANNOTATION,
  Release,
  type Kind,
  type PlaneObject,
} from '#api';
import { createEngine } from '#plane/engine';
import { createFetcher, createGuardedConnect, EgressPolicy, openContentCache } from '#plane/fetch';
import { openStore, type Store } from '#plane/store';
import { startRegistry, type RegistryServer } from '#testbed';
import { createPki, type ClusterPki } from '../../../testbed/pki.ts';
import { createCharts, type Charts } from './charts.ts';
import { packChart } from './testing/pack.ts';

let pki: ClusterPki;
let scratch: string;
before(async () => {
  pki = await createPki('charts', systemClock.now());
  scratch = await mkdtemp(join(tmpdir(), 'fairlead-charts-'));
});
after(() => rm(scratch, { recursive: true, force: true }));

interface FileServer extends AsyncDisposable {
  readonly url: string;
  readonly requests: IncomingMessage[];
  readonly files: Map<string, string | Uint8Array>;
  handle: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
}

/** A small file server over TLS that knows entity tags. */
async function fileServer(): Promise<FileServer> {
  const files = new Map<string, string | Uint8Array>();
  const requests: IncomingMessage[] = [];
  const held: { handle: FileServer['handle'] } = { handle: undefined };
  const server = createTlsServer({ key: pki.serverKey, cert: pki.serverCert }, (request, response) => {
    requests.push(request);
    if (held.handle?.(request, response) === true) return;
    const content = files.get(request.url ?? '');
    if (content === undefined) return void response.writeHead(404).end();
    const etag = `"${sha256(content)}"`;
    if (request.headers['if-none-match'] === etag) return void response.writeHead(304).end();
    response.writeHead(200, { etag }).end(content);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    files,
    get handle() {
      return held.handle;
    },
    set handle(value) {
      held.handle = value;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Publishes charts below `/charts`, as `helm repo index` does. */
function publish(server: FileServer, charts: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>>): void {
  const entries = Object.entries(charts).map(([chart, versions]) => {
    const lines = Object.entries(versions).map(([version, archive]) => {
      server.files.set(`/charts/${chart}-${version}.tgz`, archive);
      return `  - name: ${chart}\n    version: ${version}\n    digest: ${sha256(archive).slice(7)}\n    created: "2026-01-01T00:00:00Z"\n    urls: [${chart}-${version}.tgz]\n`;
    });
    return `  ${chart}:\n${lines.join('')}`;
  });
  server.files.set('/charts/index.yaml', `apiVersion: v1\nentries:\n${entries.join('')}generated: "2026-01-01T00:00:00Z"\n`);
}

interface Plane extends AsyncDisposable {
  readonly dir: string;
  readonly store: Store;
  readonly charts: Charts;
  put<S>(kind: Kind<S>, name: string, spec: S, annotations?: Record<string, string>): Promise<void>;
  wish(name: string, chart: string, version: string): Promise<void>;
  repository(): Promise<ChartRepository>;
  until(what: string, holds: (repository: ChartRepository) => boolean): Promise<ChartRepository>;
}

async function plane(allow: readonly string[] = ['127.0.0.0/8'], dir?: string): Promise<Plane> {
  const home = dir ?? (await mkdtemp(join(scratch, 'plane-')));
  const store = await openStore({ dir: join(home, 'db'), kinds: allKinds, log: silentLog, clock: systemClock });
  const charts = createCharts({
    fetch: createFetcher({ connect: createGuardedConnect(new EgressPolicy({ allow })) }),
    cache: await openContentCache({ dir: join(home, 'fetched'), clock: systemClock }),
    decrypt: (credential) => new Sensitive(credential.spec.encryptedData ?? {}),
    log: silentLog,
    clock: systemClock,
  });
  const engine = createEngine({ store, controllers: [charts.controller], effects: [], clock: systemClock, log: silentLog });
  const stop = new AbortController();
  const running = engine.run(stop.signal).catch(() => undefined);
  const repository = async (): Promise<ChartRepository> => {
    const found = await store.get(ChartRepository, { namespace: 'default', name: 'charts' });
    assert.ok(found !== undefined);
    return found;
  };
  const self: Plane = {
    dir: home,
    store,
    charts,
    repository,
    async put(kind, name, spec, annotations) {
      const namespace = kind.scope === 'Cluster' ? '' : 'default';
      const former = await store.get(kind, { namespace, name });
      const object: PlaneObject = {
        apiVersion: kind.apiVersion,
        kind: kind.kind,
        metadata: {
          name,
          ...(namespace === '' ? {} : { namespace }),
          uid: former?.metadata.uid ?? `${kind.kind}-${name}`,
          generation: (former?.metadata.generation ?? 0) + 1,
          creationTimestamp: '2026-01-01T00:00:00Z',
          ...(annotations === undefined ? {} : { annotations }),
        },
        spec,
        ...(former?.status === undefined ? {} : { status: former.status }),
      };
      assert.ok((await store.commit({ write: [{ op: 'put', kind, object }] })).ok);
    },
    wish: (name, chart, version) =>
      self.put(Application, name, { source: { sourceRef: { kind: 'ChartRepository', name: 'charts' }, chart, version } }),
    until: (what, holds) =>
      waitFor(
        what,
        async () => {
          const found = await repository();
          if (!holds(found)) throw new Error(JSON.stringify(found.status));
          return found;
        },
        { timeoutMs: 20_000, intervalMs: 20 },
      ),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await store.close();
    },
  };
  return self;
}

const readyReason = (repository: ChartRepository): string | undefined => conditionOf(repository, 'Ready')?.reason;
const chartOf = (repository: ChartRepository, chart: string) => repository.status?.charts?.find((one) => one.chart === chart);
const look = (p: Plane, spec: ChartRepository['spec'], at: string): Promise<void> =>
  p.put(ChartRepository, 'charts', spec, { [RECONCILE_ANNOTATION]: at });

test('a chart of an HTTP repository becomes a Snapshot: version chosen, digest checked, files read', async () => {
  await using server = await fileServer();
  await using p = await plane();
  const archives = { '1.2.0': packChart('web', '1.2.0'), '1.2.3': packChart('web', '1.2.3'), '2.0.0': packChart('web', '2.0.0') };
  publish(server, { web: archives });
  await p.put(Project, 'default', { sources: [`${server.url}/**`] });
  await p.put(Credential, 'ca', { type: 'tls', encryptedData: { ca: pki.caCert } });
  await p.put(ChartRepository, 'charts', { url: `${server.url}/charts`, interval: '1h', credential: { name: 'ca' } });
  await p.until('readiness without a chart', (r) => readyReason(r) === 'FL_SOURCE_CHARTS_READY');
  await p.wish('web', 'web', '1.2.x');
  const found = await p.until('the chart', (r) => chartOf(r, 'web 1.2.x')?.snapshot !== undefined);
  const { snapshot } = chartOf(found, 'web 1.2.x') ?? {};
  assert.equal(snapshot?.version, '1.2.3');
  assert.equal(`sha256:${snapshot?.commit}`, sha256(archives['1.2.3']));
  assert.equal(snapshot.committedAt, '2026-01-01T00:00:00Z');
  const files = p.charts.openSnapshot(found.metadata.uid, snapshot.commit);
  const listed = await files.list('.');
  assert.deepEqual(
    listed.map((file) => file.path),
    ['Chart.yaml', 'templates/config.yaml', 'values.yaml'],
  );
  const [values] = (await files.read(listed.filter((file) => file.path === 'values.yaml'))).values();
  assert.equal(Buffer.from(values ?? []).toString(), 'replicas: 1\n');
  assert.notEqual(await files.treeHash('templates'), await files.treeHash('.'));
  await assert.rejects(files.list('../x'), { code: 'FL_RENDER_NO_PATH' });
  // A look that finds nothing new writes nothing, and is answered by a 304.
  const before = (await p.repository()).metadata.resourceVersion;
  const asked = server.requests.length;
  p.charts.requestLook('default/charts');
  await waitFor('another look', () => server.requests.length > asked, { timeoutMs: 10_000 });
  assert.ok(server.requests.at(-1)?.headers['if-none-match'] !== undefined);
  assert.equal((await p.repository()).metadata.resourceVersion, before);
  // What does not exist is that application's trouble.
  await p.wish('none', 'nothing', '1.0.0');
  const missing = await p.until('the reason', (r) => chartOf(r, 'nothing 1.0.0')?.reason !== undefined);
  assert.equal(chartOf(missing, 'nothing 1.0.0')?.reason?.code, 'FL_SOURCE_NO_CHART');
  assert.equal(readyReason(missing), 'FL_SOURCE_CHARTS_READY');
  assert.ok(chartOf(missing, 'web 1.2.x')?.snapshot !== undefined);
});

test('a version whose content changes is refused until somebody says that it is meant', async () => {
  await using server = await fileServer();
  await using p = await plane();
  const first = packChart('web', '1.0.0');
  const second = packChart('web', '1.0.0', { 'values.yaml': 'replicas: 2\n' });
  publish(server, { web: { '1.0.0': first } });
  await p.put(Project, 'default', { sources: ['**'] });
  await p.put(Credential, 'ca', { type: 'tls', encryptedData: { ca: pki.caCert } });
  const spec = { url: `${server.url}/charts`, interval: '1h', credential: { name: 'ca' } };
  await p.put(ChartRepository, 'charts', spec);
  await p.wish('web', 'web', '1.x');
  await p.until('the chart', (r) => chartOf(r, 'web 1.x')?.snapshot !== undefined);
  publish(server, { web: { '1.0.0': second } });
  await look(p, spec, 'one');
  const moved = await p.until('a refusal', (r) => chartOf(r, 'web 1.x')?.reason !== undefined);
  const { reason, snapshot } = chartOf(moved, 'web 1.x') ?? {};
  assert.equal(reason?.code, 'FL_SOURCE_MOVED');
  assert.equal(`sha256:${snapshot?.commit}`, sha256(first));
  // A new version ends it.
  publish(server, { web: { '1.0.0': second, '1.0.1': packChart('web', '1.0.1') } });
  await look(p, spec, 'two');
  await p.until('the new version', (r) => chartOf(r, 'web 1.x')?.snapshot?.version === '1.0.1');
  // And back: what a Release was made of is remembered by the Release.
  await p.put(Release, 'web.1', releaseSpec(first, '1.0.0'));
  publish(server, { web: { '1.0.0': second } });
  await look(p, spec, 'three');
  const again = await p.until('a refusal again', (r) => chartOf(r, 'web 1.x')?.reason?.code === 'FL_SOURCE_MOVED');
  const now = String(chartOf(again, 'web 1.x')?.reason?.args['now']);
  await p.put(ChartRepository, 'charts', spec, { 'fairlead.dev/accept-moved': now });
  const accepted = await p.until('acceptance', (r) => chartOf(r, 'web 1.x')?.reason === undefined);
  assert.equal(`sha256:${chartOf(accepted, 'web 1.x')?.snapshot?.commit}`, sha256(second));
});

function releaseSpec(archive: Uint8Array, version: string): Release['spec'] {
  return {
    application: 'web',
    applicationUid: 'u',
    applicationGeneration: 1,
    number: 1,
    source: {
      kind: 'ChartRepository',
      name: 'charts',
      chart: 'web',
      version,
      commit: sha256(archive).slice(7),
      committedAt: '2026-01-01T00:00:00Z',
    },
    rendererVersion: 'r',
    settings: {},
    settingsDigest: 'd',
    bundles: [],
    renderedAt: '2026-01-01T00:00:00Z',
  };
}

test('what a repository may not do is a sentence, and costs nothing else', async () => {
  await using server = await fileServer();
  await using elsewhere = await fileServer();
  await using p = await plane();
  const archive = packChart('web', '1.0.0');
  elsewhere.files.set('/web.tgz', archive);
  await p.put(Project, 'default', { sources: [`${server.url}/**`] });
  await p.put(Credential, 'c', { type: 'basic', encryptedData: { username: 'u', password: 'pass-w0rd', ca: pki.caCert } });
  const spec = { url: `${server.url}/charts`, interval: '1h', credential: { name: 'c' } };
  await p.put(ChartRepository, 'charts', spec);
  await p.wish('web', 'web', '1.0.0');
  const entry = (url: string, digest = sha256(archive).slice(7)): string =>
    `entries:\n  web:\n  - version: 1.0.0\n    digest: "${digest}"\n    urls: ["${url}"]\n`;
  const cases: readonly (readonly [string, string, string | undefined, string | undefined])[] = [
    ['a URL that the Project may not use', entry(`${elsewhere.url}/web.tgz`), undefined, 'FL_SOURCE_FORBIDDEN'],
    ['a metadata address', entry('https://169.254.169.254/x'), undefined, 'FL_SOURCE_FORBIDDEN'],
    ['a file', entry('file:///etc/passwd'), undefined, 'FL_SOURCE_FORBIDDEN'],
    ['a registry', entry('oci://registry.example.com/web:1.0.0'), undefined, 'FL_SOURCE_REFUSED'],
    ['a wrong digest', entry('wrong.tgz'), undefined, 'FL_SOURCE_REFUSED'],
    ['a missing archive', entry('gone.tgz'), undefined, 'FL_SOURCE_REFUSED'],
    ['no index at all', '[1, 2]', 'FL_SOURCE_REFUSED', undefined],
    ['no YAML', 'entries: [', 'FL_SOURCE_REFUSED', undefined],
    ['deep YAML', `entries: ${'['.repeat(50_000)}`, 'FL_SOURCE_REFUSED', undefined],
    ['prototype', '{"entries": {"__proto__": {"web": [{"version": "1.0.0", "urls": ["x"]}]}}}', undefined, 'FL_SOURCE_NO_CHART'],
  ];
  server.files.set('/charts/wrong.tgz', packChart('web', '9.9.9'));
  for (const [index, [name, text, own, chart]] of cases.entries()) {
    server.files.set('/charts/index.yaml', `${text}\n${text.startsWith('{') ? '' : `# ${index}\n`}`);
    await look(p, spec, `case ${index}`);
    await p.until(name, (r) =>
      own === undefined
        ? chartOf(r, 'web 1.0.0')?.reason?.code === chart && readyReason(r) === 'FL_SOURCE_CHARTS_READY'
        : readyReason(r) === own,
    );
    // Each case starts from a good look.
    publish(server, { web: { '0.9.0': packChart('web', '0.9.0') } });
    await look(p, spec, `between ${index}`);
    await p.until('a good index', (r) => chartOf(r, 'web 1.0.0')?.reason?.code === 'FL_SOURCE_NO_CHART');
  }
  assert.equal(elsewhere.requests.length, 0);
  assert.ok(server.requests.every((one) => one.headers.authorization?.startsWith('Basic ')));
  // Where it is allowed, a chart elsewhere is fetched without the credential.
  await p.put(Project, 'default', { sources: ['**'] });
  server.handle = (request, response) => {
    if (request.url !== '/charts/there.tgz') return false;
    response.writeHead(302, { location: `https://127.0.0.1:${new URL(elsewhere.url).port}/web.tgz` }).end();
    return true;
  };
  server.files.set('/charts/index.yaml', entry('there.tgz'));
  await look(p, spec, 'redirect');
  // The other server's authority is not trusted: the Credential is for the repository's own origin.
  await p.until('no trust', (r) => chartOf(r, 'web 1.0.0')?.reason?.code === 'FL_SOURCE_UNREACHABLE');
  assert.equal(elsewhere.requests.length, 0);
});

test('addresses are checked for repositories too, and a wrong password is told apart from an absent server', async () => {
  await using server = await fileServer();
  publish(server, { web: { '1.0.0': packChart('web', '1.0.0') } });
  const spec = { url: `${server.url}/charts`, interval: '1h', credential: { name: 'c' } };
  {
    await using closed = await plane([]);
    await closed.put(Project, 'default', { sources: ['**'] });
    await closed.put(Credential, 'c', { type: 'basic', encryptedData: { username: 'u', password: 'right', ca: pki.caCert } });
    await closed.put(ChartRepository, 'charts', spec);
    const refused = await closed.until('a refusal', (r) => readyReason(r) === 'FL_SOURCE_URL');
    assert.match(conditionOf(refused, 'Ready')?.message ?? '', /loopback address, which takes --allow-egress/);
    assert.equal(server.requests.length, 0);
  }
  await using p = await plane();
  server.handle = (request, response) => {
    if (request.headers.authorization === `Basic ${Buffer.from('u:right').toString('base64')}`) return false;
    response.writeHead(401).end();
    return true;
  };
  await p.put(Project, 'default', { sources: ['**'] });
  await p.put(Credential, 'c', { type: 'basic', encryptedData: { username: 'u', password: 'wrong', ca: pki.caCert } });
  await p.put(ChartRepository, 'charts', spec);
  await p.until('denial', (r) => readyReason(r) === 'FL_SOURCE_DENIED');
  await p.put(Credential, 'c', { type: 'basic', encryptedData: { username: 'u', password: 'right', ca: pki.caCert } });
  await p.until('readiness', (r) => readyReason(r) === 'FL_SOURCE_CHARTS_READY');
  assert.ok(!JSON.stringify(await p.repository()).includes('right'));
});

test('what was fetched is there after a restart, and only for its own source', async () => {
  await using server = await fileServer();
  const archive = packChart('web', '1.0.0');
  publish(server, { web: { '1.0.0': archive } });
  let dir: string;
  let uid: string;
  {
    await using p = await plane();
    dir = p.dir;
    await p.put(Project, 'default', { sources: ['**'] });
    await p.put(Credential, 'c', { type: 'tls', encryptedData: { ca: pki.caCert } });
    await p.put(ChartRepository, 'charts', { url: `${server.url}/charts`, interval: '1h', credential: { name: 'c' } });
    await p.wish('web', 'web', '1.0.0');
    uid = (await p.until('the chart', (r) => chartOf(r, 'web 1.0.0')?.snapshot !== undefined)).metadata.uid;
  }
  server.files.delete('/charts/web-1.0.0.tgz');
  await using p = await plane(undefined, dir);
  const commit = sha256(archive).slice(7);
  assert.equal((await p.charts.openSnapshot(uid, commit).list('.')).length, 3);
  await assert.rejects(p.charts.openSnapshot('another', commit).list('.'), { code: 'FL_SOURCE_GONE' });
});

async function withRegistry(options: Partial<Parameters<typeof startRegistry>[0]>): Promise<RegistryServer | undefined> {
  try {
    return await startRegistry({
      dir: await mkdtemp(join(scratch, 'registry-')),
      tls: { key: pki.serverKey, cert: pki.serverCert },
      ...options,
    });
  } catch (error) {
    // A machine without Go has no registry.
    if (error instanceof FairleadError && error.code.startsWith('FL_BUILD_GO_')) return undefined;
    throw error;
  }
}

test('charts of a real OCI registry with a password', { timeout: 300_000 }, async (t) => {
  await using registry = await withRegistry({ auth: { username: 'reader', password: 'pass-w0rd' } });
  if (registry === undefined) return t.skip('there is no Go on this machine');
  await using p = await plane();
  const digests: Record<string, string> = {};
  for (const version of ['1.2.0', '1.2.3', '1.3.0', '2.0.0-rc.1', '1.2.4+build.5'])
    digests[version] = await registry.pushChart('charts/web', version.replace('+', '_'), packChart('web', version));
  await p.put(Project, 'default', { sources: [`oci://${registry.host}/charts/**`] });
  await p.put(Credential, 'c', { type: 'basic', encryptedData: { username: 'reader', password: 'pass-w0rd', ca: pki.caCert } });
  await p.put(ChartRepository, 'charts', { url: `oci://${registry.host}/charts`, interval: '1h', credential: { name: 'c' } });
  await p.until('the registry', (r) => readyReason(r) === 'FL_SOURCE_CHARTS_READY');
  for (const [name, version] of [
    ['range', '1.2.x'],
    ['exact', '1.2.0'],
    ['newest', '*'],
  ] as const)
    await p.wish(name, 'web', version);
  const found = await p.until('three charts', (r) => r.status?.charts?.filter((one) => one.snapshot !== undefined).length === 3);
  assert.equal(chartOf(found, 'web 1.2.x')?.snapshot?.version, '1.2.4+build.5');
  assert.equal(`sha256:${chartOf(found, 'web 1.2.0')?.snapshot?.commit}`, digests['1.2.0']);
  assert.equal(chartOf(found, 'web *')?.snapshot?.version, '1.3.0');
  const { commit = '' } = chartOf(found, 'web *')?.snapshot ?? {};
  assert.equal((await p.charts.openSnapshot(found.metadata.uid, commit).list('templates')).length, 1);
  // A tag that is pushed again with other content.
  await registry.pushChart('charts/web', '1.2.0', packChart('web', '1.2.0', { 'values.yaml': 'replicas: 3\n' }));
  p.charts.requestLook('default/charts');
  await p.until('moved content', (r) => chartOf(r, 'web 1.2.0')?.reason?.code === 'FL_SOURCE_MOVED');
  // What is in a registry and is no chart.
  await registry.pushChart('charts/image', '1.0.0', packChart('image', '1.0.0'), {
    manifest: (usual) => ({
      ...usual,
      config: { ...(usual['config'] as object), mediaType: 'application/vnd.oci.image.config.v1+json' },
    }),
  });
  await p.wish('image', 'image', '1.0.0');
  const image = await p.until('a refusal', (r) => chartOf(r, 'image 1.0.0')?.reason !== undefined);
  assert.match(String(chartOf(image, 'image 1.0.0')?.reason?.args['words']), /is no Helm chart/);
  await p.wish('none', 'none', '1.x');
  await p.until('no chart', (r) => chartOf(r, 'none 1.x')?.reason?.code === 'FL_SOURCE_NO_CHART');
  await p.put(Credential, 'c', { type: 'basic', encryptedData: { username: 'reader', password: 'wrong', ca: pki.caCert } });
  await p.until('denial', (r) => readyReason(r) === 'FL_SOURCE_DENIED');
});

test('a registry that wants tokens gets them for one repository, to read', { timeout: 300_000 }, async (t) => {
  await using tokens = await fileServer();
  const bundle = join(scratch, 'token-ca.pem');
  await writeFile(bundle, pki.serverCert);
  await using registry = await withRegistry({
    auth: { realm: `${tokens.url}/token`, service: 'registry', issuer: 'test', rootcertbundle: bundle },
  });
  if (registry === undefined) return t.skip('there is no Go on this machine');
  const key = await importPKCS8(pki.serverKey, 'ES256');
  const jwk = await exportJWK(createPublicKey(pki.serverKey));
  const sign = (actions: readonly string[]): Promise<string> =>
    new SignJWT({ access: [{ type: 'repository', name: 'charts/web', actions }] })
      .setProtectedHeader({ alg: 'ES256', typ: 'JWT', jwk, x5c: [pki.serverCert.replaceAll(/-----[^-]+-----|\s/g, '')] })
      .setIssuer('test')
      .setAudience('registry')
      .setSubject('reader')
      .setIssuedAt()
      .setNotBefore('-1m')
      .setExpirationTime('5m')
      .setJti('1')
      .sign(key);
  tokens.handle = (request, response) => {
    const url = new URL(request.url ?? '/', 'https://x');
    const isGood =
      request.headers.authorization === `Basic ${Buffer.from('reader:pass-w0rd').toString('base64')}` &&
      url.searchParams.get('service') === 'registry' &&
      url.searchParams.get('scope') === 'repository:charts/web:pull';
    if (!isGood) response.writeHead(401).end();
    else void sign(['pull']).then((token) => response.end(JSON.stringify({ token })));
    return true;
  };
  await registry.pushChart('charts/web', '1.0.0', packChart('web', '1.0.0'), {
    authorization: `Bearer ${await sign(['pull', 'push'])}`,
  });
  await using p = await plane();
  await p.put(Project, 'default', { sources: ['**'] });
  const secrets = { username: 'reader', password: 'pass-w0rd', ca: pki.caCert };
  // The token service is another origin: the password goes there only when the Credential names its host.
  await p.put(Credential, 'c', { type: 'basic', encryptedData: secrets });
  await p.put(ChartRepository, 'charts', { url: `oci://${registry.host}/charts`, interval: '1h', credential: { name: 'c' } });
  await p.wish('web', 'web', '1.0.0');
  await p.until('denial', (r) => readyReason(r) === 'FL_SOURCE_DENIED');
  assert.ok(tokens.requests.length > 0 && tokens.requests.every((one) => one.headers.authorization === undefined));
  await p.put(Credential, 'c', { type: 'basic', encryptedData: secrets, hosts: ['127.0.0.1'] });
  await p.until('the chart', (r) => chartOf(r, 'web 1.0.0')?.snapshot !== undefined);
});
