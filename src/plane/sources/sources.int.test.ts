import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Sensitive, silentLog, systemClock, waitFor } from '#base';
import { allKinds, Application, conditionOf, Credential, GitRepository, Project, type Kind, type PlaneObject } from '#api';
import { createEngine } from '#plane/engine';
import { createGuardedConnect, EgressPolicy, startEgressProxy, type Resolve } from '#plane/fetch';
import { openStore, type Store } from '#plane/store';
import { gitHarness, type GitHarness } from './testing/harness.ts';
import { createSources, type Sources } from './index.ts';

interface Plane extends AsyncDisposable {
  readonly h: GitHarness;
  readonly store: Store;
  readonly sources: Sources;
  put<S>(kind: Kind<S>, name: string, spec: S, annotations?: Record<string, string>): Promise<void>;
  repository(name?: string): Promise<GitRepository>;
  /** The repository once its Ready condition has the reason. */
  until(reason: string, name?: string): Promise<GitRepository>;
  idle(): Promise<void>;
}

async function plane(options: Parameters<typeof gitHarness>[0] = {}, resolve?: Resolve): Promise<Plane> {
  const h = await gitHarness(options);
  const policy = new EgressPolicy({ allow: ['127.0.0.1/32'] });
  const egress = await startEgressProxy(createGuardedConnect(policy, resolve), silentLog);
  const store = await openStore({ dir: join(h.dir, 'db'), kinds: allKinds, log: silentLog, clock: systemClock });
  const sources = await createSources({
    dataDir: h.dir,
    log: silentLog,
    clock: systemClock,
    allowHttp: true,
    egress,
    pulse: (kind, key, value) => store.pulse(kind, key, value),
    decrypt: (credential) => new Sensitive(credential.spec.encryptedData ?? {}),
  });
  const engine = createEngine({ store, controllers: [sources.controller], effects: [], clock: systemClock, log: silentLog });
  const stop = new AbortController();
  const running = engine.run(stop.signal).catch(() => undefined);
  const repository = async (name = 'fleet'): Promise<GitRepository> => {
    const found = await store.get(GitRepository, { namespace: 'default', name });
    assert.ok(found !== undefined);
    return found;
  };
  return {
    h,
    store,
    sources,
    repository,
    async put(kind, name, spec, annotations) {
      const namespace = kind.scope === 'Cluster' ? '' : 'default';
      const before = await store.get(kind, { namespace, name });
      const object: PlaneObject = {
        apiVersion: kind.apiVersion,
        kind: kind.kind,
        metadata: {
          name,
          ...(namespace === '' ? {} : { namespace }),
          uid: before?.metadata.uid ?? `${kind.kind}-${name}`,
          generation: (before?.metadata.generation ?? 0) + (annotations === undefined ? 1 : 0),
          creationTimestamp: '2026-01-01T00:00:00Z',
          ...(annotations === undefined ? {} : { annotations }),
        },
        spec,
        ...(before?.status === undefined ? {} : { status: before.status }),
      };
      assert.ok((await store.commit({ write: [{ op: 'put', kind, object }] })).ok);
    },
    until: (reason, name) =>
      waitFor(
        reason,
        async () => {
          const found = await repository(name);
          const ready = conditionOf(found, 'Ready');
          if (ready?.reason !== reason) throw new Error(`it says ${ready?.message ?? 'nothing'}`);
          return found;
        },
        { timeoutMs: 15_000, intervalMs: 20 },
      ),
    idle: async () => {
      await waitFor('an idle engine', () => engine.isIdle(), { timeoutMs: 15_000, intervalMs: 20 });
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await store.close();
      await egress.stop();
      await h[Symbol.asyncDispose]();
    },
  };
}

test('a repository is followed; a look that finds nothing new writes nothing but a pulse', async () => {
  await using p = await plane();
  await p.h.server.createRepo('fleet');
  const one = await p.h.server.commit('fleet', { a: '1' }, 'one');
  await p.put(Project, 'default', { sources: ['http://127.0.0.1:*/**'] });
  await p.put(GitRepository, 'fleet', { url: p.h.server.repoUrl('fleet'), interval: '1h' });
  const first = await p.until('FL_SOURCE_READY');
  assert.equal(first.status?.snapshot?.commit, one);
  await p.idle();
  const { resourceVersion } = (await p.repository()).metadata;
  const asked = p.h.server.counters().infoRefs;
  p.sources.requestLook('default/fleet');
  await waitFor('a look', () => p.h.server.counters().infoRefs > asked, { timeoutMs: 10_000 });
  await p.idle();
  assert.equal((await p.repository()).metadata.resourceVersion, resourceVersion);
  assert.equal((await p.store.pulses(GitRepository)).size, 1);
  // Somebody asks by the annotation.
  const two = await p.h.server.commit('fleet', { a: '2' }, 'two');
  await p.put(GitRepository, 'fleet', (await p.repository()).spec, { 'fairlead.dev/reconcile': 'now' });
  await waitFor('the new commit', async () => (await p.repository()).status?.snapshot?.commit === two, { timeoutMs: 10_000 });
  // Nobody asks for what does not exist.
  p.sources.requestLook('default/nothing');
});

test('an interval is kept: the next commit is found without being told', async () => {
  await using p = await plane();
  await p.h.server.createRepo('fleet');
  await p.h.server.commit('fleet', { a: '1' }, 'one');
  await p.put(Project, 'default', { sources: ['**'] });
  await p.put(GitRepository, 'fleet', { url: p.h.server.repoUrl('fleet'), interval: '1s' });
  await p.until('FL_SOURCE_READY');
  const two = await p.h.server.commit('fleet', { a: '2' }, 'two');
  const started = performance.now();
  await waitFor('the new commit', async () => (await p.repository()).status?.snapshot?.commit === two, { timeoutMs: 15_000 });
  assert.ok(performance.now() - started > 3_000, 'never more often than every five seconds');
});

test('references that Applications name have Snapshots of their own, or say why not', async () => {
  await using p = await plane();
  await p.h.server.createRepo('fleet');
  const one = await p.h.server.commit('fleet', { a: '1' }, 'one');
  await p.h.server.tag('fleet', 'v1.0.0', one);
  const two = await p.h.server.commit('fleet', { a: '2' }, 'two');
  await p.put(Project, 'default', { sources: ['**'] });
  await p.put(GitRepository, 'fleet', { url: p.h.server.repoUrl('fleet'), interval: '1h' });
  await p.until('FL_SOURCE_READY');
  const sourceRef = { kind: 'GitRepository' as const, name: 'fleet' };
  await p.put(Application, 'pinned', { source: { sourceRef, ref: { semver: '^1' } } });
  await p.put(Application, 'wrong', { source: { sourceRef, ref: { tag: 'v9' } } });
  const refs = await waitFor(
    'both references',
    async () => {
      const found = (await p.repository()).status?.refs ?? [];
      return found.length === 2 ? found : undefined;
    },
    { timeoutMs: 10_000 },
  );
  const byRef = new Map(refs.map((entry) => [entry.ref, entry]));
  assert.equal(byRef.get('semver ^1')?.snapshot?.commit, one);
  assert.equal(byRef.get('semver ^1')?.snapshot?.ref, 'semver ^1 (v1.0.0)');
  assert.equal(byRef.get('tag v9')?.reason?.code, 'FL_SOURCE_NO_REF');
  assert.equal((await p.repository()).status?.snapshot?.commit, two);
  assert.equal(conditionOf(await p.repository(), 'Ready')?.status, 'True');

  // Suspended, what was found last stays for each of them.
  await p.put(GitRepository, 'fleet', { url: p.h.server.repoUrl('fleet'), interval: '1h', suspend: true });
  const { status } = await p.until('FL_SOURCE_SUSPENDED');
  assert.equal(status?.refs?.find((entry) => entry.ref === 'semver ^1')?.snapshot?.commit, one);
});

test('every failure keeps the last Snapshot, says why, and heals', async () => {
  let status: number | undefined;
  await using p = await plane({
    intercept: (_, response) => {
      if (status !== undefined) response.writeHead(status).end();
      return status !== undefined;
    },
  });
  await p.h.server.createRepo('fleet');
  const one = await p.h.server.commit('fleet', { a: '1' }, 'one');
  await p.put(Project, 'default', { sources: ['**'] });
  const spec = { url: p.h.server.repoUrl('fleet'), interval: '1h' };
  await p.put(GitRepository, 'fleet', spec);
  await p.until('FL_SOURCE_READY');
  const look = async (reason: string): Promise<GitRepository> => {
    p.sources.requestLook('default/fleet');
    const found = await p.until(reason);
    assert.equal(found.status?.snapshot?.commit, one, 'the last Snapshot stays');
    return found;
  };
  status = 503;
  const away = await look('FL_SOURCE_UNREACHABLE');
  assert.match(conditionOf(away, 'Ready')?.message ?? '', /503.*the next attempt is within 1h/);
  const { resourceVersion } = away.metadata;
  p.sources.requestLook('default/fleet');
  await p.idle();
  assert.equal((await p.repository()).metadata.resourceVersion, resourceVersion, 'the same failure is not written twice');
  status = 403;
  await look('FL_SOURCE_DENIED');
  status = undefined;
  await p.h.server.deleteRef('fleet', 'refs/heads/main');
  await look('FL_SOURCE_EMPTY');
  await p.h.server.git('fleet', ['branch', 'other', one]);
  assert.match(conditionOf(await look('FL_SOURCE_NO_REF'), 'Ready')?.message ?? '', /has no branch main/);
  await p.put(Project, 'default', { sources: ['https://elsewhere/**'] });
  await look('FL_SOURCE_FORBIDDEN');
  await p.put(Project, 'default', { sources: ['**'] });
  await p.put(GitRepository, 'fleet', { ...spec, credential: { name: 'none' } });
  await look('FL_SOURCE_NO_CREDENTIAL');
  await p.put(GitRepository, 'fleet', { ...spec, suspend: true });
  await p.until('FL_SOURCE_SUSPENDED');
  await p.h.server.git('fleet', ['branch', 'main', one]);
  await p.put(GitRepository, 'fleet', spec);
  const healed = await p.until('FL_SOURCE_READY');
  assert.equal(healed.status?.reason, undefined);
});

test('a credential is used, never over its hosts, and is in no row or file', async () => {
  await using p = await plane({ auth: { username: 'bob', password: 'hunter2-canary' } });
  await p.h.server.createRepo('fleet');
  await p.h.server.commit('fleet', { a: '1' }, 'one');
  await p.put(Project, 'default', { sources: ['**'] });
  const spec = { url: p.h.server.repoUrl('fleet'), interval: '1h', credential: { name: 'git' } };
  await p.put(Credential, 'git', { type: 'basic', encryptedData: { username: 'bob', password: 'wrong' } });
  await p.put(GitRepository, 'fleet', spec);
  const denied = await p.until('FL_SOURCE_DENIED');
  assert.match(conditionOf(denied, 'Ready')?.message ?? '', /refused the credential git/);
  await p.put(Credential, 'git', {
    type: 'basic',
    hosts: ['git.example.com'],
    encryptedData: { username: 'bob', password: 'hunter2-canary' },
  });
  assert.match(conditionOf(await p.until('FL_SOURCE_URL'), 'Ready')?.message ?? '', /may not be sent|is sent over https/);
  await p.put(Credential, 'git', { type: 'basic', encryptedData: { username: 'bob', password: 'hunter2-canary' } });
  const ready = await p.until('FL_SOURCE_READY');
  assert.doesNotMatch(JSON.stringify(ready), /hunter2/);
  for (const name of await readdir(join(p.h.dir, 'sources'), { recursive: true })) assert.doesNotMatch(name, /hunter2/);
});

test('a deleted repository takes its mirror with it', async () => {
  await using p = await plane();
  await p.h.server.createRepo('fleet');
  await p.h.server.commit('fleet', { a: '1' }, 'one');
  await p.put(Project, 'default', { sources: ['**'] });
  await p.put(GitRepository, 'fleet', { url: p.h.server.repoUrl('fleet') });
  await p.until('FL_SOURCE_READY');
  const mirrors = async (): Promise<string[]> =>
    (await readdir(join(p.h.dir, 'sources'))).filter((name) => name.endsWith('.git'));
  assert.deepEqual(await mirrors(), ['GitRepository-fleet.git']);
  await p.store.commit({ write: [{ op: 'delete', kind: GitRepository, key: { namespace: 'default', name: 'fleet' } }] });
  await waitFor('the mirror to go', async () => (await mirrors()).length === 0, { timeoutMs: 10_000 });
});

test('a name is resolved once, by the plane, and what it may not connect to is named', async () => {
  const addresses = new Map([
    ['git.example.com', ['127.0.0.1']],
    ['metadata.example.com', ['169.254.169.254']],
    ['inside.example.com', ['127.0.0.2', '::1']],
    ['mapped.example.com', ['::ffff:169.254.169.254']],
  ]);
  const asked: string[] = [];
  await using p = await plane({}, (host) => {
    asked.push(host);
    const found = addresses.get(host);
    return found === undefined
      ? Promise.reject(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }))
      : Promise.resolve(found);
  });
  await p.h.server.createRepo('fleet');
  await p.h.server.commit('fleet', { a: '1' }, 'one');
  await p.put(Project, 'default', { sources: ['**'] });
  const at = (host: string): { url: string; interval: string } => ({
    url: p.h.server.repoUrl('fleet').replace('127.0.0.1', host),
    interval: '1h',
  });
  // No name service knows this name: git itself did not ask one.
  await p.put(GitRepository, 'fleet', at('git.example.com'));
  await p.until('FL_SOURCE_READY');
  for (const [host, why] of [
    ['metadata.example.com', /169\.254\.169\.254 is a cloud metadata address/],
    ['mapped.example.com', /169\.254\.169\.254 is a cloud metadata address/],
    ['inside.example.com', /127\.0\.0\.2 is a loopback address, which takes --allow-egress/],
    ['127.0.0.3', /127\.0\.0\.3 is a loopback address/],
    ['[::1]', /::1 is a loopback address/],
  ] as const) {
    await p.put(GitRepository, 'fleet', at(host));
    assert.match(conditionOf(await p.until('FL_SOURCE_ADDRESS'), 'Ready')?.message ?? '', why);
    await p.put(GitRepository, 'fleet', at('git.example.com'));
    await p.until('FL_SOURCE_READY');
  }
  await p.put(GitRepository, 'fleet', at('nowhere.example.com'));
  assert.match(conditionOf(await p.until('FL_SOURCE_UNREACHABLE'), 'Ready')?.message ?? '', /its name is not known/);
  assert.ok(asked.includes('nowhere.example.com'));
});

test('a commit that was delivered comes back by its id, when the mirror is lost and the branch was rewritten', async () => {
  await using p = await plane();
  await p.h.server.createRepo('fleet');
  const delivered = await p.h.server.commit('fleet', { 'app/a.yaml': 'a: 1' }, 'delivered');
  await p.put(Project, 'default', { sources: ['**'] });
  await p.put(GitRepository, 'fleet', { url: p.h.server.repoUrl('fleet'), interval: '1h' });
  const { metadata } = await p.until('FL_SOURCE_READY');
  const forced = await p.h.server.commit('fleet', { b: '2' }, 'rewritten', { parent: 'none' });
  p.sources.requestLook('default/fleet');
  await waitFor('the new commit', async () => (await p.repository()).status?.snapshot?.commit === forced, { timeoutMs: 10_000 });
  const read = async (): Promise<number> => (await p.sources.openSnapshot(metadata.uid, delivered).list('app')).length;
  assert.equal(await read(), 1, 'the mirror still holds it');
  // As when the plane moves to another machine.
  for (const entry of await readdir(join(p.h.dir, 'sources', `${metadata.uid}.git`))) {
    await rm(join(p.h.dir, 'sources', `${metadata.uid}.git`, entry), { recursive: true });
  }
  await waitFor('the delivered commit', () => read().catch(() => false), { timeoutMs: 15_000 });
  assert.equal((await p.repository()).status?.snapshot?.commit, forced, 'nobody follows it');
  assert.equal((await p.repository()).status?.refs, undefined);
});

test('a monorepo: one fetch for everybody who follows it, and only what changed comes and is read', async (t) => {
  await using p = await plane();
  await p.h.server.createRepo('fleet');
  const files = Object.fromEntries(
    Array.from({ length: 3_000 }, (_, i) => [`apps/a${i % 60}/${i}.yaml`, `n: ${i}\n${'x'.repeat(i % 700)}\n`]),
  );
  await p.h.server.commit('fleet', files, 'everything');
  await p.put(Project, 'default', { sources: ['**'] });
  const sourceRef = { kind: 'GitRepository' as const, name: 'fleet' };
  for (let i = 0; i < 60; i += 1) await p.put(Application, `a${i}`, { source: { sourceRef, path: `apps/a${i}` } });
  await p.put(GitRepository, 'fleet', { url: p.h.server.repoUrl('fleet'), interval: '1h' });
  const first = await p.until('FL_SOURCE_READY');
  await p.idle();
  const trees = (commit: string): Promise<readonly string[]> => {
    const snapshot = p.sources.openSnapshot(first.metadata.uid, commit);
    return Promise.all(Array.from({ length: 60 }, (_, i) => snapshot.treeHash(`apps/a${i}`)));
  };
  const before = await trees(first.status?.snapshot?.commit ?? '');
  const counted = p.h.server.counters();
  const second = await p.h.server.commit('fleet', { 'apps/a7/7.yaml': 'n: changed\n' }, 'one file');
  p.sources.requestLook('default/fleet');
  await waitFor('the new commit', async () => (await p.repository()).status?.snapshot?.commit === second, { timeoutMs: 15_000 });
  await p.idle();
  const now = p.h.server.counters();
  t.diagnostic(`one of 3,000 files changed: ${now.bytes - counted.bytes} bytes`);
  assert.equal(now.infoRefs - counted.infoRefs, 1, 'one look for sixty Applications');
  assert.ok(now.bytes - counted.bytes < 10_000, 'neither the files nor the trees that stayed');
  const after = await trees(second);
  assert.deepEqual(
    after.flatMap((tree, i) => (tree === before[i] ? [] : [i])),
    [7],
    'what an Application compares before it reads anything',
  );
});
