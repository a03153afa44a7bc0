import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Application, ChartRepository, Credential, Release } from '#api';
import { sha256, systemClock, waitFor } from '#base';
import { startRegistry, testbedMissing, type RegistryServer } from '#testbed';
import { packChart } from '../../plane/sources/charts/testing/pack.ts';
import { createPki } from '../pki.ts';
import { configMapYaml, Fleet } from './fleet.ts';

const skip = testbedMissing();
let fleet: Fleet;
let registry: RegistryServer;

before(async () => {
  if (skip !== false) return;
  fleet = await Fleet.start({ clusters: { dev: { on: 'a' } } });
  const pki = await createPki('registry', systemClock.now());
  const auth = { username: 'reader', password: 'pass-w0rd' };
  registry = await startRegistry({
    dir: join(fleet.dir, 'registry'),
    tls: { key: pki.serverKey, cert: pki.serverCert },
    auth,
  });
  const key = { name: 'charts', namespace: 'default' };
  await fleet.apply(Credential, key, { type: 'basic', stringData: { ...auth, ca: pki.caCert } });
  await fleet.apply(ChartRepository, key, {
    url: `oci://${registry.host}/charts`,
    interval: '5s',
    credential: { name: 'charts' },
  });
});

after(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

/** Its objects are plain manifests in a directory of the chart. */
const plain = (version: string): Buffer =>
  packChart('web', version, { 'objects/config.yaml': configMapYaml('web', { version }) });

test('a chart of a private registry reaches a cluster, follows its range, and the Release names it', { skip }, async () => {
  const first = plain('1.2.0');
  await registry.pushChart('charts/web', '1.2.0', first);
  await fleet.application('web', {
    source: { sourceRef: { kind: 'ChartRepository', name: 'charts' }, chart: 'web', version: '1.x', path: 'objects' },
  });
  const held = await fleet.ready('web', 'dev', sha256(first).slice(7));
  assert.equal((await fleet.configMap('dev', fleet.ns('web'), 'web'))?.data?.['version'], '1.2.0');
  const release = await fleet.get(Release, { namespace: 'default', name: held.spec.wanted?.release ?? '' });
  const { kind, name, chart, version, commit } = release?.spec.source ?? {};
  assert.deepEqual(
    { kind, name, chart, version, commit },
    { kind: 'ChartRepository', name: 'charts', chart: 'web', version: '1.2.0', commit: sha256(first).slice(7) },
  );

  const second = plain('1.3.0');
  await registry.pushChart('charts/web', '1.3.0', second);
  await registry.pushChart('charts/web', '2.0.0', plain('2.0.0'));
  await fleet.ready('web', 'dev', sha256(second).slice(7));
  assert.equal((await fleet.configMap('dev', fleet.ns('web'), 'web'))?.data?.['version'], '1.3.0');

  // Moved content is not delivered; what is there stays, and every surface says why.
  await registry.pushChart(
    'charts/web',
    '1.3.0',
    packChart('web', '1.3.0', { 'objects/config.yaml': configMapYaml('web', { version: 'evil' }) }),
  );
  await fleet.reason('web', 'dev', 'FL_SOURCE_MOVED');
  assert.equal((await fleet.configMap('dev', fleet.ns('web'), 'web'))?.data?.['version'], '1.3.0');
  const { stdout } = await fleet.kubectl(['get', 'chartrepositories', '-n', 'default']);
  assert.match(stdout, /charts\s+oci:\/\/127\.0\.0\.1:\d+\/charts\s+True/);

  // Neither the plane's restart nor a lost cache changes anything.
  await fleet.killPlane();
  await fleet.startPlane();
  await fleet.reason('web', 'dev', 'FL_SOURCE_MOVED');
  await registry.pushChart('charts/web', '1.3.0', second);
  await fleet.ready('web', 'dev', sha256(second).slice(7));
});

test('fairlead diff shows what another version of the chart would change', { skip }, async () => {
  const answer = await fleet.cli(['diff', 'web', '--commit', '2.0.0']);
  // 3: something would change.
  assert.equal(answer.exitCode, 3, answer.stderr);
  assert.match(answer.stdout.toString(), /2\.0\.0/);
  const application = await waitFor('the application', () => fleet.get(Application, { namespace: 'default', name: 'web' }), {
    timeoutMs: 10_000,
  });
  assert.equal(application.status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'True');
});

test('a chart is rendered by Helm with the values of the Application', { skip }, async () => {
  await fleet.application('helm', {
    source: { sourceRef: { kind: 'ChartRepository', name: 'charts' }, chart: 'web', version: '1.2.0' },
    render: { helm: { values: { replicas: 7 } } },
  });
  await fleet.ready('helm', 'dev', undefined, 90_000);
  assert.deepEqual((await fleet.configMap('dev', fleet.ns('helm'), 'web'))?.data, { version: '1.2.0', replicas: '7' });
});

test(
  'dependencies of a chart in Git and remote bases of a kustomization are fetched, and stay what they were',
  { skip },
  async () => {
    await registry.pushChart('charts/cache', '3.1.0', packChart('cache', '3.1.0'));
    const base = await fleet.git.commit(
      'fleet',
      { 'shared/one.yaml': configMapYaml('one', { a: '1' }), 'shared/kustomization.yaml': 'resources: [one.yaml]\n' },
      'A base',
    );
    await fleet.commit({
      'umbrella/Chart.yaml':
        'apiVersion: v2\nname: umbrella\nversion: 0.1.0\ndependencies:\n- {name: cache, version: 3.x, repository: "@charts"}\n',
      'overlay/kustomization.yaml': `resources: ["${fleet.git.repoUrl('fleet')}/shared?ref=${base}"]\nnamePrefix: my-\n`,
    });
    await fleet.application('umbrella');
    await fleet.application('overlay');
    await fleet.ready('umbrella', 'dev', undefined, 90_000);
    await fleet.ready('overlay', 'dev', undefined, 90_000);
    assert.equal((await fleet.configMap('dev', fleet.ns('umbrella'), 'cache'))?.data?.['version'], '3.1.0');
    assert.equal((await fleet.configMap('dev', fleet.ns('overlay'), 'my-one'))?.data?.['a'], '1');

    // What cannot be had is said, and what is there stays.
    await fleet.commit({
      'umbrella/Chart.yaml':
        'apiVersion: v2\nname: umbrella\nversion: 0.1.0\ndependencies:\n- {name: cache, version: 9.x, repository: "@charts"}\n',
    });
    await fleet.reason('umbrella', 'dev', 'FL_SOURCE_NO_CHART');
    assert.equal((await fleet.configMap('dev', fleet.ns('umbrella'), 'cache'))?.data?.['version'], '3.1.0');
  },
);
