import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Credential, GitRepository, type ApplicationView } from '#api';
import { waitFor } from '#base';
import { testbedMissing } from '#testbed';
import { startAdmissionPolicy, startAdmissionWebhook, untilRefused } from './admission.ts';
import { configMapYaml, Fleet } from './fleet.ts';

// Words as a person would choose them, so that nothing recognises them as secrets by their looks.
const canary = {
  git: 'canary-git-qz',
  manifest: 'canary-manifest-qz',
  plain: 'canary-stringdata-qz',
  lastApplied: 'canary-last-applied-qz',
  edited: 'canary-edited-qz',
  denied: 'canary-policy-qz',
  hooked: 'canary-webhook-qz',
  broken: 'canary-broken-qz',
  immutable: 'canary-immutable-qz',
} as const;

const skip = testbedMissing();
const cleanup = new AsyncDisposableStack();
let fleet: Fleet;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({
    clusters: { dev: { on: 'a' }, eu: { on: 'b' } },
    gitAuth: { username: 'reader', password: canary.git },
    planeArgs: ['--log-level', 'debug'],
    agentArgs: ['--log-level', 'debug'],
  });
});

after(async () => {
  await cleanup.disposeAsync();
  await fleet?.[Symbol.asyncDispose]();
});

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** In clear, or as base64 at any of the three offsets it may have inside something larger. */
function formsOf(secret: string): readonly string[] {
  const shifted = ['', 'x', 'xx'].map((before) => base64(`${before}${secret}`).slice(before === '' ? 0 : 4, -4));
  return [secret, ...shifted, Buffer.from(secret).toString('hex')];
}

/** Which canaries are in these bytes, and around what. */
function found(bytes: Buffer): readonly string[] {
  const text = bytes.toString('latin1');
  return Object.entries(canary).flatMap(([name, secret]) =>
    formsOf(secret).flatMap((form) => {
      const at = text.indexOf(form);
      return at < 0 ? [] : [`${name} (${form}): …${text.slice(Math.max(0, at - 120), at + 60).replaceAll(/[^ -~]/g, '.')}…`];
    }),
  );
}

function assertClean(where: string, content: string | Buffer): void {
  assert.ok(content.length > 0, `${where} was read`);
  assert.deepEqual(found(Buffer.from(content)), [], where);
}

async function filesBelow(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

function secretYaml(name: string, value: string, more = ''): string {
  return `apiVersion: v1\nkind: Secret\nmetadata: {name: ${name}}\n${more}data: {key: ${base64(value)}}\n`;
}

test('the search finds what it looks for', () => {
  for (const [name, secret] of Object.entries(canary)) {
    for (const text of [
      secret,
      base64(secret),
      base64(`{"a":"${secret}"}`),
      base64(`{"ab":"${secret}"}`),
      base64(`{"abc":"${secret}"}`),
    ])
      assert.equal(
        found(Buffer.from(`before ${text} after`)).some((hit) => hit.startsWith(name)),
        true,
        text,
      );
  }
});

test('secrets are planted everywhere and the fleet is made to talk about them', { skip }, async () => {
  const { handle } = fleet.member('dev');
  for (const name of ['secrets', 'denied', 'hooked']) {
    await handle.request('POST', '/api/v1/namespaces', { body: { metadata: { name: fleet.ns(name) } } });
  }
  // kubectl leaves a copy of what it applied, the password included, in an annotation.
  const credential = {
    apiVersion: Credential.apiVersion,
    kind: 'Credential',
    metadata: { name: 'git', namespace: 'default' },
    spec: { type: 'basic', stringData: { username: 'reader', password: canary.git } },
  };
  for (let i = 0; i < 2; i += 1) {
    const applied = await fleet.kubectl(['apply', '-f', '-'], JSON.stringify(credential));
    assert.equal(applied.exitCode, 0, applied.stderr);
    assertClean('what kubectl prints', applied.stdout + applied.stderr);
  }
  await fleet.patch(GitRepository, { name: 'fleet', namespace: 'default' }, { spec: { credential: { name: 'git' } } });
  const wrong = { ...credential, metadata: { name: 'wrong', namespace: 'default' } };
  await fleet.kubectl(
    ['create', '-f', '-'],
    JSON.stringify({ ...wrong, spec: { ...wrong.spec, stringData: { username: canary.git, password: 'x' } } }),
  );
  await fleet.apply(
    GitRepository,
    { name: 'refused', namespace: 'default' },
    { url: fleet.git.repoUrl('fleet'), ref: { branch: 'main' }, credential: { name: 'wrong' } },
  );
  await waitFor(
    'the wrong credential to be refused',
    async () =>
      (await fleet.get(GitRepository, { name: 'refused', namespace: 'default' }))?.status?.reason?.code === 'FL_SOURCE_DENIED',
    { timeoutMs: 60_000 },
  );

  // A live Secret that kubectl made and Git takes over.
  await handle.apply(secretYaml('adopted', canary.lastApplied), fleet.ns('secrets'));
  cleanup.use(
    await startAdmissionPolicy({
      handle,
      name: `${fleet.id}-denied`,
      namespace: fleet.ns('denied'),
      expression: "object.metadata.name != 'bad'",
      messageExpression: "'no ' + string(object.data.key) + ' here'",
    }),
  );
  cleanup.use(
    await startAdmissionWebhook({
      handle,
      name: `${fleet.id}-hooked`,
      namespace: fleet.ns('hooked'),
      judge: (object) => {
        const { data = {}, metadata } = object as { data?: Record<string, string>; metadata: { name: string } };
        const clear = Buffer.from(data['key'] ?? '', 'base64').toString('utf8');
        return metadata.name === 'bad' ? `${clear} is too weak; I was sent ${JSON.stringify(object)}` : undefined;
      },
    }),
  );
  const bad = { metadata: { name: 'bad' }, data: { key: base64('x') } };
  await untilRefused(handle, `/api/v1/namespaces/${fleet.ns('denied')}/secrets`, bad);
  await untilRefused(handle, `/api/v1/namespaces/${fleet.ns('hooked')}/secrets`, bad);

  await fleet.commit({
    'secrets/a.yaml': `${secretYaml('fresh', canary.manifest)}stringData: {plain: ${canary.plain}}\n---\n${secretYaml('adopted', canary.manifest)}---\n${configMapYaml('map', {})}`,
    'denied/a.yaml': secretYaml('bad', canary.denied),
    'hooked/a.yaml': secretYaml('bad', canary.hooked),
    'frozen/a.yaml': secretYaml('bad', canary.manifest, 'immutable: true\n'),
    'invalid/a.yaml': secretYaml('bad', canary.manifest, `type: kubernetes.io/dockerconfigjson\n`),
    'broken/a.yaml': `apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData:\n  key: *${canary.broken}\n`,
    'twice/a.yaml': `apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData:\n  key: ${canary.broken}\n  key: ${canary.broken}\n`,
    'type/a.yaml': `apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: ${canary.broken}\n`,
    'coded/a.yaml': `apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {key: "${canary.broken}!"}\n`,
  });
  for (const name of ['secrets', 'denied', 'hooked', 'frozen', 'invalid', 'broken', 'twice', 'type', 'coded'])
    await fleet.application(name, { targets: [{ clusterSelector: {} }] });
  await fleet.ready('secrets', 'dev');
  await fleet.ready('secrets', 'eu');
  await fleet.ready('frozen', 'dev');
  const adopted = await fleet.live('dev', `/api/v1/namespaces/${fleet.ns('secrets')}/secrets/adopted`);
  assert.equal(adopted?.data?.['key'], base64(canary.manifest), 'taken over');

  await fleet.commit({ 'frozen/a.yaml': secretYaml('bad', canary.immutable, 'immutable: true\n') });
  await fleet.reason('frozen', 'dev', 'FL_APPLY_IMMUTABLE');
  assert.match(
    await fleet.reason('denied', 'dev', 'FL_APPLY_DENIED'),
    /^Secret .*bad in dev is denied by admission: .*denied.*; change the object/,
  );
  assert.match(await fleet.reason('hooked', 'dev', 'FL_APPLY_DENIED'), /judge\.fairlead\.test/);
  await fleet.reason('invalid', 'dev', 'FL_APPLY_INVALID');
  for (const name of ['broken', 'twice', 'type', 'coded']) {
    await waitFor(
      `${name} to fail`,
      async () => (await fleet.delivery(name, 'dev'))?.status?.reason?.code.startsWith('FL_RENDER_') === true,
      { timeoutMs: 60_000 },
    );
  }

  // Somebody changes a Secret by hand: drift, put back and told.
  const edited = await handle.kubectl([
    'patch',
    'secret',
    'fresh',
    '-n',
    fleet.ns('secrets'),
    '-p',
    JSON.stringify({ data: { key: base64(canary.edited), more: base64(canary.edited) } }),
  ]);
  assert.equal(edited.exitCode, 0, edited.stderr);
  await waitFor(
    'the edit to be put back',
    async () =>
      (await fleet.live('dev', `/api/v1/namespaces/${fleet.ns('secrets')}/secrets/fresh`))?.data?.['key'] ===
      base64(canary.manifest),
    { timeoutMs: 60_000 },
  );
  await waitFor('its event', async () => (await fleet.events()).some((event) => event.reason === 'FL_DRIFT_CORRECTED'), {
    timeoutMs: 60_000,
  });
});

test('no API answer holds a secret: every kind, with managed fields', { skip }, async () => {
  const resources = (await fleet.kubectl(['api-resources', '--verbs=list', '-o', 'name'])).stdout.trim().split('\n');
  assert.ok(resources.includes('credentials.fairlead.dev') && resources.includes('events'), resources.join(' '));
  for (const resource of resources) {
    const all = await fleet.kubectl(['get', resource, '-A', '-o', 'yaml', '--show-managed-fields']);
    assert.equal(all.exitCode, 0, all.stderr);
    assertClean(`kubectl get ${resource}`, all.stdout);
  }
  assertClean('kubectl describe', (await fleet.kubectl(['describe', 'credentials,deliveries,applications', '-A'])).stdout);
  assertClean('a watch', (await fleet.kubectl(['get', 'events', '-A', '-o', 'yaml'])).stdout);
});

test('no page, view or command shows a secret', { skip }, async () => {
  const projects = ['fleet', 'applications', 'clusters', 'clusters/dev', 'activity?limit=500'];
  for (const path of projects) assertClean(path, JSON.stringify(await fleet.view(path)));
  for (const name of ['secrets', 'denied', 'hooked', 'frozen', 'invalid', 'broken', 'twice', 'type', 'coded']) {
    const view = await fleet.view<ApplicationView>(`applications/default/${name}`);
    assertClean(name, JSON.stringify(view));
    assertClean(name, JSON.stringify(await fleet.view(`deliveries/default/${name}/dev`)));
    assertClean(name, (await fleet.cli(['why', name, 'dev'])).stdout);
  }
  for (const secret of ['fresh', 'adopted']) {
    const query = `group=&kind=Secret&namespace=${fleet.ns('secrets')}&name=${secret}`;
    assertClean(secret, JSON.stringify(await fleet.view(`deliveries/default/secrets/dev/object?${query}`)));
  }
  assertClean('diff', JSON.stringify(await fleet.view('diff/default/secrets?commit=main')));
  for (const args of [['status'], ['tree', 'secrets', 'dev'], ['diff', 'secrets', '--commit', 'main']]) {
    const { stdout, stderr } = await fleet.cli(args);
    assertClean(args.join(' '), Buffer.concat([Buffer.from(stdout), Buffer.from(stderr)]));
  }
});

test('no log, database or state of an agent holds a secret', { skip }, async () => {
  const all = await filesBelow(fleet.dir);
  const logs = all.filter((file) => file.endsWith('.log'));
  assert.equal(logs.length, 3, logs.join(' '));
  // The mirror is the repository itself; the rest of the plane's directory, the database's log included, and the agents'.
  const kept = all.filter((file) => /\/(plane|agent-(dev|eu))\//.test(file) && !/\.git\//.test(file));
  assert.ok(
    kept.some((file) => file.endsWith('fairlead.db')),
    kept.join(' '),
  );
  assert.ok(
    kept.some((file) => file.endsWith('fairlead.db-wal')),
    kept.join(' '),
  );
  assert.ok(
    kept.some((file) => /\/agent-dev\//.test(file)),
    kept.join(' '),
  );
  for (const file of [...logs, ...kept]) assert.deepEqual(found(await readFile(file)), [], file);
});

test('nothing that agents write in their clusters holds a secret, but the Secrets themselves', { skip }, async () => {
  for (const cluster of ['dev', 'eu']) {
    const { handle } = fleet.member(cluster);
    const own = await handle.kubectl([
      'get',
      'all,configmaps,secrets,leases,events',
      '-n',
      fleet.agentNamespace,
      '-o',
      'yaml',
      '--show-managed-fields',
    ]);
    assertClean(`the agent's namespace in ${cluster}`, own.stdout);
    const events = await handle.kubectl(['get', 'events', '-n', fleet.ns('secrets'), '-o', 'yaml']);
    assertClean(`events in ${cluster}`, events.stdout);
  }
});
