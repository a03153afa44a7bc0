import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { FairleadError, Sensitive, sha256, silentLog, systemClock } from '#base';
import {
  allKinds,
  ChartRepository,
  GitRepository,
  Project,
  reasonOf,
  say,
  type Kind,
  type PlaneObject,
  type ReasonCode,
} from '#api';
import {
  createFetcher,
  createGuardedConnect,
  EgressPolicy,
  openContentCache,
  startEgressProxy,
  type EgressProxy,
} from '#plane/fetch';
import { openStore, type Store } from '#plane/store';
import { packChart } from '../charts/testing/pack.ts';
import { createSources } from '../sources.ts';
import { gitHarness, type GitHarness } from '../testing/harness.ts';
import { RemoteResolver, type Remote, type Resolved } from './resolve-references.ts';

let h: GitHarness;
let store: Store;
let resolver: RemoteResolver;
let files: Server;
let egress: EgressProxy;
let url: string;
let asked: string[] = [];
const served = new Map<string, string | Uint8Array>();

before(async () => {
  h = await gitHarness();
  files = createServer((request, response) => {
    asked.push(request.url ?? '');
    const content = served.get(request.url ?? '');
    response.writeHead(content === undefined ? 404 : 200).end(content);
  });
  files.listen(0, '127.0.0.1');
  await once(files, 'listening');
  url = `http://127.0.0.1:${(files.address() as AddressInfo).port}`;
  store = await openStore({ dir: join(h.dir, 'db'), kinds: allKinds, log: silentLog, clock: systemClock });
  const decrypt = (): Sensitive<Readonly<Record<string, string>>> => new Sensitive({});
  const connect = createGuardedConnect(new EgressPolicy({ allow: ['127.0.0.0/8'] }));
  egress = await startEgressProxy(connect, silentLog);
  const sources = await createSources({ egress, dataDir: h.dir, log: silentLog, clock: systemClock, allowHttp: true, decrypt });
  resolver = new RemoteResolver({
    read: store,
    sources,
    fetch: createFetcher({ connect }),
    cache: await openContentCache({ dir: join(h.dir, 'fetched'), clock: systemClock }),
    decrypt,
    clock: systemClock,
    log: silentLog,
    allowHttp: true,
  });
  await put(Project, 'default', { sources: ['http://127.0.0.1:*/**'] });
  await put(Project, 'narrow', { sources: [`${url}/allowed/**`] });
  await h.server.createRepo('bases');
});
after(async () => {
  await store.close();
  files.close();
  await egress.stop();
  await h[Symbol.asyncDispose]();
});

async function put<S>(kind: Kind<S>, name: string, spec: S): Promise<void> {
  const object: PlaneObject = {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    metadata: {
      name,
      ...(kind.scope === 'Cluster' ? {} : { namespace: 'default' }),
      uid: `${kind.kind}-${name}`,
      generation: 1,
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
    spec,
  };
  assert.ok((await store.commit({ write: [{ op: 'put', kind, object }] })).ok);
}

async function resolve(reference: Remote, pin?: string, project = 'default'): Promise<Resolved<Remote>> {
  const [one] = await resolver.resolve([reference], { project, pin: () => pin, signal: AbortSignal.timeout(30_000) });
  assert.ok(one !== undefined);
  return one;
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof FairleadError, String(error));
    return say(reasonOf(error.code as ReasonCode, error.details));
  }
  throw new Error('it was not refused');
}

function publish(path: string, archive: Uint8Array, version: string, chart = 'redis'): void {
  served.set(`${path}/${chart}-${version}.tgz`, archive);
  served.set(
    `${path}/index.yaml`,
    `entries:\n  ${chart}:\n  - version: ${version}\n    digest: ${sha256(archive).slice(7)}\n    urls: [${chart}-${version}.tgz]\n`,
  );
}

const chart = (more: Partial<Extract<Remote, { kind: 'chart' }>> = {}): Remote => ({
  kind: 'chart',
  file: 'web/Chart.yaml',
  line: 7,
  name: 'redis',
  repository: `${url}/charts`,
  version: '17.x',
  into: 'web/charts',
  ...more,
});

test('a dependency of a chart is fetched by its locked version, and by its digest the next time', async () => {
  const archive = packChart('redis', '17.1.0');
  publish('/charts', archive, '17.1.0');
  const first = await resolve(chart({ locked: '17.1.0' }));
  assert.deepEqual([...first.files.keys()], ['redis-17.1.0.tgz']);
  assert.equal(first.digest, sha256(archive));
  // Pinned: nobody is asked.
  asked = [];
  publish('/charts', packChart('redis', '17.2.0'), '17.2.0');
  assert.equal((await resolve(chart(), first.digest)).digest, first.digest);
  assert.deepEqual(asked, []);
  // By the name of a ChartRepository of the project.
  await put(ChartRepository, 'shared', { url: `${url}/charts` });
  assert.deepEqual([...(await resolve(chart({ repository: '@shared' }))).files.keys()], ['redis-17.2.0.tgz']);
});

test('a dependency that is out of step, moved, forbidden or nowhere is a sentence', async () => {
  const moved = packChart('redis', '17.1.0', { 'values.yaml': 'replicas: 9\n' });
  publish('/charts', moved, '17.1.0');
  const was = `sha256:${'0'.repeat(64)}`;
  assert.match(
    await refusal(resolve(chart({ locked: '16.0.0' }))),
    /web\/Chart.yaml:7: redis is 16.0.0 in Chart.lock and 17.x here/,
  );
  assert.match(
    await refusal(resolve(chart({ locked: '17.1.0' }), was)),
    /redis 17.1.0 of .* is not what it was: .* 000000000000/,
  );
  assert.match(await refusal(resolve(chart({ repository: '@nobody' }))), /neither a URL nor a ChartRepository/);
  assert.match(await refusal(resolve(chart({ version: '99.x' }))), /has no chart redis with version 99.x/);
  assert.match(await refusal(resolve(chart(), undefined, 'narrow')), /the Project narrow may not use/);
  assert.match(
    await refusal(resolve(chart({ repository: 'https://169.254.169.254/charts' }), undefined, 'default')),
    /may not use/,
  );
});

const base = (more: Partial<Extract<Remote, { kind: 'git' }>> = {}): Remote => ({
  kind: 'git',
  file: 'kustomization.yaml',
  line: 3,
  entry: `${h.server.repoUrl('bases')}/web?ref=v1`,
  repository: h.server.repoUrl('bases'),
  ref: 'v1',
  path: 'web',
  ...more,
});

test('a remote base is the files of its repository at a tag, a branch or a commit, and stays at its commit', async () => {
  const one = await h.server.commit(
    'bases',
    { 'web/kustomization.yaml': 'resources: [../common]', 'common/a.yaml': 'a: 1' },
    'one',
  );
  const two = await h.server.commit('bases', { 'common/a.yaml': 'a: 2' }, 'two');
  const byBranch = await resolve(base({ ref: 'main' }));
  assert.equal(byBranch.digest, two);
  assert.deepEqual([...byBranch.files.keys()].sort(), ['common/a.yaml', 'web/kustomization.yaml']);
  assert.equal((await resolve(base({ ref: one }))).digest, one);
  const { ref: _ref, ...unnamed } = base() as Extract<Remote, { kind: 'git' }>;
  assert.equal((await resolve(unnamed)).digest, two);
  const three = await h.server.commit('bases', { 'common/a.yaml': 'a: 3' }, 'three');
  const pinned = await resolve(base({ ref: 'main' }), two);
  assert.equal(pinned.digest, two);
  assert.equal(Buffer.from(pinned.files.get('common/a.yaml') ?? []).toString(), 'a: 2');
  assert.equal((await resolve(base({ ref: 'main' }))).digest, three);
  assert.match(await refusal(resolve(base({ ref: 'nowhere' }))), /has no branch nowhere/);
  assert.match(await refusal(resolve(base({ ref: 'main' }), undefined, 'narrow')), /the Project narrow may not use/);
});

test("a base has what the project's own source of that URL asks for", async () => {
  await put(GitRepository, 'bases', { url: h.server.repoUrl('bases'), credential: { name: 'gone' } });
  assert.match(await refusal(resolve(base({ ref: 'main' }))), /the Credential gone does not exist/);
});

test('a file at an address is fetched once', async () => {
  served.set('/allowed/crds.yaml', 'kind: List');
  const file = (address: string): Remote => ({
    kind: 'https',
    file: 'kustomization.yaml',
    line: 2,
    entry: address,
    url: address,
  });
  const first = await resolve(file(`${url}/allowed/crds.yaml`), undefined, 'narrow');
  assert.equal(Buffer.from([...first.files.values()][0] ?? []).toString(), 'kind: List');
  served.delete('/allowed/crds.yaml');
  assert.equal((await resolve(file(`${url}/allowed/crds.yaml`), first.digest, 'narrow')).digest, first.digest);
  assert.match(await refusal(resolve(file(`${url}/allowed/crds.yaml`), undefined, 'narrow')), /it answered 404/);
  assert.match(await refusal(resolve(file(`${url}/other.yaml`), undefined, 'narrow')), /the Project narrow may not use/);
  assert.match(await refusal(resolve(file(`${url}/allowed/../other.yaml`), undefined, 'narrow')), /may not use/);
});
